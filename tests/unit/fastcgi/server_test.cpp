#include "host/fastcgi/server.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/temporary_folder.hpp"

namespace weft::host::fastcgi {

namespace {

/// Nobody asks for anything here.
class NoRequests final : public IRequestServer {
 public:
  void Start(Channel&) override { throw std::logic_error("nothing was asked for"); }
  void Serve(Channel&) noexcept override {}
  pipeline::BodyBudget& Bodies() noexcept override { return bodies_; }

 private:
  pipeline::BodyBudget bodies_{1000};
};

/// A server on a Unix socket, whose reactor turns when it is told to.
class Listening {
 public:
  Listening() {
    std::strncpy(address_.sun_path, (folder_ / "socket").c_str(), sizeof address_.sun_path - 1);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    REQUIRE(::bind(listener, Address(), sizeof address_) == 0);
    REQUIRE(::listen(listener, 100) == 0);
    server.Listen(listener);
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  ~Listening() {
    for (const int client : clients_) {
      ::close(client);
    }
    server.Abandon();
    io.poll();
  }

  void Connect() {
    clients_.push_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(clients_.back(), Address(), sizeof address_) == 0);
  }
  /// Turns until somebody is accepted.
  std::size_t NextCount() {
    const auto before = server.Connections();
    while (server.Connections() == before && io.poll_one() != 0) {
    }
    return server.Connections();
  }

  boost::asio::io_context io;
  NoRequests requests;
  Server server{io, requests, {100, std::chrono::milliseconds(1000), 0, {}, {}}, nullptr, nullptr};

 private:
  const sockaddr* Address() const { return reinterpret_cast<const sockaddr*>(&address_); }

  test::TemporaryFolder folder_;
  sockaddr_un address_{.sun_family = AF_UNIX, .sun_path = {}};
  std::vector<int> clients_;
};

}  // namespace

TEST_CASE("Server: one is accepted a turn, so that other workers have theirs") {
  Listening listening;
  listening.Connect();
  listening.Connect();
  CHECK(listening.NextCount() == 1);
}

TEST_CASE("Server: a turn that comes late accepts all that wait") {
  Listening listening;
  for (int i = 0; i < 50; ++i) {
    listening.Connect();
  }
  REQUIRE(listening.NextCount() == 1);
  // The reactor is busy: those who wait do so for it alone.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(listening.NextCount() == 50);
}

TEST_CASE("Server: a turn that comes late accepts no more than there may be") {
  Listening listening;
  for (int i = 0; i < 90; ++i) {
    listening.Connect();
  }
  REQUIRE(listening.NextCount() == 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  REQUIRE(listening.NextCount() == 90);
  for (int i = 0; i < 20; ++i) {
    listening.Connect();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  while (listening.io.poll_one() != 0) {
  }
  CHECK(listening.server.Connections() == 100);
}

TEST_CASE("Server: who wants to know of connections is told before each") {
  Listening listening;
  int told = 0;
  listening.server.SetOnConnection([&] { ++told; });
  listening.Connect();
  CHECK(listening.NextCount() == 1);
  CHECK(told == 1);
}

}  // namespace weft::host::fastcgi
