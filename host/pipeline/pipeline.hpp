#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <unordered_map>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/http_context.hpp>
#include "host/handling/handler_table.hpp"
#include "host/observe/access_log.hpp"
#include "host/observe/crash_evidence.hpp"
#include "host/observe/tracer.hpp"
#include "host/observe/worker_figures.hpp"
#include "host/pipeline/exchange.hpp"
#include "host/pipeline/nested_execution.hpp"
#include "host/pipeline/request_io.hpp"
#include "host/runtime/runtime.hpp"

namespace weft::host::pipeline {

/// A handler, or a call of weft::Offload(), a task's too, that did not return though its request was cancelled.
struct StuckHandler {
  pid_t thread = 0;                 ///< that it holds (runtime::CurrentThreadId())
  std::string description{};        ///< `request 7-9 GET /report.ashx: shop::Report`
  std::chrono::milliseconds age{};  ///< of the request
};

/// A request that takes longer than its mapping's threshold, or else Pipeline::Limits::slow_threshold.
struct SlowRequest {
  std::string request_id{};
  std::string description{};  ///< `request 7-9 GET /report.ashx: shop::Report`
  std::string handler{};      ///< its class; empty: there is none yet
  std::string entry{};        ///< as in the access log
  std::chrono::nanoseconds elapsed{};
  std::chrono::nanoseconds queue_time{-1};  ///< until its handler was called; negative: it was not
  bool has_ended = false;
  std::chrono::milliseconds threshold{};
  std::string
      threshold_where{};  ///< `file:line:column` of the mapping that set it; empty: none did
  const runtime::IFiberWork* work =
      nullptr;  ///< for Runtime::CollectStacks(); null once it has ended
};

/// What happens to one request, top to bottom: admitted, mapped, handler leased, body read, handler run,
/// response sealed, recorded.
///
/// Threads: the reactor's; Process() on the request's own fiber.
class Pipeline {
 public:
  struct Limits {
    std::size_t max_requests;
    std::uint64_t max_request_bytes;
    std::size_t max_buffered_bytes;
    std::size_t output_buffer_bytes;
    HttpRequestSettings request{};
    std::size_t max_execute_depth = 10;  ///< executions of HttpServerUtility in one another
    std::size_t max_temporary_bytes = std::numeric_limits<std::size_t>::max();  ///< of all bodies
    std::size_t max_finished = 256;  ///< handlers that work on after HttpResponse::Finish()
    std::chrono::milliseconds finish_timeout{110'000};  ///< how long each of them may
    HttpResponseSettings response{};
    /// For a handler to return once its deadline has passed.
    std::chrono::milliseconds overdue_grace{1'000};
    /// Requests that take longer are slow, where no mapping says otherwise; 0: none is.
    std::chrono::milliseconds slow_threshold{0};
  };

  /// All must outlive the pipeline. `figures`: where requests are counted; null: nowhere that anybody sees.
  Pipeline(runtime::Runtime& runtime, observe::AccessLog& access_log, const Limits& limits,
           observe::WorkerFigures* figures = nullptr);

  /// What requests are mapped with from now on; those in flight keep what they began with.
  void SetHandlers(std::shared_ptr<const handling::HandlerTable> handlers) noexcept {
    handlers_ = std::move(handlers);
  }

  /// Where requests in flight are named for who looks when the worker has died; null: nowhere. Must outlive them.
  void SetHeldRequests(observe::HeldRequests* held) noexcept;

  /// What the contexts of requests have for Application(). Must outlive them.
  void SetApplication(HttpApplicationState* application) noexcept { application_ = application; }

  /// Who keeps a trace of each request from now on; null: nobody does. Must outlive them.
  void SetTracer(observe::Tracer* tracer) noexcept { tracer_ = tracer; }
  [[nodiscard]] bool Traces() const noexcept { return tracer_ != nullptr; }

  /// Serves one request from its parameters to its record. When it returns, the answer was handed to
  /// `exchange`, or `exchange` was aborted, or its client has gone. `began`: for its trace, when its parameters were begun to be
  /// read; not set: now.
  void Process(IExchange& exchange, ServerVariableCollection variables,
               CancellationSource& cancellation,
               std::chrono::steady_clock::time_point began = {}) noexcept;

  /// Records a request that was answered before it had parameters to process.
  void RecordRefusal(int status, std::string_view detail) noexcept;

  /// Cancels the requests whose deadline has passed. Called several times a second. A client whose handler is on a thread gets
  /// its answer without it, and so does, after Limits::overdue_grace, one whose handler waits on. Returns the threads that were not
  /// given back within the grace, of handlers and their tasks, each request's once.
  std::vector<StuckHandler> CancelOverdue(std::chrono::steady_clock::time_point now) noexcept;
  /// Who is told of each slow request, once: in TellSlow(), or at its end. On the reactor's thread; must not throw.
  void SetOnSlow(std::function<void(SlowRequest)> on_slow) { on_slow_ = std::move(on_slow); }
  /// Tells of the requests that have become slow since. Called several times a second.
  void TellSlow(std::chrono::steady_clock::time_point now) noexcept;
  /// The least threshold that a request has had so far, or may have without a mapping; 0: none.
  std::chrono::milliseconds LeastSlowThreshold() const noexcept { return least_slow_threshold_; }

  /// Requests in flight that CancelOverdue() has given up: nobody waits for them.
  std::size_t StuckRequests() const noexcept { return stuck_.size(); }
  /// What of Runtime::WorkInUse() is theirs: their fibers, and those and the threads of their tasks.
  std::size_t StuckWork() const noexcept { return stuck_.empty() ? 0 : runtime_.WorkOf(stuck_); }
  void CancelAll(CancellationReason reason) noexcept;
  /// Records what is still in flight, when the process ends without waiting for it any longer.
  void RecordUnfinished() noexcept;

  /// For bodies that wait before a request reads them.
  BodyBudget& Bodies() noexcept { return budget_; }

  /// Requests that were refused with 503 for one cause before their handler was called.
  struct Refusals {
    std::string_view cause;  ///< of <weft/cause.hpp>, or of a handler's factory
    std::uint64_t count = 0;
    std::uint64_t not_logged = 0;  ///< since `logged_at`
    std::chrono::steady_clock::time_point logged_at{};
  };
  /// So far, in the order in which they came up first.
  const std::vector<Refusals>& RefusedRequests() const noexcept { return refusals_; }

  std::size_t RequestsInFlight() const noexcept { return in_flight_.size(); }

 private:
  using Clock = std::chrono::steady_clock;

  struct Flight;

  /// What is told of a request that holds up others, or waits: for the stall watch and `weft stacks`. While it lives, it is
  /// what its fiber works for.
  class Work final : public runtime::IFiberWork {
   public:
    Work(runtime::Runtime& runtime, const Flight& flight, const HttpRequest& request) noexcept
        : runtime_(runtime), flight_(flight), request_(request) {
      runtime_.SetCurrentWork(this);
    }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;
    ~Work() override { runtime_.SetCurrentWork(nullptr); }
    std::size_t Describe(std::span<char> into) const noexcept override;
    std::size_t RequestId(std::span<char> into) const noexcept override;
    Clock::time_point Started() const noexcept override;

   private:
    runtime::Runtime& runtime_;
    const Flight& flight_;
    const HttpRequest& request_;
  };

  /// A request that is being processed.
  struct Flight {
    IExchange* exchange = nullptr;
    CancellationSource* cancellation = nullptr;
    std::optional<CancellationSource> own_cancellation{};  // once the peer has gone with its answer
    Clock::time_point started{};
    Clock::time_point deadline = Clock::time_point::max();
    Clock::time_point stuck_at = Clock::time_point::max();  // after the deadline
    std::uint64_t id = 0;
    /// The tables that it began with, whatever is swapped in meanwhile; `entry` is of them.
    std::shared_ptr<const handling::HandlerTable> handlers{};
    const mappings::Entry* entry = nullptr;  // null until it is mapped
    /// What it counts for in `requests_of_`; null where there is no bound. `handlers` keeps them.
    std::array<const void*, 2> counted_for{};
    std::size_t stack_bytes = 0;  // of the entry's handler at least; 0: what the fiber has
    const std::type_info* handler = nullptr;  // the leased instance's class; null until then
    const HttpContext* context = nullptr;     // for RecordUnfinished()
    const HttpContext* request = nullptr;     // while there is a watch
    NestedExecution* nested = nullptr;        // in its handler
    const runtime::IFiberWork* work = nullptr;
    runtime::PoolWatch* watch = nullptr;
    observe::CountedRequest* counted = nullptr;
    observe::RequestTrace* trace = nullptr;  // null: none is kept
    observe::HeldRequest* held = nullptr;    // its place there; null: it has none
    std::string_view cause{};                // why the answer is what it is
    bool called = false;                     // the handler was, or what makes it
    bool on_pool = false;                    // and it runs there
    bool answered = false;                   // the client has its whole answer, whatever comes
    bool finished = false;                   // and the peer has been let go of
    bool abandoned = false;                  // it was answered while its handler ran on
    bool stuck = false;                      // and that did not return in time
    bool recorded = false;
    bool slow_told = false;
    std::chrono::milliseconds slow_threshold{};
    std::shared_ptr<const mappings::SourceLocation> slow_where{};  // null: the host's own
    bool peer_gone = false;                                        // LetPeerGo()
    int error_status = 0;                                          // 0: the response's own
    /// From its start until its handler was called, in nanoseconds; -1: it was not. By atomic_ref: the handler's thread may set it.
    alignas(std::atomic_ref<std::int64_t>::required_alignment) std::int64_t queue_time = -1;
    observe::Outcome outcome = observe::Outcome::kCompleted;
  };

  static void Cancel(Flight& flight, CancellationReason reason) noexcept;
  /// For the log. Reads nothing that a handler may change.
  static std::string DescriptionOf(const Flight& flight, const HttpContext& context);
  void ProcessFlight(Flight& flight, ServerVariableCollection variables, Clock::time_point began);
  /// Of what its handler, or what makes that, has thrown.
  static std::string_view CauseOfFailure(const Flight& flight);
  void FindClient(const HttpRequest& request, const Flight& flight) const;
  void Serve(HttpContext& context, RequestIo& io, Flight& flight);
  /// Why a request is answered 503 before anything is done for it.
  struct Refusal {
    std::string_view cause;
    std::string detail;
  };
  std::optional<Refusal> Admit(const Flight& flight) const;
  /// The bounds of the entry, and of the folder.
  void AdmitToMapping(Flight& flight, const mappings::FolderSettings& settings);
  void LeaveMapping(const Flight& flight) noexcept;
  /// Counts a request that was refused for there is too much of something. Returns whether the log is to have it, and how many
  /// it had not since the last one.
  std::optional<std::uint64_t> CountRefusal(std::string_view cause);
  /// False: it was answered with a redirect.
  [[nodiscard]] bool Map(HttpContext& context, RequestIo& io, Flight& flight);
  /// Once it is mapped.
  void ServeMapped(HttpContext& context, RequestIo& io, Flight& flight);
  /// Calls what runs code of the handler's on a fiber that has the stack for it.
  void OnItsStack(const Flight& flight, const std::function<void()>& function);
  void RunHandler(handling::HandlerLease& lease, HttpContext& context, RequestIo& io,
                  Flight& flight);
  /// Ends the exchange, whose answer is whole, before the request. False: it cannot.
  bool LetPeerGo(Flight& flight) noexcept;
  /// The request was cancelled, and its handler runs on a thread, where nobody can stop it, or waits for what does not end: gives
  /// the answer without it. Nothing that the handler may change is read.
  void AnswerWithoutHandler(Flight& flight, const HttpContext& context, RequestIo& io) noexcept;
  /// HttpResponse::Finish().
  bool FinishFlight(Flight& flight, HttpContext& context, RequestIo& io);
  /// Of a handler that works on: called while an exception is handled.
  void LogFailureAfterAnswer(const HttpContext& context, const Flight& flight) const;
  /// What AddOnRequestCompleted() was given.
  void RunRequestCompleted(HttpContext& context, RequestIo& io, Flight& flight);
  /// Called while an exception is handled.
  void AnswerError(HttpContext& context, RequestIo& io, Flight& flight, int status,
                   const std::string& text, const std::string& detail);
  void AnswerCancelled(HttpContext& context, RequestIo& io, Flight& flight,
                       CancellationReason reason);
  /// Somebody wants its record.
  [[nodiscard]] bool IsRecorded(const Flight& flight) const noexcept {
    return access_log_.Enabled() || flight.trace != nullptr;
  }
  /// Gives the record to all who want it.
  void Tell(const Flight& flight, const observe::RequestRecord& record) noexcept;
  static void Note(const Flight& flight, observe::TraceStep step) noexcept {
    if (flight.trace != nullptr) {
      flight.trace->Note(step);
    }
  }
  /// `io`: null where its handler may be at work still.
  void Record(const Flight& flight, const HttpContext& context, const RequestIo* io,
              std::uint64_t body_bytes_sent);
  void TellSlow(Flight& flight, Clock::time_point now, bool has_ended) noexcept;
  /// That its handler is called now, for who tells how long that took.
  void NoteCall(Flight& flight) const noexcept;
  /// Gives the request its place for who looks when the worker has died; LetGo() gives it back.
  void Hold(Flight& flight, const HttpRequest& request) noexcept;
  void LetGo(const Flight& flight) noexcept;
  static void NoteHandler(Flight& flight) noexcept;
  static std::chrono::nanoseconds QueueTime(const Flight& flight) noexcept;
  /// Counts a request whose answer is what it is.
  void CountEnd(const Flight& flight, const HttpContext& context) noexcept;

  runtime::Runtime& runtime_;
  observe::AccessLog& access_log_;
  observe::Tracer* tracer_ = nullptr;
  const Limits limits_;
  std::unique_ptr<observe::WorkerFigures> own_figures_;  // where none were given
  observe::WorkerFigures& figures_;
  std::shared_ptr<const handling::HandlerTable> handlers_;
  HttpApplicationState* application_ = nullptr;
  observe::HeldRequests* held_requests_ = nullptr;
  BodyBudget budget_;
  BodyBudget file_budget_;
  std::list<Flight> in_flight_;
  std::list<Flight> spare_flights_;  // nodes for reuse
  /// Requests in flight of the entries, and of the folders' settings, that have a bound; each by its address.
  std::unordered_map<const void*, std::size_t> requests_of_;
  std::vector<Refusals> refusals_;
  std::function<void(SlowRequest)> on_slow_;
  std::chrono::milliseconds least_slow_threshold_;
  std::size_t finished_ = 0;          // of those in flight
  std::vector<std::uint64_t> stuck_;  // of those in flight, in the order of their ids
  std::uint64_t last_request_ = 0;
};

}  // namespace weft::host::pipeline
