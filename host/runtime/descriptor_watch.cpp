#include "host/runtime/descriptor_watch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>

#include "host/runtime/fiber_event.hpp"
#include "host/runtime/runtime.hpp"
#include "host/runtime/waits_for.hpp"

namespace weft::host::runtime {

namespace {

namespace asio = boost::asio;
using weft::detail::IDescriptorWatch;
using Clock = std::chrono::steady_clock;

std::string WhatOf(int descriptor) {
  return "weft::DescriptorWatch: descriptor " + std::to_string(descriptor);
}

class FiberDescriptorWatch final : public IDescriptorWatch {
 public:
  FiberDescriptorWatch(asio::io_context& io, int descriptor) : io_(io), descriptor_(io) {
    // Asio makes it non-blocking only for operations of its own, so that its owner's setting stays.
    boost::system::error_code error;
    descriptor_.assign(descriptor, error);
    if (error) {
      throw std::system_error(
          error.value(), std::generic_category(),
          WhatOf(descriptor) + (error.value() == EEXIST
                                    ? " is watched already: use one watch for reading and writing"
                                    : " cannot be watched"));
    }
  }
  ~FiberDescriptorWatch() override { descriptor_.release(); }

  bool WaitUntil(Direction direction, Clock::time_point time,
                 const CancellationToken& token) override {
    if (token.IsCancellationRequested()) {
      YieldFiber();
      token.ThrowIfCancellationRequested();
    }
    // Shared: a cancellation on another thread is posted, and may arrive after the wait.
    struct State {
      FiberEvent event{};
      asio::cancellation_signal signal{};
      bool ended = false;
      boost::system::error_code error{};
    };
    const auto state = std::make_shared<State>();
    descriptor_.async_wait(
        direction == Direction::kRead ? descriptor_.wait_read : descriptor_.wait_write,
        asio::bind_cancellation_slot(state->signal.slot(),
                                     [state](const boost::system::error_code& error) {
                                       state->ended = true;
                                       state->error = error;
                                       state->event.Notify();
                                     }));
    const auto registration = token.Register([this, state] {
      const auto wake = [state] { state->event.Notify(); };
      if (Runtime::OnReactorThread()) {
        wake();
      } else {
        asio::post(io_, wake);
      }
    });
    const WaitsFor waits_for(direction == Direction::kRead ? "a descriptor to be readable"
                                                           : "a descriptor to be writable");
    while (!state->ended && !token.IsCancellationRequested()) {
      if (time == Clock::time_point::max()) {
        state->event.Wait();
      } else if (!state->event.WaitUntil(time)) {
        break;
      }
    }
    // Epoll does not take what is always ready, as regular files are.
    if (state->ended && (!state->error || state->error == asio::error::operation_not_supported)) {
      return true;
    }
    state->signal.emit(asio::cancellation_type::terminal);
    while (!state->ended) {
      state->event.Wait();
    }
    token.ThrowIfCancellationRequested();
    if (state->error && state->error != asio::error::operation_aborted) {
      throw std::system_error(state->error.value(), std::generic_category(),
                              WhatOf(descriptor_.native_handle()));
    }
    return !state->error;
  }

 private:
  asio::io_context& io_;
  asio::posix::stream_descriptor descriptor_;
};

class ThreadDescriptorWatch final : public IDescriptorWatch {
 public:
  explicit ThreadDescriptorWatch(int descriptor) : descriptor_(descriptor) {
    if (fcntl(descriptor, F_GETFD) < 0) {
      throw std::system_error(errno, std::generic_category(),
                              WhatOf(descriptor) + " cannot be watched");
    }
  }

  bool WaitUntil(Direction direction, Clock::time_point time,
                 const CancellationToken& token) override {
    token.ThrowIfCancellationRequested();
    /// Readable from the cancellation on.
    struct Wake {
      Wake() : descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (descriptor < 0) {
          throw std::system_error(errno, std::generic_category(), "weft::DescriptorWatch: eventfd");
        }
      }
      Wake(const Wake&) = delete;
      Wake& operator=(const Wake&) = delete;
      ~Wake() { close(descriptor); }

      void Set() const noexcept {
        const std::uint64_t one = 1;
        static_cast<void>(!write(descriptor, &one, sizeof one));
      }

      int descriptor;
    } const wake;
    const auto registration = token.Register([&wake] { wake.Set(); });
    std::array<pollfd, 2> waits{
        pollfd{descriptor_, static_cast<short>(direction == Direction::kRead ? POLLIN : POLLOUT),
               0},
        pollfd{wake.descriptor, POLLIN, 0}};
    for (;;) {
      int timeout = -1;
      if (time != Clock::time_point::max()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - Clock::now()).count();
        timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
      }
      const int ready = poll(waits.data(), waits.size(), timeout);
      if (ready < 0 && errno != EINTR) {
        throw std::system_error(errno, std::generic_category(), WhatOf(descriptor_));
      }
      token.ThrowIfCancellationRequested();
      if (ready > 0 && (waits[0].revents & POLLNVAL) != 0) {
        throw std::system_error(EBADF, std::generic_category(), WhatOf(descriptor_));
      }
      if (ready > 0 && waits[0].revents != 0) {
        return true;
      }
      if (time != Clock::time_point::max() && Clock::now() >= time) {
        return false;
      }
    }
  }

 private:
  int descriptor_;
};

}  // namespace

std::unique_ptr<IDescriptorWatch> WatchOnReactor(asio::io_context& io, int descriptor) {
  return std::make_unique<FiberDescriptorWatch>(io, descriptor);
}

std::unique_ptr<IDescriptorWatch> WatchOnThread(int descriptor) {
  return std::make_unique<ThreadDescriptorWatch>(descriptor);
}

}  // namespace weft::host::runtime
