#include "host/tools/client_socket.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

namespace weft::host::tools {

ClientSocket::~ClientSocket() {
  if (number_ >= 0) ::close(number_);
}

int ClientSocket::LimitWait(std::chrono::steady_clock::time_point until) const noexcept {
  using std::chrono::microseconds;
  const auto left = std::chrono::ceil<microseconds>(until - std::chrono::steady_clock::now());
  if (left <= microseconds::zero()) return ETIMEDOUT;
  const timeval limit{.tv_sec = static_cast<time_t>(left.count() / 1'000'000),
                      .tv_usec = static_cast<suseconds_t>(left.count() % 1'000'000)};
  for (const int option : {SO_SNDTIMEO, SO_RCVTIMEO}) {
    if (::setsockopt(number_, SOL_SOCKET, option, &limit, sizeof(limit)) != 0) return errno;
  }
  return 0;
}

}  // namespace weft::host::tools
