#include <weft/detail/wait_queue.hpp>

#include <memory>

#include <weft/detail/async_runtime.hpp>
#include "handlers/contract/cancellable_wait.hpp"

namespace weft::detail {

/// On the stack of who waits.
struct WaitQueue::Waiter {
  std::shared_ptr<IWaitPoint> point;
  Waiter* next = nullptr;
  Waiter* previous = nullptr;
  bool notified = false;  // and so no more in the queue
};

void WaitQueue::Append(Waiter& waiter) noexcept {
  waiter.previous = last_;
  (last_ == nullptr ? first_ : last_->next) = &waiter;
  last_ = &waiter;
}

void WaitQueue::Remove(Waiter& waiter) noexcept {
  (waiter.previous == nullptr ? first_ : waiter.previous->next) = waiter.next;
  (waiter.next == nullptr ? last_ : waiter.next->previous) = waiter.previous;
}

bool WaitQueue::Wait(std::unique_lock<std::mutex>& lock, Clock::time_point time) {
  auto& runtime = GetAsyncRuntime();
  const auto token = runtime.CurrentCancellation();
  Waiter waiter{.point = runtime.MakeWaitPoint(what_)};
  if (token.IsCancellationRequested()) {
    lock.unlock();
    runtime.Yield();
    lock.lock();
    token.ThrowIfCancellationRequested();
  }
  const auto registration = NotifyWhenCancelled(token, waiter.point);
  Append(waiter);
  bool in_time = true;
  while (in_time && !waiter.notified && !token.IsCancellationRequested()) {
    lock.unlock();
    in_time = waiter.point->WaitUntil(time);
    lock.lock();
  }
  if (waiter.notified) {
    return true;
  }
  Remove(waiter);
  token.ThrowIfCancellationRequested();
  return false;
}

void WaitQueue::WaitUncancelled(std::unique_lock<std::mutex>& lock) {
  Waiter waiter{.point = GetAsyncRuntime().MakeWaitPoint(what_)};
  Append(waiter);
  while (!waiter.notified) {
    lock.unlock();
    static_cast<void>(waiter.point->WaitUntil(Clock::time_point::max()));
    lock.lock();
  }
}

bool WaitQueue::NotifyOne() noexcept {
  auto* const waiter = first_;
  if (waiter == nullptr) {
    return false;
  }
  Remove(*waiter);
  waiter->notified = true;
  // With the lock held: as soon as it is released the waiter may be gone.
  waiter->point->Notify();
  return true;
}

void WaitQueue::NotifyAll() noexcept {
  while (NotifyOne()) {
  }
}

}  // namespace weft::detail
