#pragma once

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include <weft/detail/wait_queue.hpp>
#include <weft/export.hpp>

namespace weft {

namespace detail {

/// What a callback and its waiter share. Not for handlers.
class WEFT_API CallbackState {
 public:
  CallbackState();
  CallbackState(const CallbackState&) = delete;
  CallbackState& operator=(const CallbackState&) = delete;
  virtual ~CallbackState();

  /// Throws OperationCancelled, when others had their turn, if the request of who will wait is cancelled already.
  static void RequireNotCancelled();
  /// True for the first caller, who then calls Complete().
  bool Claim() noexcept;
  void Complete(std::exception_ptr error) noexcept;
  /// Throws what Complete() was given, and OperationCancelled, in which case it has called `cancel`, if there is one,
  /// and waited for the callback. Where there is nothing to be waited for any more, others have their turn all the same.
  void Wait(const std::function<void()>& cancel);

 private:
  std::mutex mutex_;
  WaitQueue waiting_{"a callback"};
  bool claimed_ = false;
  bool complete_ = false;
  std::exception_ptr error_;
};

/// Its end is the end of all copies of a callback: nobody can call it any more.
class WEFT_API CallbackEnd {
 public:
  explicit CallbackEnd(std::shared_ptr<CallbackState> state) noexcept : state_(std::move(state)) {}
  CallbackEnd(const CallbackEnd&) = delete;
  CallbackEnd& operator=(const CallbackEnd&) = delete;
  ~CallbackEnd();

 private:
  std::shared_ptr<CallbackState> state_;
};

template <typename T>
class CallbackStateWith final : public CallbackState {
 public:
  std::optional<T> result{};
};
template <>
class CallbackStateWith<void> final : public CallbackState {};

}  // namespace detail

/// What AwaitCallback() gives to the operation that it begins, to be called once with its result.
///
/// Copies are one and the same callback. When the last one goes without a call, the waiter gets a std::logic_error.
/// Threads: any. Lifetime: it may outlive the waiter, and then does nothing.
template <typename T>
class Callback {
 public:
  /// False: it was called before, and the value was not used.
  template <typename U>
  requires(!std::is_void_v<T> && std::constructible_from<T, U>) bool operator()(U&& value) const {
    return Call([&] { state_->result.emplace(std::forward<U>(value)); });
  }
  bool operator()() const requires std::is_void_v<T> {
    return Call([] {});
  }
  /// The waiter gets this exception.
  bool Fail(std::exception_ptr error) const noexcept {
    const bool first = state_->Claim();
    if (first) {
      state_->Complete(std::move(error));
    }
    return first;
  }
  template <typename E>
  requires std::derived_from<std::remove_cvref_t<E>, std::exception>
  bool Fail(E&& error) const { return Fail(std::make_exception_ptr(std::forward<E>(error))); }

 private:
  template <typename R, typename Begin>
  friend R AwaitCallback(Begin&& begin, const std::function<void()>& cancel);

  explicit Callback(std::shared_ptr<detail::CallbackStateWith<T>> state)
      : state_(std::move(state)), end_(std::make_shared<detail::CallbackEnd>(state_)) {}

  template <typename Keep>
  bool Call(Keep keep) const {
    if (!state_->Claim()) {
      return false;
    }
    try {
      keep();
    } catch (...) {
      state_->Complete(std::current_exception());
      return true;
    }
    state_->Complete(nullptr);
    return true;
  }

  std::shared_ptr<detail::CallbackStateWith<T>> state_;
  std::shared_ptr<detail::CallbackEnd> end_;
};

/// Begins an operation of a library that calls back, and waits for that: `begin` is called here with a Callback<T>,
/// which the library's callback calls, on any thread. What `begin` throws comes from here.
///
///     const auto row = AwaitCallback<Row>([&](Callback<Row> done) { database.Fetch(key, done); });
///
/// When the request is cancelled it throws OperationCancelled at once, and a later call does nothing: `begin` must
/// not leave the operation references to what the caller owns. With `cancel`, which tells the operation to stop, that
/// is called then, and the callback is waited for. When it is cancelled already, `begin` is not called. An operation that has
/// called back by the time that `begin` returns has succeeded, cancelled or not: its value is returned, after others had
/// their turn.
template <typename T, typename Begin>
T AwaitCallback(Begin&& begin, const std::function<void()>& cancel = {}) {
  detail::CallbackState::RequireNotCancelled();
  const auto state = std::make_shared<detail::CallbackStateWith<T>>();
  {
    Callback<T> callback(state);
    std::invoke(std::forward<Begin>(begin), std::move(callback));
  }
  state->Wait(cancel);
  if constexpr (!std::is_void_v<T>) {
    return std::move(*state->result);
  }
}

}  // namespace weft
