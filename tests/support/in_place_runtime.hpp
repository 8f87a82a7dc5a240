#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
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

  std::shared_ptr<weft::detail::IWaitPoint> MakeWaitPoint(const char*) override {
    return std::make_shared<WaitPoint>(*this);
  }
  void Yield() noexcept override {}
  std::unique_ptr<weft::detail::IDescriptorWatch> Watch(int) override {
    throw std::logic_error("InPlaceRuntime watches no descriptors");
  }
  CancellationToken CurrentCancellation() const override {
    return cancellation == nullptr ? CancellationToken() : *cancellation;
  }
  const CancellationToken* ExchangeCancellation(const CancellationToken* token) noexcept override {
    return std::exchange(cancellation, token);
  }
  /// Who waits for a task runs it.
  bool TrySpawn(std::shared_ptr<weft::detail::IAsyncTask>) override { return false; }
  void* AsioContext(int) override { return nullptr; }
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

  const CancellationToken* cancellation = nullptr;
  int sleeps = 0;
  std::chrono::steady_clock::time_point slept_until;
  int calls = 0;
  bool running = false;             ///< inside RunBlocking(), and the function has not ended
  std::function<void()> meanwhile;  ///< called once, after the next function

 private:
  /// Every time comes at once.
  class WaitPoint final : public weft::detail::IWaitPoint {
   public:
    explicit WaitPoint(InPlaceRuntime& runtime) : runtime_(runtime) {}
    void Notify() noexcept override { notified_ = true; }
    bool WaitUntil(Clock::time_point time) noexcept override {
      if (std::exchange(notified_, false)) {
        return true;
      }
      ++runtime_.sleeps;
      runtime_.slept_until = time;
      return false;
    }

   private:
    InPlaceRuntime& runtime_;
    bool notified_ = false;
  };
};

}  // namespace weft::test
