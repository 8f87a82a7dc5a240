#pragma once

#include <atomic>
#include <cstdint>

namespace weft::host::runtime {

struct StackHeader;

namespace detail {
// Not thread-local: there is one reactor in a process, and what a signal handler reads must not be made at first use.
inline constinit std::atomic<StackHeader*> g_current_fiber{nullptr};
inline constinit std::atomic<std::uint64_t> g_reactor_turns{0};
}  // namespace detail

/// What the reactor's thread runs now: a fiber, by the header of its stack; null: what has none, the dispatcher or the
/// main fiber.
///
/// Threads: the reactor's, and its signal handlers.
inline StackHeader* CurrentFiber() noexcept {
  return detail::g_current_fiber.load(std::memory_order_relaxed);
}

/// Says so, wherever control comes back from another fiber, or goes to a handler of the io_context: one turn of the
/// reactor has ended, another begins. Threads: the reactor's.
inline void SetCurrentFiber(StackHeader* fiber) noexcept {
  detail::g_current_fiber.store(fiber, std::memory_order_relaxed);
  auto& turns = detail::g_reactor_turns;
  // Only this thread writes it.
  turns.store(turns.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

/// Which turn of the reactor it is: who sees the same number twice knows that nothing else ran in between.
/// Threads: any.
inline std::uint64_t ReactorTurn() noexcept {
  return detail::g_reactor_turns.load(std::memory_order_relaxed);
}

}  // namespace weft::host::runtime
