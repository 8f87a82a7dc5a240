#include "host/observe/descriptor_packet.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weft::host::observe {

namespace {

/// A message of one piece, with room for descriptors beside it.
struct Message {
  Message(char* bytes, std::size_t count, std::size_t descriptors) noexcept : part{bytes, count} {
    header.msg_iov = &part;
    header.msg_iovlen = count == 0 ? 0 : 1;
    header.msg_control = space.data();
    header.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  iovec part;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxPassedDescriptors * sizeof(int))> space{};
  msghdr header{};
};

}  // namespace

ssize_t SendWithDescriptors(int socket, std::string_view bytes, std::span<const int> descriptors,
                            int flags) noexcept {
  if (descriptors.size() > kMaxPassedDescriptors) {
    errno = E2BIG;
    return -1;
  }
  Message message(const_cast<char*>(bytes.data()), bytes.size(), descriptors.size());
  cmsghdr* const control = CMSG_FIRSTHDR(&message.header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  std::memcpy(CMSG_DATA(control), descriptors.data(), descriptors.size_bytes());
  return ::sendmsg(socket, &message.header, flags | MSG_NOSIGNAL);
}

ReceivedPacket ReceiveWithDescriptors(int socket, std::span<char> bytes,
                                      std::span<FileDescriptor> descriptors) noexcept {
  Message message(bytes.data(), bytes.size(), std::min(descriptors.size(), kMaxPassedDescriptors));
  ReceivedPacket received;
  received.bytes = ::recvmsg(socket, &message.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received.bytes < 0) {
    return received;
  }
  received.lost_descriptors = (message.header.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* control = CMSG_FIRSTHDR(&message.header); control != nullptr;
       control = CMSG_NXTHDR(&message.header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    // The space is rounded up: there may be one more than it was made for.
    const std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
      FileDescriptor descriptor(number);
      if (received.descriptors < descriptors.size()) {
        descriptors[received.descriptors++] = std::move(descriptor);
      } else {
        received.lost_descriptors = true;
      }
    }
  }
  return received;
}

}  // namespace weft::host::observe
