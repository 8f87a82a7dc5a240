#pragma once

#include <chrono>
#include <mutex>

#include <weft/export.hpp>

namespace weft::detail {

/// Those who wait for one thing, in their order. What Mutex, Condition and Channel are made of. Not for handlers.
///
/// Threads: every member with the lock of what it belongs to held.
class WEFT_API WaitQueue {
 public:
  using Clock = std::chrono::steady_clock;

  /// `what` is what is waited for, in words ("a lock"), for who looks from outside. Lifetime: static.
  explicit WaitQueue(const char* what) noexcept : what_(what) {}
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue() = default;

  /// Waits at the end of the queue, `lock` released meanwhile. False: `time` came first. Throws OperationCancelled
  /// when the request is cancelled; a notification that came before that is not lost: then it returns true.
  bool Wait(std::unique_lock<std::mutex>& lock, Clock::time_point time = Clock::time_point::max());
  /// The same for what must not fail.
  void WaitUncancelled(std::unique_lock<std::mutex>& lock);

  /// Wakes the first, who is then no more in the queue. False: there is none.
  bool NotifyOne() noexcept;
  void NotifyAll() noexcept;

 private:
  struct Waiter;
  void Append(Waiter& waiter) noexcept;
  void Remove(Waiter& waiter) noexcept;

  const char* const what_;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

}  // namespace weft::detail
