#include "host/runtime/readiness_probe.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <system_error>
#include <utility>

namespace weft::host::runtime {

namespace {

int OpenEvent() {
  const int descriptor = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (descriptor < 0) {
    throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  return descriptor;
}

template <typename Event, std::size_t... kIndices>
std::array<Event, sizeof...(kIndices)> MakeEvents(boost::asio::io_context& io,
                                                  std::index_sequence<kIndices...>) {
  return {((void)kIndices, Event(io))...};
}

}  // namespace

ReadinessProbe::Event::Event(boost::asio::io_context& io) : descriptor(io, OpenEvent()) {}

ReadinessProbe::ReadinessProbe(boost::asio::io_context& io, const Codel::Options& options, Now now)
    : options_(options),
      gap_(std::min<Clock::duration>(options.target, options.interval) / kPerTarget),
      now_(now),
      codel_(options),
      events_(MakeEvents<Event>(io, std::make_index_sequence<kEvents>())) {}

bool ReadinessProbe::OnArrival(Clock::time_point now) noexcept {
  if (!codel_.IsOn()) {
    return false;
  }
  if (outstanding_ == 0 && now - asked_at_ >= gap_) {
    codel_.ObserveNoDelay();  // the queue was empty: what comes now is another burst, if it is one
  }
  if (auto& event = events_[next_]; !event.ready_since && now - asked_at_ >= gap_) {
    try {
      Measure(now, event);
      next_ = (next_ + 1) % kEvents;
      ++outstanding_;
    } catch (const std::exception&) {
      // No memory: nothing is known.
    }
  }
  const auto& since = events_[oldest_].ready_since;
  return since && now - measured_at_ <= options_.interval && codel_.Refuses(now - *since);
}

void ReadinessProbe::Measure(Clock::time_point now, Event& event) {
  event.descriptor.async_wait(event.descriptor.wait_read,
                              [this, &event](const boost::system::error_code& error) {
                                if (!error) {
                                  Close(event);
                                }
                              });
  event.ready_since = asked_at_ = now;
  const std::uint64_t one = 1;
  // It cannot be full: it was read when it was ready last.
  [[maybe_unused]] const auto bytes = ::write(event.descriptor.native_handle(), &one, sizeof one);
}

/// It has had its turn.
void ReadinessProbe::Close(Event& event) noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto bytes =
      ::read(event.descriptor.native_handle(), &count, sizeof count);
  measured_at_ = now_();
  const auto since = *std::exchange(event.ready_since, std::nullopt);
  codel_.Observe(measured_at_, measured_at_ - since);
  --outstanding_;
  if (outstanding_ == 0) {
    oldest_ = next_;
  }
  while (outstanding_ != 0 && !events_[oldest_].ready_since) {
    oldest_ = (oldest_ + 1) % kEvents;
  }
}

}  // namespace weft::host::runtime
