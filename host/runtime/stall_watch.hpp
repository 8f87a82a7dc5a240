#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>

namespace weft::host::runtime {

/// Sees from a thread of its own when the reactor's thread is held: when one fiber, or one handler of the io_context, has
/// kept it for longer than a threshold, while all others of the worker wait.
///
/// It tells what holds it, with a stack that is taken while it does, and counts. The reactor's part is a number that grows
/// with each turn, and a mark around its wait; no clock is read there. While the reactor waits, or has no request, this
/// thread sleeps.
///
/// Threads: construct and destroy on the reactor's thread; Seen() from any. One at a time in a process.
class StallWatch {
 public:
  struct Stall {
    /// What runs: "request 4-17 GET /a: shop::Report, shop"; empty: a handler of the io_context, or nobody knows.
    std::string what;
    std::chrono::milliseconds held_for{0};  ///< so far, at least
    std::string stack;  ///< a line a frame (Symbolise()); empty: it could not be taken in time
    bool has_ended = false;
    std::uint64_t untold = 0;  ///< stalls since the last one that was told, which were only counted
  };
  /// Called on the watch's thread when a stall is seen, and again when that one has ended. May not throw.
  using Tell = std::function<void(const Stall&)>;

  struct Counts {
    std::uint64_t stalls = 0;
    std::chrono::milliseconds longest{0};  ///< of those that have ended
    bool is_going_on = false;              ///< one has not, or was not seen to end yet
  };

  /// Stalls that are told in a minute; the others are counted. 5: enough to see a pattern, and symbols cost time.
  static constexpr std::size_t kToldPerMinute = 5;

  /// `threshold` is more than 0. Where a stall ends between two looks, it may be half as long again and not be seen.
  StallWatch(std::chrono::milliseconds threshold, Tell tell);
  StallWatch(const StallWatch&) = delete;
  StallWatch& operator=(const StallWatch&) = delete;
  ~StallWatch();

  Counts Seen() const noexcept;

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  /// The reactor waits, and nothing has happened for a while: until it is woken.
  void Sleep() noexcept;
  void Pause() noexcept;
  void Begin(std::uint64_t turn, Clock::time_point since);
  void End(Clock::time_point now);
  [[nodiscard]] bool MayTell(Clock::time_point now);

  const std::chrono::milliseconds threshold_;
  const std::chrono::nanoseconds period_;
  const Tell tell_;
  const pid_t reactor_;
  std::atomic<std::uint32_t> stop_{0};
  std::atomic<std::uint64_t> stalls_{0};
  std::atomic<std::int64_t> longest_ms_{0};
  std::deque<Clock::time_point> told_;
  std::uint64_t untold_ = 0;
  std::atomic<bool> in_stall_{false};
  bool is_told_ = false;
  Clock::time_point stall_began_{};
  std::string stall_what_;
  std::thread thread_;
};

}  // namespace weft::host::runtime
