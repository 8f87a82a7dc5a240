#include "host/runtime/wait_points.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "host/runtime/current_fiber.hpp"
#include "host/runtime/pool_watch.hpp"
#include "host/runtime/runtime.hpp"
#include "host/runtime/stack_pool.hpp"
#include "host/runtime/waits_for.hpp"

namespace weft::host::runtime {

void FiberWaitPoint::Notify() noexcept {
  if (Runtime::OnReactorThread()) {
    event_.Notify();
  } else {
    // Shared: it may arrive when nobody waits any more.
    boost::asio::post(io_, [self = shared_from_this()] { self->event_.Notify(); });
  }
}

bool FiberWaitPoint::WaitUntil(Clock::time_point time) noexcept {
  const WaitsFor waits_for(what_);
  const auto wait = [&] {
    if (time == Clock::time_point::max()) {
      event_.Wait();
      return true;
    }
    return event_.WaitUntil(time);
  };
  auto* const fiber = CurrentFiber();
  auto* const watch = fiber == nullptr ? nullptr : fiber->pool_watch;
  if (watch == nullptr) {
    return wait();
  }
  watch->wait_ = &event_;
  const bool in_time = watch->wait_pending_ || wait();
  watch->wait_ = nullptr;
  if (std::exchange(watch->wait_pending_, false)) {
    watch->OnInterrupted();
  }
  return in_time;
}

void ThreadWaitPoint::Notify() noexcept {
  const std::lock_guard lock(mutex_);
  notified_ = true;
  wake_.notify_one();
}

bool ThreadWaitPoint::WaitUntil(Clock::time_point time) noexcept {
  std::unique_lock lock(mutex_);
  const auto notified = [this] { return std::exchange(notified_, false); };
  if (time == Clock::time_point::max()) {
    // Not as a time: the clock that the system waits by has no such number.
    wake_.wait(lock, [this] { return notified_; });
    return notified();
  }
  return wake_.wait_until(lock, time, notified);
}

}  // namespace weft::host::runtime
