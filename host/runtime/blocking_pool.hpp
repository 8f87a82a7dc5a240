#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "host/runtime/task.hpp"

namespace weft::host::runtime {

/// Threads for what blocks. They are started as they are needed, up to a bound, and kept.
///
/// Threads: its members from any.
class BlockingPool {
 public:
  BlockingPool(std::size_t max_threads, std::size_t max_queue);
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;
  /// Waits for every task that was accepted.
  ~BlockingPool();

  /// Queues a task; false when the queue is full. `task` must live until its Ended().
  [[nodiscard]] bool TryPost(IBlockingTask& task) { return Post(task, max_queue_); }
  /// The same however full the queue is; false only when the system has no thread to run it.
  [[nodiscard]] bool PostPastBound(IBlockingTask& task) {
    return Post(task, std::numeric_limits<std::size_t>::max());
  }

 private:
  bool Post(IBlockingTask& task, std::size_t max_queue);
  void RunThread();

  const std::size_t max_threads_;
  const std::size_t max_queue_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<IBlockingTask*> queue_;
  std::vector<std::thread> threads_;
  std::size_t free_ = 0;  // threads that will look at the queue before they block in a task again
  bool stopping_ = false;
};

}  // namespace weft::host::runtime
