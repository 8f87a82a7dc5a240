#include "host/fastcgi/server.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/temporary_folder.hpp"
#include "tests/unit/fastcgi/fastcgi_host.hpp"

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

  /// The last one's end.
  int Client() const { return clients_.back(); }
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

/// Two servers, and the sockets by which the one passes connections on to the other.
class Passing {
 public:
  Passing() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) ==
            0);
    next.server.ListenForPassed(ends[0]);
    out = ends[1];
  }
  Passing(const Passing&) = delete;
  Passing& operator=(const Passing&) = delete;
  ~Passing() { ::close(out); }

  void Turn() {
    while (last.io.poll() + next.io.poll() != 0) {
    }
  }

  Listening last;
  Listening next;
  int out = -1;
};

TEST_CASE("Server: a connection that is passed on goes on where it is, with what waits in it") {
  Passing passing;
  passing.last.Connect();
  REQUIRE(passing.last.NextCount() == 1);
  passing.last.server.PassOnTo(passing.out, Server::Backlog::kTake);
  const auto question = testsupport::EncodeGetValues({"FCGI_MPXS_CONNS"});
  REQUIRE(::send(passing.last.Client(), question.data(), question.size(), 0) ==
          static_cast<ssize_t>(question.size()));
  passing.Turn();
  CHECK(passing.last.server.Connections() == 0);
  CHECK(passing.next.server.Connections() == 1);
  std::array<char, 100> answer{};
  CHECK(::recv(passing.last.Client(), answer.data(), answer.size(), MSG_DONTWAIT) > 8);
}

TEST_CASE("Server: who has connected and was not accepted is passed on as well, or left") {
  Passing passing;
  passing.last.Connect();
  passing.last.Connect();
  SUBCASE("taken") {
    passing.last.server.PassOnTo(passing.out, Server::Backlog::kTake);
    passing.Turn();
    CHECK(passing.next.server.Connections() == 2);
  }
  SUBCASE("left") {
    passing.last.server.PassOnTo(passing.out, Server::Backlog::kLeave);
    passing.Turn();
    CHECK(passing.next.server.Connections() == 0);
  }
  CHECK(passing.last.server.Connections() == 0);
}

TEST_CASE("Server: half a request keeps a connection, and its peer's end ends it") {
  Passing passing;
  passing.last.Connect();
  REQUIRE(passing.last.NextCount() == 1);
  REQUIRE(::send(passing.last.Client(), "\1", 1, 0) == 1);
  passing.Turn();
  passing.last.server.PassOnTo(passing.out, Server::Backlog::kTake);
  passing.Turn();
  CHECK(passing.last.server.Connections() == 1);
  ::shutdown(passing.last.Client(), SHUT_RDWR);
  passing.Turn();
  CHECK(passing.last.server.Connections() == 0);
  CHECK(passing.next.server.Connections() == 0);
}

TEST_CASE(
    "Server: more connections than the sockets hold are passed on in the end, as far as there is "
    "room") {
  Passing passing;
  const int small = 1;
  REQUIRE(::setsockopt(passing.out, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
  for (int i = 0; i < 100; ++i) {
    passing.last.Connect();
  }
  passing.last.server.PassOnTo(passing.out, Server::Backlog::kTake);
  REQUIRE(passing.last.server.Connections() > 0);
  while (passing.last.server.Connections() != 0) {
    const auto before = passing.last.server.Connections();
    passing.Turn();
    passing.last.server.PassOn(/*holds_back=*/false);
    REQUIRE(passing.last.server.Connections() < before);
  }
  passing.Turn();
  CHECK(passing.next.server.Connections() == 100);
}

TEST_CASE(
    "Server: a stop after all ends what was to be passed on, and takes what others have passed") {
  Passing passing;
  passing.last.Connect();
  REQUIRE(passing.last.NextCount() == 1);
  SUBCASE("here") {
    REQUIRE(::send(passing.last.Client(), "\1", 1, 0) == 1);
    passing.Turn();
    passing.last.server.PassOnTo(passing.out, Server::Backlog::kTake);
    passing.last.server.Drain(Server::Backlog::kTake);
    ::shutdown(passing.last.Client(), SHUT_RDWR);
    passing.Turn();
    CHECK(passing.last.server.Connections() == 0);
  }
  SUBCASE("there") {
    passing.last.server.PassOnTo(passing.out, Server::Backlog::kTake);
    REQUIRE(passing.last.server.Connections() == 0);
    passing.next.server.Drain(Server::Backlog::kTake);
    passing.Turn();
    char byte = 0;
    CHECK(::recv(passing.last.Client(), &byte, 1, MSG_DONTWAIT) == 0);
  }
}

TEST_CASE("Server: packets without a connection are passed over") {
  Passing passing;
  REQUIRE(::send(passing.out, "x", 1, 0) == 1);
  passing.last.Connect();
  REQUIRE(passing.last.NextCount() == 1);
  passing.last.server.PassOnTo(passing.out, Server::Backlog::kTake);
  passing.Turn();
  CHECK(passing.next.server.Connections() == 1);
}

/// No descriptor can be opened while it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// The sanitizer asks the system by a pipe(2) whether memory is readable, and takes it for unreadable where there is none to be had.
#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE("Server: a connection that is passed to who has no descriptor left is not lost") {
  Passing passing;
  passing.last.Connect();
  REQUIRE(passing.last.NextCount() == 1);
  passing.last.server.PassOnTo(passing.out, Server::Backlog::kTake);
  {
    const NoDescriptors none;
    passing.Turn();
    REQUIRE(passing.last.server.Connections() == 0);
    REQUIRE(passing.next.server.Connections() == 0);
  }
  char byte = 0;
  CHECK(::recv(passing.last.Client(), &byte, 1, MSG_DONTWAIT) < 0);  // nobody has closed it
  passing.next.io.run_one();                                         // the time until the next try
  passing.Turn();
  CHECK(passing.next.server.Connections() == 1);
}
#endif

/// Two servers that share their connections, as two workers do. Whether a reactor waits is told by nobody here: all are busy.
class SharingHost {
 public:
  SharingHost() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) ==
            0);
    in_ = ends[0];
    out = ends[1];
  }
  SharingHost(const SharingHost&) = delete;
  SharingHost& operator=(const SharingHost&) = delete;
  ~SharingHost() {
    ::close(out);
    ::close(in_);
  }

  /// `other` is what the worker sees of the other one.
  void Add(Listening& worker, const Sharing::Load& other) {
    worker.server.ListenForPassed(::dup(in_));
    worker.server.ShareWith(
        std::make_unique<Sharing>(Sharing::Options{},
                                  [&other](std::size_t&, std::span<Sharing::Load> loads) {
                                    loads[0] = other;
                                    return std::size_t{1};
                                  }),
        out);
  }
  static void Turn(std::initializer_list<Listening*> workers) {
    for (bool again = true; again;) {
      again = false;
      for (auto* const worker : workers) {
        again = worker->io.poll() != 0 || again;
      }
    }
  }

  int out = -1;

 private:
  int in_ = -1;
};

void Ask(int client) {
  const auto question = testsupport::EncodeGetValues({"FCGI_MPXS_CONNS"});
  REQUIRE(::send(client, question.data(), question.size(), 0) ==
          static_cast<ssize_t>(question.size()));
}
bool IsAnswered(int client) {
  std::array<char, 100> answer{};
  return ::recv(client, answer.data(), answer.size(), MSG_DONTWAIT) > 8;
}

TEST_CASE("Server: a connection that is left to others is taken when they do not take it") {
  SharingHost host;
  Listening worker;
  Sharing::Load other{.connections = 0, .waits = true};
  host.Add(worker, other);
  worker.Connect();
  CHECK(worker.NextCount() == 0);
  worker.io.run_one();
  CHECK(worker.server.Connections() == 1);
}

TEST_CASE(
    "Server: the rest of the requests that wait behind one are passed on with their connections") {
  SharingHost host;
  Listening busy;
  Listening free;
  Sharing::Load of_free{.connections = 100};
  const Sharing::Load of_busy{.connections = 100};
  host.Add(busy, of_free);
  host.Add(free, of_busy);
  std::vector<int> clients;
  for (int i = 0; i < 3; ++i) {
    busy.Connect();
    REQUIRE(busy.NextCount() == static_cast<std::size_t>(i + 1));
    clients.push_back(busy.Client());
  }
  // Past the look that the first connections had.
  std::this_thread::sleep_for(Sharing::kLookInterval);
  of_free.waits = true;
  for (const int client : clients) {
    Ask(client);
  }
  while (busy.server.Connections() == 3 && busy.io.poll_one() != 0) {
  }
  CHECK(busy.server.Connections() == 2);  // as many as there are free workers
  of_free.waits = false;
  SharingHost::Turn({&free, &busy});
  CHECK(free.server.Connections() == 1);
  CHECK(busy.server.Connections() == 2);
  for (const int client : clients) {
    CHECK(IsAnswered(client));
  }
}

TEST_CASE("Server: connections are evened out, but those that are not at rest") {
  SharingHost host;
  Listening full;
  Listening empty;
  Sharing::Load of_empty{.connections = 100};
  const Sharing::Load of_full{.connections = 4};
  host.Add(full, of_empty);
  host.Add(empty, of_full);
  for (int i = 0; i < 4; ++i) {
    full.Connect();
    REQUIRE(full.NextCount() == static_cast<std::size_t>(i + 1));
    if (i < 3) {
      REQUIRE(::send(full.Client(), "\1", 1, 0) == 1);
    }
  }
  SharingHost::Turn({&full});
  of_empty.connections = 0;
  full.server.EvenOut(Connection::Clock::now());
  SharingHost::Turn({&empty});
  CHECK(empty.server.Connections() == 1);
  CHECK(full.server.Connections() == 3);
}

TEST_CASE(
    "Server: a worker that begins to end takes what it has passed on, and passes on no more") {
  SharingHost host;
  Listening worker;
  Sharing::Load other{.connections = 100};
  host.Add(worker, other);
  worker.Connect();
  worker.Connect();
  worker.io.poll();
  REQUIRE(worker.server.Connections() == 2);
  other.connections = 0;
  worker.server.EvenOut(Connection::Clock::now());
  REQUIRE(worker.server.Connections() == 1);
  Ask(worker.Client());
  worker.server.Drain(Server::Backlog::kTake);
  worker.server.EvenOut(Connection::Clock::now() + std::chrono::hours(1));
  worker.io.poll();
  CHECK(worker.server.Connections() == 0);
  CHECK(IsAnswered(worker.Client()));
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
