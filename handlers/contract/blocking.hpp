#pragma once

#include <functional>

#include <weft/async.hpp>

namespace weft::detail {

/// Whether this thread may block: it is not a reactor's.
bool MayBlock() noexcept;

/// Runs what may block: here where that may be, else on another thread, while the fiber waits. Throws what it throws, and
/// as weft::Offload does.
template <typename F>
void RunFileWork(F&& function) {
  if (MayBlock()) {
    function();
  } else {
    RunBlocking([&function] { function(); });
  }
}

/// The same, and nobody waits for it. `function` does not throw.
void RunFileWorkLater(const std::function<void()>& function) noexcept;

}  // namespace weft::detail
