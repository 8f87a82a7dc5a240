#include <weft/async.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include <weft/detail/async_runtime.hpp>
#include "tests/support/in_place_runtime.hpp"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

using test::InPlaceRuntime;

TEST_CASE("async.hpp: without a runtime every wait throws, and says what to do") {
  detail::SetAsyncRuntime(nullptr);
  CHECK_THROWS_AS(SleepUntil(Clock::now()), std::logic_error);
  CHECK_THROWS_AS(SleepFor(std::chrono::seconds(0)), std::logic_error);
  bool called = false;
  CHECK_THROWS_AS(Offload([&called] { called = true; }), std::logic_error);
  CHECK_THROWS_AS(static_cast<void>(Offload([&called] { return called = true; })),
                  std::logic_error);
  CHECK_FALSE(called);
  try {
    SleepFor(std::chrono::seconds(1));
  } catch (const std::logic_error& error) {
    CHECK(std::string(error.what()).find("handler") != std::string::npos);
  }
}

TEST_CASE("async.hpp: a runtime that was taken away is not called again") {
  {
    InPlaceRuntime runtime;
    SleepFor(std::chrono::seconds(0));
    CHECK(runtime.sleeps == 1);
  }
  CHECK_THROWS_AS(SleepFor(std::chrono::seconds(0)), std::logic_error);
}

TEST_CASE("async.hpp: SleepUntil hands the time on, SleepFor counts it from now") {
  InPlaceRuntime runtime;
  const auto time = Clock::time_point(std::chrono::seconds(17));
  SleepUntil(time);
  CHECK(runtime.slept_until == time);
  const auto before = Clock::now();
  SleepFor(std::chrono::hours(1));
  CHECK(runtime.slept_until >= before + std::chrono::hours(1));
  CHECK(runtime.slept_until <= Clock::now() + std::chrono::hours(1));
  CHECK(runtime.sleeps == 2);
}

TEST_CASE("Offload: what the function returns comes back") {
  InPlaceRuntime runtime;
  CHECK(Offload([] { return 42; }) == 42);
  CHECK(Offload([] { return std::string("text"); }) == "text");
  CHECK(runtime.calls == 2);
}

TEST_CASE("Offload: a result may be one that only moves and has no default") {
  struct Result {
    explicit Result(int with_value) : value(std::make_unique<int>(with_value)) {}
    std::unique_ptr<int> value;
  };
  InPlaceRuntime runtime;
  CHECK(*Offload([] { return Result(7); }).value == 7);
}

TEST_CASE("Offload: the caller's own function is called, once, and not a copy of it") {
  InPlaceRuntime runtime;
  int calls = 0;
  auto function = [calls]() mutable { return ++calls; };
  CHECK(Offload(function) == 1);
  CHECK(Offload(function) == 2);
  Offload([&calls] { ++calls; });
  CHECK(calls == 1);
}

TEST_CASE("Offload: what the function throws comes back") {
  InPlaceRuntime runtime;
  CHECK_THROWS_WITH_AS(Offload([] { throw std::runtime_error("from below"); }), "from below",
                       std::runtime_error);
  CHECK_THROWS_AS(static_cast<void>(Offload([]() -> int { throw 7; })), int);
}

}  // namespace
}  // namespace weft
