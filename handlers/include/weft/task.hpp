#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/detail/async_runtime.hpp>
#include <weft/detail/wait_queue.hpp>
#include <weft/export.hpp>

namespace weft {

namespace detail {

/// A task without its result. Not for handlers.
class WEFT_API TaskState : public IAsyncTask, public std::enable_shared_from_this<TaskState> {
 public:
  TaskState();
  TaskState(const TaskState&) = delete;
  TaskState& operator=(const TaskState&) = delete;
  ~TaskState() override;

  void Start();
  bool IsReady() const;
  /// Throws OperationCancelled, of who waits.
  void Wait();
  /// Cancels it, then waits for its end.
  void End() noexcept;
  void Cancel() noexcept { source_.Cancel(CancellationReason::kCancelled); }
  /// What it threw.
  void ThrowError();
  void Run() noexcept final;

  /// The place in `tasks` of the first that is ready; waits for it. Throws OperationCancelled.
  static std::size_t WaitFirst(const std::vector<TaskState*>& tasks);

 private:
  enum class Stage : char { kQueued, kRuns, kEnded };

  /// Calls the function, and keeps its result.
  virtual void Call() = 0;
  /// Destroys the function.
  virtual void Forget() noexcept = 0;
  bool RunHere() noexcept;
  /// True: nobody had begun it, and it was run for the caller, who waits for it.
  bool RunForWaiter();

  mutable std::mutex mutex_;
  Stage stage_ = Stage::kQueued;
  bool is_of_fiber_ = false;
  bool will_be_run_ = false;  // by somebody else than who waits for it, sooner or later
  WaitQueue waiting_{"a task"};
  std::vector<std::shared_ptr<IWaitPoint>> watching_;  // for the first of several
  std::exception_ptr error_;
  CancellationSource source_;
  CancellationToken token_;
  CancellationRegistration of_maker_;
};

template <typename T, typename F>
class TaskStateOf;

/// A task with its result.
template <typename T>
class TaskStateWith : public TaskState {
 public:
  std::optional<T> result{};
};
template <>
class TaskStateWith<void> : public TaskState {};

template <typename T, typename F>
class TaskStateOf final : public TaskStateWith<T> {
 public:
  template <typename G>
  explicit TaskStateOf(G&& function) : function_(std::in_place, std::forward<G>(function)) {}

 private:
  void Call() override {
    if constexpr (std::is_void_v<T>) {
      std::invoke(*function_);
    } else {
      this->result.emplace(std::invoke(*function_));
    }
  }
  void Forget() noexcept override { function_.reset(); }

  std::optional<F> function_;
};

}  // namespace detail

/// What runs beside its maker, see Async().
///
/// Threads: one at a time. Lifetime: not longer than the request's.
template <typename T>
class Task {
 public:
  using Result = T;

  Task() noexcept = default;
  Task(Task&&) noexcept = default;
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      End();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  /// Cancels the task and waits for its end: what its function captured by reference stays valid as long as it runs.
  ~Task() { End(); }

  /// Whether there is a task: false after Get(), and where it was moved from.
  bool IsValid() const noexcept { return state_ != nullptr; }
  /// Whether it has ended.
  bool IsReady() const { return State().IsReady(); }
  /// Waits for its end. Throws OperationCancelled when the request of who waits is cancelled.
  void Wait() const { State().Wait(); }
  /// Waits for its end; its result, or what its function threw, comes from here, once.
  T Get() {
    State().Wait();
    const auto state = std::exchange(state_, nullptr);
    state->ThrowError();
    if constexpr (!std::is_void_v<T>) {
      return std::move(*state->result);
    }
  }
  /// Tells it to stop: its waits throw OperationCancelled with CancellationReason::kCancelled. Does not wait.
  void Cancel() const noexcept {
    if (state_) {
      state_->Cancel();
    }
  }

 private:
  template <typename F>
  friend auto Async(F&& function) -> Task<std::decay_t<std::invoke_result_t<std::decay_t<F>&>>>;
  template <typename... Tasks>
  friend std::size_t WaitFirst(const Tasks&... tasks);
  template <std::ranges::forward_range Tasks>
  friend std::size_t WaitFirst(const Tasks& tasks);

  explicit Task(std::shared_ptr<detail::TaskStateWith<T>> state) noexcept
      : state_(std::move(state)) {}

  detail::TaskState& State() const {
    if (!state_) {
      throw std::logic_error("weft::Task: there is no task, or its result was fetched already");
    }
    return *state_;
  }
  void End() noexcept {
    if (state_) {
      state_->End();
      state_.reset();
    }
  }

  std::shared_ptr<detail::TaskStateWith<T>> state_;
};

/// Runs `function` beside the caller: an async handler's on a fiber of its own, a plain handler's on a thread of the
/// blocking pool, or, where none is free, when somebody waits for it. It is cancelled when the caller's request is.
///
/// Of the request and the response only one of the fibers of a request may use members that wait (reading the body,
/// Write, Flush) at a time.
/// Throws HttpException(503) when the worker has too many tasks (`--max-tasks`), std::bad_alloc when it has no stack
/// for one, std::logic_error outside a request.
template <typename F>
[[nodiscard]] auto Async(F&& function)
    -> Task<std::decay_t<std::invoke_result_t<std::decay_t<F>&>>> {
  using T = std::decay_t<std::invoke_result_t<std::decay_t<F>&>>;
  auto state = std::make_shared<detail::TaskStateOf<T, std::decay_t<F>>>(std::forward<F>(function));
  state->Start();
  return Task<T>(std::move(state));
}

/// Waits for the end of every task, also of those that fail; Get() gives what they return or throw. Throws
/// OperationCancelled when the request of who waits is cancelled.
template <typename... Tasks>
void WaitAll(const Tasks&... tasks) {
  (tasks.Wait(), ...);
}
template <std::ranges::forward_range Tasks>
void WaitAll(const Tasks& tasks) {
  for (const auto& task : tasks) {
    task.Wait();
  }
}

/// Waits until one task has ended; the place of the first that has, from 0. The others go on: their destructors
/// cancel them. Throws as WaitAll(), and std::invalid_argument when there is no task.
template <typename... Tasks>
std::size_t WaitFirst(const Tasks&... tasks) {
  return detail::TaskState::WaitFirst({&tasks.State()...});
}
template <std::ranges::forward_range Tasks>
std::size_t WaitFirst(const Tasks& tasks) {
  std::vector<detail::TaskState*> states;
  for (const auto& task : tasks) {
    states.push_back(&task.State());
  }
  return detail::TaskState::WaitFirst(states);
}

}  // namespace weft
