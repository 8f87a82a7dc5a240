#include "host/supervisor/scaling.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace weft::host::supervisor {
namespace {

using namespace std::chrono_literals;
using options::CrashLimit;
using options::ProcessModel;
using options::Settings;
using Time = Scaling::Clock::time_point;

constexpr Time kStart{1h};

/// What is looked at once a second, and the time that goes by with it.
struct Watched {
  Watched(const Settings& settings, std::size_t most)
      : scaling(Scaling::Bounds::Of(settings, most)) {}

  std::size_t Look(const Scaling::Seen& seen) {
    now += Scaling::kInterval;
    return scaling.Wanted(seen, now);
  }

  /// What there is after `looks` looks at a load that stays, shared by the workers that there are.
  std::size_t After(std::size_t workers, double load, int looks) {
    for (int i = 0; i < looks; ++i) {
      const double borne = std::min(load, static_cast<double>(workers));
      workers = Look({.workers = workers, .load = borne, .has_worked = load > 0});
    }
    return workers;
  }

  Scaling scaling;
  Time now = kStart;
};

Watched Dynamic(std::size_t most, std::size_t least = 1, std::size_t least_free = 1,
                std::size_t most_free = 2) {
  Settings settings;
  settings.process_model = ProcessModel::kDynamic;
  settings.min_workers = least;
  settings.min_spare_workers = least_free;
  settings.max_spare_workers = most_free;
  settings.worker_idle_timeout = 10s;
  return {settings, most};
}

Watched OnDemand(std::size_t most) {
  Settings settings;
  settings.process_model = ProcessModel::kOnDemand;
  settings.worker_idle_timeout = 10s;
  return {settings, most};
}

TEST_CASE("Scaling: begins with what must be free, or with as many as served before") {
  CHECK(Dynamic(8).scaling.AtStart(0) == 1);
  CHECK(Dynamic(8, 3).scaling.AtStart(0) == 3);
  CHECK(Dynamic(8, 1, 2, 3).scaling.AtStart(0) == 2);
  CHECK(Dynamic(8).scaling.AtStart(5) == 5);
  CHECK(Dynamic(4).scaling.AtStart(5) == 4);
  // To find out whether it can serve at all.
  CHECK(OnDemand(8).scaling.AtStart(0) == 1);
  CHECK(OnDemand(8).scaling.AtStart(3) == 3);
}

TEST_CASE("Scaling: a load makes as many as it needs, at once, and no more than there may be") {
  Watched host = Dynamic(4);
  CHECK(host.After(1, 0.0, 1) == 1);
  CHECK(host.After(1, 0.2, 100) == 1);  // hardly anything
  CHECK(host.After(1, 0.5, 1) == 2);
  CHECK(host.After(2, 1.5, 1) == 3);
  CHECK_FALSE(host.scaling.IsAtLimit());
  CHECK(host.After(3, 4.0, 5) == 4);
  CHECK(host.scaling.IsAtLimit());
  CHECK(host.After(4, 2.0, 1) == 4);
  CHECK_FALSE(host.scaling.IsAtLimit());
}

TEST_CASE("Scaling: what is free for long is given back, one after the other, down to the least") {
  Watched host = Dynamic(8);
  CHECK(host.After(6, 0.0, 10) == 6);  // since the first look it is not 10 s yet
  CHECK(host.After(6, 0.0, 1) == 5);
  CHECK(host.After(5, 0.0, 3) == 2);
  CHECK(host.After(2, 0.0, 100) == 2);  // no more than 2 are free

  Watched least = Dynamic(8, 4);
  CHECK(least.After(6, 0.0, 100) == 4);
}

TEST_CASE("Scaling: a burst of load begins the time anew") {
  Watched host = Dynamic(8);
  CHECK(host.After(4, 0.0, 10) == 4);
  CHECK(host.After(4, 2.5, 1) == 4);
  CHECK(host.After(4, 0.0, 10) == 4);
  CHECK(host.After(4, 0.0, 1) == 3);
}

TEST_CASE("Scaling: a load that stays comes to rest, whatever it is") {
  for (const bool on_demand : {false, true}) {
    for (double load = 0.05; load < 6; load += 0.05) {
      CAPTURE(on_demand);
      CAPTURE(load);
      Watched host = on_demand ? OnDemand(8) : Dynamic(8);
      for (const std::size_t begin : {std::size_t{1}, std::size_t{8}}) {
        const std::size_t settled = host.After(begin, load, 100);
        std::size_t workers = settled;
        for (int look = 0; look < 100; ++look) {
          workers = host.After(workers, load, 1);
          REQUIRE(workers == settled);
        }
        CHECK(static_cast<double>(settled) >= load);
      }
    }
  }
}

TEST_CASE("Scaling: on demand one is enough until it is nearly busy") {
  Watched host = OnDemand(4);
  CHECK(host.After(1, 0.7, 20) == 1);
  CHECK(host.After(1, 0.8, 1) == 2);
  CHECK(host.After(2, 0.8, 20) == 2);
  CHECK(host.After(2, 0.7, 12) == 1);
}

TEST_CASE("Scaling: on demand all leave when nothing was asked for so long") {
  Watched host = OnDemand(4);
  CHECK(host.After(1, 0.1, 1) == 1);
  CHECK(host.After(1, 0.0, 9) == 1);
  CHECK(host.After(1, 0.0, 1) == 0);
  CHECK(host.After(0, 0.0, 5) == 0);

  // One that was started because somebody asked stays as long, though nothing was seen of it yet.
  host.now += 1h;
  host.scaling.OnDemand(host.now);
  CHECK(host.After(1, 0.0, 9) == 1);
  CHECK(host.After(1, 0.0, 1) == 0);
}

TEST_CASE("Scaling: requests that wait without any load keep a worker") {
  Watched host = OnDemand(4);
  for (int look = 0; look < 100; ++look) {
    REQUIRE(host.Look({.workers = 1, .load = 0, .has_worked = true}) == 1);
  }
}

TEST_CASE("Scaling: the last one stays while nobody can hold its connections") {
  Watched host = OnDemand(4);
  for (int look = 0; look < 100; ++look) {
    REQUIRE(host.Look({.workers = 1, .may_all_leave = false}) == 1);
  }
  CHECK(host.Look({.workers = 1}) == 0);
}

TEST_CASE("CrashWindow: only those within the time count, and without a limit none") {
  CrashWindow window(CrashLimit{.crashes = 3, .within = 10s});
  CHECK_FALSE(window.Add(kStart));
  CHECK_FALSE(window.Add(kStart + 5s));
  CHECK_FALSE(window.Add(kStart + 11s));
  CHECK(window.Add(kStart + 15s));
  CHECK_FALSE(window.Add(kStart + 60s));

  CrashWindow one(CrashLimit{.crashes = 1, .within = 1s});
  CHECK(one.Add(kStart));
  CrashWindow none(std::nullopt);
  for (int i = 0; i < 1'000; ++i) CHECK_FALSE(none.Add(kStart));
}

}  // namespace
}  // namespace weft::host::supervisor
