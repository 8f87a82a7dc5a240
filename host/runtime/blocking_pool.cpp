#include "host/runtime/blocking_pool.hpp"

#include <system_error>

namespace weft::host::runtime {

BlockingPool::BlockingPool(std::size_t max_threads, std::size_t max_queue)
    : max_threads_(max_threads), max_queue_(max_queue) {
  threads_.reserve(max_threads);
}

BlockingPool::~BlockingPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) {
    thread.join();
  }
}

bool BlockingPool::Post(IBlockingTask& task, std::size_t max_queue) {
  {
    const std::lock_guard lock(mutex_);
    // What a free thread is about to take does not count as waiting.
    bool thread_free = queue_.size() < free_;
    if (!thread_free && threads_.size() < max_threads_) {
      try {
        threads_.emplace_back([this] { RunThread(); });
        // From now on, not from when it first runs: what it is about to take does not fill the queue.
        ++free_;
        thread_free = true;
      } catch (const std::system_error&) {
        // The system has no more threads: those that there are have to do.
        if (threads_.empty()) {
          return false;
        }
      }
    }
    if (!thread_free && queue_.size() - free_ >= max_queue) {
      return false;
    }
    queue_.push_back(&task);
  }
  wake_.notify_one();
  return true;
}

void BlockingPool::RunThread() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return !queue_.empty() || stopping_; });
    if (queue_.empty()) {
      return;
    }
    auto* const task = queue_.front();
    queue_.pop_front();
    --free_;
    lock.unlock();
    task->Run();
    lock.lock();
    ++free_;
    lock.unlock();
    task->Ended();
    lock.lock();
  }
}

}  // namespace weft::host::runtime
