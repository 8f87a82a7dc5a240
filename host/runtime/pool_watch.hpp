#pragma once

#include <sys/types.h>

#include <utility>

namespace weft::host::runtime {

class FiberEvent;
class PoolCall;

/// What somebody keeps of one fiber's calls to threads (Runtime::RunOnPool(), weft::Offload()), for threads that do not come
/// back when they should, and of its waits of <weft/async.hpp>, for those that do not end by a cancellation.
///
/// Threads: the reactor's. Lifetime: must outlive the fiber's calls; Runtime::SetCurrentPoolWatch().
class PoolWatch {
 public:
  PoolWatch() = default;
  PoolWatch(const PoolWatch&) = delete;
  PoolWatch& operator=(const PoolWatch&) = delete;
  virtual ~PoolWatch() = default;

  /// The fiber's wait for a thread is interrupted, now or when it comes to one. Where none has the call yet, the
  /// call is withdrawn, and throws OperationCancelled if the fiber's token is cancelled. Else OnInterrupted() is called, and
  /// the wait goes on.
  void Interrupt() noexcept;
  /// The same for a wait of <weft/async.hpp>, now or when the fiber comes to one: OnInterrupted() is called, and the wait goes on. For
  /// what should have ended when its token was cancelled.
  void InterruptWait() noexcept;
  /// The number of the thread that runs for the fiber (CurrentThreadId()); 0: none.
  pid_t Thread() const noexcept;

 protected:
  /// On the fiber, with the thread at work, or about to begin, or in a wait. Whatever it waits for, the thread waits with it
  /// when that wants the fiber.
  virtual void OnInterrupted() noexcept = 0;

 private:
  friend class FiberWaitPoint;
  friend class PoolCall;

  PoolCall* innermost_ = nullptr;
  bool pending_ = false;
  FiberEvent* wait_ = nullptr;  // that the fiber is in
  bool wait_pending_ = false;
};

}  // namespace weft::host::runtime
