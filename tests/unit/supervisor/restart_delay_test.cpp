#include "host/supervisor/restart_delay.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace weft::host::supervisor {
namespace {

using std::chrono::milliseconds;

TEST_CASE("RestartDelay: a worker that served for a while is replaced at once") {
  RestartDelay delay;
  CHECK(delay.AfterDeath(/*was_ready=*/true, milliseconds{1'000}) == milliseconds{0});
  CHECK(delay.AfterDeath(/*was_ready=*/true, milliseconds{3'600'000}) == milliseconds{0});
}

TEST_CASE("RestartDelay: each early death doubles the wait, up to 5 s") {
  RestartDelay delay;
  for (const int expected : {100, 200, 400, 800, 1'600, 3'200, 5'000, 5'000}) {
    CHECK(delay.AfterDeath(/*was_ready=*/true, milliseconds{999}) == milliseconds{expected});
  }
}

TEST_CASE("RestartDelay: a death before the worker is ready is early, however late it comes") {
  RestartDelay delay;
  CHECK(delay.AfterDeath(/*was_ready=*/false, milliseconds{60'000}) == milliseconds{100});
  CHECK(delay.AfterDeath(/*was_ready=*/false, milliseconds{60'000}) == milliseconds{200});
}

TEST_CASE("RestartDelay: a worker that served for a while starts the doubling anew") {
  RestartDelay delay;
  CHECK(delay.AfterDeath(/*was_ready=*/false, milliseconds{0}) == milliseconds{100});
  CHECK(delay.AfterDeath(/*was_ready=*/false, milliseconds{0}) == milliseconds{200});
  CHECK(delay.AfterDeath(/*was_ready=*/true, milliseconds{5'000}) == milliseconds{0});
  CHECK(delay.AfterDeath(/*was_ready=*/false, milliseconds{0}) == milliseconds{100});
}

}  // namespace
}  // namespace weft::host::supervisor
