#include "host/observe/listen_queue.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>

namespace weft::host::observe {

namespace {

int IntOption(int socket, int name) noexcept {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

std::optional<ListenQueue> LookAtTcp(int socket) noexcept {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
    return std::nullopt;
  }
  // Of a listening socket these two are its queue's length and bound (tcp_get_info() in net/ipv4/tcp.c).
  return ListenQueue{.waiting = info.tcpi_unacked, .limit = info.tcpi_sacked};
}

std::optional<ListenQueue> Parse(const char* bytes, std::size_t count) noexcept {
  nlmsghdr head{};
  unix_diag_msg message{};
  if (count < NLMSG_LENGTH(sizeof message)) {
    return std::nullopt;
  }
  std::memcpy(&head, bytes, sizeof head);
  if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || head.nlmsg_len > count) {
    return std::nullopt;
  }
  for (std::size_t at = NLMSG_LENGTH(NLMSG_ALIGN(sizeof message));
       at + sizeof(rtattr) <= head.nlmsg_len;) {
    rtattr attribute{};
    std::memcpy(&attribute, bytes + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > head.nlmsg_len - at) {
      return std::nullopt;
    }
    unix_diag_rqlen length{};
    if (attribute.rta_type == UNIX_DIAG_RQLEN && attribute.rta_len >= RTA_LENGTH(sizeof length)) {
      std::memcpy(&length, bytes + at + RTA_LENGTH(0), sizeof length);
      return ListenQueue{.waiting = length.udiag_rqueue, .limit = length.udiag_wqueue};
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return std::nullopt;
}

std::optional<ListenQueue> LookAtUnix(int socket) noexcept {
  struct stat status {};
  if (::fstat(socket, &status) != 0) {
    return std::nullopt;
  }
  const int netlink =
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
  if (netlink < 0) {
    return std::nullopt;
  }
  struct {
    nlmsghdr head;
    unix_diag_req body;
  } request{};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.head.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = ~0U;
  request.body.udiag_ino = static_cast<__u32>(status.st_ino);
  request.body.udiag_show = UDIAG_SHOW_RQLEN;
  request.body.udiag_cookie[0] = ~0U;  // any
  request.body.udiag_cookie[1] = ~0U;
  std::optional<ListenQueue> queue;
  // The answer is there when the request has been taken.
  if (::send(netlink, &request, sizeof request, 0) == ssize_t{sizeof request}) {
    std::array<char, 1024> answer;
    const auto count = ::recv(netlink, answer.data(), answer.size(), 0);
    if (count > 0) {
      queue = Parse(answer.data(), static_cast<std::size_t>(count));
    }
  }
  ::close(netlink);
  return queue;
}

}  // namespace

std::optional<ListenQueue> LookAtListenQueue(int socket) noexcept {
  if (IntOption(socket, SO_ACCEPTCONN) != 1) {
    return std::nullopt;
  }
  switch (IntOption(socket, SO_DOMAIN)) {
    case AF_UNIX:
      return LookAtUnix(socket);
    case AF_INET:
    case AF_INET6:
      return LookAtTcp(socket);
    default:
      return std::nullopt;
  }
}

void ListenQueues::Begin(HostFigures& figures) const {
  std::map<std::string, std::uint64_t> most;
  for (auto& queue : figures.listen_queues) {
    if (queue.is_named.Value() != 0) {
      most[queue.address.Text()] = queue.most.Value();
    }
    queue.is_named.Set(0);
    queue.is_known.Set(0);
  }
  const auto count = std::min(sockets_.size(), figures.listen_queues.size());
  for (std::size_t i = 0; i < count; ++i) {
    auto& queue = figures.listen_queues[i];
    queue.address.Set(sockets_[i].address);
    const auto known = most.find(queue.address.Text());
    queue.most.Set(known == most.end() ? 0 : known->second);
    queue.is_named.Set(1);
  }
}

void ListenQueues::Look(HostFigures& figures) const noexcept {
  const auto count = std::min(sockets_.size(), figures.listen_queues.size());
  for (std::size_t i = 0; i < count; ++i) {
    auto& queue = figures.listen_queues[i];
    const auto seen = LookAtListenQueue(sockets_[i].descriptor);
    queue.is_known.Set(seen ? 1 : 0);
    if (seen) {
      queue.waiting.Set(seen->waiting);
      queue.limit.Set(seen->limit);
      queue.most.Raise(seen->waiting);
    }
  }
}

}  // namespace weft::host::observe
