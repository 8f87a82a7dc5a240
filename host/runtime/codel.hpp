#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace weft::host::runtime {

/// Tells a queue that is too long for good from one that takes up a burst: by the least delay of an interval, as CoDel does
/// (RFC 8289). A burst is served within the interval, and someone in it had to wait for little; where even who waited least had to
/// wait for longer than the target, more comes in than goes out.
///
/// What to do about it differs from CoDel's law, which is for senders that slow down when a packet is lost. Nobody slows down
/// for a 503, so that what is to be refused is all that is too much, at once: while the queue is too long, whoever would have
/// to wait for longer than the target, as fast as it moves, is refused. That keeps the queue at the target's length:
/// there is always work, and none of it is old.
///
/// Threads: one at a time.
class Codel {
 public:
  using Clock = std::chrono::steady_clock;

  struct Options {
    std::chrono::milliseconds target{50};     ///< 0: nothing is ever too long
    std::chrono::milliseconds interval{100};  ///< several times what a request usually takes
  };

  explicit Codel(const Options& options) noexcept : options_(options) {}

  bool IsOn() const noexcept { return options_.target > Clock::duration::zero(); }

  /// Something came out of the queue after `delay`.
  void Observe(Clock::time_point now, Clock::duration delay) noexcept {
    if (now >= interval_end_) {
      // While some are refused the queue stays near the target: it ends well below that, lest it begin anew each time, with
      // another burst. Of an interval that ended long ago nothing is known about the time since.
      const Clock::duration limit = is_too_long_ ? options_.target / 2 : options_.target;
      is_too_long_ = least_ > limit && now < interval_end_ + options_.interval;
      pace_ = count_ == 0 ? Clock::duration::zero()
                          : (now - interval_end_ + options_.interval) / count_;
      count_ = 0;
      least_ = Clock::duration::max();
      interval_end_ = now + options_.interval;
    }
    ++count_;
    least_ = std::min(least_, delay);
  }
  /// Somebody did not have to wait.
  void ObserveNoDelay() noexcept {
    is_too_long_ = false;
    least_ = Clock::duration::zero();
  }

  /// What the last of so many must expect to wait, as fast as they came out lately.
  Clock::duration DelayOf(std::size_t queued) const noexcept {
    return pace_ * static_cast<Clock::rep>(queued);
  }

  /// Whether who would come in now is to be refused, when `delay` is what it must expect to wait.
  bool Refuses(Clock::duration delay) const noexcept {
    return is_too_long_ && delay >= options_.target;
  }

 private:
  const Options options_;
  Clock::time_point interval_end_{};
  Clock::duration least_ = Clock::duration::zero();
  Clock::duration pace_ = Clock::duration::zero();  // from one to the next, in the last interval
  Clock::rep count_ = 0;                            // that came out in this one
  bool is_too_long_ = false;
};

}  // namespace weft::host::runtime
