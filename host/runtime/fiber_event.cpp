#include "host/runtime/fiber_event.hpp"

#include <boost/fiber/context.hpp>
#include <utility>

#include "host/runtime/current_stack.hpp"
#include "host/runtime/exception_state.hpp"

namespace weft::host::runtime {

using boost::fibers::context;

void FiberEvent::Wait() noexcept {
  if (std::exchange(notified_, false)) {
    return;
  }
  const ExceptionState own_exceptions;
  while (!notified_) {
    context* const self = context::active();
    static_cast<void>(self->create_waker());
    epoch_ = self->waker_epoch_.load(std::memory_order_relaxed);
    waiter_ = self;
    self->suspend();
    AnnounceCurrentStack();
    waiter_ = nullptr;
  }
  notified_ = false;
}

bool FiberEvent::WaitUntil(Clock::time_point time) noexcept {
  if (std::exchange(notified_, false)) {
    return true;
  }
  const ExceptionState own_exceptions;
  while (!notified_) {
    if (Clock::now() >= time) {
      return false;
    }
    context* const self = context::active();
    auto waker = self->create_waker();
    epoch_ = self->waker_epoch_.load(std::memory_order_relaxed);
    waiter_ = self;
    boost::fibers::detail::spinlock unused;
    boost::fibers::detail::spinlock_lock lock(unused);
    self->wait_until(time, lock, std::move(waker));
    AnnounceCurrentStack();
    waiter_ = nullptr;
  }
  notified_ = false;
  return true;
}

void FiberEvent::Notify() noexcept {
  if (notified_) {
    return;
  }
  notified_ = true;
  if (waiter_ != nullptr) {
    std::exchange(waiter_, nullptr)->wake(epoch_);
  }
}

void YieldFiber() noexcept {
  const ExceptionState own_exceptions;
  context::active()->yield();
  AnnounceCurrentStack();
}

}  // namespace weft::host::runtime
