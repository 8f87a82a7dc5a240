#include "host/runtime/epoll_watch.hpp"

#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace weft::host::runtime {

constinit ReactorWatch g_reactor_watch;

namespace {

constinit thread_local bool t_is_reactor = false;

/// What wakes a reactor that is busy for half of the time comes in gaps as long as its work.
constexpr int kRestWeight = 8;
/// What was done longer ago does not count: after a long time of work a short rest is one, too.
constexpr std::chrono::milliseconds kMemory{10};

using Clock = std::chrono::steady_clock;

void Rested(Clock::time_point since) noexcept {
  const auto now = Clock::now();
  auto& busy_since = g_reactor_watch.busy_since;
  busy_since = std::min(now, std::max(busy_since, since - kMemory) + kRestWeight * (now - since));
}

bool IsReactor() noexcept { return t_is_reactor; }

}  // namespace

void TellWaits(observe::Figure* waits) noexcept {
  SetReactorThread(true);
  g_reactor_watch.waits = waits;
  g_reactor_watch.busy_since = Clock::now();
}

void SetReactorThread(bool is_reactor) noexcept { t_is_reactor = is_reactor; }

void ReactorWatch::Wake() noexcept {
  if (sleeps.exchange(0) != 0) {
    ::syscall(SYS_futex, &sleeps, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
}

}  // namespace weft::host::runtime

// The linker's names.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

int __real_epoll_wait(int descriptor, epoll_event* events, int max_events, int timeout);

__attribute__((used)) int __wrap_epoll_wait(int descriptor, epoll_event* events, int max_events,
                                            int timeout) {
  using weft::host::runtime::g_reactor_watch;
  // A look that does not wait ends nothing; and other threads have reactors of their own.
  if (timeout == 0 || !weft::host::runtime::IsReactor()) {
    return __real_epoll_wait(descriptor, events, max_events, timeout);
  }
  g_reactor_watch.idle.store(true);
  int count = 0;
  if (auto* const waits = g_reactor_watch.waits; waits != nullptr) {
    const auto since = weft::host::runtime::Clock::now();
    waits->Set(1);
    count = __real_epoll_wait(descriptor, events, max_events, timeout);
    waits->Set(0);
    weft::host::runtime::Rested(since);
  } else {
    count = __real_epoll_wait(descriptor, events, max_events, timeout);
  }
  // In this order, as the watch goes to sleep in the other one: either it sees that there is work, or this sees it sleep.
  g_reactor_watch.idle.store(false);
  if (g_reactor_watch.has_work.load(std::memory_order_relaxed)) {
    g_reactor_watch.WakeIfAsleep();
  }
  return count;
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
