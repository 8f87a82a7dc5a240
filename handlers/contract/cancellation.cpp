#include <weft/cancellation.hpp>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace weft {
namespace detail {

class CancellationState {
 public:
  CancellationReason Reason() const noexcept { return reason_.load(std::memory_order_acquire); }

  void Cancel(CancellationReason reason) noexcept {
    std::unique_lock lock(mutex_);
    if (Reason() != CancellationReason::kNone) {
      return;
    }
    canceller_ = std::this_thread::get_id();
    reason_.store(reason, std::memory_order_release);
    // From here on nothing is added: Register() calls at once.
    while (!callbacks_.empty()) {
      auto next = callbacks_.extract(callbacks_.begin());
      running_ = next.key();
      lock.unlock();
      next.mapped()();
      next.mapped() = nullptr;  // before any waiter goes on, which may free what was captured
      lock.lock();
      running_ = 0;
      done_.notify_all();
    }
  }

  /// 0: the token is cancelled already, and the callback was called.
  std::uint64_t Register(std::function<void()> callback) {
    {
      const std::lock_guard lock(mutex_);
      if (Reason() == CancellationReason::kNone) {
        callbacks_.emplace(++last_id_, std::move(callback));
        return last_id_;
      }
    }
    callback();
    return 0;
  }

  void Remove(std::uint64_t id) noexcept {
    // Destroyed when the lock is gone: it may own another registration of this state.
    Callbacks::node_type removed;
    std::unique_lock lock(mutex_);
    removed = callbacks_.extract(id);
    // On the cancelling thread it is the callback itself, or what it captured, that removes it.
    if (removed.empty() && canceller_ != std::this_thread::get_id()) {
      done_.wait(lock, [this, id] { return running_ != id; });
    }
  }

 private:
  using Callbacks = std::map<std::uint64_t, std::function<void()>>;  // by id: in their order

  std::atomic<CancellationReason> reason_{CancellationReason::kNone};
  std::mutex mutex_;
  std::condition_variable done_;
  Callbacks callbacks_;  // those that were not called yet
  std::uint64_t last_id_ = 0;
  std::uint64_t running_ = 0;  // the callback that canceller_ calls or destroys; 0: none
  std::thread::id canceller_;
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
    case CancellationReason::kAborted:
      return "aborted";
    case CancellationReason::kAnswered:
      return "answered";
    case CancellationReason::kCancelled:
      return "cancelled";
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
