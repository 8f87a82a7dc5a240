#include "host/supervisor/parked_connections.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "host/fastcgi/passed_descriptor.hpp"

namespace weft::host::supervisor {
namespace {

using namespace std::chrono_literals;
using Time = ParkedConnections::Clock::time_point;

constexpr Time kStart{1h};

std::pair<FileDescriptor, FileDescriptor> Pair(int kind) {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

/// Workers' socket, and web servers whose connections were passed on there.
struct Stage {
  std::pair<FileDescriptor, FileDescriptor> passing = Pair(SOCK_SEQPACKET);
  std::vector<FileDescriptor> servers;

  void PassOne() {
    auto [server, host] = Pair(SOCK_STREAM);
    servers.push_back(std::move(server));
    REQUIRE(fastcgi::SendDescriptor(passing.second.Number(), host.Number()));
  }
};

bool Handle(ParkedConnections& parked) {
  std::vector<pollfd> events;
  parked.AppendEvents(events);
  REQUIRE(::poll(events.data(), events.size(), 0) >= 0);
  return parked.Handle(events);
}

bool IsClosed(const FileDescriptor& server) {
  char byte = 0;
  return ::recv(server.Number(), &byte, 1, MSG_DONTWAIT) == 0;
}

TEST_CASE("ParkedConnections: what comes on one is told and left where it is") {
  Stage stage;
  ParkedConnections parked(8, 120s);
  stage.PassOne();
  stage.PassOne();
  REQUIRE(parked.TakeFrom(stage.passing.first.Number(), kStart));
  CHECK(parked.FreeRoom() == 6);
  CHECK_FALSE(Handle(parked));
  REQUIRE(::send(stage.servers[1].Number(), "ask", 3, 0) == 3);
  CHECK(Handle(parked));
  CHECK(Handle(parked));

  parked.GiveTo(stage.passing.second.Number());
  CHECK(parked.Empty());
  const FileDescriptor first(fastcgi::ReceiveDescriptor(stage.passing.first.Number()));
  const FileDescriptor second(fastcgi::ReceiveDescriptor(stage.passing.first.Number()));
  std::array<char, 8> bytes{};
  CHECK(::recv(first.Number(), bytes.data(), bytes.size(), MSG_DONTWAIT) < 0);
  CHECK(::recv(second.Number(), bytes.data(), bytes.size(), MSG_DONTWAIT) == 3);
  CHECK_FALSE(IsClosed(stage.servers[0]));
}

TEST_CASE("ParkedConnections: those that their server closes go, and ask for nothing") {
  Stage stage;
  ParkedConnections parked(8, 120s);
  for (int i = 0; i < 3; ++i) stage.PassOne();
  REQUIRE(parked.TakeFrom(stage.passing.first.Number(), kStart));
  stage.servers[1].Close();
  CHECK_FALSE(Handle(parked));
  CHECK(parked.Descriptors().size() == 2);
  // With a last request on it that nobody waits for, it is a worker's to see.
  REQUIRE(::send(stage.servers[0].Number(), "x", 1, 0) == 1);
  stage.servers[0].Close();
  CHECK(Handle(parked));
}

TEST_CASE("ParkedConnections: no more than there is room for are taken, and the others wait") {
  Stage stage;
  ParkedConnections parked(2, 120s);
  for (int i = 0; i < 3; ++i) stage.PassOne();
  CHECK_FALSE(parked.TakeFrom(stage.passing.first.Number(), kStart));
  CHECK(parked.FreeRoom() == 0);
  const FileDescriptor third(fastcgi::ReceiveDescriptor(stage.passing.first.Number()));
  CHECK(third.IsOpen());
}

TEST_CASE("ParkedConnections: one that nobody uses for long is closed") {
  Stage stage;
  ParkedConnections parked(8, 120s);
  CHECK(parked.NextDeadline() == Time::max());
  stage.PassOne();
  REQUIRE(parked.TakeFrom(stage.passing.first.Number(), kStart));
  stage.PassOne();
  REQUIRE(parked.TakeFrom(stage.passing.first.Number(), kStart + 60s));
  CHECK(parked.NextDeadline() == kStart + 120s);
  parked.CloseOverdue(kStart + 120s);
  CHECK(parked.NextDeadline() == kStart + 180s);
  CHECK(IsClosed(stage.servers[0]));
  CHECK_FALSE(IsClosed(stage.servers[1]));
}

TEST_CASE("ParkedConnections: what the workers' socket does not take stays until it does") {
  Stage stage;
  ParkedConnections parked(512, 120s);
  for (int i = 0; i < 400; ++i) {
    stage.PassOne();
    REQUIRE(parked.TakeFrom(stage.passing.first.Number(), kStart));
  }
  std::size_t taken = 0;
  while (true) {
    parked.GiveTo(stage.passing.second.Number());
    FileDescriptor connection(fastcgi::ReceiveDescriptor(stage.passing.first.Number()));
    if (!connection.IsOpen()) break;
    ++taken;
  }
  CHECK(taken == 400);
  CHECK(parked.Empty());
}

TEST_CASE("ParkedConnections: a program that takes over has those of before") {
  Stage stage;
  ParkedConnections before(8, 120s);
  stage.PassOne();
  REQUIRE(before.TakeFrom(stage.passing.first.Number(), kStart));
  ParkedConnections after(8, 120s);
  std::vector<int> copies;
  for (const int descriptor : before.Descriptors()) copies.push_back(::dup(descriptor));
  after.Adopt(copies, kStart + 1h);
  before.Close();
  CHECK_FALSE(IsClosed(stage.servers[0]));
  CHECK(after.NextDeadline() == kStart + 1h + 120s);
  after.Close();
  CHECK(IsClosed(stage.servers[0]));
}

}  // namespace
}  // namespace weft::host::supervisor
