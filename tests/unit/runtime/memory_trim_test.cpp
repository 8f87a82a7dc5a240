#include "host/runtime/memory_trim.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace weft::host::runtime {
namespace {

using namespace std::chrono_literals;

int g_trims = 0;

TEST_CASE("MemoryTrim: once, when the rest after work has been long enough") {
  g_trims = 0;
  MemoryTrim trim([]() noexcept { ++g_trims; });
  MemoryTrim::Clock::time_point now{1h};
  CHECK_FALSE(trim.Look(now, false));  // there was nothing
  CHECK_FALSE(trim.Look(now += 1h, false));
  CHECK(g_trims == 0);

  CHECK(trim.Look(now += 1s, true));
  CHECK(trim.Look(now += 1h, true));  // it goes on
  CHECK(trim.Look(now += MemoryTrim::kRest - 1ms, false));
  CHECK(g_trims == 0);
  CHECK_FALSE(trim.Look(now += 1ms, false));
  CHECK(g_trims == 1);
  CHECK_FALSE(trim.Look(now += 1h, false));
  CHECK(g_trims == 1);
}

TEST_CASE(
    "MemoryTrim: work that began in the rest, or was only heard of, has the rest begin anew") {
  g_trims = 0;
  MemoryTrim trim([]() noexcept { ++g_trims; });
  MemoryTrim::Clock::time_point now{1h};
  CHECK(trim.Look(now, true));
  CHECK(trim.Look(now += MemoryTrim::kRest / 2, false));
  trim.Worked();
  CHECK(trim.Look(now += MemoryTrim::kRest, false));
  CHECK(trim.Look(now += MemoryTrim::kRest / 2, true));
  CHECK(trim.Look(now += MemoryTrim::kRest / 2, false));
  CHECK(g_trims == 0);
  CHECK_FALSE(trim.Look(now += MemoryTrim::kRest / 2, false));
  CHECK(g_trims == 1);
}

}  // namespace
}  // namespace weft::host::runtime
