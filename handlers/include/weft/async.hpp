#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <weft/await_callback.hpp>
#include <weft/cancellation.hpp>
#include <weft/descriptor_watch.hpp>
#include <weft/export.hpp>
#include <weft/fiber_sync.hpp>
#include <weft/task.hpp>

/// Waiting without blocking the worker. In an async handler the fiber waits and the worker serves others; in a plain
/// handler the thread waits. Every wait throws OperationCancelled as soon as the request that it is called for is
/// cancelled, and std::logic_error outside a request. One that is cancelled already begins nothing, and the others have had
/// their turn when it throws, so that a loop that swallows the exception keeps nobody from running. What needs not wait, a lock
/// that is free or a channel that has a value, is had all the same.
namespace weft {

/// Waits until then; not at all for a time that has passed.
WEFT_API void SleepUntil(std::chrono::steady_clock::time_point time);
/// Any duration; one that ends beyond what the clock can say lasts until the request is cancelled.
inline void SleepFor(std::chrono::nanoseconds duration) {
  using Clock = std::chrono::steady_clock;
  const auto now = Clock::now();
  SleepUntil(duration < Clock::time_point::max() - now ? now + duration : Clock::time_point::max());
}

/// Lets others have their turn: for a handler that computes for long. In a plain handler it only looks whether the
/// request is cancelled.
WEFT_API void YieldToOthers();

namespace detail {
WEFT_API void RunBlocking(const std::function<void()>& function);
}

/// Runs `function`, which may block, on a thread of the blocking pool, while the fiber waits; its result, or
/// what it throws, comes back here. In a plain handler it runs in place.
///
/// It waits for the function's end even when the request is cancelled meanwhile: what the function captured
/// by reference stays valid. Where no thread has begun with it by then it is not run, and OperationCancelled thrown; in a plain
/// handler, where there is nothing to wait for, it is run. The function must not use the request or the response: read before,
/// write after.
/// Throws HttpException(503) when the queue for such calls is full (`--blocking-queue`), moves too slowly
/// (`--shed-target`), or no thread was free in time (`--queue-timeout`); only a request's first call can be refused so, later
/// ones wait for their turn: an answer that was begun is not cut.
template <typename F>
auto Offload(F&& function) -> std::invoke_result_t<F&> {
  using Result = std::invoke_result_t<F&>;
  if constexpr (std::is_void_v<Result>) {
    detail::RunBlocking([&function] { function(); });
  } else {
    std::optional<Result> result;
    detail::RunBlocking([&] { result.emplace(function()); });
    return std::move(*result);
  }
}

}  // namespace weft
