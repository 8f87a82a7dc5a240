#include "host/supervisor/service_manager.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "host/supervisor/file_descriptor.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::host::supervisor {
namespace {

using namespace std::chrono_literals;
using Clock = ServiceManager::Clock;
using Stage = ServiceManager::Stage;

/// The service manager's end: a real datagram socket, which NOTIFY_SOCKET names.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& name)
      : descriptor_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(name.size() <= sizeof address.sun_path);
    std::memcpy(address.sun_path, name.data(), name.size());
    const bool is_abstract = name.front() == '@';
    if (is_abstract) address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() +
                                               (is_abstract ? 0 : 1));
    REQUIRE(::bind(descriptor_.Number(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }

  /// What has come since the last call.
  std::vector<std::string> Messages() const {
    std::vector<std::string> messages;
    char packet[4096];
    for (ssize_t size; (size = ::recv(descriptor_.Number(), packet, sizeof packet, 0)) >= 0;) {
      messages.emplace_back(packet, static_cast<std::size_t>(size));
    }
    return messages;
  }

  void Close() { descriptor_.Close(); }

 private:
  FileDescriptor descriptor_;
};

using Messages = std::vector<std::string>;

/// Without the number behind MONOTONIC_USEC, which is checked to be the clock's.
std::string WithoutTime(std::string message) {
  const std::string name = "MONOTONIC_USEC=";
  const auto begin = message.find(name);
  REQUIRE(begin != std::string::npos);
  const auto end = message.find('\n', begin);
  const auto told = std::stoll(message.substr(begin + name.size(), end - begin - name.size()));
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                       std::chrono::steady_clock::now().time_since_epoch())
                       .count();
  CHECK(told <= now);
  CHECK(told > now - 60'000'000);
  return message.erase(begin, end - begin);
}

}  // namespace

TEST_CASE("ServiceManager: tells each change once, on a socket with a path or an abstract name") {
  const test::TemporaryFolder folder;
  std::string name = (folder.Path() / "notify").string();
  SUBCASE("a path") {}
  SUBCASE("an abstract name") { name = "@weft-test-" + std::to_string(::getpid()); }
  const NotifySocket socket(name);
  ServiceManager manager(/*spawned=*/false);
  CHECK(manager.IsThere());

  manager.Tell(Stage::kStarting, "0 workers ready, 1 starting");
  CHECK(socket.Messages() == Messages{"STATUS=0 workers ready, 1 starting\n"});
  manager.Tell(Stage::kServing, "1 worker ready");
  CHECK(socket.Messages() == Messages{"READY=1\nSTATUS=1 worker ready\n"});
  manager.Tell(Stage::kServing, "1 worker ready");
  CHECK(socket.Messages() == Messages{});
  manager.Tell(Stage::kServing, "2 workers\nready");
  CHECK(socket.Messages() == Messages{"STATUS=2 workers ready\n"});

  manager.Tell(Stage::kReloading, "2 workers ready");
  const Messages reloading = socket.Messages();
  REQUIRE(reloading.size() == 1);
  CHECK(WithoutTime(reloading.front()) == "RELOADING=1\n\n");
  manager.Tell(Stage::kServing, "2 workers ready");
  CHECK(socket.Messages() == Messages{"READY=1\n"});

  manager.Tell(Stage::kStopping, "2 workers ending", 34s);
  CHECK(socket.Messages() ==
        Messages{"STOPPING=1\nEXTEND_TIMEOUT_USEC=34000000\nSTATUS=2 workers ending\n"});
  manager.Tell(Stage::kServing, "2 workers ending", 34s);
  CHECK(socket.Messages() == Messages{});
}

TEST_CASE(
    "ServiceManager: a reload that is asked for while the host starts comes after its start") {
  const test::TemporaryFolder folder;
  const NotifySocket socket((folder.Path() / "notify").string());
  ServiceManager manager(/*spawned=*/false);
  manager.Tell(Stage::kReloading, "");
  const Messages messages = socket.Messages();
  REQUIRE(messages.size() == 2);
  CHECK(messages[0] == "READY=1");
  CHECK(WithoutTime(messages[1]) == "RELOADING=1\n\n");
}

TEST_CASE("ServiceManager: takes its variables out of the environment, whoever they are for") {
  const test::TemporaryFolder folder;
  const NotifySocket socket((folder.Path() / "notify").string());
  ::setenv("WATCHDOG_USEC", "1000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  bool spawned = false;
  SUBCASE("by a service manager") {}
  SUBCASE("by a web server") { spawned = true; }
  ServiceManager manager(spawned);
  for (const char* const variable : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    CHECK(std::getenv(variable) == nullptr);
  }
  // A web server's variables speak of the web server.
  CHECK(manager.IsThere() == !spawned);
  manager.Tell(Stage::kServing, "");
  manager.Beat(Clock::now());
  CHECK(socket.Messages() == (spawned ? Messages{} : Messages{"READY=1\n"}));
}

TEST_CASE("ServiceManager: without a socket nothing is told, and nothing wakes for it") {
  std::vector<std::string> warnings;
  ::unsetenv("NOTIFY_SOCKET");
  ::setenv("WATCHDOG_USEC", "1000000", 1);
  std::size_t expected = 0;
  SUBCASE("no variable") {}
  SUBCASE("an empty one") { ::setenv("NOTIFY_SOCKET", "", 1); }
  SUBCASE("a relative path") {
    ::setenv("NOTIFY_SOCKET", "run/notify", 1);
    expected = 1;
  }
  SUBCASE("a path that no socket can have") {
    ::setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
    expected = 1;
  }
  ServiceManager manager(/*spawned=*/false, [&](options::LogLevel, std::string_view line) {
    warnings.emplace_back(line);
  });
  CHECK_FALSE(manager.IsThere());
  manager.Tell(Stage::kServing, "1 worker ready");
  manager.Beat(Clock::now());
  CHECK(manager.NextCall() == Clock::time_point::max());
  CHECK(warnings.size() == expected);
}

TEST_CASE("ServiceManager: gives a sign of life twice in the time of the watchdog") {
  const test::TemporaryFolder folder;
  const NotifySocket socket((folder.Path() / "notify").string());
  ::setenv("WATCHDOG_USEC", "20000000", 1);
  SUBCASE("any process's") { ::unsetenv("WATCHDOG_PID"); }
  SUBCASE("this process's") { ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1); }
  ServiceManager manager(/*spawned=*/false);
  const auto start = manager.NextCall();
  CHECK(start <= Clock::now());
  manager.Beat(start);
  CHECK(socket.Messages() == Messages{"WATCHDOG=1"});
  CHECK(manager.NextCall() == start + 10s);
  manager.Beat(start + 9999ms);
  CHECK(socket.Messages() == Messages{});
  manager.Beat(start + 10s);
  CHECK(socket.Messages() == Messages{"WATCHDOG=1"});
  CHECK(manager.NextCall() == start + 20s);
}

TEST_CASE(
    "ServiceManager: a watchdog that is not for this process, or wrong, gets no signs of life") {
  const test::TemporaryFolder folder;
  const NotifySocket socket((folder.Path() / "notify").string());
  ::setenv("WATCHDOG_USEC", "20000000", 1);
  ::unsetenv("WATCHDOG_PID");
  std::size_t expected = 1;
  SUBCASE("another process's") {
    ::setenv("WATCHDOG_PID", std::to_string(::getpid() + 1).c_str(), 1);
    expected = 0;
  }
  SUBCASE("zero") { ::setenv("WATCHDOG_USEC", "0", 1); }
  SUBCASE("no number") { ::setenv("WATCHDOG_USEC", "20s", 1); }
  SUBCASE("a time without end") { ::setenv("WATCHDOG_USEC", "18446744073709551615", 1); }
  std::vector<std::string> warnings;
  ServiceManager manager(/*spawned=*/false, [&](options::LogLevel, std::string_view line) {
    warnings.emplace_back(line);
  });
  CHECK(manager.NextCall() == Clock::time_point::max());
  manager.Beat(Clock::now() + 1h);
  CHECK(socket.Messages() == Messages{});
  CHECK(warnings.size() == expected);
}

TEST_CASE(
    "ServiceManager: what its socket has no room for is sent later, and nobody waits for it") {
  const test::TemporaryFolder folder;
  const NotifySocket socket((folder.Path() / "notify").string());
  ServiceManager manager(/*spawned=*/false);
  // The kernel keeps so many datagrams for a socket (net.unix.max_dgram_qlen) and no more.
  int told = 0;
  while (manager.NextCall() == Clock::time_point::max() && told < 10'000) {
    manager.Tell(Stage::kStarting, "status " + std::to_string(told++));
  }
  REQUIRE(told < 10'000);
  const auto again_at = manager.NextCall();
  manager.Tell(Stage::kServing, "at last");
  CHECK(socket.Messages().size() == static_cast<std::size_t>(told) - 1);
  manager.Beat(again_at + 1s);
  CHECK(socket.Messages() == Messages{"READY=1\nSTATUS=at last\n"});
  CHECK(manager.NextCall() == Clock::time_point::max());
}

TEST_CASE("ServiceManager: one that is gone is told of once in the log") {
  const test::TemporaryFolder folder;
  NotifySocket socket((folder.Path() / "notify").string());
  std::vector<std::string> warnings;
  ServiceManager manager(/*spawned=*/false, [&](options::LogLevel, std::string_view line) {
    warnings.emplace_back(line);
  });
  socket.Close();
  manager.Tell(Stage::kServing, "1 worker ready");
  manager.Tell(Stage::kStopping, "1 worker ending");
  CHECK(warnings.size() == 1);
  CHECK(manager.NextCall() == Clock::time_point::max());
}

TEST_CASE("ServiceStatusText: counts the workers by what they do") {
  using State = WorkerStatus::State;
  const auto text = [](std::vector<State> states, HostStatus::Stage stage) {
    HostStatus status;
    status.stage = stage;
    for (const State state : states) status.workers.push_back({.state = state});
    return ServiceStatusText(status);
  };
  constexpr auto kRunning = HostStatus::Stage::kRunning;
  constexpr auto kDraining = HostStatus::Stage::kDraining;
  CHECK(text({State::kStarting, State::kWaiting}, kRunning) ==
        "0 workers ready, 1 starting, 1 to be started");
  CHECK(text({State::kReady}, kRunning) == "1 worker ready");
  CHECK(text({State::kRetiring, State::kReady, State::kReady}, kRunning) ==
        "2 workers ready, 1 retiring");
  CHECK(text({State::kEnding, State::kEnded}, kDraining) == "1 worker ending");
  CHECK(text({State::kEnded}, kDraining) == "all workers have ended");
}

TEST_CASE("ServiceStatusText: says that mapping files were refused") {
  MappingsState mappings;
  worker::ReloadReport report;
  report.cause = worker::ReloadReport::Cause::kReload;
  report.accepted = false;
  report.problem_count = 3;
  report.read_at = Clock::now();
  mappings.OnReport(std::move(report), {.worker = 7});
  HostStatus status;
  status.mappings = &mappings;
  status.workers.push_back({.state = WorkerStatus::State::kReady});
  CHECK(
      ServiceStatusText(status) ==
      "1 worker ready; the mapping files were refused, with 3 problems: those of before serve on");
}

}  // namespace weft::host::supervisor
