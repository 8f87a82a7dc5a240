#include "host/fastcgi/passed_descriptor.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <utility>

#include "host/observe/descriptor_packet.hpp"

namespace weft::host::fastcgi {
namespace {

using observe::FileDescriptor;

std::pair<FileDescriptor, FileDescriptor> Pair(int kind) {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, ends.data()) == 0);
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

std::size_t OpenDescriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

TEST_CASE("PassedDescriptor: a connection that is passed on lives where it is received") {
  auto [passing, receiving] = Pair(SOCK_SEQPACKET);
  auto [server, connection] = Pair(SOCK_STREAM);
  REQUIRE(SendDescriptor(passing.Number(), connection.Number()));
  connection.Close();
  const FileDescriptor received(ReceiveDescriptor(receiving.Number()));
  REQUIRE(received.IsOpen());
  REQUIRE(::write(received.Number(), "x", 1) == 1);
  char byte = 0;
  CHECK(::recv(server.Number(), &byte, 1, MSG_DONTWAIT) == 1);
  CHECK((::fcntl(received.Number(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("PassedDescriptor: nothing is there, or nobody is left who could send any") {
  auto [passing, receiving] = Pair(SOCK_SEQPACKET);
  CHECK(ReceiveDescriptor(receiving.Number()) == -1);
  CHECK(errno == EAGAIN);
  REQUIRE(::send(passing.Number(), "x", 1, 0) == 1);
  CHECK(ReceiveDescriptor(receiving.Number()) == -1);
  CHECK(errno == EAGAIN);
  passing.Close();
  CHECK(ReceiveDescriptor(receiving.Number()) == -1);
  CHECK(errno == EPIPE);
  CHECK_FALSE(SendDescriptor(receiving.Number(), receiving.Number()));
}

TEST_CASE("PassedDescriptor: of a packet with more than one descriptor none stays open unseen") {
  auto [passing, receiving] = Pair(SOCK_SEQPACKET);
  auto [server, connection] = Pair(SOCK_STREAM);
  const std::array numbers{connection.Number(), server.Number()};
  REQUIRE(observe::SendWithDescriptors(passing.Number(), "x", numbers, MSG_DONTWAIT) == 1);
  const auto before = OpenDescriptors();
  const FileDescriptor received(ReceiveDescriptor(receiving.Number()));
  CHECK(received.IsOpen());
  CHECK(OpenDescriptors() == before + 1);
}

}  // namespace
}  // namespace weft::host::fastcgi
