#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>

#include "host/options/settings.hpp"

namespace weft::host::supervisor {

/// How many workers a host shall have whose process model is not static: docs/decisions/0023-process-models.md.
///
/// What is in use is counted in workers: of one that uses half a core, half is. With `n` workers and `load` in use, `n - load` is
/// free, and that is kept between two bounds which are at least one apart, so that there always is an `n` at which nothing
/// has to be done. It knows no processes and no clock: what it is told is all that it goes by.
class Scaling {
 public:
  using Clock = std::chrono::steady_clock;

  /// How often it is to be asked: fast enough for a load that grows, and nothing for who looks.
  static constexpr std::chrono::milliseconds kInterval{1'000};

  struct Bounds {
    std::size_t least = 0;  ///< Workers; 0: none while nobody asks.
    std::size_t most = 1;
    double least_free = 1;
    double most_free = 2;
    std::chrono::milliseconds idle_timeout{10'000};

    /// `most`: the places for workers.
    [[nodiscard]] static Bounds Of(const options::Settings& settings, std::size_t most);
  };

  /// What was seen in one look.
  struct Seen {
    std::size_t workers = 0;    ///< That serve, or will soon.
    double load = 0;            ///< Of all of them, each 0 to 1.
    bool has_worked = false;    ///< A request is in flight, or was since the last look.
    bool may_all_leave = true;  ///< There is somebody to hold their connections meanwhile.
  };

  explicit Scaling(const Bounds& bounds) : bounds_(bounds) {}

  /// Before anything was seen; at least one, which finds out whether the host can serve. `serving`: workers of the generation
  /// before, whom these relieve.
  [[nodiscard]] std::size_t AtStart(std::size_t serving) const;

  /// What there shall be; at most one less than there are, or none. From one look to the next.
  [[nodiscard]] std::size_t Wanted(const Seen& seen, Clock::time_point now);

  /// A worker was started because somebody asked, so that the time without work begins anew.
  void OnDemand(Clock::time_point now) { worked_at_ = now; }

  /// More was asked for in the last look than there may be.
  [[nodiscard]] bool IsAtLimit() const { return is_at_limit_; }

 private:
  Bounds bounds_;
  std::optional<Clock::time_point> free_since_;  ///< too much of it
  std::optional<Clock::time_point> worked_at_;
  bool is_at_limit_ = false;
};

/// The crashes of the last while.
class CrashWindow {
 public:
  using Clock = std::chrono::steady_clock;

  explicit CrashWindow(const std::optional<options::CrashLimit>& limit) : limit_(limit) {}

  /// One more. True: these are too many.
  [[nodiscard]] bool Add(Clock::time_point now);

 private:
  std::optional<options::CrashLimit> limit_;
  std::deque<Clock::time_point> crashes_;  ///< no more than the limit
};

}  // namespace weft::host::supervisor
