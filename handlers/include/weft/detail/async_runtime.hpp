#pragma once

#include <chrono>
#include <functional>

#include <weft/export.hpp>

namespace weft::detail {

/// What <weft/async.hpp> calls: the host's runtime, or a test kit's. Not for handlers.
///
/// Threads: called from request fibers and from threads of the blocking pool; it finds out itself for which
/// request.
class IAsyncRuntime {
 public:
  virtual ~IAsyncRuntime() = default;
  virtual void SleepUntil(std::chrono::steady_clock::time_point time) = 0;
  virtual void RunBlocking(const std::function<void()>& function) = 0;
  /// Has `function`, which may block and does not throw, run on another thread, soon, and does not wait for it. False: there is
  /// none to be had, and it will not be run.
  [[nodiscard]] virtual bool TryRunLater(const std::function<void()>& function) noexcept = 0;
  /// Whether the calling thread may block.
  virtual bool MayBlock() const noexcept = 0;
};

/// Sets the process's runtime; null takes it away. Call it before the first request and after the last.
WEFT_API void SetAsyncRuntime(IAsyncRuntime* runtime) noexcept;

}  // namespace weft::detail
