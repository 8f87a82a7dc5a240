#pragma once

#include <chrono>

namespace weft::host::tools {

/// The socket by which a command asks a host; it closes itself. -1: there is none.
class ClientSocket {
 public:
  explicit ClientSocket(int number) noexcept : number_(number) {}
  ClientSocket(const ClientSocket&) = delete;
  ClientSocket& operator=(const ClientSocket&) = delete;
  ~ClientSocket();

  [[nodiscard]] int Number() const noexcept { return number_; }

  /// Gives the next call that may wait (connect, send, recv) the time until then. 0, or the error: ETIMEDOUT where that is over.
  [[nodiscard]] int LimitWait(std::chrono::steady_clock::time_point until) const noexcept;

 private:
  int number_;
};

}  // namespace weft::host::tools
