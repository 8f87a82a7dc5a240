#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include <weft/detail/wait_queue.hpp>
#include <weft/export.hpp>

namespace weft {

/// What std::mutex is for threads, for handlers of one worker: who waits for it lets the worker serve others.
/// It may be held across waits, as a std::mutex must not: another fiber of the thread would wait for it for ever.
/// First come, first served. For std::lock_guard and std::unique_lock.
///
/// Threads: fibers and threads of one worker, which exclude one another.
class WEFT_API Mutex {
 public:
  Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  /// Throws OperationCancelled when the request is cancelled before it has the lock.
  void lock();
  bool try_lock();
  void unlock();

 private:
  friend class Condition;
  void LockUncancelled();

  std::mutex mutex_;
  bool locked_ = false;
  detail::WaitQueue waiting_{"a weft::Mutex"};
};

/// What std::condition_variable is for threads, over a Mutex. No wake-up is spurious, but the condition may be
/// false again when the waiter has its lock back: use the overloads that take it.
///
/// Threads: as Mutex. Lifetime: must outlive who waits for it.
class WEFT_API Condition {
 public:
  using Clock = std::chrono::steady_clock;

  Condition() noexcept = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  /// Waits with `lock` released, and has it again when it returns or throws. Throws OperationCancelled.
  void Wait(std::unique_lock<Mutex>& lock) {
    static_cast<void>(WaitUntil(lock, Clock::time_point::max()));
  }
  template <typename Predicate>
  void Wait(std::unique_lock<Mutex>& lock, Predicate holds) {
    while (!holds()) {
      Wait(lock);
    }
  }
  /// False: `time` came first.
  bool WaitUntil(std::unique_lock<Mutex>& lock, Clock::time_point time);
  /// What `holds()` returns at the end.
  template <typename Predicate>
  bool WaitUntil(std::unique_lock<Mutex>& lock, Clock::time_point time, Predicate holds) {
    while (!holds()) {
      if (!WaitUntil(lock, time)) {
        return holds();
      }
    }
    return true;
  }

  void NotifyOne() noexcept;
  void NotifyAll() noexcept;

 private:
  std::mutex mutex_;
  detail::WaitQueue waiting_{"a weft::Condition"};
};

/// A queue between handlers of one worker that holds a bounded number of values: who brings one waits while it is
/// full, who fetches one waits while it is empty. With its capacity in it, it is also a pool of connections.
///
/// Threads: fibers and threads of one worker. Lifetime: must outlive who waits for it.
template <typename T>
class Channel {
 public:
  using Clock = std::chrono::steady_clock;

  /// Throws std::invalid_argument when `capacity` is 0.
  explicit Channel(std::size_t capacity) : capacity_(capacity) {
    if (capacity == 0) {
      throw std::invalid_argument("weft::Channel: the capacity must be 1 or more");
    }
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Waits for room. False: the channel is closed, and `value` was not taken. Throws OperationCancelled.
  bool Push(T value) {
    std::unique_lock lock(mutex_);
    while (!closed_ && values_.size() >= capacity_) {
      not_full_.Wait(lock);
    }
    if (closed_) {
      return false;
    }
    Put(std::move(value));
    return true;
  }
  /// False: it is full or closed, and `value` is as it was.
  bool TryPush(T&& value) {
    const std::lock_guard lock(mutex_);
    if (closed_ || values_.size() >= capacity_) {
      return false;
    }
    Put(std::move(value));
    return true;
  }

  /// Waits for a value. Nothing: the channel is closed and empty, or `time` came first. Throws OperationCancelled.
  std::optional<T> Pop(Clock::time_point time = Clock::time_point::max()) {
    std::unique_lock lock(mutex_);
    while (values_.empty()) {
      if (closed_ || !not_empty_.Wait(lock, time)) {
        return Take();
      }
    }
    return Take();
  }
  /// Nothing: it is empty.
  std::optional<T> TryPop() {
    const std::lock_guard lock(mutex_);
    return Take();
  }

  /// Takes no more values; those that it has can be fetched. Who waits is woken.
  void Close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    not_full_.NotifyAll();
    not_empty_.NotifyAll();
  }
  bool IsClosed() const {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  /// Values in it.
  std::size_t Size() const {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }
  std::size_t Capacity() const noexcept { return capacity_; }

 private:
  void Put(T&& value) {
    values_.push_back(std::move(value));
    not_empty_.NotifyOne();
  }
  std::optional<T> Take() {
    if (values_.empty()) {
      return std::nullopt;
    }
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    not_full_.NotifyOne();
    return value;
  }

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<T> values_;
  bool closed_ = false;
  detail::WaitQueue not_full_{"room in a weft::Channel"};
  detail::WaitQueue not_empty_{"a value of a weft::Channel"};
};

}  // namespace weft
