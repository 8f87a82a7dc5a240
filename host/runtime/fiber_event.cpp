#include "host/runtime/fiber_event.hpp"

#include <boost/fiber/context.hpp>
#include <utility>

#include "host/runtime/current_fiber.hpp"
#include "host/runtime/current_stack.hpp"
#include "host/runtime/exception_state.hpp"
#include "host/runtime/fiber_stacks.hpp"

namespace weft::host::runtime {

using boost::fibers::context;

namespace {

/// Every suspension of a fiber is inside one of these.
class Suspension {
 public:
  /// `event`: what is waited for; null: it only lets others go first.
  explicit Suspension(FiberEvent* event) noexcept : fiber_(CurrentFiber()) {
    if (fiber_ != nullptr) {
      fiber_->waits_in = event;
    }
  }
  Suspension(const Suspension&) = delete;
  Suspension& operator=(const Suspension&) = delete;
  ~Suspension() {
    SetCurrentFiber(fiber_);
    AnnounceCurrentStack();
    if (fiber_ != nullptr) {
      fiber_->waits_in = nullptr;
      if (fiber_->capture != nullptr) [[unlikely]] {
        CaptureCurrentFiber(*fiber_);
      }
    }
  }

 private:
  StackHeader* const fiber_;
};

}  // namespace

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
    {
      const Suspension suspension(this);
      self->suspend();
    }
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
    {
      const Suspension suspension(this);
      self->wait_until(time, lock, std::move(waker));
    }
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

void FiberEvent::Stir() noexcept {
  if (waiter_ != nullptr) {
    waiter_->wake(epoch_);
  }
}

void YieldFiber() noexcept {
  const ExceptionState own_exceptions;
  const Suspension suspension(nullptr);
  context::active()->yield();
}

}  // namespace weft::host::runtime
