#pragma once

#include <atomic>
#include <cstdint>

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

  /// What the reactor does when there is something to watch.
  void WakeIfAsleep() noexcept {
    if (sleeps.load() != 0) {
      Wake();
    }
  }
  void Wake() noexcept;
};

extern constinit ReactorWatch g_reactor_watch;

/// The calling thread, and no other, is the reactor's from now on.
void SetReactorThread(bool is_reactor) noexcept;

}  // namespace weft::host::runtime
