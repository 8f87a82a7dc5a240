#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

namespace weft {
class HttpContext;
class IHttpHandler;
}  // namespace weft

namespace weft::detail {

/// What the host does for HttpServerUtility: has another handler work on a request. Threads: the handler's.
class IRequestExecution {
 public:
  virtual ~IRequestExecution() = default;

  /// `path` is decoded and absolute, `query` without `?`.
  virtual void Execute(HttpContext& context, std::string_view path, std::string_view query) = 0;
  virtual void Execute(HttpContext& context, IHttpHandler& handler) = 0;
  /// From the request's start to its deadline; 0 once that has passed. The one that is set is in bounds.
  virtual std::chrono::milliseconds Timeout() = 0;
  virtual void SetTimeout(std::chrono::milliseconds timeout) = 0;
  /// 0 while the request's own handler has it.
  virtual std::size_t Depth() const noexcept = 0;
};

}  // namespace weft::detail
