#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "host/observe/scoreboard.hpp"
#include "host/options/exit_code.hpp"
#include "host/supervisor/supervisor.hpp"
#include "host/supervisor/trial.hpp"
#include "host/worker/message.hpp"
#include "tests/unit/supervisor/test_processes.hpp"

namespace weft::host::supervisor {
namespace {

using options::Settings;
using std::chrono::milliseconds;
using worker::WorkerStart;

/// What a generation is: how its trial and its workers behave. The workers get its number.
struct Behaviour {
  std::function<int(int channel, EventPipe&)> trial = [](int channel, EventPipe&) {
    return SendVerdict(channel, {}, {}, {}) ? 0 : 1;
  };
  std::function<int(const WorkerStart&, EventPipe&, int generation)> worker;
  /// An errno: the program cannot be executed.
  int cannot_take_over = 0;
};

/// A host that becomes the next one by starting over in the same process, with what it hands over encoded and decoded.
///
/// Not imitated: execve(2), the real worker, and the program around them.
class ReloadedHost : public HostProcess {
 public:
  ReloadedHost(const Settings& settings, Behaviour behaviour)
      : settings_(settings), behaviour_(std::move(behaviour)) {
    Start([this] { return Run({}, 1); });
  }

 private:
  int Run(std::optional<Handover> taken_over, int number) {
    return Supervised([&] {
      Generations generations;
      generations.taken_over = std::move(taken_over);
      generations.become_trial = [this](const Handover& handover) {
        ::_exit(behaviour_.trial(handover.trial_channel, events));
        return 0;
      };
      generations.take_over = [this, number](const Handover& handover) {
        if (behaviour_.cannot_take_over != 0) return behaviour_.cannot_take_over;
        ::_exit(Run(Decode(Encode(handover)), number + 1));
      };
      generations.output = [this](std::string_view lines) {
        events.Say("trial: " + std::string(lines.substr(0, lines.size() - 1)));
      };
      return Supervise(
          settings_, ListeningSockets{},
          [&](const WorkerStart& start) { return behaviour_.worker(start, events, number); },
          [&](options::LogLevel, std::string_view line) { Log(line); }, {}, std::move(generations));
    });
  }

  Settings settings_;
  Behaviour behaviour_;
};

/// Serves until SIGTERM, and says what came with it.
int ServingWorker(const WorkerStart& start, EventPipe& events, int generation) {
  sigset_t asked;
  ::sigemptyset(&asked);
  ::sigaddset(&asked, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &asked, nullptr);
  if (!worker::TrySend(start.supervisor, worker::Ready{})) ::_exit(97);
  events.Say("serves in " + std::to_string(generation));
  siginfo_t info{};
  ::sigwaitinfo(&asked, &info);
  const bool passes_on = info.si_code == SI_QUEUE &&
                         info.si_value.sival_int == static_cast<int>(worker::StopOrder::kPassOn);
  events.Say((passes_on ? "passes on in " : "ends in ") + std::to_string(generation));
  return 0;
}

TEST_CASE("Generations: the next one's workers relieve those of before, one for one") {
  const Gate second;  // what the second worker of generation 2 waits for
  const Gate first;
  first.Open();
  Behaviour behaviour;
  behaviour.worker = [&](const WorkerStart& start, EventPipe& events, int generation) {
    if (generation == 2 && !first.TryPass()) second.Pass();
    return ServingWorker(start, events, generation);
  };
  ReloadedHost host(Workers(2), behaviour);
  host.events.AwaitEach({"serves in 1", "serves in 1"});
  host.Signal(SIGUSR2);
  host.events.Await("the new generation can start: it takes over");
  host.events.AwaitEach({"serves in 2", "passes on in 1", "of generation 1 exited with code 0"});
  // One of each serves now, and the reload has no outcome yet.
  host.Signal(SIGUSR1);
  host.events.Await("SIGUSR1");
  second.Open();
  host.events.AwaitEach({"generation 2 serves", "passes on in 1"});
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(host.Rest().find("passes on") == std::string::npos);
}

TEST_CASE(
    "Generations: what workers have counted goes on, and each says which generation it is of") {
  Behaviour behaviour;
  behaviour.worker = [](const WorkerStart& start, EventPipe& events, int generation) {
    start.figures->Of(start.part)[observe::Count::kRequestsStarted].Add(
        static_cast<std::uint64_t>(generation));
    const int exit_code = ServingWorker(start, events, generation);
    const auto all = start.figures->All(std::chrono::steady_clock::now());
    const auto& host = start.figures->Host();
    events.Say("of " + std::to_string(generation) + ": " +
               std::to_string(all.sum[observe::Count::kRequestsStarted]) + " requests, " +
               std::to_string(host.worker_starts.Value()) + " starts, generation " +
               std::to_string(host.generation.Value()) + ", " +
               std::to_string(host.reloads.Value()) + " reloads");
    std::string generations;
    for (const auto& worker : all.workers) generations += std::to_string(worker.generation);
    events.Say("there are those of " + generations);
    return exit_code;
  };
  ReloadedHost host(Workers(1), behaviour);
  host.events.Await("serves in 1");
  for (int generation = 2; generation <= 4; ++generation) {
    host.Signal(SIGUSR2);
    host.events.AwaitEach({"generation " + std::to_string(generation) + " serves",
                           "of generation " + std::to_string(generation - 1) + " exited"});
  }
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(host.Rest().find("of 4: 10 requests, 4 starts, generation 4, 3 reloads") !=
        std::string::npos);
  CHECK(host.Rest().find("there are those of 4\n") != std::string::npos);
}

TEST_CASE(
    "Generations: a line that an old worker has half written is whole, and its last words are "
    "told") {
  Behaviour behaviour;
  behaviour.worker = [](const WorkerStart& start, EventPipe& events, int generation) {
    const auto write = [](std::string_view text) {
      static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
    };
    if (generation == 1) write("what was begun ");
    const int exit_code = ServingWorker(start, events, generation);
    if (generation > 1) return exit_code;
    write("is ended\n");
    return 3;
  };
  ReloadedHost host(Workers(1), behaviour);
  host.events.Await("is ready");
  host.Signal(SIGUSR2);
  CHECK(host.events.Await("exited with code 3")
            .ends_with("; its last words: what was begun is ended"));
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Generations: a trial that is refused changes nothing, and says why") {
  Behaviour behaviour;
  behaviour.worker = ServingWorker;
  SUBCASE("by its exit code") {
    behaviour.trial = [](int channel, EventPipe&) {
      static_cast<void>(worker::TrySend(channel, worker::Loading{"/m/a.so"}));
      static_cast<void>(!::write(STDERR_FILENO, "what is\nwrong", 13));
      return options::kExitConfiguration;
    };
    ReloadedHost host(Workers(1), behaviour);
    host.events.Await("is ready");
    host.Signal(SIGUSR2);
    host.events.AwaitEach({"trial: what is", "trial: wrong",
                           "log: the host was not reloaded: the trial of the new generation ended "
                           "with exit code 78, as it loaded the module /m/a.so"});
    host.Signal(SIGTERM);
    CHECK(host.AwaitExit() == 0);
    CHECK(host.Rest().find("ends in 1") != std::string::npos);
  }
  SUBCASE("by a signal, or without a verdict, or with one that is none") {
    const Gate gate;
    behaviour.trial = [&gate](int channel, EventPipe&) {
      if (!gate.TryPass()) ::raise(SIGKILL);
      if (gate.TryPass()) static_cast<void>(!::write(channel, "verdict", 7));
      return 0;
    };
    ReloadedHost host(Workers(1), behaviour);
    host.events.Await("is ready");
    host.Signal(SIGUSR2);
    host.events.Await("was ended by SIGKILL");
    gate.Open();
    host.Signal(SIGUSR2);
    host.events.Await("ended without a verdict");
    gate.Open(2);
    host.Signal(SIGUSR2);
    host.events.Await("ended without a verdict");
    host.Signal(SIGTERM);
    CHECK(host.AwaitExit() == 0);
  }
  SUBCASE("by its deadline") {
    Settings settings = Workers(1);
    settings.start_timeout = milliseconds{1'000};
    behaviour.trial = [](int channel, EventPipe&) {
      static_cast<void>(worker::TrySend(channel, worker::Loading{"/m/slow.so"}));
      while (true) ::pause();
      return 0;
    };
    ReloadedHost host(settings, behaviour);
    host.events.Await("is ready");
    host.Signal(SIGUSR2);
    host.events.Await(
        "was not done within 1s (--start-timeout), as it loaded the module /m/slow.so");
    host.Signal(SIGTERM);
    CHECK(host.AwaitExit() == 0);
  }
}

TEST_CASE("Generations: a program that cannot be executed any more leaves the old one") {
  Behaviour behaviour;
  behaviour.worker = ServingWorker;
  behaviour.cannot_take_over = ENOENT;
  ReloadedHost host(Workers(1), behaviour);
  host.events.Await("is ready");
  for (int i = 0; i < 2; ++i) {
    host.Signal(SIGUSR2);
    host.events.Await("not reloaded: the program cannot be executed any more: No such file");
  }
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Generations: of reloads that are asked for while one goes on there is one") {
  const Gate gate;
  Behaviour behaviour;
  behaviour.worker = ServingWorker;
  behaviour.trial = [&gate](int channel, EventPipe& events) {
    events.Say("trying");
    gate.Pass();
    return SendVerdict(channel, {}, {}, {}) ? 0 : 1;
  };
  ReloadedHost host(Workers(1), behaviour);
  host.events.Await("is ready");
  host.Signal(SIGUSR2);
  host.events.Await("trying");
  for (int i = 0; i < 3; ++i) {
    host.Signal(SIGUSR2);
    host.events.Await(": reloading");
  }
  gate.Open();
  host.events.AwaitEach({"generation 2 serves", "trying"});
  gate.Open();
  host.events.Await("generation 3 serves");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
  CHECK(host.Rest().find("trying") == std::string::npos);
}

TEST_CASE("Generations: a worker that is started beside a trial has nothing of it") {
  const Gate tried;
  const Gate first;
  first.Open();
  Behaviour behaviour;
  behaviour.trial = [&tried](int channel, EventPipe& events) {
    events.Say("trying");
    tried.Pass();
    return SendVerdict(channel, {}, {}, {}) ? 0 : 1;
  };
  behaviour.worker = [&first](const WorkerStart& start, EventPipe& events, int generation) {
    std::size_t open = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      open += entry.path().empty() ? 0 : 1;
    }
    events.Say((first.TryPass() ? "first with " : "second with ") + std::to_string(open));
    return ServingWorker(start, events, generation);
  };
  ReloadedHost host(Workers(1), behaviour);
  const std::string before = host.events.Await("first with ");
  const std::string ready = host.events.Await("is ready");
  host.Signal(SIGUSR2);
  host.events.Await("trying");
  ::kill(static_cast<pid_t>(std::stol(ready.substr(ready.find("worker ") + 7))), SIGKILL);
  const std::string beside = host.events.Await(" with ");
  CHECK(beside.substr(beside.find("with")) == before.substr(before.find("with")));
  tried.Open();
  host.events.Await("generation 2 serves");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Generations: a stop ends a trial, and whoever drains") {
  const Gate drained;
  Behaviour behaviour;
  behaviour.worker = [&drained](const WorkerStart& start, EventPipe& events, int generation) {
    const int code = ServingWorker(start, events, generation);
    if (generation == 1) drained.Pass();
    return code;
  };
  SUBCASE("a trial") {
    behaviour.trial = [](int, EventPipe& events) {
      events.Say("trying");
      while (true) ::pause();
      return 0;
    };
    drained.Open();
    ReloadedHost host(Workers(1), behaviour);
    host.events.Await("is ready");
    host.Signal(SIGUSR2);
    host.events.Await("trying");
    host.Signal(SIGTERM);
    CHECK(host.AwaitExit() == 0);
  }
  SUBCASE("the generation before") {
    ReloadedHost host(Workers(1), behaviour);
    host.events.Await("is ready");
    host.Signal(SIGUSR2);
    host.events.AwaitEach({"generation 2 serves", "passes on in 1"});
    host.Signal(SIGTERM);
    host.events.Await("ends in 2");
    drained.Open();
    CHECK(host.AwaitExit() == 0);
  }
}

TEST_CASE("Generations: workers that do not start leave those of before serving, until they do") {
  const Gate sound;
  Settings settings = Workers(1);
  settings.max_start_failures = 2;
  Behaviour behaviour;
  behaviour.worker = [&sound](const WorkerStart& start, EventPipe& events, int generation) {
    if (generation == 2 && !sound.TryPass()) {
      events.Say("fails");
      return options::kExitSoftware;
    }
    return ServingWorker(start, events, generation);
  };
  ReloadedHost host(settings, behaviour);
  host.events.Await("serves in 1");
  host.Signal(SIGUSR2);
  host.events.AwaitEach({"fails", "fails"});
  host.events.Await("its generation is tried again, and that of before serves on");
  SUBCASE("by themselves") {
    sound.Open();
    host.events.AwaitEach({"generation 2 serves", "passes on in 1"});
  }
  SUBCASE("or by another reload") {
    host.Signal(SIGUSR2);
    host.events.AwaitEach({"generation 3 serves", "passes on in 1"});
  }
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE(
    "Generations: when all of before have gone the new one is tried on, for the host has served") {
  const Gate gone;
  const Gate sound;
  Settings settings = Workers(1);
  settings.max_start_failures = 2;
  Behaviour behaviour;
  behaviour.worker = [&](const WorkerStart& start, EventPipe& events, int generation) {
    if (generation == 2) {
      return sound.TryPass() ? ServingWorker(start, events, 2) : options::kExitConfiguration;
    }
    if (!worker::TrySend(start.supervisor, worker::Ready{})) ::_exit(97);
    events.Say("serves in 1");
    gone.Pass();
    return 3;
  };
  ReloadedHost host(settings, behaviour);
  host.events.Await("serves in 1");
  host.Signal(SIGUSR2);
  host.events.Await("its generation is tried again, and that of before serves on");
  gone.Open();
  host.events.Await("of generation 1 exited with code 3");
  for (int i = 0; i < 2; ++i)
    host.events.Await("exited with code 78 before it was ready: starting");
  sound.Open();
  host.events.Await("generation 2 serves");
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

TEST_CASE("Generations: one of before that does not end in its drain time is killed") {
  Settings settings = Workers(1);
  settings.drain_timeout = milliseconds{0};
  Behaviour behaviour;
  behaviour.worker = [](const WorkerStart& start, EventPipe& events, int generation) {
    if (generation == 2) return ServingWorker(start, events, generation);
    ::signal(SIGTERM, SIG_IGN);
    static_cast<void>(worker::TrySend(start.supervisor, worker::Ready{}));
    while (true) ::pause();
    return 0;
  };
  ReloadedHost host(settings, behaviour);
  host.events.Await("is ready");
  host.Signal(SIGUSR2);
  host.events.AwaitEach(
      {"of generation 1 did not end in time: killing it", "of generation 1 was ended by SIGKILL"});
  host.Signal(SIGTERM);
  CHECK(host.AwaitExit() == 0);
}

}  // namespace
}  // namespace weft::host::supervisor
