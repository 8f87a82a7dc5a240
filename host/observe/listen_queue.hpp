#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/observe/scoreboard.hpp"

namespace weft::host::observe {

/// Connections that wait to be accepted on one listening socket.
struct ListenQueue {
  std::uint64_t waiting = 0;
  std::uint64_t limit =
      0;  ///< As the system has bounded it; beyond it clients are made to wait, or refused.
};

/// Asks the system: TCP_INFO, and for a Unix socket, of which that tells nothing, sock_diag(7). Nothing: it is no listening
/// socket, or the system does not say. Waits for nobody. Threads: any.
[[nodiscard]] std::optional<ListenQueue> LookAtListenQueue(int socket) noexcept;

/// The listening sockets of a host, whose queues are looked at now and then.
///
/// Threads: one.
class ListenQueues {
 public:
  struct Socket {
    int descriptor = -1;
    std::string address{};  ///< As `--listen` takes it.
  };

  /// The descriptors must be open as long as Look() is called. Begin() comes first.
  explicit ListenQueues(std::vector<Socket> sockets) : sockets_(std::move(sockets)) {}

  /// Gives them their places, which others may have had before a reload. The most that was seen stays with its address.
  void Begin(HostFigures& figures) const;
  /// Writes down what there is now, and the most that was seen so far.
  void Look(HostFigures& figures) const noexcept;

 private:
  std::vector<Socket> sockets_;
};

}  // namespace weft::host::observe
