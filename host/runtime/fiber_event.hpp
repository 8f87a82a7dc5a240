#pragma once

#include <chrono>
#include <cstddef>

namespace boost::fibers {
class context;
}

namespace weft::host::runtime {

/// Lets one fiber wait until somebody on the reactor thread says so. A notification that comes before the
/// wait is kept; several count as one.
///
/// Threads: the reactor's. From elsewhere, post to the reactor first.
/// Lifetime: must outlive the wait.
class FiberEvent {
 public:
  using Clock = std::chrono::steady_clock;

  FiberEvent() noexcept = default;
  FiberEvent(const FiberEvent&) = delete;
  FiberEvent& operator=(const FiberEvent&) = delete;

  /// Waits for a notification and uses it up. Only on a fiber.
  void Wait() noexcept;
  /// As Wait(), but gives up at `time`. False: it gave up.
  [[nodiscard]] bool WaitUntil(Clock::time_point time) noexcept;
  /// Wakes the waiter, or is kept for the next one.
  void Notify() noexcept;
  /// Has the waiter wake and go on waiting, so that it can do what it was asked to in between (StackHeader::capture).
  void Stir() noexcept;
  /// Forgets a notification that nobody used up.
  void Reset() noexcept { notified_ = false; }

 private:
  boost::fibers::context* waiter_ = nullptr;
  std::size_t epoch_ = 0;
  bool notified_ = false;
};

/// Lets every other fiber that is ready run once. Only on a fiber.
void YieldFiber() noexcept;

}  // namespace weft::host::runtime
