#include "host/runtime/readiness_probe.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <system_error>

namespace weft::host::runtime {

namespace {

int OpenEvent() {
  const int descriptor = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (descriptor < 0) {
    throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  return descriptor;
}

}  // namespace

ReadinessProbe::ReadinessProbe(boost::asio::io_context& io, const Codel::Options& options)
    : options_(options), codel_(options), event_(io, OpenEvent()) {}

bool ReadinessProbe::OnArrival(Clock::time_point now) noexcept {
  if (!codel_.IsOn()) {
    return false;
  }
  if (!is_measuring_ && now - asked_at_ >= options_.interval / kPerInterval) {
    try {
      Measure(now);
    } catch (const std::exception&) {
      // No memory: nothing is known.
    }
  }
  // What is on its way tells more than what was, once it is late.
  const auto delay = is_measuring_ ? std::max(delay_, now - asked_at_) : delay_;
  return now - measured_at_ <= options_.interval && codel_.Refuses(delay);
}

void ReadinessProbe::Measure(Clock::time_point now) {
  asked_at_ = now;
  event_.async_wait(event_.wait_read, [this](const boost::system::error_code& error) {
    is_measuring_ = false;
    if (error) {
      return;
    }
    std::uint64_t count = 0;
    [[maybe_unused]] const auto bytes = ::read(event_.native_handle(), &count, sizeof count);
    measured_at_ = Clock::now();
    delay_ = measured_at_ - asked_at_;
    codel_.Observe(measured_at_, delay_);
  });
  is_measuring_ = true;
  const std::uint64_t one = 1;
  // It cannot be full: it was read when it was ready last.
  [[maybe_unused]] const auto bytes = ::write(event_.native_handle(), &one, sizeof one);
}

}  // namespace weft::host::runtime
