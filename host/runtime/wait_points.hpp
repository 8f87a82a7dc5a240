#pragma once

#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>

#include <weft/detail/async_runtime.hpp>
#include "host/runtime/fiber_event.hpp"

namespace weft::host::runtime {

/// Where a fiber waits.
class FiberWaitPoint final : public weft::detail::IWaitPoint,
                             public std::enable_shared_from_this<FiberWaitPoint> {
 public:
  FiberWaitPoint(boost::asio::io_context& io, const char* what) noexcept : io_(io), what_(what) {}

  void Notify() noexcept override;
  bool WaitUntil(Clock::time_point time) noexcept override;

 private:
  boost::asio::io_context& io_;
  const char* const what_;
  FiberEvent event_;
};

/// Where a thread waits.
class ThreadWaitPoint final : public weft::detail::IWaitPoint {
 public:
  void Notify() noexcept override;
  bool WaitUntil(Clock::time_point time) noexcept override;

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool notified_ = false;
};

}  // namespace weft::host::runtime
