#pragma once

#include <memory>

#include <weft/cancellation.hpp>
#include <weft/detail/async_runtime.hpp>

namespace weft::detail {

/// Notifies `point` when `token` is cancelled, as long as what it returns lives.
[[nodiscard]] inline CancellationRegistration NotifyWhenCancelled(
    const CancellationToken& token, const std::shared_ptr<IWaitPoint>& point) {
  return token.Register([point] { point->Notify(); });
}

/// Waits until `point` is notified or the request is cancelled, which the caller looks for. False: `time` came first.
bool WaitCancellable(const std::shared_ptr<IWaitPoint>& point, IWaitPoint::Clock::time_point time,
                     const CancellationToken& token);

}  // namespace weft::detail
