#include "host/worker/change_watch.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace weft::host::worker {
namespace {

using namespace std::chrono_literals;
using Next = ChangeWatch::Next;

constexpr ChangeWatch::Clock::time_point kStart{1h};

TEST_CASE("ChangeWatch: files that stay the same are not read") {
  ChangeWatch watch(1);
  CHECK(watch.Saw(1, kStart) == Next::kRest);
  CHECK(watch.Saw(1, kStart + 1h) == Next::kRest);
}

TEST_CASE("ChangeWatch: a change is read once, when the files have stayed the same for a while") {
  ChangeWatch watch(1);
  CHECK(watch.Saw(2, kStart) == Next::kLookSoon);
  CHECK(watch.Saw(2, kStart + 49ms) == Next::kLookSoon);
  CHECK(watch.Saw(2, kStart + 50ms) == Next::kRead);
  watch.Read(2);
  CHECK(watch.Fingerprint() == 2);
  CHECK(watch.Saw(2, kStart + 300ms) == Next::kRest);
}

TEST_CASE(
    "ChangeWatch: a burst puts the reading off, but not for ever, and is read again at its end") {
  ChangeWatch watch(1);
  auto now = kStart;
  std::uint64_t fingerprint = 2;
  for (; now < kStart + ChangeWatch::kLongestBurst; now += 50ms) {
    CHECK(watch.Saw(fingerprint++, now) == Next::kLookSoon);
  }
  CHECK(watch.Saw(fingerprint, now) == Next::kRead);
  watch.Read(fingerprint);
  // The last change may have been followed by another within the tick.
  CHECK(watch.Saw(fingerprint, now + 250ms) == Next::kLookSoon);
  CHECK(watch.Saw(fingerprint, now + 300ms) == Next::kRead);
  watch.Read(fingerprint);
  CHECK(watch.Saw(fingerprint, now + 600ms) == Next::kRest);
}

TEST_CASE("ChangeWatch: files that are again as they were are not read") {
  ChangeWatch watch(1);
  CHECK(watch.Saw(2, kStart) == Next::kLookSoon);
  CHECK(watch.Saw(1, kStart + 50ms) == Next::kRest);
  CHECK(watch.Saw(2, kStart + 1h) == Next::kLookSoon);
}

TEST_CASE("ChangeWatch: a reading by hand counts") {
  ChangeWatch watch(1);
  watch.Read(2);
  CHECK(watch.Saw(2, kStart) == Next::kRest);
  SUBCASE("in a burst it is followed by another") {
    CHECK(watch.Saw(3, kStart + 1s) == Next::kLookSoon);
    watch.Read(4);
    CHECK(watch.Saw(4, kStart + 2s) == Next::kLookSoon);
    CHECK(watch.Saw(4, kStart + 3s) == Next::kRead);
  }
}

}  // namespace
}  // namespace weft::host::worker
