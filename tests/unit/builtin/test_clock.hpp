#pragma once

#include <chrono>

namespace weft::test {

/// Moves the steady clock of this program's own code (libstdc++ and libweft keep theirs) forwards. The link
/// option --wrap puts it in the place of std::chrono::steady_clock::now().
void AdvanceSteadyClock(std::chrono::nanoseconds by) noexcept;

/// Stops the steady clock while it lives; AdvanceSteadyClock() alone then moves it.
class StoppedSteadyClock {
 public:
  StoppedSteadyClock() noexcept;
  StoppedSteadyClock(const StoppedSteadyClock&) = delete;
  StoppedSteadyClock& operator=(const StoppedSteadyClock&) = delete;
  ~StoppedSteadyClock();
};

/// Moves this program's system clock forwards from what it is, while the object lives; files keep their times.
class LaterSystemClock {
 public:
  explicit LaterSystemClock(std::chrono::nanoseconds by) noexcept;
  LaterSystemClock(const LaterSystemClock&) = delete;
  LaterSystemClock& operator=(const LaterSystemClock&) = delete;
  ~LaterSystemClock();
};

}  // namespace weft::test
