#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include <weft/cancellation.hpp>
#include <weft/export.hpp>

namespace weft::detail {

/// Where one fiber, or one thread, waits until somebody says so.
///
/// Lifetime: shared by the waiter and by who wakes it, who may come too late.
class IWaitPoint {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~IWaitPoint() = default;
  /// Wakes the waiter, or is kept for its next wait; several count as one. From any thread.
  virtual void Notify() noexcept = 0;
  /// Waits for a notification and uses it up. False: `time` came first. Only for who made it, and not cancellable. It may return
  /// without a notification: the waiter looks whether there is what it waits for.
  virtual bool WaitUntil(Clock::time_point time) noexcept = 0;
};

/// Waits for one descriptor to be ready.
///
/// Threads: two waits at once, one for reading and one for writing; destroyed after both.
class IDescriptorWatch {
 public:
  enum class Direction : bool { kRead, kWrite };

  virtual ~IDescriptorWatch() = default;
  /// False: `time` came first. Throws OperationCancelled, and std::system_error where the system does not say.
  virtual bool WaitUntil(Direction direction, std::chrono::steady_clock::time_point time,
                         const CancellationToken& token) = 0;
};

/// What runs beside its maker.
class IAsyncTask {
 public:
  virtual ~IAsyncTask() = default;
  virtual void Run() noexcept = 0;
};

/// What <weft/async.hpp> calls: the host's runtime, or a test kit's. Not for handlers.
///
/// Threads: called from request fibers and from threads of the blocking pool; it finds out itself for which
/// request. Members that wait, or make what waits, throw std::logic_error from any other place.
class IAsyncRuntime {
 public:
  virtual ~IAsyncRuntime() = default;

  /// `what` is what is waited for there, in words ("a lock"), for who looks from outside. Lifetime: static.
  virtual std::shared_ptr<IWaitPoint> MakeWaitPoint(const char* what) = 0;
  /// Lets others have their turn.
  virtual void Yield() noexcept = 0;
  virtual std::unique_ptr<IDescriptorWatch> Watch(int descriptor) = 0;

  /// What the waits of the caller obey.
  virtual CancellationToken CurrentCancellation() const = 0;
  /// Sets what they obey from now on, and returns what they obeyed; null: nothing. Lifetime of `*token`: until it is
  /// set anew.
  virtual const CancellationToken* ExchangeCancellation(
      const CancellationToken* token) noexcept = 0;

  /// Has `task` run beside the caller: a fiber's on a fiber, a thread's on a thread. False: a thread's cannot, now;
  /// the caller runs it itself when it waits for it. Throws HttpException(503) when a fiber's cannot.
  [[nodiscard]] virtual bool TrySpawn(std::shared_ptr<IAsyncTask> task) = 0;

  virtual void RunBlocking(const std::function<void()>& function) = 0;
  /// Has `function`, which may block and does not throw, run on another thread, soon, and does not wait for it. False: there is
  /// none to be had, and it will not be run.
  [[nodiscard]] virtual bool TryRunLater(const std::function<void()>& function) noexcept = 0;
  /// Whether the calling thread may block.
  virtual bool MayBlock() const noexcept = 0;

  /// The worker's boost::asio::io_context, for code that was compiled with this version of Boost, and null for any
  /// other. Throws std::logic_error where the caller is not on a fiber.
  virtual void* AsioContext(int boost_version) = 0;
};

/// Sets the process's runtime; null takes it away. Call it before the first request and after the last.
WEFT_API void SetAsyncRuntime(IAsyncRuntime* runtime) noexcept;

/// The process's runtime. Throws std::logic_error when there is none.
WEFT_API IAsyncRuntime& GetAsyncRuntime();

}  // namespace weft::detail
