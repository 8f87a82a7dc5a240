#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>

#include "host/runtime/codel.hpp"

namespace weft::host::runtime {

/// Measures how long a descriptor that has become ready waits for its turn on the reactor: one of its own is made ready, and
/// is served behind all that were ready before, those in the kernel's list too, and the fibers that they wake.
///
/// It is done when requests arrive, so that nothing wakes a process that has none.
///
/// Threads: the reactor's. Lifetime: `io` must outlive it, and must not run its handlers any more when it is destroyed.
class ReadinessProbe {
 public:
  using Clock = Codel::Clock;

  /// Throws std::system_error where there are no descriptors.
  ReadinessProbe(boost::asio::io_context& io, const Codel::Options& options);

  /// Something arrives: measures, unless it was done just now. True: it is to be refused.
  bool OnArrival(Clock::time_point now) noexcept;

 private:
  void Measure(Clock::time_point now);

  /// Measurements in an interval: enough that its least one means something.
  static constexpr int kPerInterval = 10;

  const Codel::Options options_;
  Codel codel_;
  boost::asio::posix::stream_descriptor event_;
  bool is_measuring_ = false;
  Clock::time_point asked_at_{};
  Clock::time_point measured_at_{};
  Clock::duration delay_{};
};

}  // namespace weft::host::runtime
