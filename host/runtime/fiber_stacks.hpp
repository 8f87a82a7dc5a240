#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "host/runtime/stack_pool.hpp"
#include "host/runtime/thread_stack.hpp"

namespace weft::host::runtime {

/// Bytes of what a fiber, or a thread, works for (DescribeFiber()), at most: more of a long URL tells nothing.
inline constexpr std::size_t kMaxWorkBytes = 2048;

/// A fiber as `weft stacks` tells of it, or a thread for which none waits.
struct FiberStack {
  std::string what;  ///< "request 4-17 GET /a: shop::Report, shop"; empty: it works for no request
  std::chrono::steady_clock::time_point started{};
  bool is_task = false;   ///< of weft::Async(): it is a part of a request
  std::string waits_for;  ///< "a sleep"; empty: only its stack tells
  pid_t thread = 0;       ///< that runs something for it; 0: none does
  bool has_fiber = true;  ///< not: it is `thread` alone (ThreadWorks)
  std::vector<void*> frames;
  bool is_written = false;
};

/// What runs on the fiber of this header, as a text without an end of line. Async-signal-safe.
std::size_t DescribeFiber(const WorkHeader& fiber, std::span<char> into) noexcept;

/// Has the current fiber write down its own stack where it was asked to (StackHeader::capture). Where there is too little
/// stack left for that, there are no frames.
void CaptureCurrentFiber(StackHeader& fiber) noexcept;

}  // namespace weft::host::runtime
