#include <weft/async.hpp>

#include <atomic>
#include <stdexcept>

#include <weft/detail/async_runtime.hpp>
#include "handlers/contract/blocking.hpp"
#include "handlers/contract/cancellable_wait.hpp"

namespace weft {

namespace {

std::atomic<detail::IAsyncRuntime*> g_runtime{nullptr};

}  // namespace

void detail::SetAsyncRuntime(IAsyncRuntime* runtime) noexcept {
  g_runtime.store(runtime, std::memory_order_release);
}

detail::IAsyncRuntime& detail::GetAsyncRuntime() {
  auto* const runtime = g_runtime.load(std::memory_order_acquire);
  if (runtime == nullptr) {
    throw std::logic_error(
        "weft/async.hpp: there is no runtime; call it from a handler that a host runs");
  }
  return *runtime;
}

bool detail::WaitCancellable(const std::shared_ptr<IWaitPoint>& point,
                             IWaitPoint::Clock::time_point time, const CancellationToken& token) {
  const auto registration = NotifyWhenCancelled(token, point);
  return point->WaitUntil(time);
}

void SleepUntil(std::chrono::steady_clock::time_point time) {
  auto& runtime = detail::GetAsyncRuntime();
  const auto token = runtime.CurrentCancellation();
  const auto point = runtime.MakeWaitPoint("a sleep");
  if (token.IsCancellationRequested()) {
    // Who catches this and sleeps again must not keep the others from their turn.
    runtime.Yield();
  }
  while (!token.IsCancellationRequested() && detail::WaitCancellable(point, time, token)) {
  }
  token.ThrowIfCancellationRequested();
}

void YieldToOthers() {
  auto& runtime = detail::GetAsyncRuntime();
  runtime.Yield();
  runtime.CurrentCancellation().ThrowIfCancellationRequested();
}

bool detail::MayBlock() noexcept {
  const auto* const runtime = g_runtime.load(std::memory_order_acquire);
  return runtime == nullptr || runtime->MayBlock();
}

void detail::RunFileWorkLater(const std::function<void()>& function) noexcept {
  auto* const runtime = g_runtime.load(std::memory_order_acquire);
  if (runtime == nullptr || runtime->MayBlock() || !runtime->TryRunLater(function)) {
    function();
  }
}

void detail::RunBlocking(const std::function<void()>& function) {
  GetAsyncRuntime().RunBlocking(function);
}

}  // namespace weft
