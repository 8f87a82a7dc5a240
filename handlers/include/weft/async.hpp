#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <weft/cancellation.hpp>
#include <weft/export.hpp>

namespace weft {

/// Waits. In an async handler the fiber waits and the worker serves others; in a plain handler the thread
/// waits. Throws OperationCancelled as soon as the request that it is called for is cancelled.
///
/// Throws std::logic_error outside a request.
WEFT_API void SleepUntil(std::chrono::steady_clock::time_point time);
inline void SleepFor(std::chrono::nanoseconds duration) {
  SleepUntil(std::chrono::steady_clock::now() + duration);
}

namespace detail {
WEFT_API void RunBlocking(const std::function<void()>& function);
}

/// Runs `function`, which may block, on a thread of the blocking pool, while the fiber waits; its result, or
/// what it throws, comes back here. In a plain handler it runs in place.
///
/// It waits for the function's end even when the request is cancelled meanwhile: what the function captured
/// by reference stays valid. The function must not use the request or the response: read before, write after.
/// Throws HttpException(503) when the queue for such calls is full (`--blocking-queue`); only a request's first
/// call can be refused so, later ones wait for their turn: an answer that was begun is not cut.
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
