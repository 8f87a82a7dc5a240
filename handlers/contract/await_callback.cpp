#include <weft/await_callback.hpp>

#include <stdexcept>

#include <weft/cancellation.hpp>
#include <weft/detail/async_runtime.hpp>

namespace weft::detail {

CallbackState::CallbackState() = default;
CallbackState::~CallbackState() = default;

void CallbackState::RequireNotCancelled() {
  auto& runtime = GetAsyncRuntime();
  if (const auto token = runtime.CurrentCancellation(); token.IsCancellationRequested()) {
    runtime.Yield();
    token.ThrowIfCancellationRequested();
  }
}

bool CallbackState::Claim() noexcept {
  const std::lock_guard lock(mutex_);
  return !std::exchange(claimed_, true);
}

void CallbackState::Complete(std::exception_ptr error) noexcept {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  complete_ = true;
  waiting_.NotifyAll();
}

void CallbackState::Wait(const std::function<void()>& cancel) {
  std::unique_lock lock(mutex_);
  if (complete_) {
    // A loop of operations that never wait must see its cancellation, which comes on the reactor.
    lock.unlock();
    GetAsyncRuntime().Yield();
    lock.lock();
  }
  try {
    while (!complete_) {
      waiting_.Wait(lock);
    }
  } catch (const OperationCancelled&) {
    if (cancel) {
      lock.unlock();
      cancel();
      lock.lock();
      while (!complete_) {
        waiting_.WaitUncancelled(lock);
      }
    }
    throw;
  }
  if (error_) {
    std::rethrow_exception(error_);
  }
}

CallbackEnd::~CallbackEnd() {
  if (state_->Claim()) {
    try {
      throw std::logic_error(
          "weft::AwaitCallback: the operation dropped its callback without calling it");
    } catch (...) {
      state_->Complete(std::current_exception());
    }
  }
}

}  // namespace weft::detail
