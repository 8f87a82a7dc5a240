#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "host/observe/figure.hpp"

namespace weft::host::runtime {

/// What the reactor's thread and the stall watch tell each other. One reactor in a process.
///
/// Asio's run_one() waits and runs a handler in one call. So the wait itself, epoll_wait(2), is wrapped by the linker
/// (--wrap, host/CMakeLists.txt): what is between two waits is the time in which the thread is held.
struct ReactorWatch {
  /// The thread is in epoll_wait(2), or serves nothing at all.
  std::atomic<bool> idle{true};
  /// A request is there: a turn of the reactor is of interest.
  std::atomic<bool> has_work{false};
  /// The watch sleeps until it is woken; futex(2) waits here.
  std::atomic<std::uint32_t> sleeps{0};

  /// See TellWaits().
  observe::Figure* waits = nullptr;
  /// Since when the reactor has had more to do than it could; see ReactorBusyFor(). Its thread's alone.
  std::chrono::steady_clock::time_point busy_since{};

  /// What the reactor does when there is something to watch.
  void WakeIfAsleep() noexcept {
    if (sleeps.load() != 0) {
      Wake();
    }
  }
  void Wake() noexcept;
};

extern constinit ReactorWatch g_reactor_watch;

/// How long the reactor has been busy at `now`: what has become ready since has waited for other things, and what becomes ready now will.
/// A wait makes up for kRestWeight times as much work before it, so that a reactor which mostly waits is never busy for
/// long, and one to which each wait brings something at once is.
///
/// Threads: the reactor's, after TellWaits().
inline std::chrono::steady_clock::duration ReactorBusyFor(
    std::chrono::steady_clock::time_point now) noexcept {
  return now - g_reactor_watch.busy_since;
}

/// Says in `waits`, for other processes, whether the reactor of the calling thread waits, from now on; null: no more, and no clock is
/// read for it. It must outlive that.
void TellWaits(observe::Figure* waits) noexcept;

/// The calling thread, and no other, is the reactor's from now on.
void SetReactorThread(bool is_reactor) noexcept;

}  // namespace weft::host::runtime
