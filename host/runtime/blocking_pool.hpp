#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "host/observe/worker_figures.hpp"
#include "host/runtime/codel.hpp"
#include "host/runtime/task.hpp"

namespace weft::host::runtime {

/// Threads for what blocks. They are started as they are needed, up to a bound, and end when there was nothing for them for a
/// while. The one that was busy last gets the next task, so that the others' time runs.
///
/// A task has its thread from beginning to end. When a thread ends, so do its thread-local objects, those of libraries too,
/// which nothing that a task has left behind on that thread may depend on.
///
/// Threads: its members from any.
class BlockingPool {
 public:
  using Clock = std::chrono::steady_clock;

  /// What became of a task.
  enum class Posted {
    kRefused,   ///< the queue is full
    kNoThread,  ///< the system has none for it, and the pool has none at all
    kShed,  ///< the queue is too long for good, and the task would wait beyond Codel::Options::target
    kGiven,   ///< a thread has it
    kQueued,  ///< it waits for one
  };

  struct Options {
    std::size_t max_threads = 64;
    std::size_t max_queue = 1024;
    /// How long a thread waits for a task before it ends.
    std::chrono::milliseconds idle_timeout{10'000};
    Codel::Options shed{.target = std::chrono::milliseconds(0)};
    /// Where it tells of itself; null: nowhere. It must outlive the pool.
    observe::PoolFigures* figures = nullptr;
  };

  explicit BlockingPool(const Options& options);
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;
  /// Waits for every task that was accepted.
  ~BlockingPool();

  /// Hands a task over, or queues it. `task` must live until its Ended(), unless it is refused, shed or has no thread.
  [[nodiscard]] Posted Post(IBlockingTask& task) { return Post(task, options_.max_queue); }
  /// The same however full the queue is: kGiven, kQueued or kNoThread.
  [[nodiscard]] Posted PostPastBound(IBlockingTask& task) {
    return Post(task, std::numeric_limits<std::size_t>::max());
  }
  /// Takes a task back. False: a thread has it, or had it.
  [[nodiscard]] bool TryWithdraw(IBlockingTask& task) noexcept;

  /// Threads that are there now.
  [[nodiscard]] std::size_t Threads() const;
  /// Tasks that wait for one.
  [[nodiscard]] std::size_t Queued() const;

 private:
  /// A place for a thread. Never destroyed before the pool: who wakes its thread may be late.
  struct Slot {
    std::condition_variable wake;
    IBlockingTask* task = nullptr;  // what it runs next
    std::thread thread;             // until it ends
  };

  struct Waiting {
    IBlockingTask* task;
    Clock::time_point since;
  };

  Posted Post(IBlockingTask& task, std::size_t max_queue);
  /// With the lock.
  Posted PostLocked(IBlockingTask& task, std::size_t max_queue);
  void RunThread(Slot& slot);
  /// With the lock: takes the next task, or becomes idle.
  void TakeNext(Slot& slot);
  /// With the lock.
  void Tell() noexcept;

  const Options options_;
  mutable std::mutex mutex_;
  std::deque<Waiting> queue_;
  Codel codel_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> unused_;  // without a thread
  std::vector<Slot*> idle_;    // whose thread has nothing to do; the last one was busy last
  std::thread ended_;          // the last that did, to be joined by the next that does
  bool stopping_ = false;
};

}  // namespace weft::host::runtime
