#include "host/fastcgi/server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include "host/fastcgi/passed_descriptor.hpp"
#include "host/observe/log.hpp"
#include "host/runtime/epoll_watch.hpp"
#include "host/runtime/memory_reserve.hpp"

namespace weft::host::fastcgi {

namespace {

using boost::system::error_code;

/// The buffer of all connections: what it holds is taken up before the next read. None has one of its own, for of ten
/// thousand connections most wait, and what a request takes from its buffer is copied in any case.
constexpr std::size_t kReadBytes = 64 * 1024;
/// Reads in a row from one connection, so that a fast sender does not hold the reactor: 4 are 256 KiB, a fraction of a
/// millisecond.
constexpr int kReadsPerTurn = 4;
/// A turn to accept that came so late after there was something to accept is one of a reactor that has too much to do: then
/// whoever waits is accepted at once, up to a number that takes about a millisecond, for each would wait as long again for
/// a turn of its own, where nothing measures it. What they ask for is then served or refused.
constexpr std::chrono::milliseconds kLateTurn{5};
constexpr int kAcceptsPerLateTurn = 256;
/// After accept() failed for want of descriptors or memory: no event tells when there are some again.
constexpr std::chrono::milliseconds kAcceptRetry{100};
/// Connections at rest that are asked at once whether a request waits there: some microseconds.
constexpr std::size_t kPolledAtOnce = 64;
/// Of which those that were used last are chosen, when connections are evened out.
constexpr std::size_t kComparedAtOnce = 1024;
/// Connections that are looked at for one that is at rest.
constexpr std::size_t kLookedAtForOne = 4;

}  // namespace

struct Server::Acceptor {
  Acceptor(boost::asio::io_context& io, int descriptor, bool is_for_passed = false)
      : socket(io, descriptor), for_passed(is_for_passed), patience(io) {}
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor() { Close(); }

  /// Other processes have the same socket open. Closed as one's own it would stay with the reactor, which waits for sockets
  /// and not for descriptors.
  void Close() {
    patience.cancel();
    if (socket.is_open()) {
      close(socket.release());
    }
  }

  boost::asio::posix::stream_descriptor socket;  // a listening socket is only waited for
  const bool for_passed;
  boost::asio::steady_timer patience;  // while a connection is left to others
  bool waiting = false;
  /// When there was more to accept after the last turn; none: there was not.
  std::optional<Connection::Clock::time_point> more_since;

  bool HasMore() const noexcept {
    pollfd state{const_cast<Acceptor*>(this)->socket.native_handle(), POLLIN, 0};
    return poll(&state, 1, 0) > 0;
  }
};

/// A connected socket. It is destroyed when nothing waits on it any more.
class Server::Socket final : public IConnectionSocket, public std::enable_shared_from_this<Socket> {
 public:
  Socket(Server& server, boost::asio::generic::stream_protocol::socket socket, bool unix_domain)
      : server_(server),
        socket_(std::move(socket)),
        unix_domain_(unix_domain),
        connection_(*this, server.requests_, server.limits_.connection, server.log_refusal_,
                    server.log_context_, Connection::Clock::now()) {}

  Connection& Peer() noexcept { return connection_; }

  /// Takes what has come already, and lets the connection end when nothing is in flight on it.
  void Drain() {
    // Not here: who is drained may be in the middle of a request of its own.
    boost::asio::post(server_.io_, [self = shared_from_this()] {
      self->ReadOn();
      self->connection_.OnAllRead();
      if (!self->closed_) {
        self->connection_.Drain();
      }
    });
  }

  /// Waits for bytes unless it does already, or the connection wants none.
  void ReadMore() {
    if (reading_ || closed_ || !(lingering_ || connection_.WantsToRead())) {
      return;
    }
    reading_ = true;
    socket_.async_wait(socket_.wait_read, [self = shared_from_this()](const error_code& error) {
      self->reading_ = false;
      self->OnReadable(error);
    });
  }

  // IConnectionSocket

  std::ptrdiff_t Send(std::string_view bytes) override {
    if (closed_) {
      return -1;
    }
    const auto count = ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      return Sent(count);
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
  }

  std::ptrdiff_t SendPieces(std::span<const std::string_view> pieces) override {
    if (closed_) {
      return -1;
    }
    std::array<iovec, kMaxPieces> parts;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      parts[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = pieces.size();
    const auto count = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    if (count >= 0) {
      return Sent(count);
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
  }

  std::ptrdiff_t SendPiped(std::string_view before, int pipe, std::size_t bytes) override {
    if (closed_) {
      return -1;
    }
    const int descriptor = socket_.native_handle();
    WidenForFiles();
    const auto first = ::send(descriptor, before.data(), before.size(), MSG_NOSIGNAL | MSG_MORE);
    if (first < 0) {
      return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    std::size_t sent = 0;
    while (static_cast<std::size_t>(first) == before.size() && sent < bytes) {
      const auto count =
          ::splice(pipe, nullptr, descriptor, nullptr, bytes - sent, SPLICE_F_NONBLOCK);
      if (count > 0) {
        sent += static_cast<std::size_t>(count);
      } else if (count == 0 || errno == EAGAIN) {
        break;
      } else if (errno != EINTR) {
        return -1;
      }
    }
    return Sent(first + static_cast<std::ptrdiff_t>(sent));
  }

  void NotifyWhenWritable() override {
    if (writing_ || closed_) {
      return;
    }
    writing_ = true;
    socket_.async_wait(socket_.wait_write, [self = shared_from_this()](const error_code& error) {
      self->writing_ = false;
      if (!error && !self->closed_) {
        self->connection_.OnWritable(Connection::Clock::now());
      }
    });
  }

  void ReadingChanged() override {
    ReadMore();
    if (server_.pass_on_to_ >= 0) {
      PassOnSoon();
    }
  }

  /// Not here: who asks may be in the middle of a request.
  void PassOnSoon() {
    if (passing_soon_ || closed_) {
      return;
    }
    passing_soon_ = true;
    boost::asio::post(server_.io_, [self = shared_from_this()] {
      self->passing_soon_ = false;
      self->PassOn();
    });
  }

  /// Gives the connection to another process, if it is at rest. What its peer sends meanwhile waits in the socket.
  void PassOn() {
    if (server_.pass_on_to_ >= 0) {
      static_cast<void>(PassOn(server_.pass_on_to_));
    }
  }

  bool IsAtRest() const noexcept { return !closed_ && !lingering_ && connection_.IsAtRest(); }

  /// False: it is not at rest, or cannot be passed on now.
  bool PassOn(int to) {
    if (!IsAtRest() || !SendDescriptor(to, socket_.native_handle())) {
      return false;
    }
    closed_ = true;
    connection_.Forget();
    error_code ignored;
    // Out of the reactor first, which would wait for it as long as it is open anywhere.
    close(socket_.release(ignored));
    server_.Count(observe::Count::kConnectionsPassedOn);
    server_.Remove(*this);
    return true;
  }

  /// What tells poll(2) whether a request waits.
  int Descriptor() noexcept { return socket_.native_handle(); }

  void HoldBack(bool on) {
    connection_.HoldBack(on);
    if (!on) {
      ReadMore();
    }
  }

  void End(Ending ending) override {
    if (closed_ || lingering_) {
      return;
    }
    if (ending == Ending::kLinger) {
      // Closing now, with bytes unread, would reset the connection under the answer's last bytes.
      lingering_ = true;
      linger_until_ = Connection::Clock::now() + server_.limits_.linger_timeout;
      ::shutdown(socket_.native_handle(), SHUT_WR);
      ReadMore();
      return;
    }
    if (ending == Ending::kReset) {
      const linger reset{1, 0};
      static_cast<void>(
          setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
    }
    Close();
  }

  /// Whether the peer has gone while nothing is read, so that no read could tell.
  bool PeerHasGoneUnseen() const noexcept {
    if (reading_ || closed_ || lingering_) {
      return false;
    }
    pollfd state{const_cast<Socket*>(this)->socket_.native_handle(), POLLRDHUP, 0};
    return poll(&state, 1, 0) > 0 &&
           (state.revents & (POLLHUP | POLLERR | (unix_domain_ ? 0 : POLLRDHUP))) != 0;
  }

  bool LingersTooLong(Connection::Clock::time_point now) const noexcept {
    return lingering_ && now >= linger_until_;
  }

  void Close() {
    if (closed_) {
      return;
    }
    closed_ = true;
    CountReceiving(0);
    error_code ignored;
    socket_.close(ignored);
    server_.Remove(*this);
  }

 private:
  /// What is piped takes no memory of its own while it waits in the socket, and the peer is woken less often for more. TCP widens
  /// its buffers by itself.
  void WidenForFiles() noexcept {
    if (widened_ || !unix_domain_) {
      return;
    }
    widened_ = true;
    const auto wanted = static_cast<int>(server_.limits_.file_send_buffer_bytes);
    int now = 0;
    socklen_t length = sizeof now;
    // The system doubles what it is given, and tells that. What it refuses is done without.
    if (getsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDBUF, &now, &length) == 0 &&
        wanted > now / 2) {
      static_cast<void>(
          setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted));
    }
  }

  std::ptrdiff_t Sent(std::ptrdiff_t count) noexcept {
    server_.Count(observe::Count::kSentBytes, static_cast<std::uint64_t>(count));
    return count;
  }

  /// Requests whose parameters have not all come.
  void CountReceiving(std::size_t requests) noexcept {
    if (requests != receiving_) {
      // Adding what is negative subtracts.
      server_.Count(observe::Count::kReceivingParams, std::uint64_t{requests} - receiving_);
      receiving_ = requests;
    }
  }

  void OnReadable(const error_code& error) {
    if (closed_) {
      return;
    }
    if (error) {
      OnEnd(false);
      return;
    }
    if (server_.sharing_ && connection_.IsAtRest() &&
        server_.Share(*this, Connection::Clock::now())) {
      return;
    }
    ReadOn();
    connection_.OnAllRead();
    ReadMore();
    if (server_.pass_on_to_ >= 0) {
      PassOnSoon();
    }
  }

  /// Reads what has come.
  void ReadOn() {
    char* const buffer = server_.read_buffer_.get();
    for (int i = 0; i < kReadsPerTurn && !closed_ && (lingering_ || connection_.WantsToRead());
         ++i) {
      const auto count = ::recv(socket_.native_handle(), buffer, kReadBytes, MSG_DONTWAIT);
      if (count <= 0) {
        if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
          OnEnd(count == 0);
        }
        return;
      }
      server_.Count(observe::Count::kReceivedBytes, static_cast<std::uint64_t>(count));
      Take(std::string_view(buffer, static_cast<std::size_t>(count)));
      if (static_cast<std::size_t>(count) < kReadBytes) {
        return;
      }
    }
  }

  void Take(std::string_view bytes) {
    if (lingering_) {
      return;
    }
    try {
      connection_.OnBytes(bytes, Connection::Clock::now());
      if (!closed_) {
        CountReceiving(connection_.RequestsReceiving());
      }
    } catch (const std::bad_alloc&) {
      observe::Log(observe::Level::kError,
                   "a connection was closed: there is no memory for what it sends");
      connection_.Abandon(Ending::kNow);
    }
  }

  void OnEnd(bool orderly) {
    if (lingering_) {
      Close();
    } else if (orderly) {
      connection_.OnEndOfStream(HalfClosed());
    } else {
      connection_.OnSocketError();
    }
  }

  /// Whether the peer, which sends no more, may still read. A Unix socket tells; on TCP both look alike, and
  /// a web server that is done with a request closes.
  bool HalfClosed() const noexcept {
    pollfd state{const_cast<Socket*>(this)->socket_.native_handle(), POLLOUT, 0};
    return unix_domain_ && poll(&state, 1, 0) >= 0 && (state.revents & (POLLHUP | POLLERR)) == 0;
  }

  Server& server_;
  boost::asio::generic::stream_protocol::socket socket_;
  const bool unix_domain_;
  bool reading_ = false;
  bool writing_ = false;
  bool lingering_ = false;
  bool closed_ = false;
  bool widened_ = false;
  std::size_t receiving_ = 0;
  bool passing_soon_ = false;
  Connection::Clock::time_point linger_until_{};
  Connection connection_;
};

Server::Server(boost::asio::io_context& io, IRequestServer& requests, const Limits& limits,
               Connection::RefusalLog log_refusal, void* log_context)
    : io_(io),
      requests_(requests),
      limits_(limits),
      log_refusal_(log_refusal),
      log_context_(log_context),
      retry_(io),
      read_buffer_(new char[kReadBytes]) {}

Server::~Server() { Abandon(); }

void Server::Listen(int listening_socket) {
  acceptors_.push_back(std::make_unique<Acceptor>(io_, listening_socket));
  Accept(*acceptors_.back());
}

void Server::ListenForPassed(int socket) {
  acceptors_.push_back(std::make_unique<Acceptor>(io_, socket, /*is_for_passed=*/true));
  Accept(*acceptors_.back());
}

void Server::Accept(Acceptor& acceptor) {
  if (acceptor.waiting || draining_ || !acceptor.socket.is_open()) {
    return;
  }
  if (sockets_.size() >= limits_.max_connections) {
    // The next connection that ends goes on.
    if (!std::exchange(accept_paused_, true)) {
      Count(observe::Count::kAcceptPauses);
    }
    return;
  }
  acceptor.waiting = true;
  acceptor.socket.async_wait(acceptor.socket.wait_read, [this, &acceptor](const error_code& error) {
    acceptor.waiting = false;
    if (!error && !draining_) {
      OnAcceptable(acceptor);
    }
  });
}

void Server::OnAcceptable(Acceptor& acceptor) {
  const auto now = Connection::Clock::now();
  if (sharing_ && sharing_->LeavesToOthers(OwnLoad(now), now)) {
    LeaveToOthers(acceptor);
  } else {
    Take(acceptor, now);
  }
}

void Server::LeaveToOthers(Acceptor& acceptor) {
  acceptor.waiting = true;
  acceptor.patience.expires_after(Sharing::kPatience);
  acceptor.patience.async_wait([this, &acceptor](const error_code& error) {
    acceptor.waiting = false;
    if (error || draining_) {
      return;
    }
    const auto now = Connection::Clock::now();
    const bool is_still_there = acceptor.HasMore();
    sharing_->WasLeft(is_still_there, now);
    if (is_still_there) {
      Take(acceptor, now);
    } else {
      Accept(acceptor);
    }
  });
}

void Server::Take(Acceptor& acceptor, Connection::Clock::time_point now) {
  // One at a time: where several workers wait for the same socket, the others get their turn.
  const bool is_late = acceptor.more_since && now - *acceptor.more_since >= kLateTurn;
  acceptor.more_since.reset();
  int left = is_late ? kAcceptsPerLateTurn : 1;
  while (left > 0 && sockets_.size() < limits_.max_connections && AcceptOne(acceptor)) {
    --left;
  }
  if (left == 0) {
    if (acceptor.HasMore()) {
      acceptor.more_since = now;
    }
  } else if (sockets_.size() < limits_.max_connections && errno != EAGAIN && errno != EINTR &&
             errno != ECONNABORTED) {
    observe::Log(observe::Level::kWarning,
                 "a connection cannot be accepted: " + std::generic_category().message(errno));
    Count(observe::Count::kAcceptPauses);
    retry_.expires_after(kAcceptRetry);
    retry_.async_wait([this](const error_code& error) {
      if (!error) {
        for (auto& waiting : acceptors_) {
          Accept(*waiting);
        }
      }
    });
    return;
  }
  Accept(acceptor);
}

bool Server::AcceptOne(Acceptor& acceptor) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (acceptor.for_passed) {
    const int passed = ReceiveDescriptor(acceptor.socket.native_handle());
    if (passed < 0) {
      if (errno == EPIPE) {
        acceptor.Close();
        errno = EAGAIN;
      }
      return false;
    }
    if (getpeername(passed, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      close(passed);  // its peer has left
      return true;
    }
    Add(passed, address);
    return true;
  }
  const int descriptor =
      accept4(acceptor.socket.native_handle(), reinterpret_cast<sockaddr*>(&address), &length,
              SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor < 0) {
    return false;
  }
  if (Add(descriptor, address)) {
    Count(observe::Count::kConnectionsAccepted);
  }
  return true;
}

bool Server::PeerAllowed(const sockaddr_storage& address) const {
  if (limits_.allowed_peers.empty()) {
    return true;
  }
  std::array<char, INET6_ADDRSTRLEN> text{};  // of a Unix socket it stays empty
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text.data(),
              text.size());
  } else if (address.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text.data(),
              text.size());
  }
  return limits_.allowed_peers.Contains(text.data());
}

/// False: it was closed instead.
bool Server::Add(int descriptor, const sockaddr_storage& peer) {
  if (!PeerAllowed(peer)) {
    observe::Log(observe::Level::kWarning,
                 "a connection was refused: its peer is not among --allowed-clients, or "
                 "FCGI_WEB_SERVER_ADDRS");
    close(descriptor);
    return false;
  }
  if (runtime::MemoryReserve::Spent()) {
    close(descriptor);
    if (!std::exchange(told_of_no_memory_, true)) {
      observe::Log(observe::Level::kError,
                   "a connection was dropped: there is no memory for it, nor for others for now");
    }
    return false;
  }
  told_of_no_memory_ = false;
  const bool unix_domain = peer.ss_family == AF_UNIX;
  if (!unix_domain) {
    // An answer leaves in one write; nothing is gained by waiting to fill a segment.
    const int on = 1;
    static_cast<void>(setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  }
  boost::asio::generic::stream_protocol::socket adopted(io_);
  error_code error;
  try {
    adopted.assign(boost::asio::generic::stream_protocol(unix_domain ? AF_UNIX : AF_INET, 0),
                   descriptor, error);
  } catch (const std::bad_alloc&) {
    error = boost::asio::error::no_memory;
  }
  if (error) {
    observe::Log(observe::Level::kError, "a connection was dropped: " + error.message());
    close(descriptor);
    return false;
  }
  try {
    if (on_connection_) {
      on_connection_();
    }
    const auto socket = std::make_shared<Socket>(*this, std::move(adopted), unix_domain);
    sockets_.insert(socket);
    Count(observe::Count::kConnections);
    socket->ReadMore();
    return true;
  } catch (const std::exception& failure) {
    observe::Log(observe::Level::kError,
                 std::string("a connection was dropped: ") + failure.what());
    return false;
  }
}

void Server::Remove(Socket& socket) {
  // Not destroyed here: its connection may be the caller. Posted, the last reference goes when it has
  // returned.
  const auto at = sockets_.find(socket.shared_from_this());
  if (at == sockets_.end()) {
    return;
  }
  boost::asio::post(io_, [keep = *at] {});
  sockets_.erase(at);
  Count(observe::Count::kConnections, ~std::uint64_t{0});  // one less
  if (accept_paused_) {
    accept_paused_ = false;
    for (auto& acceptor : acceptors_) {
      Accept(*acceptor);
    }
  }
}

void Server::EndOverdue(Connection::Clock::time_point now) {
  for (const auto& socket :
       std::vector<std::shared_ptr<Socket>>(sockets_.begin(), sockets_.end())) {
    if (socket->LingersTooLong(now)) {
      socket->Close();
    } else if (socket->PeerHasGoneUnseen()) {
      socket->Peer().OnSocketError();
    } else if (const char* const reason = socket->Peer().Overdue(now)) {
      observe::Log(observe::Level::kDebug, std::string("a connection was closed: ") + reason);
      socket->Peer().Abandon(IConnectionSocket::Ending::kNow);
    }
  }
}

void Server::CloseAcceptors(Backlog backlog) {
  draining_ = true;
  retry_.cancel();
  // Who comes now is told so by the system.
  for (auto& acceptor : acceptors_) {
    // What was passed on shall not come back here while it is passed on.
    const bool takes = backlog == Backlog::kTake && !(acceptor->for_passed && pass_on_to_ >= 0);
    while (takes && sockets_.size() < limits_.max_connections && AcceptOne(*acceptor)) {
    }
    acceptor->Close();
  }
}

void Server::ShareWith(std::unique_ptr<Sharing> sharing, int passed_out) {
  sharing_ = std::move(sharing);
  passed_out_ = passed_out;
}

Sharing::Own Server::OwnLoad(Connection::Clock::time_point now) const noexcept {
  return {.connections = sockets_.size(),
          .busy_for = runtime::ReactorBusyFor(now),
          .queued = limits_.figures == nullptr ? 0 : limits_.figures->handlers.queued.Value()};
}

std::vector<std::shared_ptr<Server::Socket>> Server::SomeAtRest(std::size_t most) {
  std::vector<std::shared_ptr<Socket>> found;
  const auto buckets = sockets_.bucket_count();
  const auto looks = std::min(buckets, most * kLookedAtForOne);
  for (std::size_t i = 0; i < looks && found.size() < most; ++i) {
    next_bucket_ = (next_bucket_ + 1) % buckets;
    for (auto at = sockets_.begin(next_bucket_); at != sockets_.end(next_bucket_); ++at) {
      if ((*at)->IsAtRest()) {
        found.push_back(*at);
      }
    }
  }
  return found;
}

bool Server::Share(Socket& socket, Connection::Clock::time_point now) {
  if (draining_ || passed_out_ < 0) {
    return false;
  }
  const auto pass_on = sharing_->OnRequest(OwnLoad(now), now);
  if (pass_on.connections == 0) {
    return false;
  }
  auto left = pass_on.connections;
  const bool is_passed_on = pass_on.this_one && socket.PassOn(passed_out_);
  if (is_passed_on) {
    --left;
  }
  try {
    const auto others = SomeAtRest(kPolledAtOnce);
    std::vector<pollfd> states;
    for (const auto& other : others) {
      states.push_back({other->Descriptor(), POLLIN | POLLRDHUP, 0});
    }
    if (left == 0 || poll(states.data(), states.size(), 0) <= 0) {
      return is_passed_on;
    }
    for (std::size_t i = 0; i < others.size() && left != 0; ++i) {
      // Where the peer has left nothing waits.
      if (others[i].get() != &socket && states[i].revents == POLLIN &&
          others[i]->PassOn(passed_out_)) {
        --left;
      }
    }
  } catch (const std::bad_alloc&) {
    // They have their turn here.
  }
  return is_passed_on;
}

void Server::EvenOut(Connection::Clock::time_point now) {
  if (!sharing_ || draining_ || passed_out_ < 0) {
    return;
  }
  auto surplus = sharing_->Surplus(sockets_.size(), now);
  if (surplus == 0) {
    return;
  }
  auto at_rest = SomeAtRest(kComparedAtOnce);
  // A web server uses some of its connections more than others, the one that it used last first: those are what the load comes by.
  std::ranges::sort(at_rest, std::ranges::greater(), [](const std::shared_ptr<Socket>& socket) {
    return socket->Peer().IdleSince();
  });
  for (const auto& socket : at_rest) {
    if (surplus == 0 || !socket->PassOn(passed_out_)) {
      break;
    }
    --surplus;
  }
}

void Server::PassOnTo(int socket, Backlog backlog) {
  if (draining_) {
    return;
  }
  pass_on_to_ = socket;
  CloseAcceptors(backlog);
  PassOn(false);
}

void Server::PassOn(bool holds_back) {
  for (const auto& socket :
       std::vector<std::shared_ptr<Socket>>(sockets_.begin(), sockets_.end())) {
    socket->HoldBack(holds_back);
    socket->PassOn();
  }
}

void Server::Drain(Backlog backlog) {
  if (draining_ && pass_on_to_ < 0) {
    return;
  }
  pass_on_to_ = -1;
  if (!draining_) {
    CloseAcceptors(backlog);
  }
  for (const auto& socket :
       std::vector<std::shared_ptr<Socket>>(sockets_.begin(), sockets_.end())) {
    socket->Drain();
  }
}

void Server::Abandon() {
  for (const auto& socket :
       std::vector<std::shared_ptr<Socket>>(sockets_.begin(), sockets_.end())) {
    socket->Peer().Abandon(IConnectionSocket::Ending::kNow);
    socket->Close();
  }
}

}  // namespace weft::host::fastcgi
