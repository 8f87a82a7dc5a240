#include <weft/async.hpp>

#include <atomic>
#include <stdexcept>

#include <weft/detail/async_runtime.hpp>
#include "handlers/contract/blocking.hpp"

namespace weft {

namespace {

std::atomic<detail::IAsyncRuntime*> g_runtime{nullptr};

detail::IAsyncRuntime& Runtime() {
  auto* const runtime = g_runtime.load(std::memory_order_acquire);
  if (runtime == nullptr) {
    throw std::logic_error(
        "weft/async.hpp: there is no runtime; call it from a handler that a host runs");
  }
  return *runtime;
}

}  // namespace

void detail::SetAsyncRuntime(IAsyncRuntime* runtime) noexcept {
  g_runtime.store(runtime, std::memory_order_release);
}

void SleepUntil(std::chrono::steady_clock::time_point time) { Runtime().SleepUntil(time); }

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

void detail::RunBlocking(const std::function<void()>& function) { Runtime().RunBlocking(function); }

}  // namespace weft
