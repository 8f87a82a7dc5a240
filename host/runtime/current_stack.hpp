#pragma once

namespace weft::host::runtime {

/// Tells the address sanitizer which stack this thread runs on from now on. Without
/// that it would, at the first exception on a fiber, take old frames for live ones.
///
/// Called wherever control comes back to a fiber, after SetCurrentFiber(). Without the sanitizer it is nothing.
#if defined(__SANITIZE_ADDRESS__)
void AnnounceCurrentStack() noexcept;
#else
inline void AnnounceCurrentStack() noexcept {}
#endif

}  // namespace weft::host::runtime
