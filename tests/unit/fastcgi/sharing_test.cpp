#include "host/fastcgi/sharing.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "host/observe/scoreboard.hpp"

namespace weft::host::fastcgi {

namespace {

using namespace std::chrono_literals;
using Load = Sharing::Load;

/// A worker's decisions beside others that are what a test says.
struct Host {
  explicit Host(std::vector<Load> others, const Sharing::Options& options = {})
      : peers(std::move(others)), sharing(options, [this](std::size_t&, std::span<Load> loads) {
          const auto count = std::min(loads.size(), peers.size());
          std::copy_n(peers.begin(), count, loads.begin());
          ++looks;
          return count;
        }) {}

  std::vector<Load> peers;
  int looks = 0;
  Sharing sharing;
  Sharing::Clock::time_point now{1h};
};

constexpr Load Free(std::uint64_t connections) {
  return {.connections = connections, .waits = true};
}
constexpr Load Busy(std::uint64_t connections) { return {.connections = connections}; }

/// Workers of one host, each with its decisions, who see each other as they do in shared memory.
class ManyWorkers {
 public:
  explicit ManyWorkers(std::size_t count) : board_(count) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto part = board_.Take();
      board_.SetStage(part, observe::WorkerStage::kReady);
      workers_.push_back(std::make_unique<Sharing>(
          Sharing::Options{.first = i + 1}, [this, part](std::size_t& from, std::span<Load> loads) {
            const auto read = board_.ReadLoads(part, from, loads);
            most_read_ = std::max(most_read_, read);
            return read;
          }));
    }
  }

  Sharing& operator[](std::size_t i) { return *workers_.at(i); }
  observe::WorkerFigures& Figures(std::size_t i) { return board_.Of(i); }
  std::size_t Connections(std::size_t i) {
    return Figures(i)[observe::Count::kConnections].Value();
  }
  void SetConnections(std::size_t i, std::size_t connections) {
    Figures(i)[observe::Count::kConnections].Set(connections);
  }
  std::size_t Count() const noexcept { return workers_.size(); }
  std::size_t MostRead() const noexcept { return most_read_; }

 private:
  observe::Scoreboard board_;
  std::vector<std::unique_ptr<Sharing>> workers_;
  std::size_t most_read_ = 0;
};

}  // namespace

TEST_CASE("Sharing: a new connection is left to a free worker that has fewer") {
  CHECK(Host({Free(1)}).sharing.LeavesToOthers({.connections = 2}, {}));
  CHECK_FALSE(Host({Free(2)}).sharing.LeavesToOthers({.connections = 2}, {}));
  CHECK_FALSE(Host({Busy(1)}).sharing.LeavesToOthers({.connections = 2}, {}));
  CHECK(Host({Busy(0), Free(1)}).sharing.LeavesToOthers({.connections = 2}, {}));
  CHECK_FALSE(Host({}).sharing.LeavesToOthers({.connections = 2}, {}));
}

TEST_CASE("Sharing: of thousands of connections one more or less is no difference") {
  CHECK_FALSE(Host({Free(990)}).sharing.LeavesToOthers({.connections = 1000}, {}));
  CHECK(Host({Free(800)}).sharing.LeavesToOthers({.connections = 1000}, {}));
}

TEST_CASE("Sharing: a busy worker leaves a new connection to a free one, however many that has") {
  CHECK(Host({Free(9)}).sharing.LeavesToOthers({.connections = 1, .busy_for = 1ms}, {}));
  CHECK(Host({Free(9)}).sharing.LeavesToOthers({.connections = 1, .queued = 1}, {}));
  CHECK_FALSE(Host({Busy(0)}).sharing.LeavesToOthers({.busy_for = 1ms, .queued = 1}, {}));
}

TEST_CASE("Sharing: a worker whose handlers wait for threads is not free") {
  const Load load{.connections = 0, .waits = true, .queued = 1};
  CHECK_FALSE(Host({load}).sharing.LeavesToOthers({.connections = 2, .busy_for = 5ms}, {}));
  CHECK(Host({load}).sharing.OnRequest({.connections = 2, .busy_for = 5ms}, {}).connections == 0);
}

TEST_CASE("Sharing: a worker without connections and work looks at nobody") {
  Host host({Free(0)});
  CHECK_FALSE(host.sharing.LeavesToOthers({}, host.now));
  CHECK(host.sharing.OnRequest({.connections = 9, .busy_for = 999us}, host.now).connections == 0);
  CHECK(host.looks == 0);
}

TEST_CASE("Sharing: what was left in vain some times in a row is not left for a while") {
  Host host({Free(0)});
  const Sharing::Own own{.connections = 2, .busy_for = 5ms};
  for (int i = 0; i < Sharing::kTimesInVain; ++i) {
    REQUIRE(host.sharing.LeavesToOthers(own, host.now));
    host.now += Sharing::kPatience;
    host.sharing.WasLeft(/*is_still_there=*/true, host.now);
  }
  CHECK_FALSE(host.sharing.LeavesToOthers(own, host.now));
  CHECK(host.sharing.OnRequest(own, host.now).connections == 0);
  CHECK(host.sharing.Surplus(9, host.now) == 0);
  host.now += Sharing::kDistrust;
  CHECK(host.sharing.LeavesToOthers(own, host.now));
}

TEST_CASE("Sharing: a connection that was taken now and then is trust enough") {
  Host host({Free(0)});
  for (int i = 0; i < 3 * Sharing::kTimesInVain; ++i) {
    REQUIRE(host.sharing.LeavesToOthers({.connections = 2}, host.now));
    host.now += Sharing::kPatience;
    host.sharing.WasLeft(/*is_still_there=*/i % 2 == 0, host.now);
  }
}

TEST_CASE(
    "Sharing: a busy reactor passes on as many as there are free workers, but not whose turn it "
    "is") {
  Host host({Free(3), Busy(0), Free(9)});
  const auto pass_on = host.sharing.OnRequest({.connections = 5, .busy_for = 1ms}, host.now);
  CHECK(pass_on.connections == 2);
  CHECK_FALSE(pass_on.this_one);
}

TEST_CASE("Sharing: where handlers wait for threads, requests go to workers that have some") {
  constexpr Sharing::Options kOptions{.threads = 4};
  const Load all_busy{.waits = true, .busy_threads = 4};
  const Load one_idle{.waits = true, .busy_threads = 3};
  const Sharing::Own own{.connections = 5, .queued = 1};
  CHECK(Host({all_busy}, kOptions).sharing.OnRequest(own, {}).connections == 0);
  Host host({all_busy, one_idle}, kOptions);
  const auto pass_on = host.sharing.OnRequest(own, host.now);
  CHECK(pass_on.connections == 1);
  CHECK(pass_on.this_one);
}

TEST_CASE("Sharing: the others are looked at now and then at most, however many requests come") {
  Host host({Free(0)});
  const Sharing::Own own{.connections = 5, .busy_for = 5ms};
  REQUIRE(host.sharing.OnRequest(own, host.now).connections == 1);
  host.now += Sharing::kLookInterval - 1us;
  CHECK(host.sharing.OnRequest(own, host.now).connections == 0);
  CHECK(host.looks == 1);
  host.now += 1us;
  CHECK(host.sharing.OnRequest(own, host.now).connections == 1);
}

TEST_CASE("Sharing: connections beyond a worker's share are passed on") {
  const auto surplus = [](std::size_t own, std::vector<Load> peers) {
    return Host(std::move(peers)).sharing.Surplus(own, Sharing::Clock::time_point(1h));
  };
  CHECK(surplus(4, {Free(0)}) == 2);
  CHECK(surplus(8, {Free(0), Free(0), Free(0)}) == 6);
  CHECK(surplus(3, {Free(2), Free(2), Free(1)}) == 1);
  CHECK(surplus(2, {Free(0)}) == 1);
  // As even as it gets, whether the others are busy or not.
  CHECK(surplus(1, {Free(0)}) == 0);
  CHECK(surplus(3, {Busy(2), Busy(2), Busy(2)}) == 0);
  CHECK(surplus(2, {Free(5), Free(3)}) == 0);
  CHECK(surplus(1000, {Free(900)}) == 0);
  CHECK(surplus(1000, {Free(0)}) == Sharing::kAtOnce);
  CHECK(surplus(9, {}) == 0);
}

TEST_CASE("Sharing: evening out that does not last is done more and more rarely") {
  Host host({Free(0)});
  std::vector<Sharing::Clock::time_point> times;
  for (const auto end = host.now + 1min; host.now < end; host.now += 10ms) {
    if (host.sharing.Surplus(9, host.now) != 0) {
      times.push_back(host.now);
    }
  }
  CHECK(times.size() <= 10);
  REQUIRE(times.size() >= 3);
  CHECK(times[1] - times[0] == Sharing::kEvenInterval);
  CHECK(times[2] - times[1] == 2 * Sharing::kEvenInterval);
  // It was even, once.
  host.now += Sharing::kMostEvenInterval;
  CHECK(host.sharing.Surplus(1, host.now) == 0);
  CHECK(host.sharing.Surplus(9, host.now) != 0);
  CHECK(host.sharing.Surplus(9, host.now + Sharing::kEvenInterval) != 0);
}

TEST_CASE("Sharing: one that is free is found among more than are looked at for one decision") {
  constexpr std::size_t kWorkers = 5 * Sharing::kPeers + 1;
  const Sharing::Own own{.connections = 5, .busy_for = 5ms};
  for (const std::size_t free :
       {std::size_t{1}, Sharing::kPeers, 3 * Sharing::kPeers + 7, kWorkers - 1}) {
    CAPTURE(free);
    ManyWorkers host(kWorkers);
    host.Figures(free).waits.Set(1);
    Sharing::Clock::time_point now{1h};
    int left = 0;
    std::size_t passed_on = 0;
    for (int i = 0; i < 5; ++i) {
      left += host[0].LeavesToOthers(own, now) ? 1 : 0;
      passed_on += host[0].OnRequest(own, now).connections;
      now += Sharing::kLookInterval;
    }
    CHECK(left == 1);
    CHECK(passed_on == 1);
    CHECK(host.MostRead() == Sharing::kPeers);
  }
}

TEST_CASE("Sharing: connections are evened out among more workers than are looked at at once") {
  ManyWorkers host(3 * Sharing::kPeers);
  // Half of them were there before the others, and have all.
  constexpr std::size_t kEach = 100;
  for (std::size_t i = 0; i < host.Count() / 2; ++i) {
    host.SetConnections(i, kEach);
  }
  const auto fewest = [&] {
    std::size_t found = 0;
    for (std::size_t i = 1; i < host.Count(); ++i) {
      found = host.Connections(i) < host.Connections(found) ? i : found;
    }
    return found;
  };
  Sharing::Clock::time_point now{1h};
  for (const auto end = now + 2min; now < end; now += Sharing::kEvenInterval) {
    for (std::size_t i = 0; i < host.Count(); ++i) {
      const auto surplus = host[i].Surplus(host.Connections(i), now);
      host.SetConnections(i, host.Connections(i) - surplus);
      for (std::size_t passed = 0; passed < surplus; ++passed) {
        const auto taker = fewest();
        host.SetConnections(taker, host.Connections(taker) + 1);
      }
    }
  }
  std::size_t all = 0;
  for (std::size_t i = 0; i < host.Count(); ++i) {
    CAPTURE(i);
    CHECK(host.Connections(i) >= kEach * 3 / 8);
    CHECK(host.Connections(i) <= kEach * 5 / 8);
    all += host.Connections(i);
  }
  CHECK(all == host.Count() / 2 * kEach);
}

TEST_CASE("Sharing: what is told of new connections alone passes none on") {
  Host host({Free(0)}, {.passes_on = false});
  const Sharing::Own own{.connections = 5, .busy_for = 5ms, .queued = 1};
  CHECK(host.sharing.LeavesToOthers(own, host.now));
  CHECK(host.sharing.OnRequest(own, host.now).connections == 0);
  CHECK(host.sharing.Surplus(5, host.now) == 0);
}

}  // namespace weft::host::fastcgi
