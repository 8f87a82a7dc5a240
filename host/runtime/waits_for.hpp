#pragma once

#include <utility>

#include "host/runtime/current_fiber.hpp"
#include "host/runtime/stack_pool.hpp"

namespace weft::host::runtime {

/// Says in words what the current fiber waits for while this lives. Lifetime of the words: static.
class WaitsFor {
 public:
  explicit WaitsFor(const char* what) noexcept
      : fiber_(CurrentFiber()),
        outer_(fiber_ == nullptr ? nullptr : std::exchange(fiber_->waits_for, what)) {}
  WaitsFor(const WaitsFor&) = delete;
  WaitsFor& operator=(const WaitsFor&) = delete;
  ~WaitsFor() {
    if (fiber_ != nullptr) {
      fiber_->waits_for = outer_;
    }
  }

 private:
  StackHeader* const fiber_;
  const char* const outer_;
};

}  // namespace weft::host::runtime
