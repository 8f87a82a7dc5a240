#include "host/supervisor/control_socket.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace weft::host::supervisor {
namespace {

/// In one round, of a socket whose sender does not stop.
constexpr int kMaxPieces = 16;

bool WouldBlock(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

ControlSocket::ControlSocket(Listener listener, Answer answer, const Framing& framing)
    : listener_(std::move(listener)), answer_(std::move(answer)), framing_(framing) {
  clients_.reserve(kMaxClients);
}

void ControlSocket::AppendEvents(std::vector<pollfd>& events, Clock::time_point now) const {
  const bool is_paused = !accepts_ || now < paused_until_;
  events.push_back({.fd = is_paused ? -1 : listener_.Descriptor(), .events = POLLIN, .revents = 0});
  for (const Client& client : clients_) {
    const short awaited = client.stage == Client::Stage::kWriting ? POLLOUT : POLLIN;
    events.push_back({.fd = client.socket.Number(), .events = awaited, .revents = 0});
  }
}

void ControlSocket::Handle(std::span<const pollfd> events, Clock::time_point now) noexcept {
  for (std::size_t i = 0; i + 1 < events.size() && i < clients_.size(); ++i) {
    if (events[i + 1].revents != 0 && !Serve(clients_[i])) clients_[i].socket.Close();
  }
  std::erase_if(clients_, [now](const Client& client) {
    return !client.socket.IsOpen() || client.deadline <= now;
  });
  if (!events.empty() && events.front().revents != 0) Accept(now);
}

ControlSocket::Clock::time_point ControlSocket::NextDeadline(Clock::time_point now) const noexcept {
  auto next = Clock::time_point::max();
  if (now < paused_until_) next = paused_until_;
  for (const Client& client : clients_) next = std::min(next, client.deadline);
  return next;
}

void ControlSocket::Accept(Clock::time_point now) noexcept {
  // As many as there is room for: the rest is for the next round.
  for (std::size_t i = 0; i < kMaxClients; ++i) {
    FileDescriptor socket(
        ::accept4(listener_.Descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.IsOpen()) {
      if (WouldBlock(errno)) return;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      paused_until_ = now + kPause;
      return;
    }
    Client client;
    client.socket = std::move(socket);
    client.deadline = now + kPatience;
    // Most have sent their line by now.
    if (!Serve(client)) continue;
    if (clients_.size() == kMaxClients) MakeRoom();
    clients_.push_back(std::move(client));
  }
}

void ControlSocket::MakeRoom() noexcept {
  const auto silent = std::find_if(clients_.begin(), clients_.end(), [](const Client& client) {
    return client.stage != Client::Stage::kWriting;
  });
  clients_.erase(silent != clients_.end() ? silent : clients_.begin());
}

/// False: the connection ends.
bool ControlSocket::Serve(Client& client) const noexcept {
  try {
    if (client.stage == Client::Stage::kReading && !Read(client)) return false;
  } catch (...) {
    return false;  // there is no answer, for want of memory
  }
  if (client.stage == Client::Stage::kWriting && !Write(client)) return false;
  return client.stage != Client::Stage::kLingering || Linger(client);
}

bool ControlSocket::Read(Client& client) const {
  std::array<char, 2 * kMaxRequestBytes> piece;
  while (true) {
    const ssize_t count = ::recv(client.socket.Number(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return WouldBlock(errno);
    client.text.append(piece.data(), static_cast<std::size_t>(count));
    const std::size_t end = client.text.find(framing_.end);
    // Who sends no more has sent what there is.
    const bool is_whole = end != std::string::npos || count == 0;
    if (!is_whole && client.text.size() <= framing_.max_bytes) continue;
    if (client.text.empty()) return false;
    client.text.resize(std::min({end, client.text.size(), framing_.max_bytes + 1}));
    client.text = answer_(client.text);
    client.stage = Client::Stage::kWriting;
    return true;
  }
}

bool ControlSocket::Write(Client& client) noexcept {
  while (client.written < client.text.size()) {
    const ssize_t count = ::send(client.socket.Number(), client.text.data() + client.written,
                                 client.text.size() - client.written, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return WouldBlock(errno);
    client.written += static_cast<std::size_t>(count);
  }
  // Closed with bytes unread, the connection would end by a reset; so the peer is to close first.
  ::shutdown(client.socket.Number(), SHUT_WR);
  client.stage = Client::Stage::kLingering;
  client.text = {};
  return true;
}

bool ControlSocket::Linger(const Client& client) noexcept {
  std::array<char, 4096> ignored;
  for (int i = 0; i < kMaxPieces; ++i) {
    const ssize_t count =
        ::recv(client.socket.Number(), ignored.data(), ignored.size(), MSG_DONTWAIT);
    if (count == 0) return false;
    if (count < 0) return WouldBlock(errno) || errno == EINTR;
  }
  return true;
}

}  // namespace weft::host::supervisor
