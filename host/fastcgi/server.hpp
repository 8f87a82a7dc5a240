#pragma once

#include <sys/socket.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <weft/peer_set.hpp>
#include "host/fastcgi/connection.hpp"
#include "host/fastcgi/sharing.hpp"
#include "host/observe/worker_figures.hpp"

namespace weft::host::fastcgi {

/// Accepts connections on listening sockets and moves bytes between them and their Connection.
///
/// Threads: the reactor's.
class Server {
 public:
  struct Limits {
    std::size_t max_connections;
    std::chrono::milliseconds linger_timeout;
    /// Of a Unix socket through which a file is sent; 0: as the system has it.
    std::size_t file_send_buffer_bytes;
    /// Who may connect; empty: everybody. Others are closed at once (FastCGI Specification 1.0, section 3.2).
    PeerSet allowed_peers;
    ConnectionLimits connection;
    /// Where connections and bytes are counted; null: nowhere. It must outlive the server.
    observe::WorkerFigures* figures = nullptr;
  };

  /// `io`, `requests` must outlive the server. `log_refusal` as for Connection.
  Server(boost::asio::io_context& io, IRequestServer& requests, const Limits& limits,
         Connection::RefusalLog log_refusal, void* log_context);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// Accepts on a listening, non-blocking socket from now on. The descriptor is the server's to close.
  void Listen(int listening_socket);
  /// `function` is called before each connection that is accepted from now on: one of a server that had none needs EndOverdue()
  /// to be called again. What it throws drops the connection.
  void SetOnConnection(std::function<void()> function) { on_connection_ = std::move(function); }
  /// Called several times a second while there are connections: ends those that wait too long for their peer.
  void EndOverdue(Connection::Clock::time_point now);
  /// Who has connected, and was not accepted yet.
  enum class Backlog {
    kTake,   ///< nobody else will: they are served
    kLeave,  ///< other processes accept on the same sockets
  };
  /// Takes connections that another process passes on (PassOnTo()) from that SOCK_SEQPACKET socket from now on. The
  /// descriptor is the server's to close.
  void ListenForPassed(int socket);
  /// Shares connections with other workers of the host from now on, as `sharing` decides: new ones, and those that are there by
  /// passing them on through `passed_out`, as PassOnTo() does, until the server begins to end. `passed_out` must stay open; -1: none
  /// can be passed on. Where runtime::TellWaits() is not in use the reactor counts as busy.
  void ShareWith(std::unique_ptr<Sharing> sharing, int passed_out);
  /// Passes connections on that are beyond this worker's share. To be called several times a second while there are connections.
  void EvenOut(Connection::Clock::time_point now);
  /// Closes the listening sockets, and from now on passes each connection on to another process as soon as nothing is in flight
  /// on it, so that its peer sees nothing of it: to whoever ListenForPassed() to the other end of that SOCK_SEQPACKET socket.
  /// What cannot be passed on now is tried again by PassOn(). Until Drain(). `socket` must stay open.
  void PassOnTo(int socket, Backlog backlog);
  /// Tries again; not to be called in the middle of a request. `holds_back`: connections on which requests are in flight take no more until these have ended.
  void PassOn(bool holds_back);
  /// Closes the listening sockets, and ends each connection as soon as nothing is in flight on it. Does nothing the second time.
  void Drain(Backlog backlog);
  /// Ends every connection now; what is in flight is cancelled.
  void Abandon();

  std::size_t Connections() const noexcept { return sockets_.size(); }

 private:
  class Socket;
  struct Acceptor;

  void Accept(Acceptor& acceptor);
  void CloseAcceptors(Backlog backlog);
  void OnAcceptable(Acceptor& acceptor);
  void LeaveToOthers(Acceptor& acceptor);
  void Take(Acceptor& acceptor, Connection::Clock::time_point now);
  /// False: there is none, or it cannot be had; errno tells.
  bool AcceptOne(Acceptor& acceptor);
  bool Add(int descriptor, const sockaddr_storage& peer);
  void Remove(Socket& socket);
  Sharing::Own OwnLoad(Connection::Clock::time_point now) const noexcept;
  /// A request has come on a connection at rest. True: the connection was passed on with it.
  bool Share(Socket& socket, Connection::Clock::time_point now);
  /// Connections at rest, of as many as are looked at at once; other ones each time.
  std::vector<std::shared_ptr<Socket>> SomeAtRest(std::size_t most);
  bool PeerAllowed(const sockaddr_storage& address) const;
  void Count(observe::Count count, std::uint64_t by = 1) noexcept {
    if (limits_.figures != nullptr) {
      (*limits_.figures)[count].Add(by);
    }
  }

  boost::asio::io_context& io_;
  IRequestServer& requests_;
  const Limits limits_;
  Connection::RefusalLog log_refusal_;
  void* log_context_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::unordered_set<std::shared_ptr<Socket>> sockets_;
  boost::asio::steady_timer retry_;
  bool draining_ = false;
  std::unique_ptr<Sharing> sharing_;
  int passed_out_ = -1;
  std::size_t next_bucket_ = 0;  // of sockets_, where SomeAtRest() goes on
  int pass_on_to_ = -1;          ///< -1: connections are not passed on
  bool accept_paused_ = false;
  bool told_of_no_memory_ = false;
  std::unique_ptr<char[]> read_buffer_;
  std::function<void()> on_connection_;
};

}  // namespace weft::host::fastcgi
