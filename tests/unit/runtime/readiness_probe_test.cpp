#include "host/runtime/readiness_probe.hpp"

#include <doctest/doctest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>

namespace weft::host::runtime {

namespace {

using namespace std::chrono_literals;
using Time = ReadinessProbe::Clock::time_point;

constexpr Codel::Options kOptions{.target = 50ms, .interval = 100ms};

Time g_now;

/// A reactor whose time is told to it. Something arrives every 7 ms, so that each has an event of the probe's.
struct Reactor {
  Reactor() { g_now = Time(1h); }

  bool Arrives() {
    g_now += 7ms;
    return probe.OnArrival(g_now);
  }
  /// The next that is ready has its turn. False: there is none.
  bool Turn() { return io.poll_one() != 0; }

  /// What has its turn has waited for as long as `behind` arrivals took, for 280 ms. Whether any was refused.
  bool Stands(int behind) {
    bool refused = false;
    for (int i = 0; i < behind; ++i) {
      refused |= Arrives();
    }
    for (int i = 0; i < 40; ++i) {
      refused |= Arrives();
      REQUIRE(Turn());
    }
    return refused;
  }

  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  ReadinessProbe probe{io, kOptions, [] { return g_now; }};
};

}  // namespace

TEST_CASE("ReadinessProbe: a wait of less than the target is borne for ever") {
  Reactor reactor;
  CHECK_FALSE(reactor.Stands(6));  // 42 ms
}

TEST_CASE(
    "ReadinessProbe: once all wait for too long, who has done so is refused, and not who came "
    "later") {
  Reactor reactor;
  REQUIRE(reactor.Stands(9));  // 63 ms
  CHECK(reactor.Arrives());
  // Those that are refused take no time: the next in the queue has its turn.
  REQUIRE(reactor.Turn());
  REQUIRE(reactor.Turn());
  REQUIRE(reactor.Turn());
  CHECK_FALSE(reactor.probe.OnArrival(g_now));
  // And is refused when it has waited for as long.
  CHECK_FALSE(reactor.Arrives());
  CHECK(reactor.Arrives());
}

TEST_CASE("ReadinessProbe: a wait that is many times the interval is known, too") {
  Reactor reactor;
  for (int i = 0; i < 500; ++i) {
    reactor.Arrives();  // no turn for 3.5 s
  }
  int refused = 0;
  for (int i = 0; i < 500; ++i) {
    refused += reactor.Arrives() ? 1 : 0;
    if (i % 5 == 0) {
      reactor.Turn();
    }
  }
  CHECK(refused > 450);
}

TEST_CASE("ReadinessProbe: one handler that holds the reactor is no overload") {
  Reactor reactor;
  CHECK_FALSE(reactor.Arrives());
  g_now += 1s;
  CHECK_FALSE(reactor.Arrives());
  REQUIRE(reactor.Turn());
  REQUIRE(reactor.Turn());
  CHECK_FALSE(reactor.Arrives());
}

TEST_CASE("ReadinessProbe: once the queue was empty, what comes is another burst") {
  Reactor reactor;
  REQUIRE(reactor.Stands(9));
  while (reactor.Turn()) {
  }
  g_now += 20ms;
  for (int i = 0; i < 9; ++i) {
    CHECK_FALSE(reactor.Arrives());
  }
}

TEST_CASE("ReadinessProbe: after a silence nothing is known") {
  Reactor reactor;
  REQUIRE(reactor.Stands(9));
  g_now += 10s;
  CHECK_FALSE(reactor.probe.OnArrival(g_now));
  while (reactor.Turn()) {
  }
  CHECK_FALSE(reactor.Stands(0));
}

}  // namespace weft::host::runtime
