#include "host/pipeline/pipeline.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include <weft/http_exception.hpp>
#include <weft/http_handler.hpp>
#include "host/observe/log.hpp"

namespace weft::host::pipeline {

namespace {

/// 499 is nginx's status for a client that left; it is never sent, only recorded.
constexpr int kClientClosedRequest = 499;

/// A token of RFC 9110, section 5.6.2, as a method is (section 9.1).
bool IsToken(std::string_view text) {
  const auto is_token_character = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

bool IsLoopback(std::string_view address) {
  return address == "::1" || address.substr(0, 4) == "127." ||
         address.substr(0, 11) == "::ffff:127.";
}

}  // namespace

Pipeline::Pipeline(runtime::Runtime& runtime, observe::AccessLog& access_log, const Limits& limits)
    : runtime_(runtime),
      access_log_(access_log),
      limits_(limits),
      budget_{limits.max_buffered_bytes} {}

void Pipeline::Process(IExchange& exchange, ServerVariableCollection variables,
                       CancellationSource& cancellation) noexcept {
  if (spare_flights_.empty()) {
    spare_flights_.emplace_back();
  }
  in_flight_.splice(in_flight_.end(), spare_flights_, spare_flights_.begin());
  const auto flight = std::prev(in_flight_.end());
  *flight = Flight{&cancellation, Clock::now()};

  const auto token = cancellation.Token();
  runtime_.SetCurrentCancellation(&token);
  observe::RequestRecord record;
  record.id = ++last_request_;
  {
    RequestIo io(exchange, token, budget_);
    HttpContext context(std::move(variables), io, token, limits_.output_buffer_bytes);
    try {
      Serve(context, io, *flight, record);
      context.Response().Complete();
    } catch (const HttpException& error) {
      AnswerError(context, exchange, error.StatusCode(), error.PublicText(), error.what(), record);
    } catch (const OperationCancelled& cancelled) {
      AnswerCancelled(context, exchange, cancelled.Reason(), record);
    } catch (const std::exception& error) {
      AnswerError(context, exchange, 500, {}, error.what(), record);
    } catch (...) {
      AnswerError(context, exchange, 500, {}, "an exception that is no std::exception", record);
    }
    if (access_log_.Enabled()) {
      const auto& request = context.Request();
      record.remote_address = request.UserHostAddress();
      record.method = request.HttpMethod();
      record.raw_url = request.RawUrl();
      if (record.status == 0) {
        record.status = context.Response().StatusCode();
      }
      record.body_bytes_sent = context.Response().BytesWritten();
      record.duration = Clock::now() - flight->started;
      access_log_.Write(record);
    }
  }
  runtime_.SetCurrentCancellation(nullptr);
  runtime_.SetCurrentLabel({});
  spare_flights_.splice(spare_flights_.end(), in_flight_, flight);
}

void Pipeline::Serve(HttpContext& context, RequestIo& io, Flight& flight,
                     observe::RequestRecord& record) {
  Admit();
  const auto handlers = handlers_;  // this snapshot to the end, whatever is swapped in meanwhile
  const auto resolution = Map(context, io, flight, *handlers);
  record.cause = resolution.cause;
  if (access_log_.Enabled()) {
    record.entry = resolution.entry->verb + " " + resolution.entry->path;
    record.type = resolution.entry->type_text;
  }
  runtime_.SetCurrentLabel(resolution.entry->type_text);

  handling::HandlerLease lease(handlers->ClassOf(*resolution.entry), context);
  auto& handler = lease.Handler();
  if (dynamic_cast<IHttpBufferlessHandler*>(&handler) == nullptr) {
    io.CountAgainstBudget(true);
    static_cast<void>(context.Request().Body());
  }
  try {
    RunHandler(handler, context, io);
  } catch (...) {
    lease.MarkFailed();
    throw;
  }
}

void Pipeline::Admit() const {
  if (in_flight_.size() > limits_.max_requests) {
    throw HttpException(503, {},
                        "more than " + std::to_string(limits_.max_requests) +
                            " requests in flight (--max-requests)");
  }
}

mappings::Resolution Pipeline::Map(HttpContext& context, RequestIo& io, Flight& flight,
                                   const handling::HandlerTable& handlers) const {
  auto& request = context.Request();
  if (!IsToken(request.HttpMethod())) {
    throw HttpException(400, "The method is malformed.", "REQUEST_METHOD is missing or no token");
  }
  const auto& variables = request.ServerVariables();
  const auto host = variables.Find("HTTP_HOST").value_or(variables.Get("SERVER_NAME"));
  auto resolution = handlers.Mappings().Resolve(host, request.HttpMethod(), request.FilePath(),
                                                request.PathInfo());
  using Outcome = mappings::Resolution::Outcome;
  if (resolution.outcome == Outcome::kBadPath) {
    throw HttpException(400, "The path of the URL is malformed.", std::string(resolution.cause));
  }
  if (!resolution.allow.empty()) {
    context.Response().SetHeader("Allow", resolution.allow);
  }
  if (resolution.outcome == Outcome::kMethodNotAllowed) {
    throw HttpException(405, {}, std::string(resolution.cause));
  }
  if (resolution.outcome == Outcome::kNotFound) {
    throw HttpException(404, {}, std::string(resolution.cause));
  }
  flight.deadline = flight.started + resolution.runtime.execution_timeout;
  io.SetBodyBounds(variables.Get("CONTENT_LENGTH"),
                   resolution.runtime.max_request_bytes.value_or(limits_.max_request_bytes));
  // The path that was searched: normalised, and split as the mapping splits it.
  request.RewritePath(resolution.file_path, resolution.path_info);
  return resolution;
}

void Pipeline::RunHandler(IHttpHandler& handler, HttpContext& context, RequestIo& io) {
  if (dynamic_cast<IHttpAsyncHandler*>(&handler) != nullptr) {
    handler.ProcessRequest(context);
    return;
  }
  runtime_.RunOnPool([&](runtime::IFiberGateway& gateway) {
    io.SetGateway(&gateway);
    try {
      handler.ProcessRequest(context);
    } catch (...) {
      io.SetGateway(nullptr);
      throw;
    }
    io.SetGateway(nullptr);
  });
}

void Pipeline::AnswerError(HttpContext& context, IExchange& exchange, int status,
                           const std::string& text, const std::string& detail,
                           observe::RequestRecord& record) const {
  auto& response = context.Response();
  const auto level =
      status >= 500 && status != 503 ? observe::Level::kError : observe::Level::kInfo;
  if (observe::LogsAt(level)) {
    const auto& request = context.Request();
    observe::Log(level, "request " + std::to_string(record.id) + " " +
                            std::string(request.HttpMethod()) + " " +
                            std::string(request.RawUrl()) + ": " +
                            (record.type.empty() ? "" : record.type + ": ") + detail);
  }
  record.status = status;
  if (response.HeadersWritten()) {
    // An error text inside half a body would look like part of it.
    record.outcome = observe::Outcome::kAborted;
    exchange.Abort();
    return;
  }
  try {
    const std::string allow(response.Headers().Find("Allow").value_or(std::string_view()));
    response.Clear();
    response.SetStatusCode(status);
    response.SetContentType("text/plain; charset=utf-8");
    if (status == 405 && !allow.empty()) {
      response.SetHeader("Allow", allow);
    }
    if (status == 503) {
      response.SetHeader("Retry-After", "1");
    }
    const auto phrase = StatusDescriptionOf(status);
    response.Write(std::to_string(status) + " " + std::string(phrase) + "\n");
    if (!text.empty() && text != phrase) {
      response.Write(text + "\n");
    }
    if (limits_.debug && IsLoopback(context.Request().UserHostAddress())) {
      response.Write("\n" + detail + "\n");
    }
    response.Complete();
  } catch (const OperationCancelled& cancelled) {
    AnswerCancelled(context, exchange, cancelled.Reason(), record);
  } catch (const std::exception& error) {
    observe::Log(observe::Level::kError,
                 std::string("an error could not be answered: ") + error.what());
    record.outcome = observe::Outcome::kAborted;
    exchange.Abort();
  }
}

void Pipeline::AnswerCancelled(HttpContext& context, IExchange& exchange, CancellationReason reason,
                               observe::RequestRecord& record) const {
  if (reason == CancellationReason::kClientGone) {
    record.status = kClientClosedRequest;
    record.outcome = observe::Outcome::kClientGone;
    exchange.Abort();
    return;
  }
  AnswerError(context, exchange, reason == CancellationReason::kDeadline ? 504 : 503, {},
              OperationCancelled(reason).what(), record);
}

void Pipeline::RecordRefusal(int status, std::string_view detail) noexcept {
  try {
    observe::Log(observe::Level::kInfo, "a request was refused with " + std::to_string(status) +
                                            ": " + std::string(detail));
    if (access_log_.Enabled()) {
      observe::RequestRecord record;
      record.id = ++last_request_;
      record.status = status;
      record.outcome = observe::Outcome::kRefused;
      access_log_.Write(record);
    }
  } catch (...) {
    // No memory to tell of it.
  }
}

void Pipeline::CancelOverdue(Clock::time_point now) noexcept {
  for (auto& flight : in_flight_) {
    if (now >= flight.deadline) {
      flight.deadline = Clock::time_point::max();
      flight.cancellation->Cancel(CancellationReason::kDeadline);
    }
  }
}

void Pipeline::CancelAll(CancellationReason reason) noexcept {
  for (auto& flight : in_flight_) {
    flight.cancellation->Cancel(reason);
  }
}

}  // namespace weft::host::pipeline
