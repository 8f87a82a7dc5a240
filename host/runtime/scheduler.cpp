#include "host/runtime/scheduler.hpp"

#include <boost/asio/post.hpp>
#include <boost/fiber/type.hpp>

#include "host/runtime/current_fiber.hpp"
#include "host/runtime/current_stack.hpp"

namespace weft::host::runtime {

using boost::fibers::context;

void Scheduler::awakened(context* fiber) noexcept { fiber->ready_link(ready_); }

context* Scheduler::pick_next() noexcept {
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
