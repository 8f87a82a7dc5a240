#include "host/observe/scoreboard.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "host/observe/host_report.hpp"
#include "host/observe/latency.hpp"
#include "host/observe/listen_queue.hpp"

namespace weft::host::observe {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST_CASE("LatencyClasses: the classes follow one another without a gap") {
  for (std::size_t i = 0; i + 1 < LatencyClasses::kCount; ++i) {
    CAPTURE(i);
    const std::chrono::microseconds longest(LatencyClasses::Ceiling(i));
    REQUIRE(LatencyClasses::Floor(i) < LatencyClasses::Ceiling(i));
    REQUIRE(LatencyClasses::IndexOf(longest) == i);
    REQUIRE(LatencyClasses::IndexOf(longest + 1ns) == i + 1);
  }
  CHECK(LatencyClasses::IndexOf(0ns) == 0);
  CHECK(LatencyClasses::IndexOf(-5ns) == 0);
  CHECK(LatencyClasses::IndexOf(100h) == LatencyClasses::kCount - 1);
}

TEST_CASE("LatencyCounts: a quantile is wrong by 3.2 % at most") {
  auto figures = std::make_unique<LatencyFigures>();
  std::mt19937 random(7);
  std::lognormal_distribution<double> times(8, 2);
  std::vector<double> all(20'000);
  for (double& time : all) {
    time = times(random) + 1;
    figures->Count(std::chrono::nanoseconds(static_cast<std::int64_t>(time * 1000)));
  }
  std::sort(all.begin(), all.end());
  LatencyCounts counts;
  counts.Add(*figures);
  REQUIRE(counts.Count() == all.size());
  for (const double share : {0.5, 0.9, 0.99, 0.999}) {
    const double exact = all[static_cast<std::size_t>(share * static_cast<double>(all.size())) - 1];
    CAPTURE(share);
    CHECK(counts.QuantileMicroseconds(share) == doctest::Approx(exact).epsilon(0.033));
  }
  CHECK(LatencyCounts().QuantileMicroseconds(0.5) == 0);
}

TEST_CASE("LatencyCounts: how many took no longer than a bound of a class is exact") {
  auto figures = std::make_unique<LatencyFigures>();
  for (const auto time : {255us, 256us, 257us, 1024us}) {
    figures->Count(time);
  }
  LatencyCounts counts;
  counts.Add(*figures);
  CHECK(counts.CountUpTo(256) == 2);
  CHECK(counts.CountUpTo(512) == 3);
  CHECK(counts.CountUpTo(1024) == 4);
  CHECK(counts.SumMicroseconds() == 255 + 256 + 257 + 1024);
}

TEST_CASE("Scoreboard: what a worker counts is seen while it lives, and after it was killed") {
  Scoreboard board(2);
  const auto part = board.Take();
  REQUIRE(part);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    board.KeepOnly(part);
    auto& figures = board.Of(part);
    figures[Count::kRequestsStarted].Add(3);
    figures[Count::kConnections].Add();
    CountedRequest request(figures, RequestState::kOnFiber);
    figures.CountEnd(200);
    figures.causes.Add("overloaded");
    figures.EntryNamed("GET /a").durations.Count(5ms);
    static_cast<void>(write(ends[1], "x", 1));
    pause();
    _exit(0);
  }
  board.SetProcess(part, pid, 4);
  board.SetStage(part, WorkerStage::kReady);
  char byte = 0;
  REQUIRE(read(ends[0], &byte, 1) == 1);

  auto all = board.All(Clock::now());
  REQUIRE(all.workers.size() == 1);
  CHECK(all.workers[0].pid == pid);
  CHECK(all.workers[0].generation == 4);
  CHECK(all.workers[0].stage == WorkerStage::kReady);
  CHECK(all.workers[0].figures[Count::kConnections] == 1);
  CHECK(all.sum.InFlight() == 1);
  CHECK(board.HasConnections());

  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  board.GiveBack(part);
  all = board.All(Clock::now());
  CHECK(all.workers.empty());
  CHECK(all.sum[Count::kRequestsStarted] == 3);
  CHECK(all.sum[Count::kSuccess] == 1);
  CHECK(all.sum[Count::kConnections] == 0);
  CHECK(all.sum.InFlight() == 0);
  REQUIRE(all.sum.causes.size() == 1);
  CHECK(all.sum.causes[0].name == "overloaded");
  REQUIRE(all.sum.entries.size() == 1);
  CHECK(all.sum.entries[0].name == "GET /a");
  CHECK(all.sum.Durations().Count() == 1);
  // Whoever gets the part next begins with nothing.
  CHECK(board.Take() == part);
  CHECK(board.Of(part)[Count::kRequestsStarted].Value() == 0);
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("Scoreboard: the loads are of the others that take requests") {
  Scoreboard board(4);
  const auto own = board.Take();
  const auto ready = board.Take();
  const auto starting = board.Take();
  const auto retiring = board.Take();
  board.SetStage(own, WorkerStage::kReady);
  board.SetStage(ready, WorkerStage::kReady);
  board.SetStage(starting, WorkerStage::kStarting);
  board.SetStage(retiring, WorkerStage::kRetiring);
  auto& figures = board.Of(ready);
  figures[Count::kConnections].Set(7);
  figures.waits.Set(1);
  figures.handlers.threads.Set(5);
  figures.handlers.idle.Set(2);
  figures.handlers.queued.Set(3);
  std::array<Scoreboard::Load, 4> loads;
  std::size_t from = 0;
  REQUIRE(board.ReadLoads(own, from, loads) == 1);
  CHECK(loads[0].connections == 7);
  CHECK(loads[0].waits);
  CHECK(loads[0].queued == 3);
  CHECK(loads[0].busy_threads == 3);
  figures.handlers.idle.Set(6);  // read in the middle of a change
  CHECK(board.ReadLoads(std::nullopt, from, loads) == 2);
  CHECK(loads[1].busy_threads == 0);
  CHECK(board.ReadLoads(std::nullopt, from, std::span(loads).first(1)) == 1);
}

TEST_CASE(
    "Scoreboard: who reads the loads of some again and again sees each other worker in turn") {
  constexpr std::size_t kWorkers = 10;
  Scoreboard board(kWorkers + 3);
  for (std::size_t i = 0; i < kWorkers; ++i) {
    const auto part = board.Take();
    board.SetStage(part, WorkerStage::kReady);
    board.Of(part)[Count::kConnections].Set(i);
  }
  constexpr std::size_t kOwn = 4;
  std::array<Scoreboard::Load, 3> loads;
  std::size_t from = kOwn + 1;
  std::string seen;
  for (int i = 0; i < 4; ++i) {
    REQUIRE(board.ReadLoads(kOwn, from, loads) == loads.size());
    for (const auto& load : loads) {
      seen += std::to_string(load.connections);
    }
  }
  CHECK(seen == "567890123567");
  from = 1'000;  // of another board
  CHECK(board.ReadLoads(kOwn, from, loads) == loads.size());
  CHECK(loads[0].connections == 0);
}

TEST_CASE("Scoreboard: a worker cannot write to what is not its own") {
  Scoreboard board(2);
  const auto own = board.Take();
  const auto others = board.Take();
  const auto ends_of = [&](auto write) {
    const pid_t pid = fork();
    if (pid == 0) {
      signal(SIGSEGV, SIG_DFL);
      board.KeepOnly(own);
      write();
      _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  };
  CHECK(ends_of([&] { board.Of(own)[Count::kStalls].Add(); }) == 0);
  CHECK(ends_of([&] { board.Of(others)[Count::kStalls].Add(); }) != 0);
  CHECK(ends_of([&] { board.Host().worker_starts.Add(); }) != 0);
  CHECK(ends_of([&] { static_cast<void>(board.All(Clock::now())); }) == 0);
}

TEST_CASE("Scoreboard: beyond its parts a worker counts where nobody looks") {
  Scoreboard board(1);
  CHECK(board.Take() == Scoreboard::Part(0));
  const auto none = board.Take();
  CHECK_FALSE(none);
  board.Of(none)[Count::kStalls].Add();
  board.SetProcess(none, 1, 0);
  board.GiveBack(none);
  CHECK(board.All(Clock::now()).sum[Count::kStalls] == 0);
}

TEST_CASE("Scoreboard: another program finds it by its descriptor") {
  Scoreboard board(3);
  if (board.Descriptor() < 0) {
    return;  // a limit of file sizes
  }
  const auto part = board.Take();
  board.Of(part)[Count::kSuccess].Add(7);
  const auto other = Scoreboard::Adopt(dup(board.Descriptor()));
  CHECK(other->All(Clock::now()).sum[Count::kSuccess] == 7);
  CHECK(other->Take() == Scoreboard::Part(1));
  board.Of(Scoreboard::Part(1))[Count::kSuccess].Add(2);
  CHECK(other->All(Clock::now()).sum[Count::kSuccess] == 9);

  int ends[2];
  REQUIRE(pipe(ends) == 0);
  CHECK_THROWS_AS(static_cast<void>(Scoreboard::Adopt(ends[0])), std::runtime_error);
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE(
    "ListenQueues: after a reload each address keeps what was seen of it, wherever it stands") {
  Scoreboard board(1);
  const auto seen = [&board] {
    std::vector<std::string> all;
    for (const auto& queue : ReadReport(board, "1.0", Clock::now()).queues) {
      all.push_back(queue.address + " " + std::to_string(queue.most));
    }
    return all;
  };
  const ListenQueues before({{-1, "unix:/a"}, {-1, "unix:/b"}, {-1, "unix:/c"}});
  before.Begin(board.Host());
  before.Look(board.Host());
  for (std::size_t i = 0; i < 3; ++i) board.Host().listen_queues[i].most.Set(i + 1);
  CHECK(seen() == std::vector<std::string>{"unix:/a 1", "unix:/b 2", "unix:/c 3"});
  ListenQueues({{-1, "unix:/c"}, {-1, "unix:/d"}}).Begin(board.Host());
  CHECK(seen() == std::vector<std::string>{"unix:/c 3", "unix:/d 0"});
}

TEST_CASE("Scoreboard: whatever a worker has left there can be read and told") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 20; ++round) {
    Scoreboard board(1);
    const auto part = board.Take();
    board.SetProcess(part, 5, 0);
    auto& figures = board.Of(part);
    auto* const bytes = reinterpret_cast<unsigned char*>(&figures);
    for (std::size_t i = 0; i < sizeof figures; ++i) {
      bytes[i] = round == 0 ? 0xff : static_cast<unsigned char>(random());
    }
    const auto report = ReadReport(board, "1.0", Clock::now());
    CHECK(ReportToOpenMetrics(report).ends_with("# EOF\n"));
    CHECK_FALSE(ReportToJson(report).empty());
    board.GiveBack(part);
    CHECK_FALSE(ReportToJson(ReadReport(board, "1.0", Clock::now())).empty());
  }
}

TEST_CASE("WorkerFigures: more entries than there is room for are counted together") {
  auto figures = std::make_unique<WorkerFigures>();
  for (std::size_t i = 0; i < WorkerFigures::kEntries + 3; ++i) {
    figures->EntryNamed("entry " + std::to_string(i)).durations.Count(1ms);
  }
  CHECK(&figures->EntryNamed("entry 0") == &figures->EntryNamed("entry 0"));
  const auto reading = Read(*figures, Clock::now());
  REQUIRE(reading.entries.size() == WorkerFigures::kEntries + 1);
  CHECK(reading.entries.back().name.empty());
  CHECK(reading.entries.back().durations.Count() == 3);
  CHECK(reading.Durations().Count() == WorkerFigures::kEntries + 3);
}

TEST_CASE("CountedRequest: is counted at what it is at, and nowhere when it has ended") {
  auto figures = std::make_unique<WorkerFigures>();
  {
    CountedRequest request(*figures, RequestState::kOnFiber);
    {
      const RequestPhase thread(request, RequestState::kOnThread);
      {
        const RequestPhase writing(request, RequestState::kWriting);
        CHECK((*figures)[Count::kWriting].Value() == 1);
        CHECK((*figures)[Count::kOnThread].Value() == 0);
      }
      CHECK((*figures)[Count::kOnThread].Value() == 1);
      request.Enter(RequestState::kFinished);
    }
    CHECK((*figures)[Count::kFinished].Value() == 1);
  }
  CHECK(Read(*figures, Clock::now()).InFlight() == 0);
}

TEST_CASE("WorkerReading: who waits for a thread is not on one") {
  auto figures = std::make_unique<WorkerFigures>();
  (*figures)[Count::kOnThread].Set(5);
  figures->handlers.queued.Set(2);
  figures->handlers.oldest_queued_ns.Set(1);
  const auto reading = Read(*figures, Clock::time_point(1s));
  CHECK(reading.WaitingForThread() == 2);
  CHECK(reading.InFlight() == 5);
  CHECK(reading.handlers.oldest_wait == 1s - 1ns);
}

TEST_CASE("RecentRequests: counts whole seconds, and forgets what is older") {
  RecentRequests recent;
  const Clock::time_point start(1000s);
  for (int i = 0; i < 5; ++i) {
    recent.Count(start + i * 1s);
    recent.Count(start + i * 1s);
  }
  CHECK(recent.CountOfLast(10, start + 5s) == 10);
  CHECK(recent.CountOfLast(10, start + 4s) == 8);
  CHECK(recent.CountOfLast(2, start + 5s) == 4);
  CHECK(recent.CountOfLast(60, start + 200s) == 0);
}

TEST_CASE("HostReport: it is ready when a worker is, and the host does not stop") {
  Scoreboard board(1);
  std::string why_not;
  CHECK_FALSE(ReadReport(board, "1.0", Clock::now()).IsReady(&why_not));
  CHECK(why_not == "no worker takes requests");
  const auto part = board.Take();
  board.SetStage(part, WorkerStage::kReady);
  board.Host().stage.Set(static_cast<std::uint64_t>(HostStage::kServing));
  CHECK(ReadReport(board, "1.0", Clock::now()).IsReady());
  board.Host().stage.Set(static_cast<std::uint64_t>(HostStage::kDraining));
  CHECK_FALSE(ReadReport(board, "1.0", Clock::now()).IsReady(&why_not));
  CHECK(why_not == "the host is draining");
}

TEST_CASE("ReportToOpenMetrics: names of entries and causes cannot break out of their labels") {
  Scoreboard board(1);
  const auto part = board.Take();
  board.Of(part).EntryNamed("* /a\"b\\c\nd\xff").durations.Count(1ms);
  const auto text = ReportToOpenMetrics(ReadReport(board, "1.0", Clock::now()));
  CHECK(text.find(
            "weft_request_duration_seconds_count{entry=\"* /a\\\"b\\\\c\\nd\xef\xbf\xbd\"} 1\n") !=
        std::string::npos);
}

}  // namespace
}  // namespace weft::host::observe
