#include "host/worker/recycling.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>

namespace weft::host::worker {
namespace {

using namespace std::chrono_literals;
using options::Settings;
using Time = Recycling::Clock::time_point;
using Reason = Recycle::Reason;

constexpr Time kStart{1h};

std::optional<std::uint64_t> memory_now = 0;
std::optional<std::uint64_t> TestMemory() { return memory_now; }

Recycling Of(const Settings& settings) { return {settings, std::minstd_rand(1), &TestMemory}; }

TEST_CASE("Recycling: nothing is asked for by default") {
  memory_now = 1ULL << 40;
  Recycling recycling = Of(Settings{});
  CHECK(recycling.OnReady().empty());
  CHECK_FALSE(recycling.Look(1ULL << 40, kStart));
}

TEST_CASE("Recycling: requests are counted, and it is asked for until it was told") {
  Settings settings;
  settings.recycle_requests = 100;
  settings.recycle_jitter = 0;
  Recycling recycling = Of(settings);
  CHECK(recycling.OnReady().empty());
  CHECK_FALSE(recycling.Look(99, kStart));
  CHECK(recycling.Look(101, kStart) == Recycle{Reason::kRequests, 101});
  CHECK(recycling.Look(150, kStart) == Recycle{Reason::kRequests, 101});
  recycling.IsTold();
  CHECK_FALSE(recycling.Look(200, kStart));
}

TEST_CASE("Recycling: memory is looked at once a second") {
  Settings settings;
  settings.recycle_memory = 1'000;
  Recycling recycling = Of(settings);
  memory_now = 500;
  CHECK(recycling.OnReady().empty());
  CHECK_FALSE(recycling.Look(0, kStart));
  memory_now = 1'001;
  CHECK_FALSE(recycling.Look(0, kStart + 999ms));
  CHECK(recycling.Look(0, kStart + 1s) == Recycle{Reason::kMemory, 1'001});
}

TEST_CASE("Recycling: a bound that is broken from the start is told and does not count") {
  Settings settings;
  settings.recycle_memory = 1'000;
  settings.recycle_requests = 10;
  Recycling recycling = Of(settings);
  SUBCASE("too much") { memory_now = 1'001; }
  SUBCASE("not to be known") { memory_now = std::nullopt; }
  CHECK(recycling.OnReady().starts_with("--recycle-memory is "));
  memory_now = 5'000;
  CHECK_FALSE(recycling.Look(0, kStart));
  CHECK(recycling.Look(10, kStart).has_value());
}

TEST_CASE("Lowered: by no more than the percent, to no less than 1, and each time otherwise") {
  std::minstd_rand chance(42);
  CHECK(Lowered(0, 50, chance) == 0);
  CHECK(Lowered(1'000, 0, chance) == 1'000);
  std::uint64_t least = 1'000;
  std::uint64_t most = 0;
  for (int i = 0; i < 1'000; ++i) {
    const auto lowered = Lowered(1'000, 10, chance);
    least = std::min(least, lowered);
    most = std::max(most, lowered);
    CHECK(Lowered(1, 100, chance) == 1);
  }
  CHECK(least >= 900);
  CHECK(least < 920);
  CHECK(most <= 1'000);
  CHECK(most > 980);
}

TEST_CASE("OwnMemoryOf: what is in memory and no file's, and what is swapped out") {
  constexpr std::string_view kStatus =
      "Name:\tVmSwap: 9 kB\nVmRSS:\t    9000 kB\nRssAnon:\t    1500 kB\nRssFile:\t    7500 kB\n"
      "VmSwap:\t      20 kB\nThreads:\t3\n";
  CHECK(OwnMemoryOf(kStatus) == 1'520 * 1024);
  CHECK(OwnMemoryOf("RssAnon:\t7 kB\n") == 7 * 1024);
  CHECK(OwnMemoryOf("VmRSS:\t7 kB\n") == std::nullopt);
  CHECK(OwnMemoryOf("RssAnon:\t\n") == std::nullopt);
  CHECK(OwnMemoryOf("") == std::nullopt);
}

}  // namespace
}  // namespace weft::host::worker
