#include "host/supervisor/supervisor.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <new>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/worker/mapping_reload.hpp"
#include "host/worker/message.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/supervisor/test_processes.hpp"

namespace weft::host::supervisor {
namespace {

using options::Settings;
using std::chrono::milliseconds;
using test::TemporaryFolder;
using worker::WorkerStart;

using TestWorker = std::function<int(const WorkerStart&, EventPipe&)>;

/// Not imitated: the real worker, main(), and the web server around them.
class SupervisedHost : public HostProcess {
 public:
  SupervisedHost(
      const Settings& settings, const TestWorker& worker, bool spawned = false,
      const std::function<void(EventPipe&)>& before = [](EventPipe&) {}) {
    Start([&] {
      before(events);
      return Supervised([&] { return Run(settings, worker, spawned); });
    });
  }

 private:
  int Run(const Settings& settings, const TestWorker& worker, bool spawned) {
    ListeningSockets sockets =
        settings.listen.empty() ? ListeningSockets{} : OpenListeners(settings);
    sockets.spawned = spawned;
    if (!settings.control.empty()) sockets.control.emplace(OpenControl(settings.control));
    return Supervise(
        settings, std::move(sockets),
        [&](const WorkerStart& start) { return worker(start, events); },
        [&](options::LogLevel, std::string_view line) { Log(line); },
        [&](std::uint64_t fingerprint) {
          events.Say("new mappings " + std::to_string(fingerprint));
        });
  }
};

/// The last word of an event: its process id.
pid_t ProcessOf(const std::string& event) {
  return static_cast<pid_t>(std::stol(event.substr(event.rfind(' ') + 1)));
}

void SayReady(const WorkerStart& start) {
  if (!worker::TrySend(start.supervisor, worker::Ready{})) ::_exit(97);
}

std::string Self() { return std::to_string(::getpid()); }

/// Serves until SIGTERM or SIGINT, and says which of them it was.
int ServingWorker(const WorkerStart& start, EventPipe& events) {
  sigset_t asked;
  ::sigemptyset(&asked);
  ::sigaddset(&asked, SIGTERM);
  ::sigaddset(&asked, SIGINT);
  ::sigprocmask(SIG_BLOCK, &asked, nullptr);
  events.Say("serving " + Self());
  SayReady(start);
  int signal = 0;
  ::sigwait(&asked, &signal);
  events.Say((signal == SIGTERM ? "ends by TERM " : "ends by INT ") + Self());
  return 0;
}

/// Serves, and takes no notice of `ignored` signals.
TestWorker DeafWorker(std::vector<int> ignored) {
  return [ignored = std::move(ignored)](const WorkerStart& start, EventPipe& events) {
    for (const int signal : ignored) ::signal(signal, SIG_IGN);
    events.Say("serving " + Self());
    SayReady(start);
    while (true) ::pause();
    return 0;
  };
}

std::size_t CountOf(const std::string& part, const std::string& text) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

// --- Starting -----------------------------------------------------------------------------------

TEST_CASE("Supervisor: starts one worker first, and the others when that one is ready") {
  const Gate gate;  // what the first worker waits for
  SupervisedHost host(Workers(3), [&gate](const WorkerStart& start, EventPipe& events) {
    events.Say("started " + Self());
    gate.Pass();
    return ServingWorker(start, events);
  });
  const pid_t first = ProcessOf(host.events.Await("started"));
  // The answer takes the supervisor once around its loop: had it started others, they were there.
  host.Signal(SIGHUP);
  CHECK(host.events.Await("").starts_with("log: SIGHUP from process "));

  gate.Open(3);
  std::set<pid_t> serving;
  for (int i = 0; i < 3; ++i) serving.insert(ProcessOf(host.events.Await("serving")));
  CHECK(serving.size() == 3);
  CHECK(serving.count(first) == 1);

  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: a wrong configuration is reported once and ends with 78") {
  SupervisedHost host(Workers(4), [](const WorkerStart&, EventPipe& events) {
    events.Say("problem");
    return options::kExitConfiguration;
  });
  CHECK(host.AwaitExit() == options::kExitConfiguration);
  CHECK(CountOf("problem", host.Rest()) == 1);
  CHECK(CountOf("exited with code 78 before it was ready: stopping, the configuration is wrong",
                host.Rest()) == 1);
}

TEST_CASE("Supervisor: once a worker was ready, 78 is an accident like any other") {
  const Gate sound;
  sound.Open();
  SupervisedHost host(Workers(2), [&sound](const WorkerStart& start, EventPipe& events) {
    return sound.TryPass() ? ServingWorker(start, events) : options::kExitConfiguration;
  });
  host.events.Await("serving");
  host.events.Await("exited with code 78 before it was ready: starting another in 100ms");
  sound.Open();
  host.events.Await("serving");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: gives up when no worker becomes ready, and says why and what to do") {
  Settings settings = Workers(2);
  settings.max_start_failures = 3;
  settings.modules = {"/srv/modules"};
  TestWorker worker;
  int expected = options::kExitSoftware;
  std::string end;
  std::string advice = "a module";
  SUBCASE("a signal") {
    worker = [](const WorkerStart&, EventPipe&) -> int { ::raise(SIGALRM), ::_exit(96); };
    end = "was ended by SIGALRM";
    advice = "/srv/modules";
  }
  SUBCASE("exit code 0") {
    worker = [](const WorkerStart&, EventPipe&) { return 0; };
    end = "exited with code 0";
    advice = "--log-level debug";
  }
  SUBCASE("a fault of Weft") {
    worker = [](const WorkerStart&, EventPipe&) { return options::kExitSoftware; };
    end = "exited with code 70";
    advice = "report it";
  }
  SUBCASE("the system refuses") {
    worker = [](const WorkerStart&, EventPipe&) { return options::kExitSystem; };
    expected = options::kExitSystem;
    end = "exited with code 71";
    advice = "its own lines";
  }
  SUBCASE("no permission") {
    worker = [](const WorkerStart&, EventPipe&) { return options::kExitNoPermission; };
    expected = options::kExitNoPermission;
    end = "exited with code 77";
    advice = "its own lines";
  }
  SUBCASE("SIGKILL") {
    worker = [](const WorkerStart&, EventPipe&) -> int { ::raise(SIGKILL), ::_exit(96); };
    expected = options::kExitSystem;
    end = "was ended by SIGKILL";
    advice = "memory";
  }
  SUBCASE("it is never ready") {
    settings.start_timeout = milliseconds{50};
    worker = [](const WorkerStart&, EventPipe&) -> int {
      while (true) ::pause();
    };
    end = "was not ready within 50ms (--start-timeout): killing it";
    advice = "a file system that does not answer";
  }
  SUBCASE("a module that it has named") {
    worker = [](const WorkerStart& start, EventPipe&) {
      for (const char* const file : {"/srv/modules/a.so", "/srv/modules/r.so"}) {
        if (!worker::TrySend(start.supervisor, worker::Loading{file})) ::_exit(97);
      }
      return 3;
    };
    end = "exited with code 3 before it was ready, as it loaded the module /srv/modules/r.so: ";
    advice = "replace this module";
  }
  const Gate starts;  // one that does not give up gets a worker that serves, and the test its end
  starts.Open(settings.max_start_failures);
  SupervisedHost host(settings, [&](const WorkerStart& start, EventPipe& events) {
    return starts.TryPass() ? worker(start, events) : ServingWorker(start, events);
  });
  CHECK(host.AwaitExit() == expected);
  CHECK(CountOf(end, host.Rest()) == 3);
  CHECK(CountOf("starting another in", host.Rest()) == 2);
  CHECK(CountOf("giving up", host.Rest()) == 1);
  const std::size_t last = host.Rest().find("giving up");
  REQUIRE(last != std::string::npos);
  CHECK(host.Rest().find("--max-start-failures", last) != std::string::npos);
  CHECK(host.Rest().find(advice, last) != std::string::npos);
}

TEST_CASE("Supervisor: once a worker was ready, it never gives up") {
  Settings settings = Workers(1);
  settings.max_start_failures = 1;
  const Gate sound;
  sound.Open();
  SupervisedHost host(settings, [&sound](const WorkerStart& start, EventPipe& events) {
    return sound.TryPass() ? ServingWorker(start, events) : 3;
  });
  const pid_t first = ProcessOf(host.events.Await("serving"));
  host.events.Await("is ready");
  ::kill(first, SIGKILL);
  host.events.Await("exited with code 3 before it was ready: starting another in 200ms");
  host.events.Await("exited with code 3 before it was ready: starting another in 400ms");
  sound.Open();
  host.events.Await("serving");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

/// Of the event that says that a worker is ready.
pid_t ReadyProcessOf(const std::string& event) {
  return ProcessOf(event.substr(0, event.find(" is ready")));
}

TEST_CASE(
    "Supervisor: a worker that is not ready in time is killed and replaced, others serve on") {
  Settings settings = Workers(2);
  settings.start_timeout = milliseconds{300};
  const Gate unsound;
  SupervisedHost host(settings, [&unsound](const WorkerStart& launch, EventPipe& events) {
    if (!unsound.TryPass()) return ServingWorker(launch, events);
    // As a worker does while it loads modules: deaf to what asks it to end.
    for (const int signal : {SIGTERM, SIGINT}) ::signal(signal, SIG_IGN);
    events.Say("hanging " + Self());
    while (true) ::pause();
  });
  const pid_t first = ReadyProcessOf(host.events.Await("is ready"));
  const pid_t second = ReadyProcessOf(host.events.Await("is ready"));
  unsound.Open();
  ::kill(second, SIGKILL);
  const std::string hanging = std::to_string(ProcessOf(host.events.Await("hanging")));
  host.events.Await("worker " + hanging + " was not ready within 300ms (--start-timeout)");
  host.events.Await("worker " + hanging + " was ended by SIGKILL before it was ready: starting");
  host.events.Await("is ready");
  // Ready in time, it has outlived its deadline.
  CHECK(::kill(first, 0) == 0);
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: without a deadline a worker may start for ever") {
  Settings settings = Workers(1);
  settings.start_timeout = milliseconds{0};
  const Gate gate;
  SupervisedHost host(settings, [&gate](const WorkerStart& launch, EventPipe& events) {
    events.Say("starting " + Self());
    gate.Pass();
    return ServingWorker(launch, events);
  });
  const pid_t worker = ProcessOf(host.events.Await("starting"));
  host.Signal(SIGUSR1);
  host.events.Await("opened anew");  // it has looked at its deadlines by then
  gate.Open();
  CHECK(ProcessOf(host.events.Await("serving")) == worker);
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

/// The numbers of this process's open descriptors.
std::set<int> OpenDescriptors() {
  std::set<int> numbers;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    numbers.insert(std::stoi(entry.path().filename().string()));
  }
  // The iterator's own is closed again.
  std::erase_if(numbers, [](int number) { return ::fcntl(number, F_GETFD) == -1; });
  return numbers;
}

TEST_CASE(
    "Supervisor: a worker holds its sockets, pipes and lock, and nothing of the supervisor's") {
  const TemporaryFolder folder;
  Settings settings = Workers(3);  // the third starts while the second has a channel
  settings.listen = {options::UnixAddress{folder / "weft.sock"}};
  settings.control = folder / "control.sock";
  std::set<int> before;
  SupervisedHost host(
      settings,
      [&before](const WorkerStart& start, EventPipe& events) {
        std::set<int> more = OpenDescriptors();
        for (const int number : before) more.erase(number);
        more.erase(start.supervisor);
        more.erase(start.watch_lock);
        more.erase(observe::StandardErrorOfLog());  // what it was before the supervisor reads it
        more.erase(start.passed_in);
        more.erase(start.passed_out);
        for (const int socket : start.listening_sockets) more.erase(socket);
        events.Say(std::to_string(start.listening_sockets.size()) + " socket, " +
                   std::to_string(more.size()) + " others");
        return ServingWorker(start, events);
      },
      /*spawned=*/false, [&before](EventPipe&) { before = OpenDescriptors(); });
  for (int i = 0; i < 3; ++i) CHECK(host.events.Await("others") == "1 socket, 0 others");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: a worker can be signalled, whatever the supervisor inherited") {
  SupervisedHost host(
      Workers(1),
      [](const WorkerStart& start, EventPipe& events) {
        sigset_t mask;
        ::sigprocmask(SIG_SETMASK, nullptr, &mask);
        std::string report = "signals:";
        for (const int signal : {SIGTERM, SIGQUIT, SIGINT, SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2}) {
          struct sigaction action {};
          ::sigaction(signal, nullptr, &action);
          report += sigismember(&mask, signal) == 1 ? " blocked"
                    : action.sa_handler == SIG_IGN  ? " ignored"
                    : action.sa_handler == SIG_DFL  ? " default"
                                                    : " handled";
        }
        events.Say(report + (sigismember(&mask, SIGALRM) == 1 ? ", rest kept" : ", rest changed"));
        return ServingWorker(start, events);
      },
      /*spawned=*/false,
      [](EventPipe&) {
        sigset_t blocked;
        ::sigemptyset(&blocked);
        for (const int signal : {SIGTERM, SIGINT, SIGALRM}) ::sigaddset(&blocked, signal);
        ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
        for (const int signal : {SIGINT, SIGQUIT, SIGCHLD}) ::signal(signal, SIG_IGN);
      });
  CHECK(host.events.Await("signals") ==
        "signals: default default default default ignored ignored ignored, rest kept");
  host.events.Await("serving");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: throws when it cannot start the first worker, and leaves nothing") {
  SupervisedHost host(Workers(2), ServingWorker, /*spawned=*/false, [](EventPipe&) {
    constexpr uid_t kNobody = 65'534;
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) ::_exit(95);  // root has no such limit
    const rlimit no_processes{.rlim_cur = 0, .rlim_max = 0};
    ::setrlimit(RLIMIT_NPROC, &no_processes);
  });
  CHECK(host.AwaitExit() == 98);
  CHECK(host.Rest() == "exception: fork: Resource temporarily unavailable\n");
}

// --- Running ------------------------------------------------------------------------------------

TEST_CASE("Supervisor: replaces a worker that was killed") {
  SupervisedHost host(Workers(2), ServingWorker);
  const pid_t victim = ProcessOf(host.events.Await("serving"));
  const pid_t other = ProcessOf(host.events.Await("serving"));
  ::kill(victim, SIGKILL);
  host.events.Await("worker " + std::to_string(victim) + " was ended by SIGKILL after ");
  const pid_t successor = ProcessOf(host.events.Await("serving"));
  CHECK(successor != victim);
  CHECK(successor != other);
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("ends by TERM", host.Rest()) == 2);
}

TEST_CASE("Supervisor: waits longer each time when workers die young") {
  SupervisedHost host(Workers(1), [](const WorkerStart&, EventPipe&) { return 3; });
  host.events.Await("exited with code 3 before it was ready: starting another in 100ms");
  host.events.Await("exited with code 3 before it was ready: starting another in 200ms");
  host.events.Await("exited with code 3 before it was ready: starting another in 400ms");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: a worker's exception is logged and ends that worker alone") {
  SupervisedHost host(Workers(1), [](const WorkerStart&, EventPipe&) -> int {
    throw std::runtime_error("no such luck");
  });
  CHECK(CountOf("ends by an exception", host.events.Await("no such luck")) == 1);
  host.events.Await("exited with code 70 before it was ready: starting another in 100ms");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: a process that a dead worker left behind does not hold it up") {
  const Gate gate;
  SupervisedHost host(Workers(1), [&gate](const WorkerStart&, EventPipe&) {
    if (::fork() == 0) {  // it keeps the channel open
      gate.Pass();
      ::_exit(0);
    }
    return 3;
  });
  host.events.Await("exited with code 3 before it was ready: starting another in 100ms");
  host.events.Await("exited with code 3 before it was ready: starting another in 200ms");
  host.Signal(SIGTERM);
  gate.Open(100);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: SIGUSR1 has the workers open their logs anew, too") {
  SupervisedHost host(Workers(1), [](const WorkerStart& start, EventPipe& events) {
    sigset_t reopen;
    ::sigemptyset(&reopen);
    ::sigaddset(&reopen, SIGUSR1);
    ::sigprocmask(SIG_BLOCK, &reopen, nullptr);
    events.Say("the worker waits");
    int signal = 0;
    ::sigwait(&reopen, &signal);
    events.Say("the worker was told");
    return ServingWorker(start, events);
  });
  host.events.Await("the worker waits");
  host.Signal(SIGUSR1);
  host.events.Await("the worker was told");
  host.events.Await("is ready");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: what a worker wrote last is in the report of its end") {
  const Gate unsound;
  unsound.Open(1);
  SupervisedHost host(Workers(1), [&unsound](const WorkerStart& start, EventPipe& events) {
    if (!unsound.TryPass()) return ServingWorker(start, events);
    constexpr std::string_view kWords = "there is no\nmore tea";
    static_cast<void>(!::write(STDERR_FILENO, kWords.data(), kWords.size()));
    return 3;
  });
  CHECK(host.events.Await("exited with code 3")
            .ends_with("; its last words: there is no / more tea"));
  host.events.Await("is ready");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

/// In the supervisor's process-to-be: makes it process 1 of a container's kind. Says so, or that
/// this user may not, and ends.
void BecomeProcessOne(EventPipe& events) {
  if (::unshare(CLONE_NEWPID) != 0) {
    events.Say("no process namespaces here");
    ::_exit(0);
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    return;
  }
  events.Say("process 1 is " + std::to_string(child));
  int status = 0;
  ::waitpid(child, &status, 0);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 96);
}

TEST_CASE("Supervisor: as process 1 it collects the orphans of its workers") {
  const Gate first_worker;
  first_worker.Open();
  const Gate orphan_may_end;
  void* const shared =
      ::mmap(nullptr, sizeof(pid_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(shared != MAP_FAILED);
  auto* const orphan = new (shared) pid_t{-1};

  const TestWorker worker = [&](const WorkerStart& start, EventPipe& events) {
    if (first_worker.TryPass()) {
      const pid_t child = ::fork();
      if (child == 0) {
        orphan_may_end.Pass();
        ::_exit(0);
      }
      *orphan = child;
      SayReady(start);
      return 0;
    }
    orphan_may_end.Open();
    // The number is taken until the orphan was waited for. There is no telling when but to look.
    constexpr int kTries = 3'000;
    int tries = 0;
    while (::kill(*orphan, 0) == 0 && ++tries < kTries) ::poll(nullptr, 0, 10);
    events.Say(tries < kTries ? "collected" : "still there");
    return ServingWorker(start, events);
  };
  SupervisedHost host(Workers(1), worker, /*spawned=*/false, BecomeProcessOne);
  const std::string start = host.events.Await("process");
  if (start == "no process namespaces here") {
    MESSAGE("not tested: this user may not create process namespaces");
  } else {
    CHECK(host.events.Await("collected") == "collected");
    host.events.Await("is ready");
    ::kill(ProcessOf(start), SIGTERM);
  }
  CHECK(host.AwaitExit() == 0);
  ::munmap(shared, sizeof(pid_t));
}

// --- Retiring -----------------------------------------------------------------------------------

/// Serves, then retires, and goes when `end` is open, or when it is told.
int RetiringWorker(const WorkerStart& start, EventPipe& events, const Gate& end) {
  ::signal(SIGTERM, [](int) { ::_exit(0); });
  SayReady(start);
  events.Say("retiring " + Self());
  if (!worker::TrySend(start.supervisor, worker::Retiring{})) ::_exit(97);
  end.Pass();
  return 0;
}

TEST_CASE("Supervisor: a worker that retires is replaced before it has ended") {
  const Gate first;
  const Gate end;
  first.Open();
  SupervisedHost host(Workers(1), [&](const WorkerStart& start, EventPipe& events) {
    return first.TryPass() ? RetiringWorker(start, events, end) : ServingWorker(start, events);
  });
  const pid_t old = ProcessOf(host.events.Await("retiring"));
  host.events.Await("worker " + std::to_string(old) +
                    " retires, a handler of it is stuck: starting another");
  CHECK(ProcessOf(host.events.Await("serving")) != old);
  end.Open();
  host.events.Await("worker " + std::to_string(old) + ", which retired, exited with code 0");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: no more workers retire at once than there are places") {
  const Gate retiring;
  const Gate end;
  retiring.Open(2);
  SupervisedHost host(Workers(1), [&](const WorkerStart& start, EventPipe& events) {
    return retiring.TryPass() ? RetiringWorker(start, events, end) : ServingWorker(start, events);
  });
  const pid_t first = ProcessOf(host.events.Await("retiring"));
  const pid_t second = ProcessOf(host.events.Await("retiring"));
  // The first one is told to end; only then is there a third.
  host.events.Await("worker " + std::to_string(second) +
                    " retires, and 1 others do so still: worker " + std::to_string(first) +
                    " has 600s to end");
  host.events.Await("worker " + std::to_string(first) + ", which retired, exited with code 0");
  host.events.Await("serving");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: a stop is told to workers that retire, and waits for them") {
  const Gate retiring;
  const Gate end;
  retiring.Open();
  SupervisedHost host(Workers(1), [&](const WorkerStart& start, EventPipe& events) {
    return retiring.TryPass() ? RetiringWorker(start, events, end) : ServingWorker(start, events);
  });
  host.events.Await("retiring");
  host.events.Await("serving");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("which retired, exited with code 0", host.Rest()) == 1);
}

TEST_CASE("Supervisor: a worker that was never ready cannot retire") {
  const Gate first;
  first.Open();
  SupervisedHost host(Workers(1), [&](const WorkerStart& start, EventPipe& events) {
    if (first.TryPass() && !worker::TrySend(start.supervisor, worker::Retiring{})) ::_exit(97);
    return ServingWorker(start, events);
  });
  host.events.Await("serving");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("retires", host.Rest()) == 0);
}

// --- Recycling, crashes -------------------------------------------------------------------------

/// Asks to be recycled, and says whether it was told to leave, and not before.
int RecycledWorker(const WorkerStart& start, EventPipe& events, const Gate* ask = nullptr) {
  sigset_t asked;
  ::sigemptyset(&asked);
  ::sigaddset(&asked, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &asked, nullptr);
  SayReady(start);
  events.Say("old " + Self());
  if (ask != nullptr) ask->Pass();
  const worker::Recycle wish{.reason = worker::Recycle::Reason::kMemory, .value = 1 << 20};
  for (int i = 0; i < 2; ++i) {  // twice is no more than once
    if (!worker::TrySend(start.supervisor, wish)) ::_exit(97);
  }
  siginfo_t told{};
  ::sigwaitinfo(&asked, &told);
  const bool leaves = told.si_code == SI_QUEUE &&
                      told.si_value.sival_int == static_cast<int>(worker::StopOrder::kLeave);
  events.Say((leaves ? "leaves " : "ends otherwise ") + Self());
  return 0;
}

TEST_CASE("Supervisor: a worker is recycled when its successor is ready, and not before") {
  const Gate first;
  const Gate successor;
  first.Open();
  SupervisedHost host(Workers(1), [&](const WorkerStart& start, EventPipe& events) {
    if (first.TryPass()) return RecycledWorker(start, events);
    events.Say("successor starts " + Self());
    successor.Pass();
    return ServingWorker(start, events);
  });
  const std::string old = std::to_string(ProcessOf(host.events.Await("old")));
  host.events.Await(
      "worker " + old +
      " is recycled for it has 1M of memory (--recycle-memory): starting another, and "
      "when that is ready it leaves");
  host.events.Await("successor starts");
  // Once around the loop: had it been told to leave, that were there.
  host.Signal(SIGHUP);
  CHECK(host.events.Await("").starts_with("log: SIGHUP from process "));
  successor.Open();
  host.events.Await("serving");
  host.events.Await("worker " + old + ", which was recycled, exited with code 0");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("is recycled", host.Rest()) == 0);
}

TEST_CASE("Supervisor: one worker is recycled at a time") {
  const Gate old;
  const Gate ask;
  const Gate successor;
  old.Open(2);
  SupervisedHost host(Workers(2), [&](const WorkerStart& start, EventPipe& events) {
    if (old.TryPass()) return RecycledWorker(start, events, &ask);
    events.Say("successor starts " + Self());
    successor.Pass();
    return ServingWorker(start, events);
  });
  for (int i = 0; i < 2; ++i) host.events.Await("old");
  ask.Open(2);
  host.events.Await("is recycled");
  host.events.Await("successor starts");
  successor.Open();
  // Were there two at once, the second line came before the first successor is ready.
  host.events.Await("serving");
  host.events.Await("is recycled");
  host.events.Await("successor starts");
  successor.Open();
  host.events.Await("which was recycled, exited with code 0");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: a successor that fails is tried again, and the old worker serves on") {
  const Gate first;
  const Gate failing;
  first.Open();
  failing.Open(2);
  SupervisedHost host(Workers(1), [&](const WorkerStart& start, EventPipe& events) {
    if (first.TryPass()) return RecycledWorker(start, events);
    if (failing.TryPass()) return 3;
    return ServingWorker(start, events);
  });
  const std::string old = std::to_string(ProcessOf(host.events.Await("old")));
  host.events.Await("exited with code 3 before it was ready");
  host.events.Await("exited with code 3 before it was ready");
  host.events.Await("serving");
  host.events.Await("worker " + old + ", which was recycled, exited with code 0");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: a stop comes to a worker that waits for its successor, and to that") {
  const Gate first;
  const Gate never;
  first.Open();
  SupervisedHost host(Workers(1), [&](const WorkerStart& start, EventPipe& events) {
    if (first.TryPass()) return RecycledWorker(start, events);
    events.Say("successor starts " + Self());
    never.Pass();
    return 0;
  });
  host.events.Await("successor starts");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("ends otherwise", host.Rest()) == 1);
}

TEST_CASE("Supervisor: too many crashes end the host, and the workers that are left finish") {
  Settings settings = Workers(2);
  settings.max_crashes = options::CrashLimit{.crashes = 2, .within = std::chrono::hours(1)};
  const Gate dying;
  dying.Open(2);
  SupervisedHost host(settings, [&](const WorkerStart& start, EventPipe& events) {
    if (!dying.TryPass()) return ServingWorker(start, events);
    SayReady(start);
    ::raise(SIGKILL);
    return 0;
  });
  CHECK(host.AwaitExit() == options::kExitSoftware);
  CHECK(CountOf(": stopping, 2 workers have crashed within 1h (--max-crashes)", host.Rest()) == 1);
}

TEST_CASE("Supervisor: workers that end well are no crashes") {
  Settings settings = Workers(1);
  settings.max_crashes = options::CrashLimit{.crashes = 1, .within = std::chrono::hours(1)};
  const Gate leaving;
  leaving.Open(3);
  SupervisedHost host(settings, [&](const WorkerStart& start, EventPipe& events) {
    if (!leaving.TryPass()) return ServingWorker(start, events);
    SayReady(start);
    return 0;
  });
  host.events.Await("serving");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

// --- Stopping -----------------------------------------------------------------------------------

TEST_CASE("Supervisor: SIGTERM and SIGQUIT let the workers end") {
  int signal = 0;
  SUBCASE("SIGTERM") { signal = SIGTERM; }
  SUBCASE("SIGQUIT") { signal = SIGQUIT; }
  SupervisedHost host(Workers(3), ServingWorker);
  for (int i = 0; i < 3; ++i) host.events.Await("is ready");
  host.Signal(signal);
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("ends by TERM", host.Rest()) == 3);
  CHECK(CountOf("exited with code 0 after ", host.Rest()) == 3);
}

TEST_CASE("Supervisor: can be stopped before a worker is ready") {
  const Gate never;
  SupervisedHost host(Workers(2), [&never](const WorkerStart&, EventPipe& events) {
    events.Say("started");
    never.Pass();
    return 0;
  });
  host.events.Await("started");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

/// 0, or the error of a connection attempt.
int ConnectUnix(const std::string& path) {
  const FileDescriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  const auto* const address = reinterpret_cast<const sockaddr*>(&name);
  return ::connect(client.Number(), address, sizeof(name)) == 0 ? 0 : errno;
}

/// Serves; after SIGTERM it goes on until the gate opens.
TestWorker DrainingWorker(const Gate& gate) {
  return [&gate](const WorkerStart& start, EventPipe& events) {
    ServingWorker(start, events);
    gate.Pass();
    return 0;
  };
}

TEST_CASE("Supervisor: takes no more connections from the moment of the stop") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  Settings settings = Workers(1);
  settings.listen = {options::UnixAddress{path}};
  const Gate gate;
  SupervisedHost host(settings, DrainingWorker(gate));
  host.events.Await("is ready");
  CHECK(ConnectUnix(path) == 0);
  host.Signal(SIGTERM);
  host.events.Await("ends by TERM");
  CHECK(ConnectUnix(path) == ENOENT);
  gate.Open();
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: does not replace a worker while it stops") {
  const Gate gate;
  SupervisedHost host(Workers(2), DrainingWorker(gate));
  for (int i = 0; i < 2; ++i) host.events.Await("is ready");
  host.Signal(SIGTERM);
  const pid_t victim = ProcessOf(host.events.Await("ends by TERM"));
  ::kill(victim, SIGKILL);
  host.events.Await("was ended by SIGKILL");
  gate.Open();
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("serving", host.Rest()) == 0);
}

TEST_CASE("Supervisor: kills what hangs when the drain time is over") {
  Settings settings = Workers(2);
  settings.drain_timeout = milliseconds{10};
  SupervisedHost host(settings, DeafWorker({SIGTERM, SIGINT}));
  for (int i = 0; i < 2; ++i) host.events.Await("is ready");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("did not end in time: killing it", host.Rest()) == 2);
  CHECK(CountOf("was ended by SIGKILL", host.Rest()) == 2);
}

TEST_CASE("Supervisor: a second SIGTERM stops at once") {
  SupervisedHost host(Workers(1), DeafWorker({SIGTERM}));
  host.events.Await("is ready");
  host.Signal(SIGTERM);
  host.events.Await(": stopping, running requests have 600s to end");
  host.Signal(SIGTERM);
  host.events.Await(": stopping at once");
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("was ended by SIGINT", host.Rest()) == 1);
}

TEST_CASE("Supervisor: SIGINT stops at once, if need be by force") {
  SUBCASE("obedient") {
    SupervisedHost host(Workers(2), ServingWorker);
    for (int i = 0; i < 2; ++i) host.events.Await("is ready");
    host.Signal(SIGINT);
    CHECK(host.AwaitExit() == 0);
    CHECK(CountOf("ends by INT", host.Rest()) == 2);
  }
  SUBCASE("deaf") {
    SupervisedHost host(Workers(1), DeafWorker({SIGTERM, SIGINT}));
    host.events.Await("is ready");
    host.Signal(SIGINT);
    CHECK(host.AwaitExit() == 0);
    CHECK(CountOf("did not end in time: killing it", host.Rest()) == 1);
  }
}

TEST_CASE("Supervisor: when it is killed itself, the kernel asks its workers to end") {
  SupervisedHost host(Workers(2), ServingWorker);
  for (int i = 0; i < 2; ++i) host.events.Await("is ready");
  host.Signal(SIGKILL);
  CHECK(host.AwaitExit() == -1);
  CHECK(CountOf("ends by TERM", host.Rest()) == 2);
}

// --- Spawned by a web server --------------------------------------------------------------------

TEST_CASE("Supervisor: spawned, it takes the signals as web servers mean them") {
  const Gate gate;
  SupervisedHost host(Workers(1), DrainingWorker(gate), /*spawned=*/true);
  host.events.Await("is ready");
  host.Signal(SIGINT);  // lighttpd to its group, for its own graceful stop
  host.events.Await("SIGINT from process " + Self() + ": ignored");
  SUBCASE("SIGTERM") { host.Signal(SIGTERM); }
  SUBCASE("SIGUSR1") { host.Signal(SIGUSR1); }
  host.events.Await("ends by TERM");
  host.Signal(SIGTERM);  // mod_fcgid repeats it
  host.events.Await("SIGTERM from process " + Self() + ": ignored");
  gate.Open();
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: spawned, its workers have process groups of their own") {
  bool spawned = false;
  SUBCASE("spawned") { spawned = true; }
  SUBCASE("by hand") { spawned = false; }
  SupervisedHost host(
      Workers(1),
      [](const WorkerStart& start, EventPipe& events) {
        events.Say(::getpgrp() == ::getpid() ? "own group" : "inherited group");
        return ServingWorker(start, events);
      },
      spawned);
  CHECK(host.events.Await("group") == (spawned ? "own group" : "inherited group"));
  host.events.Await("is ready");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

// --- Reloading ----------------------------------------------------------------------------------

/// A worker that takes each SIGHUP for an order and answers as `answer` says: a report, or its own end.
TestWorker ReloadingWorker(const std::function<worker::ReloadReport(worker::ReloadOrder)>& answer) {
  return [answer](const WorkerStart& start, EventPipe& events) {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int signal : {SIGHUP, SIGTERM}) ::sigaddset(&signals, signal);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    SayReady(start);
    siginfo_t info{};
    while (::sigwaitinfo(&signals, &info) == SIGHUP) {
      const bool adopts = info.si_code == SI_QUEUE && info.si_value.sival_int == 1;
      events.Say(std::string(adopts ? "adopts " : "checks ") + Self());
      const auto report =
          answer(adopts ? worker::ReloadOrder::kAdopt : worker::ReloadOrder::kCheck);
      if (!worker::TrySend(start.supervisor, report)) ::_exit(97);
    }
    return 0;
  };
}

worker::ReloadReport Accepted(std::uint64_t fingerprint) {
  return {
      .accepted = true, .fingerprint = fingerprint, .read_at = std::chrono::steady_clock::now()};
}

void AwaitReady(SupervisedHost& host, int count) {
  for (int i = 0; i < count; ++i) host.events.Await("is ready");
}

TEST_CASE("Supervisor: SIGHUP has one worker reload, and the others adopt what it found sound") {
  SupervisedHost host(Workers(3), ReloadingWorker([](worker::ReloadOrder) { return Accepted(7); }));
  AwaitReady(host, 3);
  host.Signal(SIGHUP);
  const pid_t checker = ProcessOf(host.events.Await("checks"));
  const auto lines = host.events.AwaitEach({"adopts", "adopts", "new mappings 7"});
  const std::set<pid_t> adopters{ProcessOf(lines[0]), ProcessOf(lines[1])};
  CHECK(adopters.size() == 2);
  CHECK(adopters.count(checker) == 0);
  // By hand once more: all of them, also when the files are the same.
  host.Signal(SIGHUP);
  host.events.Await("checks");
  for (int i = 0; i < 2; ++i) host.events.Await("adopts");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  // The reports of those who adopted led to nothing.
  CHECK(CountOf("checks", host.Rest()) + CountOf("adopts", host.Rest()) == 0);
}

/// SIGTERM ends it.
int PauseUntilKilled() {
  while (true) ::pause();
}

TEST_CASE("Supervisor: what a worker found by itself is adopted by the others") {
  const Gate others_are_there;
  const Gate finder;
  finder.Open();
  SupervisedHost host(Workers(2), [&](const WorkerStart& start, EventPipe& events) {
    if (finder.TryPass()) {
      SayReady(start);
      others_are_there.Pass();
      if (!worker::TrySend(start.supervisor, Accepted(8))) ::_exit(97);
      return PauseUntilKilled();
    }
    return ReloadingWorker([](worker::ReloadOrder) { return Accepted(8); })(start, events);
  });
  AwaitReady(host, 2);
  others_are_there.Open();
  host.events.AwaitEach({"adopts", "new mappings 8"});
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("new mappings", host.Rest()) == 0);
}

TEST_CASE("Supervisor: what one worker refuses is no matter of the others") {
  SupervisedHost host(Workers(3), ReloadingWorker([](worker::ReloadOrder) {
                        return worker::ReloadReport{.fingerprint = 7, .problem_count = 1};
                      }));
  AwaitReady(host, 3);
  for (int i = 0; i < 3; ++i) {
    host.Signal(SIGHUP);
    host.events.Await("checks");
  }
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(CountOf("adopts", host.Rest()) == 0);
  CHECK(CountOf("new mappings", host.Rest()) == 0);
}

TEST_CASE("Supervisor: another worker reloads when the first dies of it") {
  const Gate deadly;
  deadly.Open();
  SupervisedHost host(Workers(2), ReloadingWorker([&deadly](worker::ReloadOrder) {
                        if (deadly.TryPass()) ::_exit(3);
                        return Accepted(9);
                      }));
  AwaitReady(host, 2);
  host.Signal(SIGHUP);
  const pid_t first = ProcessOf(host.events.Await("checks"));
  CHECK(ProcessOf(host.events.Await("checks")) != first);
  host.events.Await("new mappings 9");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Supervisor: a SIGHUP before any worker is ready is obeyed by the first that is") {
  const Gate gate;
  const auto reloading = ReloadingWorker([](worker::ReloadOrder) { return Accepted(10); });
  SupervisedHost host(Workers(1), [&](const WorkerStart& start, EventPipe& events) {
    events.Say("started");
    gate.Pass();
    return reloading(start, events);
  });
  host.events.Await("started");
  host.Signal(SIGHUP);
  host.events.Await("SIGHUP from process " + Self() + ": the mapping files are read anew");
  gate.Open();
  host.events.Await("checks");
  host.events.Await("new mappings 10");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

// --- The status ---------------------------------------------------------------------------------

using Json = nlohmann::json;

/// Sends `request` to the socket and reads until it is closed. It waits for a host that still starts.
std::string Asked(const std::string& path, std::string_view request) {
  const FileDescriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  REQUIRE(::connect(client.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0);
  REQUIRE(::send(client.Number(), request.data(), request.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(request.size()));
  std::string answer;
  std::array<char, 4096> piece{};
  while (true) {
    pollfd event{.fd = client.Number(), .events = POLLIN, .revents = 0};
    REQUIRE(::poll(&event, 1, kPatienceMilliseconds) == 1);
    const ssize_t count = ::recv(client.Number(), piece.data(), piece.size(), 0);
    REQUIRE(count >= 0);
    if (count == 0) return answer;
    answer.append(piece.data(), static_cast<std::size_t>(count));
  }
}

/// A host with a control socket.
class AskedHost {
 public:
  AskedHost(std::size_t workers, const TestWorker& worker) : host_(With(workers), worker) {}
  SupervisedHost* operator->() { return &host_; }

  Json Status() const { return Json::parse(Asked(path_, "status\n")); }
  [[nodiscard]] const std::string& Path() const { return path_; }

  /// The status once `condition` holds for it: what a worker has said may be on its way.
  Json StatusWhen(const std::function<bool(const Json&)>& condition) const {
    Json status = Status();
    for (int i = 0; i < 3'000 && !condition(status); ++i) {
      ::poll(nullptr, 0, 10);
      status = Status();
    }
    CAPTURE(status.dump(2));
    REQUIRE(condition(status));
    return status;
  }

 private:
  Settings With(std::size_t workers) {
    path_ = (folder_ / "control.sock").string();
    Settings settings = Workers(workers);
    settings.control = path_;
    settings.mappings = "/srv/mappings";
    return settings;
  }

  TemporaryFolder folder_;
  std::string path_;
  SupervisedHost host_;
};

worker::ReloadReport Refused(std::uint64_t fingerprint, const std::string& sentence) {
  worker::ReloadReport report = Accepted(fingerprint);
  report.accepted = false;
  report.problem_count = 1;
  report.problems = {{{"mapping.json", 3, 4}, mappings::Problem::Severity::kError, sentence}};
  return report;
}

TEST_CASE("Supervisor: tells its workers, from before they are ready until they have ended") {
  const Gate ready;
  const Gate may_end;
  AskedHost host(2, [&](const WorkerStart& start, EventPipe& events) {
    events.Say("started " + Self());
    ready.Pass();
    return DrainingWorker(may_end)(start, events);
  });
  const pid_t first = ProcessOf(host->events.Await("started"));
  Json status = host.Status();
  CHECK(status["stage"] == "running");
  CHECK(status["mappings"]["directory"] == "/srv/mappings");
  CHECK(status["mappings"]["outcome"] == "none");
  CHECK(status["mappings"]["servingSince"].is_null());
  REQUIRE(status["workers"].size() == 2);
  CHECK(status["workers"][0]["pid"] == first);
  CHECK(status["workers"][0]["state"] == "starting");
  CHECK(status["workers"][0]["newestMappings"].is_null());
  CHECK(status["workers"][1]["pid"].is_null());
  CHECK(status["workers"][1]["state"] == "waiting");
  CHECK(status["workers"][1]["starts"] == 0);

  ready.Open(3);
  for (int i = 0; i < 2; ++i) host->events.Await("is ready");
  status = host.Status();
  CHECK_FALSE(status["mappings"]["servingSince"].is_null());
  for (const Json& worker : status["workers"]) {
    CHECK(worker["state"] == "ready");
    CHECK(worker["starts"] == 1);
    CHECK(worker["newestMappings"] == true);
    CHECK(worker["lastEnd"].is_null());
  }

  ::kill(first, SIGKILL);
  host->events.Await("is ready");
  status = host.Status();
  const Json& place = status["workers"][0];
  CHECK(place["pid"] != first);
  CHECK(place["starts"] == 2);
  CHECK(place["lastEnd"]["pid"] == first);
  CHECK(place["lastEnd"]["signal"] == "SIGKILL");
  CHECK(place["lastEnd"]["exitCode"].is_null());
  CHECK(place["lastEnd"]["reason"].get<std::string>().starts_with("was ended by SIGKILL after "));

  host->Signal(SIGTERM);
  for (int i = 0; i < 2; ++i) host->events.Await("ends by TERM");
  may_end.Open();
  host->events.Await("exited with code 0");
  status = host.Status();
  CHECK(status["stage"] == "draining");
  std::multiset<std::string> states;
  for (const Json& worker : status["workers"]) states.insert(worker["state"].get<std::string>());
  CHECK(states == std::multiset<std::string>{"ended", "ending"});
  may_end.Open();
  CHECK(host->AwaitExit() == 0);
  CHECK(ConnectUnix(host.Path()) == ENOENT);
}

TEST_CASE("Supervisor: tells what is wrong with mappings, and that it was put right") {
  const Gate wrong;
  wrong.Open();
  AskedHost host(2, ReloadingWorker([&wrong](worker::ReloadOrder) {
                   return wrong.TryPass() ? Refused(5, "No such class.") : Accepted(6);
                 }));
  for (int i = 0; i < 2; ++i) host->events.Await("is ready");
  host->Signal(SIGHUP);
  const pid_t checker = ProcessOf(host->events.Await("checks"));
  const Json refused = host.StatusWhen(
      [](const Json& status) { return status["mappings"]["outcome"] == "refused"; });
  CHECK(refused["mappings"]["reportedBy"] == checker);
  CHECK(refused["mappings"]["tables"] == 1);
  CHECK(refused["mappings"]["problemCount"] == 1);
  CHECK(refused["mappings"]["problems"] == Json::parse(R"([{"file": "mapping.json", "line": 3,
      "column": 4, "severity": "error", "message": "No such class."}])"));
  for (const Json& worker : refused["workers"]) CHECK(worker["newestMappings"] == true);

  host->Signal(SIGHUP);
  const Json loaded = host.StatusWhen([](const Json& status) {
    return status["mappings"]["outcome"] == "loaded" &&
           status["workers"][0]["newestMappings"] == true &&
           status["workers"][1]["newestMappings"] == true;
  });
  CHECK(loaded["mappings"]["tables"] == 2);
  CHECK(loaded["mappings"]["problemCount"] == 0);
  CHECK(loaded["mappings"]["problems"].empty());
  host->Signal(SIGTERM);
  CHECK(host->AwaitExit() == 0);
}

TEST_CASE("Supervisor: tells which worker could not adopt the newest mappings") {
  AskedHost host(2, ReloadingWorker([](worker::ReloadOrder order) {
                   return order == worker::ReloadOrder::kCheck ? Accepted(6)
                                                               : Refused(6, "No memory.");
                 }));
  for (int i = 0; i < 2; ++i) host->events.Await("is ready");
  host->Signal(SIGHUP);
  const pid_t checker = ProcessOf(host->events.Await("checks"));
  const Json status =
      host.StatusWhen([](const Json& now) { return now["mappings"]["outcome"] == "refused"; });
  CHECK(status["mappings"]["tables"] == 2);
  CHECK(status["mappings"]["reportedBy"] != checker);
  for (const Json& worker : status["workers"]) {
    CHECK(worker["newestMappings"] == (worker["pid"] == checker));
  }
  host->Signal(SIGTERM);
  CHECK(host->AwaitExit() == 0);
}

TEST_CASE("Supervisor: what a worker says before its death is known, and garbage is passed over") {
  const Gate first;
  first.Open();
  const Gate others;
  AskedHost host(1, [&](const WorkerStart& start, EventPipe& events) {
    if (!first.TryPass()) return ServingWorker(start, events);
    for (const std::string& packet :
         {std::string("garbage"), std::string(100'000, 'x'), std::string(R"({"kind":"reload"})"),
          worker::Encode(worker::Ready{}), worker::Encode(worker::Ready{}),
          worker::Encode(Refused(7, "Last words."))}) {
      if (::send(start.supervisor, packet.data(), packet.size(), 0) < 0) events.Say("cannot send");
    }
    return 3;
  });
  CHECK(host->events.Await("exited with code 3").find(" after ") != std::string::npos);
  host->events.Await("serving");
  const Json status = host.Status();
  CHECK(status["mappings"]["outcome"] == "refused");
  CHECK(status["mappings"]["problems"][0]["message"] == "Last words.");
  CHECK(status["mappings"]["reportedBy"] == status["workers"][0]["lastEnd"]["pid"]);
  CHECK(status["workers"][0]["lastEnd"]["exitCode"] == 3);
  host->Signal(SIGTERM);
  CHECK(host->AwaitExit() == 0);
}

TEST_CASE("Supervisor: a worker that does not stop sending, or says nothing, holds up nobody") {
  const Gate floods;
  floods.Open();
  AskedHost host(2, [&floods](const WorkerStart& start, EventPipe&) {
    SayReady(start);
    const std::string packet = floods.TryPass() ? worker::Encode(worker::Ready{}) : "";
    while (::send(start.supervisor, packet.data(), packet.size(), MSG_NOSIGNAL) >= 0 ||
           errno == EAGAIN) {
    }
    // After an empty packet none is read any more.
    return PauseUntilKilled();
  });
  for (int i = 0; i < 2; ++i) host->events.Await("is ready");
  for (int i = 0; i < 10; ++i) {
    const Json status = host.Status();
    for (const Json& worker : status["workers"]) CHECK(worker["state"] == "ready");
  }
  host->Signal(SIGTERM);
  CHECK(host->AwaitExit() == 0);
}

TEST_CASE("Supervisor: what is no request gets an object with an error") {
  AskedHost host(1, ServingWorker);
  host->events.Await("is ready");
  for (const std::string& request :
       {std::string("dance\n"), std::string("\n"), std::string("status \n"),
        std::string("\x00\xff\n", 3), std::string(65'536, 'x')}) {
    CAPTURE(request.substr(0, 20));
    const std::string answer = Asked(host.Path(), request);
    CHECK(answer.ends_with("}\n"));
    CHECK(Json::parse(answer)["error"].is_string());
  }
  host->Signal(SIGTERM);
  CHECK(host->AwaitExit() == 0);
}

}  // namespace
}  // namespace weft::host::supervisor
