#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <weft/detail/request_execution.hpp>
#include <weft/http_context.hpp>
#include "host/handling/handler_table.hpp"
#include "host/pipeline/request_io.hpp"
#include "host/runtime/runtime.hpp"

namespace weft::host::pipeline {

/// Has other handlers work on one request, inside the one that it was mapped to: HttpServerUtility::Execute().
///
/// A request holds one fiber and at most one thread of the pool, however deep its executions are in one another: a plain
/// handler that is executed, by way of an async one, for another plain one runs on the thread that waits for it. Were it
/// given a second thread, the pool could fill with requests that each wait for one.
///
/// Threads: the handler's. Lifetime: of the request; what it is made with must outlive it.
class NestedExecution final : public weft::detail::IRequestExecution {
 public:
  using Clock = std::chrono::steady_clock;

  /// When the request began, and when it is cancelled; the second is the reactor's.
  struct Deadline {
    Clock::time_point started;
    Clock::time_point& at;
  };

  NestedExecution(runtime::Runtime& runtime, RequestIo& io, const handling::HandlerTable& handlers,
                  std::size_t max_depth, const Deadline& deadline)
      : runtime_(runtime),
        io_(io),
        handlers_(handlers),
        max_depth_(max_depth),
        deadline_(deadline) {}

  void Execute(HttpContext& context, std::string_view path, std::string_view query) override;
  void Execute(HttpContext& context, IHttpHandler& handler) override;
  std::chrono::milliseconds Timeout() override;
  void SetTimeout(std::chrono::milliseconds timeout) override;

  /// What HttpContext::RemapHandler() was given has the request, as its own handler, and is let go
  /// where it ran; where it did not, the caller has it still. Throws HttpException(500) beyond the
  /// largest depth: a handler that names itself would have it for ever.
  void RunInstead(HttpContext& context, std::shared_ptr<IHttpHandler>& handler);

  std::size_t Depth() const noexcept override { return chain_.empty() ? 0 : chain_.size() - 1; }

  /// A plain handler took part.
  bool UsedThread() const noexcept { return used_thread_; }

  /// What is known of an exception that has left an execution.
  struct Failure {
    std::exception_ptr error;
    std::string chain;         ///< `/a, executing /b`
    std::string_view cause{};  ///< the mapping's; empty where it has none. Static storage.
    std::string allow{};       ///< for 405
  };
  /// Null where `error` left none. Lifetime: until the next execution.
  const Failure* FailureOf(const std::exception_ptr& error) const noexcept {
    return error != nullptr && failure_.error == error ? &failure_ : nullptr;
  }

 private:
  class Step;

  void Run(bool is_async, HttpContext& context, const std::function<void()>& function);
  void RunHandler(HttpContext& context, const IHttpHandler& handler,
                  const std::function<void()>& function);
  void RequireHandlersThread() const;
  /// On the fiber.
  void RequireStack() const;
  void OnFiber(const std::function<void()>& function);
  void OnThread(const std::function<void()>& function);
  std::string Chain() const;

  runtime::Runtime& runtime_;
  RequestIo& io_;
  const handling::HandlerTable& handlers_;
  const std::size_t max_depth_;
  const Deadline deadline_;
  std::vector<std::string> chain_;  // what is executed now, the request's own path first
  runtime::IFiberGateway* waiting_thread_ = nullptr;  // that an async handler is executed for
  std::size_t run_instead_ = 0;
  bool used_thread_ = false;
  Failure failure_;
};

}  // namespace weft::host::pipeline
