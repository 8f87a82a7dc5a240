#include "host/runtime/scheduler.hpp"

#include <boost/asio/post.hpp>
#include <boost/fiber/type.hpp>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#include "host/runtime/current_fiber.hpp"
#include "host/runtime/current_stack.hpp"

namespace weft::host::runtime {

using boost::fibers::context;

void Scheduler::awakened(context* fiber) noexcept { fiber->ready_link(ready_); }

#if defined(__SANITIZE_THREAD__)

__attribute__((no_sanitize_thread)) Scheduler::~Scheduler() {
  // Its successor has picked what was ready, and ran none of it.
  if (const auto self = twins_.find(context::active());
      self != twins_.end() && self->second != __tsan_get_current_fiber()) {
    __tsan_switch_to_fiber(self->second, 0);
  }
  for (const auto& [fiber, twin] : twins_) {
    if (twin != __tsan_get_current_fiber()) {
      __tsan_destroy_fiber(twin);
    }
  }
}

void* Scheduler::TwinOf(context* fiber) noexcept {
  auto& twin = twins_[fiber];
  if (twin == nullptr) {
    twin = __tsan_create_fiber(0);
  }
  return twin;
}

// What is picked is what runs next: Boost.Fiber switches to it as soon as this returns. It is not instrumented itself, for it
// begins on one stack of the sanitizer's and ends on another.
__attribute__((no_sanitize_thread)) context* Scheduler::pick_next() noexcept {
  twins_.try_emplace(context::active(), __tsan_get_current_fiber());
  context* const next = Next();
  if (next != nullptr) {
    if (void* const twin = TwinOf(next); twin != __tsan_get_current_fiber()) {
      __tsan_switch_to_fiber(twin, 0);
    }
  }
  return next;
}

#else

context* Scheduler::pick_next() noexcept { return Next(); }

#endif

context* Scheduler::Next() noexcept {
  // Only the dispatcher may run handlers here: any other fiber that asks is half-way into its own suspension,
  // and a handler could wake it.
  if (!ready_.empty() && context::active()->is_context(boost::fibers::type::dispatcher_context)) {
    SetCurrentFiber(nullptr);
    AnnounceCurrentStack();
    for (int i = 0; i < kHandlersPerTurn && io_.poll_one() != 0; ++i) {
      SetCurrentFiber(nullptr);
    }
  }
  if (ready_.empty()) {
    return nullptr;
  }
  context* const fiber = &ready_.front();
  ready_.pop_front();
  return fiber;
}

void Scheduler::suspend_until(const std::chrono::steady_clock::time_point& time) noexcept {
  SetCurrentFiber(nullptr);
  AnnounceCurrentStack();
  // One handler at a time: the fiber that it wakes runs before the next, and the io_context keeps what epoll
  // reported until it is asked again.
  if (time == (std::chrono::steady_clock::time_point::max)()) {
    io_.run_one();
  } else {
    io_.run_one_until(time);
  }
}

void Scheduler::notify() noexcept {
  boost::asio::post(io_, [] {});
}

}  // namespace weft::host::runtime
