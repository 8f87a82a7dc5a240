#include "host/supervisor/control_socket.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/temporary_folder.hpp"
#include "tests/unit/supervisor/test_processes.hpp"

namespace weft::host::supervisor {
namespace {

using Clock = ControlSocket::Clock;
using test::TemporaryFolder;

/// The loop around a control socket, turned by the test, with a clock of its own. It answers with what it was asked.
class Loop {
 public:
  Loop()
      : socket(OpenControl((folder_ / "c").string()),
               [this](std::string_view request) -> std::string {
                 if (fails) throw std::bad_alloc();
                 return answer.empty() ? "<" + std::string(request) + ">" : answer;
               }) {
    events_.reserve(ControlSocket::kMaxEvents);
  }

  [[nodiscard]] FileDescriptor Connect() const {
    FileDescriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    (folder_ / "c").string().copy(name.sun_path, sizeof(name.sun_path) - 1);
    REQUIRE(::connect(client.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) ==
            0);
    return client;
  }

  [[nodiscard]] FileDescriptor Ask(std::string_view request) const {
    FileDescriptor client = Connect();
    REQUIRE(::send(client.Number(), request.data(), request.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(request.size()));
    return client;
  }

  /// One round, without waiting; the number of events.
  int Turn() {
    events_.clear();
    socket.AppendEvents(events_, now);
    CHECK(events_.size() <= ControlSocket::kMaxEvents);
    const int count = ::poll(events_.data(), events_.size(), 0);
    socket.Handle(events_, now);
    return count;
  }
  /// Until there is nothing to do.
  void TurnOut() {
    int rounds = 0;
    while (Turn() > 0 && ++rounds < 1'000) {
    }
    CHECK(rounds < 1'000);
  }
  /// How many connections it has.
  std::size_t Clients() {
    events_.clear();
    socket.AppendEvents(events_, now);
    return events_.size() - 1;
  }

 private:
  TemporaryFolder folder_;
  std::vector<pollfd> events_;

 public:
  ControlSocket socket;
  Clock::time_point now = Clock::now();
  bool fails = false;
  std::string answer;
};

/// All that has come; "|" where the connection has ended, "!" by an error.
std::string Received(const FileDescriptor& client) {
  std::string text;
  std::array<char, 4096> piece{};
  while (true) {
    const ssize_t count = ::recv(client.Number(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN ? text : text + "!";
    if (count == 0) return text + "|";
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
}

TEST_CASE("ControlSocket: a line is answered, and the connection ends") {
  Loop loop;
  const FileDescriptor client = loop.Ask("status\n");
  loop.TurnOut();
  CHECK(Received(client) == "<status>|");
}

TEST_CASE("ControlSocket: a line may come in pieces, and without its end") {
  Loop loop;
  const FileDescriptor client = loop.Ask("sta");
  loop.TurnOut();
  CHECK(Received(client).empty());
  REQUIRE(::send(client.Number(), "tus", 3, 0) == 3);
  loop.TurnOut();
  CHECK(Received(client).empty());
  SUBCASE("newline") { REQUIRE(::send(client.Number(), "\nmore\n", 6, 0) == 6); }
  SUBCASE("end") { ::shutdown(client.Number(), SHUT_WR); }
  loop.TurnOut();
  CHECK(Received(client) == "<status>|");
}

TEST_CASE("ControlSocket: who leaves is forgotten") {
  Loop loop;
  { const FileDescriptor client = loop.Connect(); }
  loop.TurnOut();
  CHECK(loop.Clients() == 0);
  {
    const FileDescriptor client = loop.Ask("sta");
    loop.TurnOut();
    CHECK(loop.Clients() == 1);
  }
  loop.TurnOut();
  CHECK(loop.Clients() == 0);
  loop.answer = std::string(1'000'000, 'x');
  {
    const FileDescriptor client = loop.Ask("status\n");
    loop.TurnOut();
    CHECK(loop.Clients() == 1);
  }
  loop.TurnOut();
  CHECK(loop.Clients() == 0);
}

TEST_CASE("ControlSocket: a line that is too long is cut, and its rest thrown away") {
  Loop loop;
  const std::string line(65'536, 'x');
  const FileDescriptor client = loop.Ask(line);
  loop.TurnOut();
  CHECK(Received(client) == "<" + std::string(ControlSocket::kMaxRequestBytes + 1, 'x') + ">|");
  // More of it makes no error.
  CHECK(::send(client.Number(), line.data(), line.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(line.size()));
  loop.TurnOut();
  CHECK(Received(client) == "|");
}

TEST_CASE("ControlSocket: a long answer is given as it is read, and in time or not at all") {
  Loop loop;
  loop.answer = std::string(1'000'000, 'x');
  const FileDescriptor client = loop.Ask("status\n");
  loop.TurnOut();
  std::string text = Received(client);
  CHECK(text.size() < loop.answer.size());
  SUBCASE("in time") {
    while (!text.ends_with('|')) {
      loop.TurnOut();
      text += Received(client);
    }
    CHECK(text == loop.answer + "|");
  }
  SUBCASE("not at all") {
    loop.TurnOut();
    CHECK(loop.socket.NextDeadline(loop.now) == loop.now + ControlSocket::kPatience);
    loop.now += ControlSocket::kPatience;
    loop.Turn();
    CHECK(loop.Clients() == 0);
    CHECK(loop.socket.NextDeadline(loop.now) == Clock::time_point::max());
  }
}

TEST_CASE("ControlSocket: who is silent, or does not leave, is thrown out in time") {
  Loop loop;
  const FileDescriptor silent = loop.Connect();
  const FileDescriptor answered = loop.Ask("status\n");
  loop.TurnOut();
  CHECK(loop.Clients() == 2);
  loop.now += ControlSocket::kPatience - std::chrono::milliseconds(1);
  loop.Turn();
  CHECK(loop.Clients() == 2);
  loop.now += std::chrono::milliseconds(1);
  loop.Turn();
  CHECK(loop.Clients() == 0);
  CHECK(Received(silent) == "|");
  CHECK(Received(answered) == "<status>|");
}

TEST_CASE("ControlSocket: however many are silent, who asks is answered") {
  Loop loop;
  std::vector<FileDescriptor> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(loop.Connect());
  const FileDescriptor client = loop.Ask("status\n");
  loop.TurnOut();
  CHECK(Received(client) == "<status>|");
  CHECK(loop.Clients() == ControlSocket::kMaxClients);
  // The last ones are those that are left; nobody waits in the queue.
  CHECK(Received(silent.front()) == "|");
  CHECK(Received(silent.back()).empty());
}

TEST_CASE("ControlSocket: those that do not read keep nobody out") {
  Loop loop;
  loop.answer = std::string(1'000'000, 'x');
  std::vector<FileDescriptor> deaf;
  for (std::size_t i = 0; i < 3 * ControlSocket::kMaxClients; ++i) {
    deaf.push_back(loop.Ask("status\n"));
  }
  loop.TurnOut();
  CHECK(loop.Clients() == ControlSocket::kMaxClients);
  loop.answer.clear();
  const FileDescriptor client = loop.Ask("status\n");
  loop.TurnOut();
  CHECK(Received(client) == "<status>|");
}

TEST_CASE("ControlSocket: an answer that cannot be made ends the connection alone") {
  Loop loop;
  loop.fails = true;
  const FileDescriptor unlucky = loop.Ask("status\n");
  loop.TurnOut();
  CHECK(Received(unlucky) == "|");
  loop.fails = false;
  const FileDescriptor client = loop.Ask("status\n");
  loop.TurnOut();
  CHECK(Received(client) == "<status>|");
}

TEST_CASE("ControlSocket: without descriptors it waits, and does not spin") {
  CHECK(InChild([]() -> std::string {
          Loop loop;
          const FileDescriptor client = loop.Ask("status\n");
          const FileDescriptor next(::fcntl(client.Number(), F_DUPFD_CLOEXEC, 0));
          rlimit limit{};
          ::getrlimit(RLIMIT_NOFILE, &limit);
          const rlimit none{.rlim_cur = static_cast<rlim_t>(next.Number()) + 1,
                            .rlim_max = limit.rlim_max};
          ::setrlimit(RLIMIT_NOFILE, &none);
          std::string told = std::to_string(loop.Turn());  // somebody is there
          told += " " + std::to_string(loop.Turn());       // and is not looked at
          told += loop.socket.NextDeadline(loop.now) == loop.now + ControlSocket::kPause
                      ? " later "
                      : " at once ";
          ::setrlimit(RLIMIT_NOFILE, &limit);
          loop.now += ControlSocket::kPause;
          loop.TurnOut();
          return told + Received(client);
        }) == "1 0 later <status>|");
}

}  // namespace
}  // namespace weft::host::supervisor
