#include "host/observe/rate_limit.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace weft::host::observe {
namespace {

using std::chrono::milliseconds;

/// A limit with a clock that stands still unless it is moved.
struct Limited {
  Limited(std::size_t per_second, std::size_t burst) { limit.Set(per_second, burst); }
  /// -1: dropped.
  int Pass(const RateLimit::Kind& kind = {}) {
    const auto passed = limit.Pass(kind, options::LogLevel::kInfo, "name", now);
    return passed ? static_cast<int>(*passed) : -1;
  }

  RateLimit limit;
  RateLimit::Clock::time_point now = RateLimit::Clock::now();
};

TEST_CASE("RateLimit: a burst passes, then so many a second; who passes tells how many did not") {
  Limited limited(10, 3);
  CHECK(limited.Pass() == 0);
  CHECK(limited.Pass() == 0);
  CHECK(limited.Pass() == 0);
  CHECK(limited.Pass() == -1);
  CHECK(limited.Pass() == -1);
  limited.now += milliseconds(99);
  CHECK(limited.Pass() == -1);
  limited.now += milliseconds(2);
  CHECK(limited.Pass() == 3);
  CHECK(limited.Pass() == -1);
  limited.now += std::chrono::hours(1);
  CHECK(limited.Pass() == 1);
  CHECK(limited.Pass() == 0);
  CHECK(limited.Pass() == 0);
  CHECK(limited.Pass() == -1);  // the burst, and no more
}

TEST_CASE("RateLimit: kinds do not take each other's place") {
  static const char file = 'f';
  static const char event = 'e';
  Limited limited(1, 1);
  CHECK(limited.Pass({&file, 1, nullptr}) == 0);
  CHECK(limited.Pass({&file, 1, nullptr}) == -1);
  CHECK(limited.Pass({&file, 2, nullptr}) == 0);
  CHECK(limited.Pass({&file, 1, &event}) == 0);
}

TEST_CASE("RateLimit: what was dropped and not told of is told once") {
  Limited limited(1, 1);
  CHECK(limited.limit.TakeUntold().empty());
  limited.Pass();
  limited.Pass();
  limited.Pass();
  const auto untold = limited.limit.TakeUntold();
  REQUIRE(untold.size() == 1);
  CHECK(untold.front().count == 2);
  CHECK(untold.front().name == "name");
  CHECK(limited.limit.TakeUntold().empty());
  limited.now += std::chrono::seconds(2);
  CHECK(limited.Pass() == 0);
}

TEST_CASE("RateLimit: with 0 everything passes, and kinds beyond its bound do") {
  Limited unlimited(0, 1);
  for (int i = 0; i < 100; ++i) {
    CHECK(unlimited.Pass() == 0);
  }
  Limited limited(1, 1);
  for (std::uint_least32_t line = 0; line < RateLimit::kMaxKinds; ++line) {
    CHECK(limited.Pass({nullptr, line, nullptr}) == 0);
  }
  CHECK(limited.Pass({nullptr, RateLimit::kMaxKinds, nullptr}) == 0);
  CHECK(limited.Pass({nullptr, RateLimit::kMaxKinds, nullptr}) == 0);
}

}  // namespace
}  // namespace weft::host::observe
