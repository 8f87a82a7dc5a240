#include "host/observe/descriptor_packet.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace weft::host::observe {
namespace {

/// Two ends of a socket, with what goes from the one to the other.
struct Way {
  explicit Way(int kind = SOCK_SEQPACKET) {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, kind | SOCK_CLOEXEC, 0, ends.data()) == 0);
    from = FileDescriptor(ends[0]);
    to = FileDescriptor(ends[1]);
  }

  /// So many descriptors of files that differ.
  ssize_t Send(std::string_view text, std::size_t count) {
    files.clear();
    std::vector<int> numbers;
    for (std::size_t i = 0; i < count; ++i) {
      files.push_back(SomeFile());
      numbers.push_back(files.back().Number());
    }
    return SendWithDescriptors(from.Number(), text, numbers, MSG_DONTWAIT);
  }

  ReceivedPacket Receive(std::span<FileDescriptor> descriptors) {
    return ReceiveWithDescriptors(to.Number(), room, descriptors);
  }
  std::string_view Text(const ReceivedPacket& packet) const {
    return {room.data(), static_cast<std::size_t>(packet.bytes)};
  }

  static FileDescriptor SomeFile() {
    FileDescriptor file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    REQUIRE(file.IsOpen());
    return file;
  }

  FileDescriptor from;
  FileDescriptor to;
  std::vector<FileDescriptor> files;
  std::array<char, 64> room{};
};

std::size_t OpenDescriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

bool IsSameFile(const FileDescriptor& one, const FileDescriptor& other) {
  struct stat a {};
  struct stat b {};
  return ::fstat(one.Number(), &a) == 0 && ::fstat(other.Number(), &b) == 0 &&
         a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

TEST_CASE("DescriptorPacket: the bytes and the descriptors come in their order") {
  Way way;
  REQUIRE(way.Send("three", 3) == 5);
  std::array<FileDescriptor, 4> got;
  const auto packet = way.Receive(got);
  CHECK(way.Text(packet) == "three");
  REQUIRE(packet.descriptors == 3);
  CHECK_FALSE(packet.lost_descriptors);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(IsSameFile(got.at(i), way.files[i]));
    CHECK((::fcntl(got.at(i).Number(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK_FALSE(got[3].IsOpen());
}

TEST_CASE("DescriptorPacket: as many as the system lets one packet have, and no more") {
  Way way;
  REQUIRE(way.Send("many", kMaxPassedDescriptors) == 4);
  std::array<FileDescriptor, kMaxPassedDescriptors> got;
  const auto packet = way.Receive(got);
  REQUIRE(packet.descriptors == kMaxPassedDescriptors);
  CHECK_FALSE(packet.lost_descriptors);
  CHECK(IsSameFile(got.back(), way.files.back()));
  CHECK(way.Send("too many", kMaxPassedDescriptors + 1) == -1);
  CHECK(errno == E2BIG);
}

TEST_CASE("DescriptorPacket: what comes beyond the room for it is closed") {
  // For 2 there is room in what CMSG_SPACE() of one rounds up to, so that the system gives both; of 9 it drops some itself.
  for (const std::size_t count : {std::size_t{2}, std::size_t{3}, std::size_t{9}}) {
    CAPTURE(count);
    Way way;
    REQUIRE(way.Send("x", count) == 1);
    const auto before = OpenDescriptors();
    {
      std::array<FileDescriptor, 1> got;
      const auto packet = way.Receive(got);
      CHECK(way.Text(packet) == "x");
      CHECK(packet.descriptors == 1);
      CHECK(packet.lost_descriptors);
      CHECK(IsSameFile(got[0], way.files[0]));
      CHECK(OpenDescriptors() == before + 1);
    }
    CHECK(OpenDescriptors() == before);
  }
}

TEST_CASE("DescriptorPacket: who wants none has none left open") {
  Way way;
  REQUIRE(way.Send("x", 2) == 1);
  const auto before = OpenDescriptors();
  const auto packet = way.Receive({});
  CHECK(way.Text(packet) == "x");
  CHECK(packet.descriptors == 0);
  CHECK(packet.lost_descriptors);
  CHECK(OpenDescriptors() == before);
}

TEST_CASE("DescriptorPacket: what there is no number left for is told as lost") {
  Way way;
  REQUIRE(way.Send("x", 2) == 1);
  const auto before = OpenDescriptors();
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  // One number is free below that, and all above are not to be had.
  FileDescriptor free(::dup(way.to.Number()));
  const rlimit low{static_cast<rlim_t>(free.Number()) + 1, limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  free.Close();
  std::array<FileDescriptor, 2> got;
  const auto packet = way.Receive(got);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(way.Text(packet) == "x");
  CHECK(packet.descriptors == 1);
  CHECK(packet.lost_descriptors);
  CHECK(OpenDescriptors() == before + 1);
}

TEST_CASE("DescriptorPacket: a packet without descriptors, none at all, and the end") {
  Way way;
  std::array<FileDescriptor, 1> got;
  CHECK(way.Receive(got).bytes == -1);
  CHECK(errno == EAGAIN);
  REQUIRE(::send(way.from.Number(), "plain", 5, 0) == 5);
  const auto packet = way.Receive(got);
  CHECK(way.Text(packet) == "plain");
  CHECK(packet.descriptors == 0);
  CHECK_FALSE(packet.lost_descriptors);
  way.from.Close();
  CHECK(way.Receive(got).bytes == 0);
}

TEST_CASE("DescriptorPacket: a datagram may have a descriptor and no bytes") {
  Way way(SOCK_DGRAM);
  REQUIRE(way.Send({}, 1) == 0);
  std::array<FileDescriptor, 1> got;
  const auto packet = way.Receive(got);
  CHECK(packet.bytes == 0);
  REQUIRE(packet.descriptors == 1);
  CHECK(IsSameFile(got[0], way.files[0]));
}

}  // namespace
}  // namespace weft::host::observe
