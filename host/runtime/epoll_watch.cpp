#include "host/runtime/epoll_watch.hpp"

#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weft::host::runtime {

constinit ReactorWatch g_reactor_watch;

namespace {

constinit thread_local bool t_is_reactor = false;

bool IsReactor() noexcept { return t_is_reactor; }

}  // namespace

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
  const int count = __real_epoll_wait(descriptor, events, max_events, timeout);
  // In this order, as the watch goes to sleep in the other one: either it sees that there is work, or this sees it sleep.
  g_reactor_watch.idle.store(false);
  if (g_reactor_watch.has_work.load(std::memory_order_relaxed)) {
    g_reactor_watch.WakeIfAsleep();
  }
  return count;
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
