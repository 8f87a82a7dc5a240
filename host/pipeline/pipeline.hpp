#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>

#include <weft/cancellation.hpp>
#include <weft/http_context.hpp>
#include "host/handling/handler_table.hpp"
#include "host/observe/access_log.hpp"
#include "host/pipeline/exchange.hpp"
#include "host/pipeline/request_io.hpp"
#include "host/runtime/runtime.hpp"

namespace weft::host::pipeline {

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
    bool debug;
  };

  /// Both must outlive the pipeline.
  Pipeline(runtime::Runtime& runtime, observe::AccessLog& access_log, const Limits& limits);

  /// What requests are mapped with from now on; those in flight keep what they began with.
  void SetHandlers(std::shared_ptr<const handling::HandlerTable> handlers) noexcept {
    handlers_ = std::move(handlers);
  }

  /// Serves one request from its parameters to its record. When it returns, the answer was handed to
  /// `exchange`, or `exchange` was aborted, or its client has gone.
  void Process(IExchange& exchange, ServerVariableCollection variables,
               CancellationSource& cancellation) noexcept;

  /// Records a request that was answered before it had parameters to process.
  void RecordRefusal(int status, std::string_view detail) noexcept;

  /// Cancels the requests whose deadline has passed. Called several times a second.
  void CancelOverdue(std::chrono::steady_clock::time_point now) noexcept;
  void CancelAll(CancellationReason reason) noexcept;

  std::size_t RequestsInFlight() const noexcept { return in_flight_.size(); }

 private:
  using Clock = std::chrono::steady_clock;

  /// A request that is being processed.
  struct Flight {
    CancellationSource* cancellation;
    Clock::time_point started;
    Clock::time_point deadline = Clock::time_point::max();
  };

  void Serve(HttpContext& context, RequestIo& io, Flight& flight, observe::RequestRecord& record);
  void Admit() const;
  mappings::Resolution Map(HttpContext& context, RequestIo& io, Flight& flight,
                           const handling::HandlerTable& handlers) const;
  void RunHandler(IHttpHandler& handler, HttpContext& context, RequestIo& io);
  void AnswerError(HttpContext& context, IExchange& exchange, int status, const std::string& text,
                   const std::string& detail, observe::RequestRecord& record) const;
  void AnswerCancelled(HttpContext& context, IExchange& exchange, CancellationReason reason,
                       observe::RequestRecord& record) const;

  runtime::Runtime& runtime_;
  observe::AccessLog& access_log_;
  const Limits limits_;
  std::shared_ptr<const handling::HandlerTable> handlers_;
  BodyBudget budget_;
  std::list<Flight> in_flight_;
  std::list<Flight> spare_flights_;  // nodes for reuse
  std::uint64_t last_request_ = 0;
};

}  // namespace weft::host::pipeline
