#pragma once

#include <algorithm>
#include <chrono>

namespace weft::host::supervisor {

/// How long a dead worker's place stays empty.
///
/// A worker that served for a while is replaced at once: its death is an accident. One that dies
/// before it is ready, or just after, will most likely do so again; trying at full speed would only
/// fill the log and the machine, so each such death doubles the wait.
class RestartDelay {
 public:
  /// Shorter than anybody notices, and ten lines of the log a second at most.
  static constexpr std::chrono::milliseconds kFirst{100};
  /// So long may a cause that has passed go on being felt; twelve tries a minute cost nothing.
  static constexpr std::chrono::milliseconds kLongest{5'000};
  /// A worker that dies within this time died young. 1 s, as lighttpd counts it.
  static constexpr std::chrono::milliseconds kYoung{1'000};

  /// The wait after a death. `lived` counts from the fork.
  [[nodiscard]] std::chrono::milliseconds AfterDeath(bool was_ready,
                                                     std::chrono::milliseconds lived) noexcept {
    if (was_ready && lived >= kYoung) {
      last_ = std::chrono::milliseconds::zero();
    } else {
      last_ = std::clamp(2 * last_, kFirst, kLongest);
    }
    return last_;
  }

 private:
  std::chrono::milliseconds last_{0};
};

}  // namespace weft::host::supervisor
