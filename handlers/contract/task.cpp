#include <weft/task.hpp>

#include <algorithm>

#include "handlers/contract/cancellable_wait.hpp"

namespace weft::detail {

TaskState::TaskState() : token_(source_.Token()) {
  const auto maker = GetAsyncRuntime().CurrentCancellation();
  // By value: the callback may run while this is destroyed, and the destructor of the registration waits for it.
  of_maker_ = maker.Register([this, maker] { source_.Cancel(maker.Reason()); });
}

TaskState::~TaskState() = default;

void TaskState::Start() {
  auto& runtime = GetAsyncRuntime();
  is_of_fiber_ = !runtime.MayBlock();
  // Where no thread is free it stays queued, and who waits for it runs it.
  will_be_run_ = runtime.TrySpawn(shared_from_this());
}

bool TaskState::IsReady() const {
  const std::lock_guard lock(mutex_);
  return stage_ == Stage::kEnded;
}

void TaskState::Run() noexcept { static_cast<void>(RunHere()); }

bool TaskState::RunHere() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (stage_ != Stage::kQueued) {
      return false;
    }
    stage_ = Stage::kRuns;
  }
  auto& runtime = GetAsyncRuntime();
  const auto* const before = runtime.ExchangeCancellation(&token_);
  std::exception_ptr error;
  try {
    Call();
  } catch (...) {
    error = std::current_exception();
  }
  // What it captured goes before anybody learns of the end, and while its waits are still the task's.
  Forget();
  runtime.ExchangeCancellation(before);
  of_maker_ = {};
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  stage_ = Stage::kEnded;
  waiting_.NotifyAll();
  for (const auto& point : watching_) {
    point->Notify();
  }
  return true;
}

bool TaskState::RunForWaiter() {
  if (is_of_fiber_) {
    return false;  // no thread has what it may use
  }
  auto& runtime = GetAsyncRuntime();
  if (runtime.MayBlock()) {
    return RunHere();
  }
  // A thread's task that a fiber was handed may block, too.
  bool ran = false;
  if (!will_be_run_ && !IsReady()) {
    runtime.RunBlocking([&] { ran = RunHere(); });
  }
  return ran;
}

void TaskState::Wait() {
  if (RunForWaiter()) {
    return;
  }
  std::unique_lock lock(mutex_);
  while (stage_ != Stage::kEnded) {
    waiting_.Wait(lock);
  }
}

void TaskState::End() noexcept {
  Cancel();
  std::unique_lock lock(mutex_);
  if (stage_ == Stage::kQueued && (!will_be_run_ || GetAsyncRuntime().MayBlock())) {
    stage_ = Stage::kEnded;
    lock.unlock();
    Forget();
    return;
  }
  while (stage_ != Stage::kEnded) {
    waiting_.WaitUncancelled(lock);
  }
}

void TaskState::ThrowError() {
  if (error_) {
    std::rethrow_exception(error_);
  }
}

std::size_t TaskState::WaitFirst(const std::vector<TaskState*>& tasks) {
  if (tasks.empty()) {
    throw std::invalid_argument("weft::WaitFirst: there is no task to wait for");
  }
  auto& runtime = GetAsyncRuntime();
  const auto token = runtime.CurrentCancellation();
  const auto point = runtime.MakeWaitPoint("the first of several tasks");
  const auto first_ready = [&tasks] {
    return std::ranges::find_if(tasks, [](const auto* task) { return task->IsReady(); }) -
           tasks.begin();
  };
  struct Watch {
    Watch(const std::vector<TaskState*>& of, const std::shared_ptr<IWaitPoint>& by)
        : tasks(of), point(by) {
      for (auto* const task : tasks) {
        const std::lock_guard lock(task->mutex_);
        task->watching_.push_back(point);
      }
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() {
      for (auto* const task : tasks) {
        const std::lock_guard lock(task->mutex_);
        std::erase(task->watching_, point);
      }
    }

    const std::vector<TaskState*>& tasks;
    const std::shared_ptr<IWaitPoint>& point;
  } const watch(tasks, point);
  for (;;) {
    if (const auto at = static_cast<std::size_t>(first_ready()); at != tasks.size()) {
      return at;
    }
    if (std::ranges::any_of(tasks, [](auto* task) { return task->RunForWaiter(); })) {
      continue;
    }
    if (token.IsCancellationRequested()) {
      // Who catches this and waits again must not keep the tasks from their turn.
      runtime.Yield();
    }
    token.ThrowIfCancellationRequested();
    WaitCancellable(point, IWaitPoint::Clock::time_point::max(), token);
    token.ThrowIfCancellationRequested();
  }
}

}  // namespace weft::detail
