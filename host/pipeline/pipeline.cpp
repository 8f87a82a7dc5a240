#include "host/pipeline/pipeline.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <ranges>
#include <span>
#include <string>
#include <utility>

#include <weft/detail/request_id.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_handler.hpp>
#include <weft/http_headers.hpp>
#include "host/observe/log.hpp"
#include "host/pipeline/request_mapping.hpp"

namespace weft::host::pipeline {

using observe::Count;
using observe::RequestState;
using observe::TraceStep;

namespace {

/// 499 is nginx's status for a client that left; it is never sent, only recorded.
constexpr int kClientClosedRequest = 499;
/// The same for a request that gets no answer.
constexpr int kNoResponse = 444;
/// What requests are counted for that no entry of the mappings has.
constexpr std::string_view kNoEntry = "-";

/// What an exception of a handler's says; it may say nothing.
const char* TextOf(const std::exception& error) noexcept {
  const char* const text = error.what();
  return text == nullptr ? "an exception that says nothing, not even an empty text" : text;
}

/// As the access log names it.
std::string EntryOf(const mappings::Entry& entry) {
  return entry.name.empty() ? entry.verb + " " + entry.path : entry.name;
}

void LogFailure(std::string line, const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    line += TextOf(error);
  } catch (...) {
    line += "an exception that is no std::exception";
  }
  observe::Log(observe::Level::kError, line);
}

/// Of a request that was answered before it had parameters to process.
CauseName CauseOfRefusal(int status) {
  switch (status) {
    case 413:
      return cause::kBodyTooLarge;
    case 431:
      return cause::kParamsTooLarge;
    case 503:
      return cause::kOverloaded;
    default:
      return cause::kRequestMalformed;
  }
}

/// Whether the request may have an id of the web server's or the client's (WriteRequestId()). One look at each variable: every request
/// pays for it.
bool MayBringId(const ServerVariableCollection& variables) noexcept {
  return std::ranges::any_of(variables, [](const auto& variable) {
    const std::string_view name = variable.first;
    return (name.size() == 17 && name == "HTTP_X_REQUEST_ID") ||
           (name.size() == 16 && name == "HTTP_TRACEPARENT");
  });
}

/// The answer to a request that failed, as far as it is the same for all.
struct ErrorAnswer {
  ErrorAnswer(int status, std::string_view text, std::string_view details)
      : phrase(StatusDescriptionOf(status)) {
    body = std::to_string(status) + " " + std::string(phrase) + "\n";
    if (!text.empty() && text != phrase) {
      body.append(text).append("\n");
    }
    if (!details.empty()) {
      body.append("\n").append(details).append("\n");
    }
    headers.Append("Content-Type", "text/plain; charset=utf-8");
    headers.Append("Content-Length", std::to_string(body.size()));
    if (status == 503) {
      headers.Append("Retry-After", "1");
    }
  }

  std::string_view phrase;
  std::string body;
  HttpHeaders headers;
};

}  // namespace

Pipeline::Pipeline(runtime::Runtime& runtime, observe::AccessLog& access_log, const Limits& limits,
                   observe::WorkerFigures* figures)
    : runtime_(runtime),
      access_log_(access_log),
      limits_(limits),
      own_figures_(figures == nullptr ? std::make_unique<observe::WorkerFigures>() : nullptr),
      figures_(figures == nullptr ? *own_figures_ : *figures),
      budget_{limits.max_buffered_bytes},
      file_budget_{limits.max_temporary_bytes, BodyBudget::Place::kFiles},
      least_slow_threshold_(limits.slow_threshold) {
  budget_.SetFigure(figures_[Count::kBodyMemoryBytes]);
  file_budget_.SetFigure(figures_[Count::kBodyFileBytes]);
  // Makes what a signal handler must not make: this process's part of the numbers of requests.
  static_cast<void>(weft::detail::WriteRequestId({}, 0, {}));
}

void Pipeline::Process(IExchange& exchange, ServerVariableCollection variables,
                       CancellationSource& cancellation, Clock::time_point began) noexcept {
  try {
    if (spare_flights_.empty()) {
      spare_flights_.emplace_back();
    }
    in_flight_.splice(in_flight_.end(), spare_flights_, spare_flights_.begin());
    const auto flight = std::prev(in_flight_.end());
    *flight = Flight{.exchange = &exchange,
                     .cancellation = &cancellation,
                     .started = Clock::now(),
                     .id = ++last_request_,
                     .handlers = handlers_,
                     .slow_threshold = limits_.slow_threshold};
    const auto token = cancellation.Token();
    runtime_.SetCurrentCancellation(&token);
    runtime_.SetCurrentGroup(flight->id);
    try {
      ProcessFlight(*flight, std::move(variables), began);
    } catch (...) {
      // Not even an error could be answered: there is no memory.
      exchange.Abort();
    }
    runtime_.SetCurrentCancellation(nullptr);
    runtime_.SetCurrentGroup(0);
    runtime_.SetCurrentLabel({});
    if (flight->finished) {
      --finished_;
    }
    if (flight->stuck) {
      std::erase(stuck_, flight->id);
    }
    if (flight->trace != nullptr) {
      tracer_->End(*flight->trace);
    }
    LeaveMapping(*flight);
    flight->own_cancellation.reset();
    flight->handlers.reset();
    spare_flights_.splice(spare_flights_.end(), in_flight_, flight);
  } catch (...) {
    exchange.Abort();
  }
}

void Pipeline::ProcessFlight(Flight& flight, ServerVariableCollection variables,
                             Clock::time_point began) {
  const auto token = flight.cancellation->Token();
  RequestIo io(*flight.exchange, token, budget_, file_budget_);
  HttpContext context(std::move(variables), io, token, limits_.output_buffer_bytes,
                      &limits_.request, flight.id);
  NestedExecution nested(runtime_, io, *flight.handlers, limits_.max_execute_depth,
                         {flight.started, flight.deadline});
  context.SetExecution(&nested);
  context.SetApplication(application_);
  observe::CountedRequest counted(figures_, RequestState::kOnFiber);
  figures_[Count::kRequestsStarted].Add();
  flight.counted = &counted;
  io.SetCounted(counted);
  if (tracer_ != nullptr) {
    flight.trace = tracer_->Begin(context, began == Clock::time_point() ? flight.started : began);
    io.SetTrace(flight.trace);
  }
  struct Held {
    Held(Pipeline& with_pipeline, Flight& with_flight, const HttpRequest& request) noexcept
        : pipeline(with_pipeline), flight(with_flight) {
      pipeline.Hold(flight, request);
    }
    ~Held() { pipeline.LetGo(flight); }

    Pipeline& pipeline;
    Flight& flight;
  };
  std::optional<Held> held;
  if (held_requests_ != nullptr) {
    held.emplace(*this, flight, context.Request());
  }
  struct Finisher final : IFinisher {
    Finisher(Pipeline& with_pipeline, Flight& with_flight, HttpContext& with_context,
             RequestIo& with_io)
        : pipeline(with_pipeline), flight(with_flight), context(with_context), io(with_io) {}
    bool Finish() override { return pipeline.FinishFlight(flight, context, io); }

    Pipeline& pipeline;
    Flight& flight;
    HttpContext& context;
    RequestIo& io;
  } finisher(*this, flight, context, io);
  io.SetFinisher(finisher);
  struct Watch final : runtime::PoolWatch {
    Watch(Pipeline& with_pipeline, Flight& with_flight, const HttpContext& with_context,
          RequestIo& with_io)
        : pipeline(with_pipeline), flight(with_flight), context(with_context), io(with_io) {
      flight.watch = this;
      flight.request = &context;
      pipeline.runtime_.SetCurrentPoolWatch(this);
    }
    ~Watch() override {
      pipeline.runtime_.SetCurrentPoolWatch(nullptr);
      flight.watch = nullptr;
    }
    void OnInterrupted() noexcept override { pipeline.AnswerWithoutHandler(flight, context, io); }

    Pipeline& pipeline;
    Flight& flight;
    const HttpContext& context;
    RequestIo& io;
  } watch(*this, flight, context, io);
  context.Response().SetSettings(&limits_.response);
  flight.context = &context;
  flight.nested = &nested;
  const Work work(runtime_, flight, context.Request());
  flight.work = &work;
  try {
    FindClient(context.Request(), flight);
    try {
      // Not by an exception: most of the work of a refusal would be to throw it, when there is too much work already.
      if (const auto refusal = Admit(flight)) {
        flight.cause = refusal->cause;
        AnswerError(context, io, flight, 503, {}, refusal->detail);
      } else {
        Note(flight, TraceStep::kAdmitted);
        Serve(context, io, flight);
        OnItsStack(flight, [&] { context.Response().Complete(); });
      }
    } catch (...) {
      if (!flight.answered) {
        throw;
      }
      LogFailureAfterAnswer(context, flight);
    }
  } catch (const HttpException& error) {
    if (!error.Cause().empty()) {
      flight.cause = error.Cause();
    } else if (const auto* const failure = nested.FailureOf(std::current_exception());
               failure != nullptr && !failure->cause.empty()) {
      flight.cause = failure->cause;
    }
    AnswerError(context, io, flight, error.StatusCode(), error.PublicText(), error.what());
  } catch (const OperationCancelled& cancelled) {
    AnswerCancelled(context, io, flight, cancelled.Reason());
  } catch (const handling::TypeError& error) {
    flight.cause = cause::kHandlerTypeUnknown.Text();
    AnswerError(context, io, flight, 500, {}, error.what());
  } catch (const std::exception& error) {
    flight.cause = CauseOfFailure(flight);
    AnswerError(context, io, flight, 500, {}, TextOf(error));
  } catch (...) {
    flight.cause = CauseOfFailure(flight);
    AnswerError(context, io, flight, 500, {}, "an exception that is no std::exception");
  }
  flight.context = nullptr;
  const bool was_recorded = std::exchange(flight.recorded, true);
  if (!was_recorded) {
    CountEnd(flight, context);
    if (IsRecorded(flight)) {
      Record(flight, context, &io, io.BodyBytesSent());
    }
  }
  if (!was_recorded) {
    TellSlow(flight, Clock::now(), /*has_ended=*/true);
  }
  flight.nested = nullptr;
  io.EndAnswer();
  flight.on_pool = flight.on_pool || nested.UsedThread();
  if (context.HasRequestCompleted()) {
    RunRequestCompleted(context, io, flight);
  }
  if (flight.stuck) {
    try {
      observe::Log(observe::Level::kWarning,
                   DescriptionOf(flight, context) + ": its handler has returned after all");
    } catch (...) {
      // No memory to tell of it.
    }
  }
}

void Pipeline::SetHeldRequests(observe::HeldRequests* held) noexcept {
  held_requests_ = held;
  if (held != nullptr) {
    std::array<char, 64> id;
    const auto bytes = weft::detail::WriteRequestId({}, 0, id);
    held->SetIdPrefix({id.data(), bytes - 1});  // without the number
  }
}

void Pipeline::Hold(Flight& flight, const HttpRequest& request) noexcept {
  auto* const held = held_requests_->Take();
  flight.held = held;
  if (held == nullptr) {
    return;
  }
  if (MayBringId(request.ServerVariables())) {
    std::array<char, 64> id;
    held->id.Set(
        {id.data(), weft::detail::WriteRequestId(request.ServerVariables(), flight.id, id)});
  }
  held->method.Set(request.HttpMethod());
  const auto url = request.RawUrl();
  held->path.Set(url.substr(0, url.find('?')));  // a query may have secrets
  held->started_ns.Set(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(flight.started.time_since_epoch())
          .count()));
  held->state.Set(static_cast<std::uint64_t>(flight.counted->State()));
  flight.counted->ShowIn(&held->state);
  std::atomic_signal_fence(std::memory_order_release);
  held->number.Set(flight.id);  // from here on it counts
}

void Pipeline::LetGo(const Flight& flight) noexcept {
  flight.counted->ShowIn(nullptr);
  held_requests_->GiveBack(flight.held);
}

void Pipeline::NoteHandler(Flight& flight) noexcept {
  if (flight.held != nullptr) {
    flight.held->handler.Set(handling::NameOf(*flight.handler));
  }
}

std::size_t Pipeline::Work::Describe(std::span<char> into) const noexcept {
  runtime::TextRoom text(into);
  text.Append("request ");
  text.Grow(weft::detail::WriteRequestId(request_.ServerVariables(), flight_.id, text.Rest()));
  text.Append(" ");
  text.Append(request_.HttpMethod());
  text.Append(" ");
  text.Append(request_.RawUrl());
  return text.Used();
}

std::size_t Pipeline::Work::RequestId(std::span<char> into) const noexcept {
  return weft::detail::WriteRequestId(request_.ServerVariables(), flight_.id, into);
}

Pipeline::Clock::time_point Pipeline::Work::Started() const noexcept { return flight_.started; }

bool Pipeline::LetPeerGo(Flight& flight) noexcept {
  // The peer's end of the cancellation goes with the peer. Other fibers may run while that is let go, and cancel.
  auto* const of_peer = flight.cancellation;
  flight.own_cancellation = std::move(*of_peer);
  flight.cancellation = &*flight.own_cancellation;
  if (!flight.exchange->Finish()) {
    *of_peer = std::move(*flight.own_cancellation);
    flight.cancellation = of_peer;
    flight.own_cancellation.reset();
    return false;
  }
  flight.peer_gone = true;
  return true;
}

void Pipeline::AnswerWithoutHandler(Flight& flight, const HttpContext& context,
                                    RequestIo& io) noexcept {
  if (flight.abandoned) {
    return;
  }
  flight.abandoned = true;
  io.Abandon();
  if (flight.recorded || flight.answered) {
    // The client has its answer.
    if (!flight.peer_gone) {
      LetPeerGo(flight);
    }
    return;
  }
  flight.answered = true;
  const auto reason = flight.cancellation->Token().Reason();
  const bool is_gone = reason == CancellationReason::kClientGone;
  const bool is_late = reason == CancellationReason::kDeadline;
  flight.error_status = is_gone ? kClientClosedRequest : is_late ? 504 : 503;
  flight.cause = (is_gone   ? cause::kClientGone
                  : is_late ? cause::kDeadlinePassed
                            : cause::kShuttingDown)
                     .Text();
  flight.outcome = is_gone            ? observe::Outcome::kClientGone
                   : io.HeadersSent() ? observe::Outcome::kAborted
                                      : observe::Outcome::kCompleted;
  std::uint64_t body_bytes = io.BodyBytesSent();
  try {
    const auto level = is_late ? observe::Level::kError : observe::Level::kInfo;
    if (observe::LogsAt(level)) {
      observe::Log(level, DescriptionOf(flight, context) + ": " +
                              OperationCancelled(reason).what() +
                              "; it is answered while the handler is still at work");
    }
    if (flight.outcome == observe::Outcome::kCompleted) {
      const ErrorAnswer answer(flight.error_status, {}, {});
      if (flight.trace != nullptr) {
        flight.trace->SetAnswer(answer.headers);
      }
      flight.exchange->SendHeaders(flight.error_status, answer.phrase, answer.headers);
      if (context.Request().HttpMethod() != "HEAD") {
        flight.exchange->SendBody(answer.body);
        body_bytes += answer.body.size();
      }
    } else {
      flight.exchange->Abort();
    }
  } catch (const OperationCancelled&) {
    flight.cause = cause::kClientGone.Text();
    flight.error_status = kClientClosedRequest;
    flight.outcome = observe::Outcome::kClientGone;
    flight.exchange->Abort();
  } catch (...) {
    flight.outcome = observe::Outcome::kAborted;  // no memory
    flight.exchange->Abort();
  }
  LetPeerGo(flight);
  CountEnd(flight, context);
  try {
    if (IsRecorded(flight)) {
      Record(flight, context, nullptr, body_bytes);
    }
  } catch (...) {
    // No memory to tell of it.
  }
  flight.recorded = true;
  flight.context = nullptr;
}

bool Pipeline::FinishFlight(Flight& flight, HttpContext& context, RequestIo& io) {
  flight.exchange->Flush();
  flight.answered = true;
  if (finished_ >= limits_.max_finished) {
    return false;
  }
  // Its place is taken before the peer is let go of: other fibers may run meanwhile, and finish too.
  ++finished_;
  if (!LetPeerGo(flight)) {
    --finished_;
    return false;
  }
  io.EndRequest();
  flight.finished = true;
  flight.recorded = true;
  flight.deadline = Clock::now() + limits_.finish_timeout;
  flight.outcome = observe::Outcome::kFinished;
  flight.context = nullptr;  // it has its record
  flight.counted->Enter(RequestState::kFinished);
  CountEnd(flight, context);
  if (IsRecorded(flight)) {
    Record(flight, context, &io, io.BodyBytesSent());
  }
  return true;
}

void Pipeline::LogFailureAfterAnswer(const HttpContext& context, const Flight& flight) const {
  try {
    std::string line = "request " + context.RequestId() + " " +
                       std::string(context.Request().HttpMethod()) + " " +
                       std::string(context.Request().RawUrl()) + ": ";
    if (flight.handler != nullptr) {
      line.append(handling::NameOf(*flight.handler)).append(": ");
    }
    line += "failed after its answer was finished: ";
    try {
      throw;
    } catch (const OperationCancelled& cancelled) {
      if (flight.abandoned && !flight.finished) {
        return;  // as it should; the log has the answer
      }
      if (flight.finished && cancelled.Reason() == CancellationReason::kDeadline) {
        line += "it did not end within " + std::to_string(limits_.finish_timeout.count()) +
                " ms (--finish-timeout)";
      } else {
        line += cancelled.what();
      }
      observe::Log(observe::Level::kWarning, line);
    } catch (...) {
      LogFailure(line, std::current_exception());
    }
  } catch (...) {
    // No memory to tell of it.
  }
}

void Pipeline::RunRequestCompleted(HttpContext& context, RequestIo& io, Flight& flight) {
  const auto log = [&](const std::exception_ptr& error) {
    try {
      LogFailure("request " + context.RequestId() + ": a callback of its end failed: ", error);
    } catch (...) {
      // No memory to tell of it.
    }
  };
  if (flight.outcome == observe::Outcome::kCompleted ||
      flight.outcome == observe::Outcome::kRefused) {
    // The client shall not wait for what the callbacks do.
    if (!flight.peer_gone && LetPeerGo(flight)) {
      io.EndRequest();
    }
  }
  if (!flight.on_pool) {
    try {
      OnItsStack(flight, [&] { context.RunRequestCompleted(log); });
    } catch (...) {
      // No memory for another stack, and nothing was called; it throws nothing itself.
      context.RunRequestCompleted(log);
    }
    return;
  }
  try {
    runtime_.RunOnPoolPastBound([&](runtime::IFiberGateway& gateway) {
      io.SetGateway(&gateway);
      context.RunRequestCompleted(log);
      io.SetGateway(nullptr);
    });
  } catch (...) {
    // No memory for a thread's turn: what blocks holds up the others now, but nothing is lost.
    context.RunRequestCompleted(log);
  }
}

std::string_view Pipeline::CauseOfFailure(const Flight& flight) {
  if (!flight.called) {
    return flight.cause;
  }
  return (flight.handler != nullptr ? cause::kHandlerFailed : cause::kHandlerNotMade).Text();
}

void Pipeline::Serve(HttpContext& context, RequestIo& io, Flight& flight) {
  if (Map(context, io, flight)) {
    OnItsStack(flight, [&] { ServeMapped(context, io, flight); });
  }
}

void Pipeline::OnItsStack(const Flight& flight, const std::function<void()>& function) {
  if (flight.stack_bytes == 0) {
    function();
  } else {
    runtime_.RunOnStackOf(flight.stack_bytes, function);
  }
}

void Pipeline::ServeMapped(HttpContext& context, RequestIo& io, Flight& flight) {
  auto& handler_class = flight.handlers->ClassOf(*flight.entry);
  // What makes a handler may give the answer, and counts as one then.
  flight.called = true;
  auto lease = LeaseFor(*flight.entry, handler_class, context);
  flight.called = false;
  Note(flight, TraceStep::kLeased);
  flight.handler = &lease.Type();
  runtime_.SetCurrentLabel(handling::NameOf(*flight.handler));
  NoteHandler(flight);
  if (!lease.IsBufferless()) {
    context.Request().ReadBodyAhead();
  }
  Note(flight, TraceStep::kBodyRead);
  try {
    RunHandler(lease, context, io, flight);
    while (auto next = context.TakeRemappedHandler()) {
      const auto& handler = *next;
      flight.handler = &typeid(handler);
      runtime_.SetCurrentLabel(handling::NameOf(*flight.handler));
      NoteHandler(flight);
      try {
        flight.nested->RunInstead(context, next);
      } catch (...) {
        if (next) {
          context.RemapHandler(std::move(next));  // it goes where the first one ran
        }
        throw;
      }
    }
  } catch (const OperationCancelled& cancelled) {
    if (cancelled.Reason() != CancellationReason::kAnswered) {
      context.AddError(std::current_exception());
      throw;
    }
  } catch (...) {
    context.AddError(std::current_exception());
    throw;
  }
  if (const auto error = context.Error()) {
    std::rethrow_exception(error);
  }
}

/// Before the handler: RecordUnfinished() asks for the client's address while that runs, and must change nothing then.
void Pipeline::FindClient(const HttpRequest& request, const Flight& flight) const {
  if (limits_.request.trusted_proxies.empty() || !request.HasMalformedForwardedFields()) {
    return;
  }
  if (observe::LogsAt(observe::Level::kInfo)) {
    const auto& variables = request.ServerVariables();
    std::string line = "request " + std::to_string(flight.id) + " from the trusted proxy '" +
                       std::string(variables.Get("REMOTE_ADDR")) +
                       "': what it says of its client is malformed and counts for nothing:";
    for (const std::string_view field : {"HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR",
                                         "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"}) {
      if (const auto value = variables.Find(field)) {
        line.append(" ").append(field.substr(5)).append("='").append(*value).append("'");
      }
    }
    observe::Log(observe::Level::kInfo, line);
  }
}

std::optional<Pipeline::Refusal> Pipeline::Admit(const Flight& flight) const {
  if (in_flight_.size() > limits_.max_requests) {
    return Refusal{.cause = cause::kOverloaded.Text(),
                   .detail = "more than " + std::to_string(limits_.max_requests) +
                             " requests in flight (--max-requests)"};
  }
  if (runtime_.ShedsArrivals(flight.started)) {
    return Refusal{.cause = cause::kLoadShed.Text(),
                   .detail =
                       "requests come faster than the reactor serves them, and wait for it "
                       "for too long (--shed-target)"};
  }
  return std::nullopt;
}

void Pipeline::AdmitToMapping(Flight& flight, const mappings::FolderSettings& settings) {
  const auto take = [&](const void* of, std::uint64_t bound, const mappings::SourceLocation& where,
                        std::string_view what, const void*& counted) {
    auto& count = requests_of_[of];
    if (count >= bound) {
      throw HttpException(503, {},
                          "more than " + std::to_string(bound) + " requests in flight of " +
                              std::string(what) + " at " + where.ToString() + " (maxRequests)")
          .WithCause(cause::kMappingOverloaded);
    }
    ++count;
    counted = of;
  };
  const auto& entry = *flight.entry;
  if (entry.max_requests) {
    take(&entry, *entry.max_requests, entry.where, "the entry", flight.counted_for[0]);
  }
  if (const auto& of_folder = settings.runtime.max_requests; of_folder.value && of_folder.where) {
    take(of_folder.where.get(), *of_folder.value, *of_folder.where, "the folders bounded",
         flight.counted_for[1]);
  }
}

void Pipeline::LeaveMapping(const Flight& flight) noexcept {
  for (const void* const of : flight.counted_for) {
    if (of == nullptr) {
      continue;
    }
    // By its address: it goes with the last request, and another may come to lie there.
    if (const auto found = requests_of_.find(of); --found->second == 0) {
      requests_of_.erase(found);
    }
  }
}

std::optional<std::uint64_t> Pipeline::CountRefusal(std::string_view cause) {
  /// So often at most a cause is logged.
  constexpr std::chrono::seconds kLogInterval{1};
  auto found = std::find_if(refusals_.begin(), refusals_.end(),
                            [&](const Refusals& refusals) { return refusals.cause == cause; });
  if (found == refusals_.end()) {
    found = refusals_.insert(refusals_.end(), {.cause = cause});
  }
  ++found->count;
  const auto now = Clock::now();
  if (now - found->logged_at < kLogInterval) {
    ++found->not_logged;
    return std::nullopt;
  }
  found->logged_at = now;
  return std::exchange(found->not_logged, 0);
}

bool Pipeline::Map(HttpContext& context, RequestIo& io, Flight& flight) {
  if (flight.trace != nullptr) {
    flight.trace->SetTarget(context.Request());
  }
  const auto mapped = MapRequest(context, *flight.handlers, flight.cause);
  Note(flight, TraceStep::kMapped);
  if (mapped.entry == nullptr) {
    return false;
  }
  flight.entry = mapped.entry;
  if (flight.held != nullptr) {
    flight.held->entry.Set(mapped.entry->name.empty() ? mapped.entry->path : mapped.entry->name);
  }
  AdmitToMapping(flight, *mapped.settings);
  context.SetSections(mapped.settings->sections.get());
  const auto& runtime = mapped.settings->runtime;
  flight.stack_bytes = mapped.entry->stack_bytes.value_or(runtime.stack_bytes.value.value_or(0));
  if (const auto& slow = runtime.slow_log_threshold; slow.value) {
    flight.slow_threshold = *slow.value;
    flight.slow_where = slow.where;
    if (slow.value->count() != 0 &&
        (least_slow_threshold_.count() == 0 || *slow.value < least_slow_threshold_)) {
      least_slow_threshold_ = *slow.value;
    }
  }
  // The built-in defaults set it.
  flight.deadline = flight.started + runtime.execution_timeout.value.value();
  io.SetBodyBounds(context.Request().ServerVariables().Get("CONTENT_LENGTH"),
                   runtime.max_request_bytes.value.value_or(limits_.max_request_bytes));
  if (runtime.response_buffer_bytes.value) {
    context.Response().SetBufferBytes(*runtime.response_buffer_bytes.value);
  }
  return true;
}

void Pipeline::RunHandler(handling::HandlerLease& lease, HttpContext& context, RequestIo& io,
                          Flight& flight) {
  if (lease.IsAsync()) {
    context.Cancellation().ThrowIfCancellationRequested();
    flight.called = true;
    NoteCall(flight);
    lease.ProcessRequest(context);
    Note(flight, TraceStep::kReturned);
    return;
  }
  const observe::RequestPhase phase(*flight.counted, RequestState::kOnThread);
  runtime_.RunOnPool([&](runtime::IFiberGateway& gateway) {
    // It may have waited for its thread, and nobody for it.
    context.Cancellation().ThrowIfCancellationRequested();
    flight.called = true;
    flight.on_pool = true;
    NoteCall(flight);
    io.SetGateway(&gateway);
    try {
      lease.ProcessRequest(context);
    } catch (...) {
      io.SetGateway(nullptr);
      throw;
    }
    io.SetGateway(nullptr);
  });
  Note(flight, TraceStep::kReturned);
}

void Pipeline::AnswerError(HttpContext& context, RequestIo& io, Flight& flight, int status,
                           const std::string& text, const std::string& detail) {
  const auto* const nested_failure = flight.nested->FailureOf(std::current_exception());
  if (flight.trace != nullptr) {
    if (flight.handler != nullptr && flight.called) {
      flight.trace->Note(TraceStep::kReturned);
    }
    flight.trace->SetError(nested_failure != nullptr ? nested_failure->chain + ": " + detail
                                                     : detail);
  }
  const auto level =
      status >= 500 && status != 503 ? observe::Level::kError : observe::Level::kInfo;
  // What is refused for there is too much of it would fill the log, too.
  std::optional<std::uint64_t> not_logged = 0;
  if (status == 503 && !flight.called) {
    not_logged = CountRefusal(flight.cause);
  }
  if (not_logged && observe::LogsAt(level)) {
    const auto& request = context.Request();
    std::string line = "request " + context.RequestId() + " " + std::string(request.HttpMethod()) +
                       " " + std::string(request.RawUrl()) + ": ";
    if (flight.handler != nullptr) {
      line.append(handling::NameOf(*flight.handler)).append(": ");
    } else if (flight.entry != nullptr) {
      line.append(flight.entry->type_text).append(": ");
    }
    if (nested_failure != nullptr) {
      line.append(nested_failure->chain).append(": ");
    }
    line += detail;
    if (*not_logged != 0) {
      line += "; " + std::to_string(*not_logged) + " more were refused so since the last such line";
    }
    const auto id = context.RequestId();
    const std::string handler =
        flight.handler != nullptr ? std::string(handling::NameOf(*flight.handler)) : std::string();
    const std::array fields{observe::LogField("method", request.HttpMethod()),
                            observe::LogField("url", request.RawUrl()),
                            observe::LogField("status", status)};
    observe::Log({.level = level,
                  .message = line,
                  .event = flight.cause,
                  .request = id,
                  .handler = handler,
                  .fields = fields});
  }
  flight.error_status = status;
  if (io.HeadersSent()) {
    // An error text inside half a body would look like part of it.
    flight.outcome = observe::Outcome::kAborted;
    flight.exchange->Abort();
    return;
  }
  if (!flight.called) {
    flight.outcome = observe::Outcome::kRefused;
  }
  // Not through the HttpResponse: the handler may have left it in any state.
  io.BeginErrorAnswer();
  try {
    ErrorAnswer answer(status, text,
                       limits_.request.debug && context.Request().IsLocal() ? detail : "");
    auto& headers = answer.headers;
    if (const auto allow = context.Response().Headers().Find("Allow"); allow && status == 405) {
      headers.Append("Allow", *allow);
    } else if (nested_failure != nullptr && status == 405 && !nested_failure->allow.empty()) {
      headers.Append("Allow", nested_failure->allow);
    }
    io.SendHeaders(status, answer.phrase, headers);
    if (context.Request().HttpMethod() != "HEAD") {
      io.SendBody(answer.body);
    }
  } catch (const OperationCancelled&) {
    flight.cause = cause::kClientGone.Text();
    flight.error_status = kClientClosedRequest;
    flight.outcome = observe::Outcome::kClientGone;
    flight.exchange->Abort();
  } catch (const std::exception& error) {
    observe::Log(observe::Level::kError, "request " + context.RequestId() +
                                             ": an error could not be answered: " + error.what());
    flight.outcome = observe::Outcome::kAborted;
    flight.exchange->Abort();
  }
}

void Pipeline::AnswerCancelled(HttpContext& context, RequestIo& io, Flight& flight,
                               CancellationReason reason) {
  if (reason == CancellationReason::kClientGone) {
    flight.cause = cause::kClientGone.Text();
    flight.error_status = kClientClosedRequest;
    flight.outcome = observe::Outcome::kClientGone;
    flight.exchange->Abort();
    return;
  }
  if (reason == CancellationReason::kAborted) {
    flight.cause = cause::kRequestAborted.Text();
    flight.error_status = kNoResponse;
    flight.outcome = observe::Outcome::kAborted;
    flight.exchange->Abort();
    return;
  }
  if (reason == CancellationReason::kCancelled) {
    flight.cause = CauseOfFailure(flight);
    AnswerError(context, io, flight, 500, {},
                "the cancellation of a task came out of the handler that had cancelled it");
    return;
  }
  const bool is_late = reason == CancellationReason::kDeadline;
  flight.cause = (is_late ? cause::kDeadlinePassed : cause::kShuttingDown).Text();
  AnswerError(context, io, flight, is_late ? 504 : 503, {}, OperationCancelled(reason).what());
}

void Pipeline::TellSlow(Clock::time_point now) noexcept {
  if (least_slow_threshold_.count() == 0) {
    return;
  }
  for (auto& flight : in_flight_) {
    // In the order in which they began.
    if (now - flight.started < least_slow_threshold_) {
      break;
    }
    if (!flight.recorded && flight.work != nullptr) {
      TellSlow(flight, now, /*has_ended=*/false);
    }
  }
}

void Pipeline::TellSlow(Flight& flight, Clock::time_point now, bool has_ended) noexcept {
  if (flight.slow_told || !on_slow_ || flight.slow_threshold.count() == 0 ||
      now - flight.started < flight.slow_threshold) {
    return;
  }
  flight.slow_told = true;
  try {
    const auto& context = *flight.request;
    on_slow_({.request_id = context.RequestId(),
              .description = DescriptionOf(flight, context),
              .handler = flight.handler != nullptr ? std::string(handling::NameOf(*flight.handler))
                                                   : std::string(),
              .entry = flight.entry != nullptr ? EntryOf(*flight.entry) : std::string(),
              .elapsed = now - flight.started,
              .queue_time = QueueTime(flight),
              .has_ended = has_ended,
              .threshold = flight.slow_threshold,
              .threshold_where = flight.slow_where ? flight.slow_where->ToString() : "",
              .work = has_ended ? nullptr : flight.work});
  } catch (...) {
    // No memory to tell of it.
  }
}

void Pipeline::NoteCall(Flight& flight) const noexcept {
  Note(flight, TraceStep::kCalled);
  if (!access_log_.Enabled() && flight.slow_threshold.count() == 0) {
    return;  // nobody tells it
  }
  const auto passed = std::chrono::nanoseconds(Clock::now() - flight.started).count();
  std::atomic_ref(flight.queue_time).store(passed, std::memory_order_relaxed);
}

std::chrono::nanoseconds Pipeline::QueueTime(const Flight& flight) noexcept {
  auto& of = const_cast<Flight&>(flight).queue_time;  // atomic_ref takes nothing that is const
  return std::chrono::nanoseconds(std::atomic_ref(of).load(std::memory_order_relaxed));
}

void Pipeline::Record(const Flight& flight, const HttpContext& context, const RequestIo* io,
                      std::uint64_t body_bytes_sent) {
  const auto& request = context.Request();
  observe::RequestRecord record;
  record.id = flight.id;
  record.request_id = context.RequestId();
  record.remote_address = request.UserHostAddress();
  record.method = request.HttpMethod();
  record.raw_url = request.RawUrl();
  record.status = flight.error_status != 0 ? flight.error_status : context.Response().StatusCode();
  record.body_bytes_sent = body_bytes_sent;
  record.duration = Clock::now() - flight.started;
  if (flight.entry != nullptr) {
    record.entry = EntryOf(*flight.entry);
    record.entry_where = &flight.entry->where;
    record.type =
        flight.handler != nullptr ? handling::NameOf(*flight.handler) : flight.entry->type_text;
  }
  record.cause = flight.cause;
  record.outcome = flight.outcome;
  record.request = &request;
  record.queue_time = QueueTime(flight);
  if (io != nullptr) {
    record.header_bytes_sent = io->HeaderBytesSent();
    record.body_bytes_received = io->BodyBytesReceived();
  }
  if (flight.context != nullptr) {
    // Its handler may still run: only what no handler changes is read.
    Tell(flight, record);
    return;
  }
  if (const auto cause = context.Response().Cause(); !cause.empty() && flight.error_status == 0) {
    record.cause = cause;
  }
  record.log_text = context.Response().LogText();
  record.response = &context.Response();
  Tell(flight, record);
}

void Pipeline::Tell(const Flight& flight, const observe::RequestRecord& record) noexcept {
  access_log_.Write(record);
  if (flight.trace != nullptr) {
    tracer_->Write(flight.trace, record);
  }
}

void Pipeline::CountEnd(const Flight& flight, const HttpContext& context) noexcept {
  // Its handler may still run where that is set, and then the answer was the host's own.
  const bool is_hosts_own = flight.error_status != 0 || flight.context != nullptr;
  const int status = is_hosts_own ? flight.error_status : context.Response().StatusCode();
  const auto now = Clock::now();
  figures_.CountEnd(status);
  figures_.recent.Count(now);
  if (status >= 400) {
    auto cause = flight.cause;
    if (!is_hosts_own && !context.Response().Cause().empty()) {
      cause = context.Response().Cause();
    }
    figures_.causes.Add(cause);
  }
  auto* entry = &figures_.other_entries;
  try {
    if (flight.entry == nullptr) {
      entry = &figures_.EntryNamed(kNoEntry);
    } else {
      auto& known = flight.handlers->FiguresOf(*flight.entry);
      if (known == nullptr) {
        known = &figures_.EntryNamed(EntryOf(*flight.entry));
      }
      entry = known;
    }
  } catch (const std::bad_alloc&) {
    entry->is_named.Set(1);  // it counts for the others
  }
  entry->durations.Count(now - flight.started);
  if (status >= 500) {
    entry->server_errors.Add();
  }
}

void Pipeline::RecordUnfinished() noexcept {
  try {
    for (auto& flight : in_flight_) {
      if (IsRecorded(flight) && flight.context != nullptr) {
        flight.error_status = 503;
        flight.cause = cause::kShuttingDown.Text();
        flight.outcome = observe::Outcome::kAborted;
        Record(flight, *flight.context, nullptr, 0);
      }
    }
  } catch (...) {
    // No memory to tell of them.
  }
}

void Pipeline::RecordRefusal(int status, std::string_view detail) noexcept {
  figures_[Count::kRequestsStarted].Add();
  figures_.CountEnd(status);
  figures_.causes.Add(CauseOfRefusal(status).Text());
  try {
    if (status != 503 || CountRefusal(CauseOfRefusal(status).Text())) {
      observe::Log(observe::Level::kInfo, "a request was refused with " + std::to_string(status) +
                                              ": " + std::string(detail));
    }
    if (access_log_.Enabled() || tracer_ != nullptr) {
      observe::RequestRecord record;
      record.id = ++last_request_;
      record.status = status;
      record.cause = CauseOfRefusal(status).Text();
      record.outcome = observe::Outcome::kRefused;
      access_log_.Write(record);
      if (tracer_ != nullptr) {
        tracer_->Write(nullptr, record);
      }
    }
  } catch (...) {
    // No memory to tell of it.
  }
}

std::string Pipeline::DescriptionOf(const Flight& flight, const HttpContext& context) {
  const auto& request = context.Request();
  std::string text = "request " + context.RequestId() + " " + std::string(request.HttpMethod()) +
                     " " + std::string(request.RawUrl());
  if (flight.handler != nullptr) {
    text.append(": ").append(handling::NameOf(*flight.handler));
  }
  return text;
}

std::vector<StuckHandler> Pipeline::CancelOverdue(Clock::time_point now) noexcept {
  std::vector<StuckHandler> stuck;
  std::optional<std::vector<runtime::GroupThread>> of_tasks;  // for all who ask
  for (auto& flight : in_flight_) {
    if (now >= flight.deadline) {
      flight.deadline = Clock::time_point::max();
      flight.stuck_at = now + limits_.overdue_grace;
      Cancel(flight, CancellationReason::kDeadline);
    } else if (now >= flight.stuck_at && !flight.stuck && flight.watch != nullptr) {
      const pid_t own = flight.watch->Thread();
      if (own == 0 && !flight.abandoned) {
        // It waits for what no cancellation ends, a task that is stuck itself, say: its client is to wait no longer.
        flight.watch->InterruptWait();
      }
      try {
        if (own == 0 && !of_tasks) {
          of_tasks = runtime_.ThreadsOfGroups();
        }
        const runtime::GroupThread own_thread{flight.id, own};
        const std::span<const runtime::GroupThread> threads =
            own != 0 ? std::span(&own_thread, 1)
                     : std::span(std::ranges::equal_range(std::as_const(*of_tasks), flight.id, {},
                                                          &runtime::GroupThread::group));
        if (threads.empty()) {
          continue;
        }
        std::vector<StuckHandler> of_flight;
        for (const auto& at_work : threads) {
          of_flight.push_back(
              {at_work.thread, DescriptionOf(flight, *flight.request),
               std::chrono::duration_cast<std::chrono::milliseconds>(now - flight.started)});
        }
        stuck_.reserve(stuck_.size() + 1);
        stuck.insert(stuck.end(), of_flight.begin(), of_flight.end());
        stuck_.insert(std::ranges::upper_bound(stuck_, flight.id), flight.id);
        flight.stuck = true;
      } catch (const std::bad_alloc&) {
        // The next call may have more memory.
      }
    }
  }
  return stuck;
}

void Pipeline::Cancel(Flight& flight, CancellationReason reason) noexcept {
  flight.cancellation->Cancel(reason);
  flight.exchange->OnCancelled();
  if (flight.watch != nullptr) {
    flight.watch->Interrupt();
  }
}

void Pipeline::CancelAll(CancellationReason reason) noexcept {
  for (auto& flight : in_flight_) {
    Cancel(flight, reason);
  }
}

}  // namespace weft::host::pipeline
