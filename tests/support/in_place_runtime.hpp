#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include <weft/detail/async_runtime.hpp>

namespace weft::test {

/// What <weft/async.hpp> calls while it lives. It runs in place what would run on the blocking pool, and counts
/// it; `meanwhile` stands for what other requests do while one waits.
///
/// It does not imitate waiting, other threads, or cancellation.
class InPlaceRuntime final : public weft::detail::IAsyncRuntime {
 public:
  InPlaceRuntime() { weft::detail::SetAsyncRuntime(this); }
  InPlaceRuntime(const InPlaceRuntime&) = delete;
  InPlaceRuntime& operator=(const InPlaceRuntime&) = delete;
  ~InPlaceRuntime() override { weft::detail::SetAsyncRuntime(nullptr); }

  void SleepUntil(std::chrono::steady_clock::time_point time) override {
    ++sleeps;
    slept_until = time;
  }
  void RunBlocking(const std::function<void()>& function) override {
    ++calls;
    running = true;
    function();
    running = false;
    if (const auto once = std::exchange(meanwhile, nullptr)) {
      once();
    }
  }

  bool TryRunLater(const std::function<void()>& function) noexcept override {
    ++calls;
    function();
    return true;
  }
  bool MayBlock() const noexcept override { return running; }

  int sleeps = 0;
  std::chrono::steady_clock::time_point slept_until;
  int calls = 0;
  bool running = false;             ///< inside RunBlocking(), and the function has not ended
  std::function<void()> meanwhile;  ///< called once, after the next function
};

}  // namespace weft::test
