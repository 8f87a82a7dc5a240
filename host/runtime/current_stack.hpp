#pragma once

#include "host/runtime/stack_pool.hpp"

namespace weft::host::runtime {

/// Tells the address sanitizer which stack this thread runs on from now on. Without
/// that it would, at the first exception on a fiber, take old frames for live ones.
///
/// Called wherever control comes back to a fiber. Without the sanitizer it is nothing.
#if defined(__SANITIZE_ADDRESS__)
void AnnounceCurrentStack() noexcept;
/// The stacks of fibers; null: there are none.
void SetAnnouncedPool(const StackPool* pool) noexcept;
#else
inline void AnnounceCurrentStack() noexcept {}
inline void SetAnnouncedPool(const StackPool* /*pool*/) noexcept {}
#endif

}  // namespace weft::host::runtime
