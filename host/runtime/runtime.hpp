#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/detail/async_runtime.hpp>
#include "host/observe/worker_figures.hpp"
#include "host/runtime/codel.hpp"
#include "host/runtime/fiber_stacks.hpp"
#include "host/runtime/fiber_work.hpp"
#include "host/runtime/pool_watch.hpp"
#include "host/runtime/task.hpp"
#include "host/runtime/thread_works.hpp"

namespace weft::host::runtime {

/// Lets code on a pool's thread have something done on the fiber that waits for it.
class IFiberGateway {
 public:
  virtual ~IFiberGateway() = default;
  /// Runs `function` on the fiber while this thread waits; what it throws is thrown here.
  virtual void RunOnFiber(const std::function<void()>& function) = 0;
  /// Inside a function of RunOnFiber(): runs `function` on the thread that waits for that, while the fiber waits; what it
  /// throws is thrown here. It may call RunOnFiber() again, and so on.
  virtual void RunOnThread(const std::function<void()>& function) = 0;
};

/// The worker's one reactor thread with its fibers, and its threads for what blocks: one pool for RunOnPool(),
/// another of the same bounds for Offload(), so that handlers which block cannot hold up those which wait.
///
/// It runs tasks without knowing what they are for. Each task may set what the functions of <weft/async.hpp>
/// obey while it runs: SetCurrentCancellation().
///
/// Threads: construct, Run() and destroy on one thread, the reactor; Post() from any; the rest on the reactor
/// or where a member says so. One at a time in a process.
class Runtime final : public weft::detail::IAsyncRuntime {
 public:
  struct Options {
    std::size_t stack_bytes = 256 * 1024;
    std::size_t idle_stacks = 256;
    std::size_t blocking_threads = 64;
    std::size_t blocking_queue = 1024;
    std::size_t max_tasks = 20'000;                   ///< of weft::Async() on fibers
    std::chrono::milliseconds blocking_idle{10'000};  ///< a thread without work ends after it
    std::chrono::milliseconds queue_timeout{10'000};  ///< what waits longer for one is refused
    /// When new calls for a thread are refused though the queue has room, and ShedsArrivals().
    Codel::Options shed{.target = std::chrono::milliseconds(0)};
    /// Where the two pools tell of themselves, RunOnPool()'s and Offload()'s; null: nowhere. They must outlive the runtime.
    observe::PoolFigures* pool_figures = nullptr;
    observe::PoolFigures* offload_figures = nullptr;
  };

  explicit Runtime(const Options& options);
  ~Runtime() override;

  boost::asio::io_context& Io() noexcept;
  /// Whether the caller runs on the thread of a runtime's reactor.
  static bool OnReactorThread() noexcept;

  /// The stacks of one size, as they have been used so far.
  struct StackUse {
    std::size_t stack_bytes;
    std::size_t usable_bytes;     ///< without the guard
    std::size_t fibers;           ///< that have one now, those that wait for work included
    std::size_t most_used_bytes;  ///< of any of them, in whole pages, as far as it was looked at
  };

  /// Serves until Stop(), then waits for every fiber that was started.
  void Run();
  void Stop() noexcept;

  /// Runs `task` on a fiber of its own, soon. Throws std::bad_alloc when there is no stack to be had.
  void Spawn(ITask& task);
  std::size_t FibersInUse() const noexcept;
  /// Those, and what threads of the pool have to do that no fiber waits for: tasks of plain handlers.
  std::size_t WorkInUse() const noexcept;
  /// How much of WorkInUse() is of some groups, whose numbers are given in ascending order.
  std::size_t WorkOf(std::span<const std::uint64_t> groups) const noexcept;
  /// The threads of the pool (CurrentThreadId()) that run something for a group now, the least group first. It looks at every
  /// fiber. Throws std::bad_alloc.
  std::vector<GroupThread> ThreadsOfGroups() const;
  /// Runs `function` on this fiber, or, where its stack has less than `stack_bytes`, on another one with a stack of that
  /// size, rounded up to a power of two, while this one waits. What it throws is thrown here. Throws std::bad_alloc when
  /// there is no stack to be had.
  ///
  /// What is set for the current fiber, its cancellation say, is the same there.
  void RunOnStackOf(std::size_t stack_bytes, const std::function<void()>& function);
  /// The least first. Sizes that nothing ran on are not in it.
  std::vector<StackUse> StackUses() const;
  /// The stacks of all fibers that work, each written by itself when it goes on; those that wait are woken for that, a few
  /// at a time, and wait on. Then the threads that run tasks of plain handlers, without frames. Nothing: the reactor is held up, or has
  /// ended, and has not gone on with it for `patience`.
  ///
  /// `only`: of the fiber alone that works for this (SetCurrentWork()), which may have ended: it is looked for by its address.
  ///
  /// Threads: any but the reactor's. Lifetime: the runtime must outlive the call.
  std::optional<std::vector<FiberStack>> CollectStacks(std::chrono::milliseconds patience,
                                                       const IFiberWork* only = nullptr);
  /// Looks at some more of the stacks for StackUses(), until it has seen all since a fiber last ran. Called several times a second.
  void SurveyStacks() noexcept;

  /// Runs `function` on a thread of the pool while this fiber waits, and serves its gateway meanwhile. What it
  /// throws is thrown here. Throws HttpException(503) when the pool's queue is full.
  void RunOnPool(const std::function<void(IFiberGateway&)>& function);
  /// The same for what ends a request that was let in: the queue's bounds do not refuse it, and it is not withdrawn.
  void RunOnPoolPastBound(const std::function<void(IFiberGateway&)>& function);

  /// What waits of the current fiber obey from now on; null: nothing. Lifetime: until it is set anew.
  void SetCurrentCancellation(const CancellationToken* token) noexcept;
  /// What watches the current fiber's calls to threads from now on; null: nothing. Lifetime: until it is set anew.
  void SetCurrentPoolWatch(PoolWatch* watch) noexcept;
  /// The number of the group that the current fiber is of from now on, and with it the tasks of weft::Async() that are made there,
  /// theirs too, wherever they run; 0: none. Lifetime: until it is set anew; that of a task is the one that its maker had.
  void SetCurrentGroup(std::uint64_t group) noexcept;
  /// Whether work that begins now is to be refused: what becomes ready waits for its turn on this thread for too long, and has
  /// done so for a while. Called for each request; now and then it has the delay measured.
  bool ShedsArrivals(std::chrono::steady_clock::time_point now) noexcept;
  /// Whether the current fiber has used most of its stack: what would go on inside what runs now shall not begin.
  bool StackIsShort() const noexcept;
  /// What the current fiber works for; null: nothing. Lifetime: until it is set anew.
  void SetCurrentWork(const IFiberWork* work) noexcept;
  /// Names the current fiber's work in the report of a stack overflow.
  void SetCurrentLabel(std::string_view label) noexcept;

  // <weft/async.hpp>, from a fiber or a thread of the pool.
  std::shared_ptr<weft::detail::IWaitPoint> MakeWaitPoint(const char* what) override;
  void Yield() noexcept override;
  std::unique_ptr<weft::detail::IDescriptorWatch> Watch(int descriptor) override;
  CancellationToken CurrentCancellation() const override;
  const CancellationToken* ExchangeCancellation(const CancellationToken* token) noexcept override;
  bool TrySpawn(std::shared_ptr<weft::detail::IAsyncTask> task) override;
  void RunBlocking(const std::function<void()>& function) override;
  bool TryRunLater(const std::function<void()>& function) noexcept override;
  bool MayBlock() const noexcept override { return !OnReactorThread(); }
  void* AsioContext(int boost_version) override;

 private:
  /// Throws std::logic_error where the caller is not on a fiber of this runtime.
  void RequireFiber(const char* what) const;

  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace weft::host::runtime
