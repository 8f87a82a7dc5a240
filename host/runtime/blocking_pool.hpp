#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace weft::host::runtime {

/// Something that a pool's thread, or a fiber, runs once. Not owned by who runs it.
class ITask {
 public:
  virtual ~ITask() = default;
  virtual void Run() noexcept = 0;
};

/// Threads for what blocks. They are started as they are needed, up to a bound, and kept.
///
/// Threads: TryPost() from any.
class BlockingPool {
 public:
  BlockingPool(std::size_t max_threads, std::size_t max_queue);
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;
  /// Waits for every task that was accepted.
  ~BlockingPool();

  /// Queues a task; false when the queue is full. `task` must live until it has run.
  [[nodiscard]] bool TryPost(ITask& task);

 private:
  void RunThread();

  const std::size_t max_threads_;
  const std::size_t max_queue_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<ITask*> queue_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace weft::host::runtime
