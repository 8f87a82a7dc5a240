#pragma once

#include <cstddef>
#include <exception>
#include <functional>
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
  NestedExecution(runtime::Runtime& runtime, RequestIo& io, const handling::HandlerTable& handlers,
                  std::size_t max_depth)
      : runtime_(runtime), io_(io), handlers_(handlers), max_depth_(max_depth) {}

  void Execute(HttpContext& context, std::string_view path, std::string_view query) override;
  void Execute(HttpContext& context, IHttpHandler& handler) override;
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
  void RequireHandlersThread() const;
  void OnFiber(const std::function<void()>& function);
  void OnThread(const std::function<void()>& function);
  std::string Chain() const;

  runtime::Runtime& runtime_;
  RequestIo& io_;
  const handling::HandlerTable& handlers_;
  const std::size_t max_depth_;
  std::vector<std::string> chain_;  // what is executed now, the request's own path first
  runtime::IFiberGateway* waiting_thread_ = nullptr;  // that an async handler is executed for
  bool used_thread_ = false;
  Failure failure_;
};

}  // namespace weft::host::pipeline
