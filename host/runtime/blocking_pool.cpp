#include "host/runtime/blocking_pool.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace weft::host::runtime {

BlockingPool::BlockingPool(const Options& options) : options_(options), codel_(options.shed) {
  // What a thread needs to end must not fail.
  slots_.reserve(options_.max_threads);
  unused_.reserve(options_.max_threads);
  idle_.reserve(options_.max_threads);
}

BlockingPool::~BlockingPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& slot : slots_) {
      slot->wake.notify_one();
    }
  }
  // No thread touches these any more.
  for (const auto& slot : slots_) {
    if (slot->thread.joinable()) {
      slot->thread.join();
    }
  }
  if (ended_.joinable()) {
    ended_.join();
  }
}

BlockingPool::Posted BlockingPool::Post(IBlockingTask& task, std::size_t max_queue) {
  const std::lock_guard lock(mutex_);
  const auto posted = PostLocked(task, max_queue);
  Tell();
  if (auto* const figures = options_.figures) {
    figures->refused.Add(posted == Posted::kRefused ? 1 : 0);
    figures->shed.Add(posted == Posted::kShed ? 1 : 0);
  }
  return posted;
}

void BlockingPool::Tell() noexcept {
  auto* const figures = options_.figures;
  if (figures == nullptr) {
    return;
  }
  figures->threads.Set(slots_.size() - unused_.size());
  figures->idle.Set(idle_.size());
  figures->queued.Set(queue_.size());
  const auto oldest = queue_.empty() ? Clock::time_point() : queue_.front().since;
  figures->oldest_queued_ns.Set(
      static_cast<std::uint64_t>(std::chrono::nanoseconds(oldest.time_since_epoch()).count()));
}

BlockingPool::Posted BlockingPool::PostLocked(IBlockingTask& task, std::size_t max_queue) {
  if (!idle_.empty()) {
    auto& slot = *idle_.back();
    idle_.pop_back();
    slot.task = &task;
    slot.wake.notify_one();
    codel_.ObserveNoDelay();
    return Posted::kGiven;
  }
  if (unused_.empty() && slots_.size() < options_.max_threads) {
    slots_.push_back(std::make_unique<Slot>());
    unused_.push_back(slots_.back().get());
  }
  if (!unused_.empty()) {
    auto& slot = *unused_.back();
    try {
      slot.task = &task;
      slot.thread = std::thread([this, &slot] { RunThread(slot); });
      unused_.pop_back();
      codel_.ObserveNoDelay();
      return Posted::kGiven;
    } catch (const std::system_error&) {
      slot.task = nullptr;
      // The system has no more threads: those that there are have to do.
      if (unused_.size() == slots_.size()) {
        return Posted::kNoThread;
      }
    }
  }
  if (queue_.size() >= max_queue) {
    return Posted::kRefused;
  }
  const bool may_be_refused = max_queue == options_.max_queue;
  if (may_be_refused && codel_.IsOn() && codel_.Refuses(codel_.DelayOf(queue_.size()))) {
    return Posted::kShed;
  }
  queue_.push_back({&task, Clock::now()});
  return Posted::kQueued;
}

bool BlockingPool::TryWithdraw(IBlockingTask& task) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(queue_.begin(), queue_.end(),
                                  [&](const Waiting& waiting) { return waiting.task == &task; });
  if (found == queue_.end()) {
    return false;
  }
  queue_.erase(found);
  Tell();
  return true;
}

std::size_t BlockingPool::Threads() const {
  const std::lock_guard lock(mutex_);
  return slots_.size() - unused_.size();
}

std::size_t BlockingPool::Queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void BlockingPool::TakeNext(Slot& slot) {
  if (queue_.empty()) {
    slot.task = nullptr;
    idle_.push_back(&slot);
  } else {
    const auto next = queue_.front();
    queue_.pop_front();
    slot.task = next.task;
    if (codel_.IsOn() || options_.figures != nullptr) {
      const auto now = Clock::now();
      if (codel_.IsOn()) {
        codel_.Observe(now, now - next.since);
      }
      if (options_.figures != nullptr) {
        options_.figures->waits.Count(now - next.since);
      }
    }
  }
  Tell();
}

void BlockingPool::RunThread(Slot& slot) {
  std::unique_lock lock(mutex_);
  while (slot.task != nullptr) {
    auto* const task = slot.task;
    lock.unlock();
    task->Run();
    lock.lock();
    // Before the task's end is known, so that whoever learns of it finds room.
    TakeNext(slot);
    lock.unlock();
    task->Ended();
    lock.lock();
    const auto is_wanted = [&] { return slot.task != nullptr || stopping_; };
    if (!is_wanted() && !slot.wake.wait_for(lock, options_.idle_timeout, is_wanted)) {
      break;
    }
  }
  if (stopping_) {
    return;  // the destructor joins it
  }
  // Not joined by who posts next, who has no time: thread-local objects of libraries go now.
  idle_.erase(std::find(idle_.begin(), idle_.end(), &slot));
  auto before = std::exchange(ended_, std::move(slot.thread));
  unused_.push_back(&slot);
  Tell();
  lock.unlock();
  if (before.joinable()) {
    before.join();
  }
}

}  // namespace weft::host::runtime
