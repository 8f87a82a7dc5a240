#pragma once

#include <chrono>
#include <optional>

namespace weft::host::runtime {

/// Gives the system back what malloc() keeps of a peak, when the work has ended.
///
/// malloc() keeps freed memory below the highest block that is still in use, and after thousands of requests at once some block
/// always is: most of the peak would stay with the process for good, whatever M_TRIM_THRESHOLD is. To give 64 MB back took 25 ms,
/// in which nobody else allocates, and 0.1 ms where there is little. So it is done once, after a rest.
///
/// Threads: one at a time.
class MemoryTrim {
 public:
  using Clock = std::chrono::steady_clock;

  /// Without work, before it is done. Longer than the pauses of steady traffic, shorter than it takes somebody to wonder.
  static constexpr std::chrono::milliseconds kRest{2'000};

  /// `trim`: what gives the memory back; may not throw.
  explicit MemoryTrim(void (*trim)() noexcept = &TrimHeap) noexcept : trim_(trim) {}

  /// There is, or was, work that a Look() may not see.
  void Worked() noexcept { has_worked_ = true; }
  /// Called now and then, `works` while there is work. True: it is to be called again, in kRest at the latest, though nothing
  /// else happens.
  bool Look(Clock::time_point now, bool works) noexcept;

 private:
  static void TrimHeap() noexcept;

  void (*const trim_)() noexcept;
  bool has_worked_ = false;
  std::optional<Clock::time_point> rests_since_;  // after work, until it is done
};

}  // namespace weft::host::runtime
