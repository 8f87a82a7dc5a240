#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstddef>
#include <optional>

#include "host/runtime/codel.hpp"

namespace weft::host::runtime {

/// Tells how long a descriptor that has become ready waits for its turn on the reactor. Now and then one of its own is made ready,
/// which is served behind all that were ready before, those in the kernel's list too, and the fibers that they wake.
///
/// What has its turn now was ready before every one of these that has not had its turn yet, and so has waited for at least as long
/// as the first of them. There are several at once, so that this holds when the wait is long: what is refused is
/// who has waited beyond the target himself, and no one who came later.
///
/// It is done when requests arrive, so that nothing wakes a process that has none.
///
/// Threads: the reactor's. Lifetime: `io` must outlive it, and must not run its handlers any more when it is destroyed.
class ReadinessProbe {
 public:
  using Clock = Codel::Clock;
  using Now = Clock::time_point (*)();

  /// Throws std::system_error where there are no descriptors. `now`: the time when a descriptor has had its turn.
  ReadinessProbe(boost::asio::io_context& io, const Codel::Options& options, Now now = &Clock::now);

  /// Something has its turn, which arrived before: measures, unless it was done just now. True: it is to be refused.
  bool OnArrival(Clock::time_point now) noexcept;

 private:
  struct Event {
    Event(boost::asio::io_context& io);

    boost::asio::posix::stream_descriptor descriptor;
    std::optional<Clock::time_point> ready_since{};  // until it has had its turn
  };

  void Measure(Clock::time_point now, Event& event);
  void Close(Event& event) noexcept;

  /// Measurements in the time that is borne, or in an interval where that is shorter: how precise the wait is known.
  static constexpr int kPerTarget = 8;
  /// As many at once, so that they reach back over twice the target.
  static constexpr std::size_t kEvents = 2 * kPerTarget;

  const Codel::Options options_;
  const Clock::duration gap_;
  const Now now_;
  Codel codel_;
  std::array<Event, kEvents> events_;  // used in turn
  std::size_t next_ = 0;
  std::size_t oldest_ = 0;       // that has not had its turn, if any has not
  std::size_t outstanding_ = 0;  // that have not
  Clock::time_point asked_at_{};
  Clock::time_point measured_at_{};
};

}  // namespace weft::host::runtime
