#include <weft/await_callback.hpp>

#include <stdexcept>

#include <weft/cancellation.hpp>

namespace weft::detail {

CallbackState::CallbackState() = default;
CallbackState::~CallbackState() = default;

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
