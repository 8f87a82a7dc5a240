#include <weft/fiber_sync.hpp>

namespace weft {

void Mutex::lock() {
  std::unique_lock lock(mutex_);
  if (!locked_) {
    locked_ = true;
    return;
  }
  // Woken by unlock(), which left the lock locked for this waiter: see there.
  while (!waiting_.Wait(lock)) {
  }
}

void Mutex::LockUncancelled() {
  std::unique_lock lock(mutex_);
  if (!locked_) {
    locked_ = true;
    return;
  }
  waiting_.WaitUncancelled(lock);
}

bool Mutex::try_lock() {
  const std::lock_guard lock(mutex_);
  return !std::exchange(locked_, true);
}

void Mutex::unlock() {
  const std::lock_guard lock(mutex_);
  // The next one gets it at once: nobody who comes meanwhile can overtake.
  locked_ = waiting_.NotifyOne();
}

bool Condition::WaitUntil(std::unique_lock<Mutex>& lock, Clock::time_point time) {
  struct Relock {
    explicit Relock(std::unique_lock<Mutex>& of) : lock(of), mutex(of.release()) {}
    Relock(const Relock&) = delete;
    Relock& operator=(const Relock&) = delete;
    ~Relock() {
      mutex->LockUncancelled();
      lock = std::unique_lock<Mutex>(*mutex, std::adopt_lock);
    }

    std::unique_lock<Mutex>& lock;
    Mutex* mutex;
  };

  if (!lock.owns_lock()) {
    throw std::logic_error("weft::Condition: the lock that it waits with is not locked");
  }
  const Relock relock(lock);
  std::unique_lock own(mutex_);
  // Who changes what is waited for holds the mutex: from here on its notification finds this waiter.
  relock.mutex->unlock();
  const bool notified = waiting_.Wait(own, time);
  own.unlock();
  return notified;
}

void Condition::NotifyOne() noexcept {
  const std::lock_guard lock(mutex_);
  waiting_.NotifyOne();
}

void Condition::NotifyAll() noexcept {
  const std::lock_guard lock(mutex_);
  waiting_.NotifyAll();
}

}  // namespace weft
