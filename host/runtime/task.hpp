#pragma once

namespace weft::host::runtime {

/// Something that a fiber runs once. Not owned by who runs it.
class ITask {
 public:
  virtual ~ITask() = default;
  virtual void Run() noexcept = 0;
};

/// Something that a thread of a BlockingPool runs once. Not owned by the pool.
class IBlockingTask {
 public:
  virtual ~IBlockingTask() = default;
  virtual void Run() noexcept = 0;
  /// Run() has returned, and its thread counts as free: whoever learns of it here finds room in the pool. The
  /// pool's last use of the task, which may be gone when it returns.
  virtual void Ended() noexcept = 0;
};

}  // namespace weft::host::runtime
