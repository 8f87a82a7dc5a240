#include "tests/unit/builtin/test_clock.hpp"

#include <atomic>

using Clock = std::chrono::steady_clock;
using SystemClock = std::chrono::system_clock;

extern "C" {
// The names that the linker's --wrap asks for.
Clock::time_point __real__ZNSt6chrono3_V212steady_clock3nowEv() noexcept;
Clock::time_point __wrap__ZNSt6chrono3_V212steady_clock3nowEv() noexcept;
SystemClock::time_point __real__ZNSt6chrono3_V212system_clock3nowEv() noexcept;
SystemClock::time_point __wrap__ZNSt6chrono3_V212system_clock3nowEv() noexcept;
}

namespace weft::test {

namespace {

std::atomic<Clock::rep> g_stopped_at{0};  // 0: it runs
std::atomic<SystemClock::rep> g_later_by{0};

}  // namespace

void AdvanceSteadyClock(std::chrono::nanoseconds by) noexcept { g_stopped_at += by.count(); }

StoppedSteadyClock::StoppedSteadyClock() noexcept {
  g_stopped_at = __real__ZNSt6chrono3_V212steady_clock3nowEv().time_since_epoch().count();
}

StoppedSteadyClock::~StoppedSteadyClock() { g_stopped_at = 0; }

LaterSystemClock::LaterSystemClock(std::chrono::nanoseconds by) noexcept {
  g_later_by = std::chrono::duration_cast<SystemClock::duration>(by).count();
}

LaterSystemClock::~LaterSystemClock() { g_later_by = 0; }

}  // namespace weft::test

SystemClock::time_point __wrap__ZNSt6chrono3_V212system_clock3nowEv() noexcept {
  return __real__ZNSt6chrono3_V212system_clock3nowEv() +
         SystemClock::duration(weft::test::g_later_by.load());
}

Clock::time_point __wrap__ZNSt6chrono3_V212steady_clock3nowEv() noexcept {
  const auto stopped_at = weft::test::g_stopped_at.load();
  return stopped_at == 0 ? __real__ZNSt6chrono3_V212steady_clock3nowEv()
                         : Clock::time_point(Clock::duration(stopped_at));
}
