#include <weft/cancellation.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weft {
namespace detail {

class CancellationState {
 public:
  CancellationReason Reason() const noexcept { return reason_.load(std::memory_order_acquire); }

  void Cancel(CancellationReason reason) noexcept {
    std::vector<std::pair<std::uint64_t, std::function<void()>>> callbacks;
    {
      const std::lock_guard lock(mutex_);
      if (Reason() != CancellationReason::kNone) {
        return;
      }
      canceller_ = std::this_thread::get_id();
      callbacks.swap(callbacks_);
      running_ = !callbacks.empty();
      reason_.store(reason, std::memory_order_release);
    }
    for (auto& [id, callback] : callbacks) {
      {
        const std::lock_guard lock(mutex_);
        if (std::erase(removed_, id) != 0) {
          continue;
        }
      }
      callback();
    }
    {
      const std::lock_guard lock(mutex_);
      running_ = false;
    }
    done_.notify_all();
  }

  /// 0: the token is cancelled already, and the callback was called.
  std::uint64_t Register(std::function<void()> callback) {
    {
      const std::lock_guard lock(mutex_);
      if (Reason() == CancellationReason::kNone) {
        callbacks_.emplace_back(++last_id_, std::move(callback));
        return last_id_;
      }
    }
    callback();
    return 0;
  }

  void Remove(std::uint64_t id) noexcept {
    // Destroyed when the lock is gone: it may own another registration of this state.
    std::function<void()> removed;
    std::unique_lock lock(mutex_);
    for (auto at = callbacks_.begin(); at != callbacks_.end(); ++at) {
      if (at->first == id) {
        removed = std::move(at->second);
        callbacks_.erase(at);
        return;
      }
    }
    if (!running_) {
      return;
    }
    // Cancel() has taken the callback and may be about to call it. On its own thread (a callback that
    // destroys another registration) it is told to pass it over; any other thread waits.
    if (canceller_ == std::this_thread::get_id()) {
      removed_.push_back(id);
    } else {
      done_.wait(lock, [this] { return !running_; });
    }
  }

 private:
  std::atomic<CancellationReason> reason_{CancellationReason::kNone};
  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<std::pair<std::uint64_t, std::function<void()>>> callbacks_;
  std::vector<std::uint64_t> removed_;
  std::uint64_t last_id_ = 0;
  std::thread::id canceller_;
  bool running_ = false;
};

}  // namespace detail

const char* ToString(CancellationReason reason) noexcept {
  switch (reason) {
    case CancellationReason::kNone:
      return "not cancelled";
    case CancellationReason::kClientGone:
      return "client gone";
    case CancellationReason::kDeadline:
      return "deadline passed";
    case CancellationReason::kShutdown:
      return "shutdown";
  }
  return "unknown";
}

OperationCancelled::OperationCancelled(CancellationReason reason)
    : std::runtime_error(std::string("request cancelled: ") + ToString(reason)), reason_(reason) {}

OperationCancelled::~OperationCancelled() = default;

CancellationRegistration::CancellationRegistration() noexcept = default;

CancellationRegistration::CancellationRegistration(std::shared_ptr<detail::CancellationState> state,
                                                   std::uint64_t id) noexcept
    : state_(std::move(state)), id_(id) {}

CancellationRegistration::CancellationRegistration(CancellationRegistration&& other) noexcept
    : state_(std::move(other.state_)), id_(std::exchange(other.id_, 0)) {}

CancellationRegistration& CancellationRegistration::operator=(
    CancellationRegistration&& other) noexcept {
  if (this != &other) {
    Reset();
    state_ = std::move(other.state_);
    id_ = std::exchange(other.id_, 0);
  }
  return *this;
}

CancellationRegistration::~CancellationRegistration() { Reset(); }

void CancellationRegistration::Reset() noexcept {
  if (state_ && id_ != 0) {
    state_->Remove(id_);
  }
  state_.reset();
  id_ = 0;
}

CancellationToken::CancellationToken() noexcept = default;

CancellationToken::CancellationToken(std::shared_ptr<detail::CancellationState> state) noexcept
    : state_(std::move(state)) {}

CancellationReason CancellationToken::Reason() const noexcept {
  return state_ ? state_->Reason() : CancellationReason::kNone;
}

void CancellationToken::ThrowIfCancellationRequested() const {
  if (const auto reason = Reason(); reason != CancellationReason::kNone) {
    throw OperationCancelled(reason);
  }
}

CancellationRegistration CancellationToken::Register(std::function<void()> callback) const {
  if (!state_) {
    return {};
  }
  const auto id = state_->Register(std::move(callback));
  return id == 0 ? CancellationRegistration() : CancellationRegistration(state_, id);
}

CancellationSource::CancellationSource() : state_(std::make_shared<detail::CancellationState>()) {}
CancellationSource::CancellationSource(CancellationSource&&) noexcept = default;
CancellationSource& CancellationSource::operator=(CancellationSource&&) noexcept = default;
CancellationSource::~CancellationSource() = default;

void CancellationSource::Cancel(CancellationReason reason) noexcept {
  if (state_ && reason != CancellationReason::kNone) {
    // The state outlives the call even when a callback drops the last owner.
    const auto state = state_;
    state->Cancel(reason);
  }
}

}  // namespace weft
