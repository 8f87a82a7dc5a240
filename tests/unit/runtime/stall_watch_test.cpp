#include "host/runtime/stall_watch.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include <weft/async.hpp>
#include "host/runtime/fiber_event.hpp"
#include "tests/support/run_in_fiber.hpp"

namespace weft::host::runtime {
namespace {

using std::chrono::milliseconds;
using test::RunInFiber;

/// What was told, from any thread.
struct Told {
  std::mutex mutex;
  std::vector<StallWatch::Stall> stalls;

  std::size_t Count() {
    const std::lock_guard lock(mutex);
    return stalls.size();
  }
  auto Teller() {
    return [this](const StallWatch::Stall& stall) {
      const std::lock_guard lock(mutex);
      stalls.push_back(stall);
    };
  }
};

/// Holds the thread until `done`, however slow the machine is.
template <typename Predicate>
void HoldUntil(Predicate done) {
  while (!done()) {
    std::this_thread::sleep_for(milliseconds(1));
  }
}

TEST_CASE(
    "StallWatch: who holds the reactor's thread is told while it does, and once more at its end") {
  RunInFiber([](Runtime& runtime) {
    Told told;
    StallWatch watch(milliseconds(20), told.Teller());
    runtime.SetCurrentLabel("shop::Slow, shop");
    HoldUntil([&] { return told.Count() == 1 && watch.Seen().is_going_on; });
    CHECK(watch.Seen().stalls == 1);
    weft::SleepFor(milliseconds(1));
    while (told.Count() < 2) {
      weft::SleepFor(milliseconds(1));
    }
    const std::lock_guard lock(told.mutex);
    CHECK_FALSE(told.stalls[0].has_ended);
    CHECK(told.stalls[0].held_for >= milliseconds(20));
#if !defined(__SANITIZE_THREAD__)  // it keeps signals back until a call that blocks
    CHECK(told.stalls[0].what == "shop::Slow, shop");
    CHECK(told.stalls[0].stack.find("#0") != std::string::npos);
#endif
    CHECK(told.stalls[1].has_ended);
    CHECK(told.stalls[1].held_for >= told.stalls[0].held_for);
    CHECK(watch.Seen().longest >= milliseconds(20));
    CHECK_FALSE(watch.Seen().is_going_on);
  });
}

TEST_CASE("StallWatch: beyond some a minute stalls are counted and not told") {
  RunInFiber([](Runtime&) {
    Told told;
    StallWatch watch(milliseconds(4), told.Teller());
    const auto wanted = StallWatch::kToldPerMinute + 2;
    for (std::uint64_t stall = 1; stall <= wanted; ++stall) {
      HoldUntil([&] { return watch.Seen().stalls >= stall; });
      weft::SleepFor(milliseconds(20));
    }
    CHECK(watch.Seen().stalls >= wanted);
    CHECK(told.Count() <= 2 * StallWatch::kToldPerMinute);
  });
}

TEST_CASE("StallWatch: it ends at once, whether the reactor works or not") {
  for (int i = 0; i < 20; ++i) {
    RunInFiber([&](Runtime&) {
      const StallWatch watch(std::chrono::hours(1), [](const StallWatch::Stall&) {});
      weft::SleepFor(milliseconds(i % 3));
    });
  }
}

}  // namespace
}  // namespace weft::host::runtime
