#include "host/supervisor/parked_connections.hpp"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "host/fastcgi/passed_descriptor.hpp"

namespace weft::host::supervisor {

std::size_t ParkedConnections::Room() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  // The other half is for sockets, logs, and the workers' channels.
  return static_cast<std::size_t>(std::min<rlim_t>(limit.rlim_cur / 2, kMostRoom));
}

ParkedConnections::ParkedConnections(std::size_t room, std::chrono::milliseconds idle_timeout)
    : room_(room), idle_timeout_(idle_timeout) {
  parked_.reserve(room_);  // what has been received must find its place
}

void ParkedConnections::Adopt(const std::vector<int>& descriptors, Clock::time_point now) {
  for (const int descriptor : descriptors) {
    parked_.push_back({FileDescriptor(descriptor), now + idle_timeout_});
  }
}

std::vector<int> ParkedConnections::Descriptors() const {
  std::vector<int> descriptors;
  for (const Parked& parked : parked_) descriptors.push_back(parked.descriptor.Number());
  return descriptors;
}

bool ParkedConnections::TakeFrom(int passing, Clock::time_point now) {
  while (parked_.size() < room_) {
    FileDescriptor descriptor(fastcgi::ReceiveDescriptor(passing));
    if (descriptor.IsOpen()) {
      parked_.push_back({std::move(descriptor), now + idle_timeout_});
    } else if (errno != EINTR) {
      return true;
    }
  }
  return false;
}

void ParkedConnections::GiveTo(int passing) noexcept {
  auto left = parked_.begin();
  while (left != parked_.end() && fastcgi::SendDescriptor(passing, left->descriptor.Number())) {
    ++left;
  }
  parked_.erase(parked_.begin(), left);
}

void ParkedConnections::AppendEvents(std::vector<pollfd>& events) const {
  for (const Parked& parked : parked_) {
    events.push_back({.fd = parked.descriptor.Number(), .events = POLLIN, .revents = 0});
  }
}

bool ParkedConnections::Handle(std::span<const pollfd> events) {
  bool has_come = false;
  std::size_t at = 0;
  std::erase_if(parked_, [&](const Parked& parked) {
    if (at >= events.size() || events[at++].revents == 0) return false;
    char byte = 0;
    const ssize_t count =
        ::recv(parked.descriptor.Number(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    has_come = has_come || count > 0;
    return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
  });
  return has_come;
}

void ParkedConnections::CloseOverdue(Clock::time_point now) {
  std::erase_if(parked_, [now](const Parked& parked) { return parked.until <= now; });
}

ParkedConnections::Clock::time_point ParkedConnections::NextDeadline() const {
  Clock::time_point next = Clock::time_point::max();
  for (const Parked& parked : parked_) next = std::min(next, parked.until);
  return next;
}

}  // namespace weft::host::supervisor
