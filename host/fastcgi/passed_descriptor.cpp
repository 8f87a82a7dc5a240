#include "host/fastcgi/passed_descriptor.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <string_view>

#include "host/observe/descriptor_packet.hpp"

namespace weft::host::fastcgi {

bool SendDescriptor(int to, int descriptor) noexcept {
  return observe::SendWithDescriptors(to, std::string_view("", 1), std::span(&descriptor, 1),
                                      MSG_DONTWAIT) >= 0;
}

int ReceiveDescriptor(int from) noexcept {
  // What is received without a number left for it is gone, and the connection with it. It stays for others who have one.
  const int number = fcntl(from, F_DUPFD_CLOEXEC, 0);
  if (number < 0) {
    return -1;
  }
  close(number);
  char byte = 0;
  observe::FileDescriptor descriptor;
  const auto packet =
      observe::ReceiveWithDescriptors(from, std::span(&byte, 1), std::span(&descriptor, 1));
  if (packet.bytes <= 0) {
    if (packet.bytes == 0) {
      errno = EPIPE;  // nobody is left who could send one
    }
    return -1;
  }
  if (packet.descriptors == 0) {
    // The kernel drops a descriptor that there is no room for.
    errno = packet.lost_descriptors ? EMFILE : EAGAIN;
  }
  return descriptor.Release();
}

}  // namespace weft::host::fastcgi
