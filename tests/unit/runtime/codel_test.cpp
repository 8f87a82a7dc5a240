#include "host/runtime/codel.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <deque>

namespace weft::host::runtime {

namespace {

using namespace std::chrono_literals;
using Time = Codel::Clock::time_point;

constexpr Time kStart = Time(1h);

}  // namespace

TEST_CASE("Codel: a delay beyond the target is a burst for an interval, and too long after it") {
  Codel codel({.target = 50ms, .interval = 100ms});
  codel.Observe(kStart, 60ms);  // begins an interval
  for (auto at = 10ms; at < 100ms; at += 10ms) {
    codel.Observe(kStart + at, 60ms);
    CHECK_FALSE(codel.Refuses(60ms));
  }
  codel.Observe(kStart + 100ms, 60ms);
  CHECK(codel.Refuses(60ms));
  CHECK(codel.Refuses(50ms));
  CHECK_FALSE(codel.Refuses(49ms));  // that one has its turn soon
}

TEST_CASE("Codel: one that waited for little shows that the queue is short enough") {
  Codel codel({.target = 50ms, .interval = 100ms});
  for (auto at = 0ms; at <= 1000ms; at += 10ms) {
    codel.Observe(kStart + at, at % 100ms == 50ms ? 50ms : 90ms);
    CHECK_FALSE(codel.Refuses(1h));
  }
}

TEST_CASE("Codel: it ends when an interval had a short delay, or somebody did not wait") {
  Codel codel({.target = 50ms, .interval = 100ms});
  codel.Observe(kStart, 60ms);
  codel.Observe(kStart + 100ms, 60ms);
  REQUIRE(codel.Refuses(60ms));
  SUBCASE("a delay near the target is no end") {
    codel.Observe(kStart + 150ms, 40ms);
    codel.Observe(kStart + 200ms, 60ms);
    CHECK(codel.Refuses(60ms));
  }
  SUBCASE("a short delay") {
    codel.Observe(kStart + 150ms, 25ms);
    CHECK(codel.Refuses(60ms));
    codel.Observe(kStart + 200ms, 60ms);
    CHECK_FALSE(codel.Refuses(60ms));
  }
  SUBCASE("no delay") {
    codel.ObserveNoDelay();
    CHECK_FALSE(codel.Refuses(60ms));
    codel.Observe(kStart + 200ms, 60ms);
    CHECK_FALSE(codel.Refuses(60ms));
  }
  SUBCASE("silence") {
    codel.Observe(kStart + 10s, 60ms);
    CHECK_FALSE(codel.Refuses(60ms));
  }
}

TEST_CASE("Codel: with a target of 0 it is off") {
  CHECK_FALSE(Codel({.target = 0ms}).IsOn());
  CHECK(Codel({.target = 1ms}).IsOn());
}

TEST_CASE("Codel: three times the load keeps the server busy, and the queue at the target") {
  // One server that takes 10 ms for each; one comes every 3.3 ms, for a minute.
  Codel codel({.target = 50ms, .interval = 100ms});
  std::deque<Time> queue;
  Time free_at = kStart;
  Time idle_since = kStart;
  Codel::Clock::duration idle{};
  Codel::Clock::duration longest{};
  int served = 0;
  for (Time now = kStart; now < kStart + 60s; now += 3300us) {
    while (!queue.empty() && free_at <= now) {
      const auto began = std::max(free_at, queue.front());
      codel.Observe(began, began - queue.front());
      if (began > kStart + 1s) {
        longest = std::max(longest, began - queue.front());
      }
      idle += began - idle_since;
      queue.pop_front();
      ++served;
      free_at = idle_since = began + 10ms;
    }
    if (!codel.Refuses(codel.DelayOf(queue.size()))) {
      queue.push_back(now);
    }
  }
  CHECK(served > 5'900);
  CHECK(idle < 100ms);
  CHECK(longest < 100ms);
}

}  // namespace weft::host::runtime
