#pragma once

#include <chrono>
#include <memory>

#include <weft/export.hpp>

namespace weft {

namespace detail {
class IDescriptorWatch;
}

/// Waits for a descriptor (a socket, a pipe, an eventfd) to be ready, for libraries that do their input and output
/// themselves on a non-blocking one.
///
/// Threads: of the handler that made it; one may wait for reading while another waits for writing.
/// Lifetime: must end before the descriptor is closed, and within the request, or whatever handlers of the same kind
/// (async, or plain) keep the connection in for the next one. The descriptor is not owned.
class WEFT_API DescriptorWatch {
 public:
  using Clock = std::chrono::steady_clock;

  /// A regular file is always ready. Throws std::system_error for what is no descriptor, and for one that another
  /// watch of the worker, or an object of Asio's, has.
  explicit DescriptorWatch(int descriptor);
  DescriptorWatch(DescriptorWatch&&) noexcept;
  DescriptorWatch& operator=(DescriptorWatch&&) noexcept;
  ~DescriptorWatch();

  /// Waits until a read would not block: there are bytes, the end, or an error. Throws OperationCancelled when the
  /// request is cancelled.
  void WaitReadable() { static_cast<void>(WaitReadableUntil(Clock::time_point::max())); }
  /// Waits until a write would not block.
  void WaitWritable() { static_cast<void>(WaitWritableUntil(Clock::time_point::max())); }
  /// False: `time` came first.
  [[nodiscard]] bool WaitReadableUntil(Clock::time_point time);
  [[nodiscard]] bool WaitWritableUntil(Clock::time_point time);

 private:
  std::unique_ptr<detail::IDescriptorWatch> watch_;
};

}  // namespace weft
