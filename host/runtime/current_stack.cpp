#include "host/runtime/current_stack.hpp"

#if defined(__SANITIZE_ADDRESS__)

#include <pthread.h>
#include <sanitizer/common_interface_defs.h>

#include <boost/fiber/context.hpp>
#include <boost/fiber/type.hpp>
#include <cstddef>

#include "host/runtime/current_fiber.hpp"
#include "host/runtime/stack_pool.hpp"

namespace weft::host::runtime {

namespace {

void Announce(const char* bottom, std::size_t bytes) noexcept {
  // As if switched to, and arrived.
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, bottom, bytes);
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
}

}  // namespace

void AnnounceCurrentStack() noexcept {
  auto* const here = static_cast<const char*>(__builtin_frame_address(0));
  const auto& self = *boost::fibers::context::active();
  if (self.is_context(boost::fibers::type::worker_context)) {
    if (const auto* const header = CurrentFiber()) {
      Announce(header->lowest, header->usable_bytes + sizeof *header);
    }
  } else if (self.is_context(boost::fibers::type::main_context)) {
    pthread_attr_t attributes;
    void* bottom = nullptr;
    std::size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      pthread_attr_getstack(&attributes, &bottom, &bytes);
      pthread_attr_destroy(&attributes);
      Announce(static_cast<const char*>(bottom), bytes);
    }
  } else {
    // The dispatcher's stack is Boost's; handlers run in these frames of it.
    constexpr std::size_t kBelow = 64 * 1024;
    constexpr std::size_t kAbove = 1024;
    Announce(here - kBelow, kBelow + kAbove);
  }
}

}  // namespace weft::host::runtime

#endif
