#pragma once

#include <exception>
#include <functional>
#include <memory>

#include "host/runtime/fiber_event.hpp"
#include "host/runtime/runtime.hpp"

namespace weft::test {

/// What RunInFiber() uses unless told otherwise: stacks that a failing CHECK under a sanitizer fits on.
host::runtime::Runtime::Options RoomyStacks();

/// Runs `body` on a fiber of a Runtime that lives for this call, on this thread, and returns when every fiber
/// has ended. What `body` throws, a failed REQUIRE too, is thrown here.
void RunInFiber(const std::function<void(host::runtime::Runtime&)>& body,
                const host::runtime::Runtime::Options& options = RoomyStacks());

/// Another fiber beside the caller's, begun at once.
///
/// Threads: the reactor's; construct, join and destroy on a fiber.
class SideFiber final : private host::runtime::ITask {
 public:
  SideFiber(host::runtime::Runtime& runtime, std::function<void()> body);
  SideFiber(const SideFiber&) = delete;
  SideFiber& operator=(const SideFiber&) = delete;
  /// Waits for the end of `body`.
  ~SideFiber() override;

  /// Waits for the end of `body`, and throws what it threw, once.
  void Join();

 private:
  void Run() noexcept override;
  void Wait() noexcept;

  std::function<void()> body_;
  std::exception_ptr error_;
  host::runtime::FiberEvent event_;
  bool ended_ = false;
};

/// Tells a fiber of something that happened on any thread.
class Signal {
 public:
  explicit Signal(host::runtime::Runtime& runtime);

  /// From any thread; once.
  void Set();
  /// On a fiber: waits for Set(). Once; one fiber at a time.
  void Wait() noexcept;

 private:
  host::runtime::Runtime& runtime_;
  std::shared_ptr<host::runtime::FiberEvent> event_;
};

}  // namespace weft::test
