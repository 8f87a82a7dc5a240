#include "host/runtime/runtime.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/version.hpp>
#include <cstring>
#include <exception>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <weft/http_exception.hpp>
#include "host/observe/log.hpp"
#include "host/runtime/blocking_pool.hpp"
#include "host/runtime/crash_handler.hpp"
#include "host/runtime/current_fiber.hpp"
#include "host/runtime/current_stack.hpp"
#include "host/runtime/descriptor_watch.hpp"
#include "host/runtime/epoll_watch.hpp"
#include "host/runtime/fiber_event.hpp"
#include "host/runtime/readiness_probe.hpp"
#include "host/runtime/scheduler.hpp"
#include "host/runtime/stack_pool.hpp"
#include "host/runtime/thread_stack.hpp"
#include "host/runtime/thread_works.hpp"
#include "host/runtime/wait_points.hpp"
#include "host/runtime/waits_for.hpp"

namespace weft::host::runtime {

namespace {

/// What a thread of the pool runs, as far as <weft/async.hpp> must know; null on other threads.
thread_local const CancellationToken* t_pool_cancellation = nullptr;
thread_local bool t_on_pool = false;
/// The runtime whose reactor this thread is.
thread_local const Runtime* t_reactor = nullptr;

/// Sizes of stacks: powers of two from 64 KiB on.
constexpr std::size_t kStackSizes = 12;
constexpr std::size_t kLeastStackBytes = 64 * 1024;

std::size_t SizeNumberOf(std::size_t stack_bytes) {
  const auto rounded = std::bit_ceil(std::max(stack_bytes, kLeastStackBytes));
  return std::min<std::size_t>(
      static_cast<std::size_t>(std::countr_zero(rounded / kLeastStackBytes)), kStackSizes - 1);
}

/// For the signal handler: the pool of each size, and the number of the one that --stack-size made.
std::array<std::atomic<const StackPool*>, kStackSizes> g_stacks{};
std::atomic<std::size_t> g_usual_size{0};

constexpr std::size_t kSignalStackBytes = 64 * 1024;

/// A thread of a pool, as far as the report of a stack overflow must know: it has a stack for signals, and the fiber that
/// waits for it has the label.
class PoolThread {
 public:
  PoolThread() : id_(CurrentThreadId()), signal_stack_(new char[kSignalStackBytes]) {
    stack_t stack = {};
    stack.ss_sp = signal_stack_.get();
    stack.ss_size = kSignalStackBytes;
    sigaltstack(&stack, &old_signal_stack_);
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      void* lowest = nullptr;
      std::size_t bytes = 0;
      pthread_attr_getstack(&attributes, &lowest, &bytes);
      pthread_attr_getguardsize(&attributes, &guard_bytes_);
      pthread_attr_destroy(&attributes);
      lowest_ = static_cast<const char*>(lowest);
    }
  }
  PoolThread(const PoolThread&) = delete;
  PoolThread& operator=(const PoolThread&) = delete;
  ~PoolThread() { sigaltstack(&old_signal_stack_, nullptr); }

  /// Of the caller, made when it first asks.
  static const PoolThread& Current() {
    thread_local const PoolThread self;
    return self;
  }

  /// Whether `address` is where this thread's stack ends. Async-signal-safe.
  bool Overflows(const void* address) const noexcept {
    // Whether the guard counts for the stack is not the same in all versions of glibc.
    const auto* const at = static_cast<const char*>(address);
    return lowest_ != nullptr && at >= lowest_ - guard_bytes_ && at < lowest_ + guard_bytes_;
  }

  /// As the system knows it.
  pid_t Id() const noexcept { return id_; }

 private:
  const pid_t id_;
  std::unique_ptr<char[]> signal_stack_;
  stack_t old_signal_stack_ = {};
  const char* lowest_ = nullptr;
  std::size_t guard_bytes_ = 0;
};

/// Null until this thread has run something of a fiber's.
thread_local const PoolThread* t_pool_thread = nullptr;
/// Of the fiber that this thread runs something for, or of the task; null: it runs neither.
thread_local const WorkHeader* t_served_fiber = nullptr;

/// For a stack that a signal has this thread write down: what the reactor, or a thread of a pool, is at.
std::size_t NoteOfThisThread(std::span<char> room) noexcept {
  const auto* const fiber = t_reactor != nullptr ? CurrentFiber() : t_served_fiber;
  return fiber == nullptr ? 0 : DescribeFiber(*fiber, room);
}

/// For the log: whom a line belongs to that this thread writes.
void DescribeThisThread(observe::WorkDescription& into) noexcept {
  const auto* const fiber = t_reactor != nullptr ? CurrentFiber() : t_served_fiber;
  if (fiber == nullptr || fiber->work == nullptr) {
    return;
  }
  into.request_bytes = fiber->work->RequestId(into.request);
  const std::string_view label(fiber->label, ::strnlen(fiber->label, WorkHeader::kLabelBytes));
  into.handler_bytes = label.copy(into.handler.data(), into.handler.size());
}

void ReportOverflow(const char* label, const char* advice) noexcept {
  observe::WriteToStandardError("weft: fatal: stack overflow in ");
  observe::WriteToStandardError(*label == '\0' ? "a fiber" : label);
  observe::WriteToStandardError("; a larger ");
  observe::WriteToStandardError(advice);
  observe::WriteToStandardError(", or a handler that uses less of it\n");
}

constexpr const char* kUsualStackHelps =
    "--stack-size helps, or \"stackBytes\" in its mapping alone";
constexpr const char* kOwnStackHelps = "\"stackBytes\" in its mapping helps";
constexpr const char* kThreadStackHelps = "stack of its threads helps (ulimit -s)";

/// Whose stack ended at an address, and what would make it larger; nobody's: null.
struct Overflow {
  const char* label = nullptr;
  const char* advice = nullptr;
};

/// Async-signal-safe.
Overflow OverflowAt(const void* address) noexcept {
  if (t_pool_thread != nullptr && t_served_fiber != nullptr && t_pool_thread->Overflows(address)) {
    return {.label = t_served_fiber->label, .advice = kThreadStackHelps};
  }
  for (std::size_t i = 0; i < kStackSizes; ++i) {
    const auto* const pool = g_stacks[i].load(std::memory_order_relaxed);
    const char* const label = pool == nullptr ? nullptr : pool->OverflowedLabel(address);
    if (label != nullptr) {
      return {.label = label,
              .advice = i == g_usual_size.load(std::memory_order_relaxed) ? kUsualStackHelps
                                                                          : kOwnStackHelps};
    }
  }
  return {};
}

/// Names the handler whose stack ran into its guard page, then lets the process die as it would have.
void OnSegmentationFault(int signal, siginfo_t* info, void*) noexcept {
  if (const auto overflow = OverflowAt(info->si_addr); overflow.label != nullptr) {
    ReportOverflow(overflow.label, overflow.advice);
  }
  ::signal(signal, SIG_DFL);
  raise(signal);
}

void NoteCrashOfThisThread(CrashNote& note, const void* address) noexcept {
  const bool is_reactor = t_reactor != nullptr;
  const auto* const fiber = is_reactor ? CurrentFiber() : t_served_fiber;
  note.role = is_reactor
                  ? (fiber != nullptr ? observe::CrashRole::kFiber : observe::CrashRole::kReactor)
              : fiber != nullptr ? observe::CrashRole::kPool
                                 : observe::CrashRole::kOther;
  if (fiber != nullptr) {
    note.request = fiber->group;
  }
  if (address != nullptr) {
    const auto overflow = OverflowAt(address);
    note.overflow = overflow.label;
    note.advice = overflow.advice;
  }
  if (fiber != nullptr) {
    note.work_bytes = DescribeFiber(*fiber, note.work);
  }
}

}  // namespace

struct Runtime::Implementation {
  struct Lane;

  /// What a fiber runs: work of its own, or a part of another's.
  enum class WorkKind { kSpawned, kVisit };

  /// The stacks of one size, and the fibers on them that wait for work.
  struct StackClass {
    StackClass(std::size_t stack_bytes, std::size_t idle)
        : stacks(stack_bytes, idle / 2), max_idle_lanes(idle - idle / 2) {}

    StackPool stacks;
    std::vector<Lane*> idle_lanes;
    std::size_t max_idle_lanes;
    std::size_t lanes = 0;
    int surveys_left = 0;
  };

  /// A fiber that runs one task after another.
  struct Lane {
    explicit Lane(StackClass& of) noexcept : stack_class(of) {}

    StackClass& stack_class;
    StackHeader* header = CurrentFiber();
    Lane* next = nullptr;
    Lane* previous = nullptr;
    std::uint64_t collected = 0;  // the number of the last collection that it is in
    ITask* task = nullptr;
    WorkKind kind = WorkKind::kSpawned;
    FiberEvent wake;
  };

  Implementation(const Options& options)
      : io(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO),
        work(io.get_executor()),
        probe(io, options.shed),
        idle_stacks(options.idle_stacks),
        max_tasks(options.max_tasks),
        queue_timeout(options.queue_timeout),
        pool(PoolOptions(options, options.pool_figures)),
        offload_pool(PoolOptions(options, options.offload_figures)),
        signal_stack(new char[kSignalStackBytes]) {
    usual = &ClassOf(options.stack_bytes);
  }

  /// Makes it when it is first asked for.
  StackClass& ClassOf(std::size_t stack_bytes) {
    const auto number = SizeNumberOf(stack_bytes);
    auto& stack_class = classes[number];
    if (!stack_class) {
      // As much memory at most as those of the usual size keep, and one of them at least.
      const auto idle =
          usual == nullptr
              ? idle_stacks
              : std::max<std::size_t>(1, idle_stacks * usual->stacks.StackBytes() /
                                             std::max(usual->stacks.StackBytes(), stack_bytes));
      stack_class = std::make_unique<StackClass>(stack_bytes, idle);
      g_stacks[number].store(&stack_class->stacks, std::memory_order_relaxed);
      if (usual == nullptr) {
        g_usual_size.store(number, std::memory_order_relaxed);
      }
    }
    return *stack_class;
  }

  /// Runs `task` on a fiber with a stack of this class, soon.
  void Start(StackClass& stack_class, ITask& task, WorkKind kind) {
    if (!stack_class.idle_lanes.empty()) {
      auto* const lane = stack_class.idle_lanes.back();
      stack_class.idle_lanes.pop_back();
      lane->task = &task;
      lane->kind = kind;
      lane->wake.Notify();
      return;
    }
    boost::fibers::fiber(
        boost::fibers::launch::post, std::allocator_arg, PooledStack(stack_class.stacks),
        [this, &stack_class, &task, kind] {
          SetCurrentFiber(&stack_class.stacks.HeaderOf(__builtin_frame_address(0)));
          AnnounceCurrentStack();
          Lane lane(stack_class);
          lane.task = &task;
          lane.kind = kind;
          RunLane(lane);
        })
        .detach();
    ++lanes;
    ++stack_class.lanes;
  }

  void Spawn(StackClass& stack_class, ITask& task) {
    Start(stack_class, task, WorkKind::kSpawned);
    has_run = true;
    if (++lanes_in_use == 1) {
      // In this order, see ReactorWatch.
      g_reactor_watch.has_work.store(true);
      g_reactor_watch.WakeIfAsleep();
    }
  }

  static BlockingPool::Options PoolOptions(const Options& options, observe::PoolFigures* figures) {
    return {.max_threads = options.blocking_threads,
            .max_queue = options.blocking_queue,
            .idle_timeout = options.blocking_idle,
            .shed = options.shed,
            .figures = figures};
  }

  void RunLane(Lane& lane) {
    auto& stack_class = lane.stack_class;
    lane.next = first_lane;
    if (first_lane != nullptr) {
      first_lane->previous = &lane;
    }
    first_lane = &lane;
    for (;;) {
      CurrentHeader().has_offloaded = false;
      lane.task->Run();
      lane.task = nullptr;
      if (lane.kind == WorkKind::kSpawned) {
        if (--lanes_in_use == 0) {
          g_reactor_watch.has_work.store(false, std::memory_order_relaxed);
        }
      }
      if (stopping || stack_class.idle_lanes.size() >= stack_class.max_idle_lanes) {
        break;
      }
      stack_class.idle_lanes.push_back(&lane);
      lane.wake.Wait();
      if (lane.task == nullptr) {
        break;
      }
    }
    (lane.previous != nullptr ? lane.previous->next : first_lane) = lane.next;
    if (lane.next != nullptr) {
      lane.next->previous = lane.previous;
    }
    --stack_class.lanes;
    if (--lanes == 0 && stopping) {
      all_ended.Notify();
    }
  }

  struct Collection;
  /// Has some fibers write down their stacks, then the next ones.
  void Collect(const std::shared_ptr<Collection>& collection);

  using PoolFunction = std::function<void(IFiberGateway&)>;
  /// What becomes of a call for which there is no thread.
  enum class Entry {
    kBounded,  ///< it is refused where there are too many, and withdrawn when it has waited too long, or is cancelled
    kLetIn,    ///< it is withdrawn when it is cancelled: its task has been let in before
    kCertain,  ///< it waits, whatever comes
  };
  void RunOn(BlockingPool& where, Entry entry, const PoolFunction& function);

  /// Only on a fiber.
  static StackHeader& CurrentHeader() noexcept { return *CurrentFiber(); }
  static const CancellationToken* CurrentCancellation() noexcept {
    return CurrentHeader().cancellation;
  }

  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  ReadinessProbe probe;
  std::size_t idle_stacks;
  std::array<std::unique_ptr<StackClass>, kStackSizes> classes;
  StackClass* usual = nullptr;  // while it is made, null
  std::size_t lanes = 0;
  Lane* first_lane = nullptr;
  std::uint64_t last_collection = 0;
  std::mutex collecting;  // of who asks
  std::size_t lanes_in_use = 0;
  bool has_run = false;  // since the last look at the stacks
  std::size_t tasks = 0;
  std::size_t max_tasks;
  bool stopping = false;
  FiberEvent stop;
  FiberEvent all_ended;
  const std::chrono::milliseconds queue_timeout;
  ThreadWorks thread_works;
  BlockingPool pool;
  BlockingPool offload_pool;
  std::unique_ptr<char[]> signal_stack;
  struct sigaction old_action = {};
  stack_t old_signal_stack = {};
};

Runtime::Runtime(const Options& options) : implementation_(new Implementation(options)) {
  boost::fibers::use_scheduling_algorithm<Scheduler>(implementation_->io);
  t_reactor = this;
  SetStackNote(&NoteOfThisThread);
  SetNoteCrash(&NoteCrashOfThisThread);
  observe::SetWorkDescription(&DescribeThisThread);
  stack_t signal_stack = {};
  signal_stack.ss_sp = implementation_->signal_stack.get();
  signal_stack.ss_size = kSignalStackBytes;
  sigaltstack(&signal_stack, &implementation_->old_signal_stack);
  struct sigaction action = {};
  action.sa_sigaction = &OnSegmentationFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &implementation_->old_action);
  weft::detail::SetAsyncRuntime(this);
}

Runtime::~Runtime() {
  weft::detail::SetAsyncRuntime(nullptr);
  sigaction(SIGSEGV, &implementation_->old_action, nullptr);
  sigaltstack(&implementation_->old_signal_stack, nullptr);
  for (auto& pool : g_stacks) {
    pool.store(nullptr, std::memory_order_relaxed);
  }
  SetStackNote(nullptr);
  SetNoteCrash(nullptr);
  observe::SetWorkDescription(nullptr);
  t_reactor = nullptr;
  // The io_context dies with this object; the thread's scheduler lives until the thread ends.
  boost::fibers::use_scheduling_algorithm<boost::fibers::algo::round_robin>();
}

boost::asio::io_context& Runtime::Io() noexcept { return implementation_->io; }

bool Runtime::OnReactorThread() noexcept { return t_reactor != nullptr; }

void Runtime::Run() {
  auto& self = *implementation_;
  self.stop.Wait();
  self.stopping = true;
  for (const auto& stack_class : self.classes) {
    if (!stack_class) {
      continue;
    }
    for (auto* const lane : std::exchange(stack_class->idle_lanes, {})) {
      lane->wake.Notify();
    }
  }
  if (self.lanes != 0) {
    self.all_ended.Wait();
  }
  // The last fiber said so just before it ended: let the dispatcher clear it away.
  YieldFiber();
}

void Runtime::Stop() noexcept { implementation_->stop.Notify(); }

void Runtime::Spawn(ITask& task) {
  auto& self = *implementation_;
  self.Spawn(*self.usual, task);
}

std::size_t Runtime::FibersInUse() const noexcept { return implementation_->lanes_in_use; }

std::size_t Runtime::WorkInUse() const noexcept {
  return implementation_->lanes_in_use + implementation_->thread_works.Count();
}

std::size_t Runtime::WorkOf(std::span<const std::uint64_t> groups) const noexcept {
  auto count = implementation_->thread_works.CountOf(groups);
  for (const auto* lane = implementation_->first_lane; lane != nullptr; lane = lane->next) {
    if (lane->task != nullptr && lane->kind == Implementation::WorkKind::kSpawned &&
        std::ranges::binary_search(groups, lane->header->group)) {
      ++count;
    }
  }
  return count;
}

std::vector<GroupThread> Runtime::ThreadsOfGroups() const {
  std::vector<GroupThread> threads;
  for (const auto* lane = implementation_->first_lane; lane != nullptr; lane = lane->next) {
    const auto& header = *lane->header;
    if (lane->task == nullptr || header.group == 0 || header.thread == nullptr) {
      continue;
    }
    if (const pid_t thread = header.thread->load(std::memory_order_relaxed); thread != 0) {
      threads.push_back({header.group, thread});
    }
  }
  implementation_->thread_works.TellThreads(threads);
  std::ranges::sort(threads, {}, &GroupThread::group);
  return threads;
}

void Runtime::RunOnStackOf(std::size_t stack_bytes, const std::function<void()>& function) {
  auto& self = *implementation_;
  auto& own = self.CurrentHeader();
  auto& stack_class = self.ClassOf(stack_bytes);
  if (own.usable_bytes >= stack_class.stacks.UsableBytes()) {
    function();
    return;
  }
  struct Visit final : ITask {
    Visit(const std::function<void()>& with_function, StackHeader& of)
        : function(with_function), caller(of) {}

    void Run() noexcept override {
      auto& header = Implementation::CurrentHeader();
      header.Work() = caller.Work();
      try {
        function();
      } catch (...) {
        error = std::current_exception();
      }
      caller.Work() = std::exchange(header.Work(), {});
      done = true;
      ended.Notify();
    }

    const std::function<void()>& function;
    StackHeader& caller;
    std::exception_ptr error;
    bool done = false;
    FiberEvent ended;
  } visit(function, own);
  own.is_away = true;
  try {
    self.Start(stack_class, visit, Implementation::WorkKind::kVisit);
  } catch (...) {
    own.is_away = false;
    throw;
  }
  while (!visit.done) {
    visit.ended.Wait();
  }
  own.is_away = false;
  if (visit.error) {
    std::rethrow_exception(visit.error);
  }
}

std::vector<Runtime::StackUse> Runtime::StackUses() const {
  std::vector<StackUse> uses;
  for (const auto& stack_class : implementation_->classes) {
    if (stack_class && (stack_class->lanes != 0 || stack_class->stacks.MostUsedBytes() != 0)) {
      const auto& stacks = stack_class->stacks;
      uses.push_back(
          {stacks.StackBytes(), stacks.UsableBytes(), stack_class->lanes, stacks.MostUsedBytes()});
    }
  }
  return uses;
}

/// One call of CollectStacks(). Shared, for who asks may have gone when the reactor comes to it.
struct Runtime::Implementation::Collection {
  std::uint64_t number = 0;
  const IFiberWork* only = nullptr;      // null: all
  std::vector<const FiberStack*> asked;  // for last
  std::vector<std::unique_ptr<FiberStack>>
      stacks;  // each stays where it is while a fiber writes it
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t turns = 0;  // of the reactor
  bool is_done = false;
  bool is_given_up = false;  // nobody waits for it any more
};

void Runtime::Implementation::Collect(const std::shared_ptr<Collection>& collection) {
  const auto next = [&] { boost::asio::post(io, [this, collection] { Collect(collection); }); };
  bool is_given_up = false;
  {
    const std::lock_guard lock(collection->mutex);
    ++collection->turns;
    is_given_up = collection->is_given_up;
  }
  collection->changed.notify_one();
  if (std::ranges::any_of(collection->asked,
                          [](const FiberStack* stack) { return !stack->is_written; })) {
    next();  // their turn comes before this one's next
    return;
  }
  collection->asked.clear();
  if (is_given_up) {
    return;
  }
  // Some 30 µs each: others shall not wait for many of them.
  constexpr std::size_t kAtOnce = 16;
  bool has_to_wait = false;
  for (auto* lane = first_lane; lane != nullptr && collection->asked.size() < kAtOnce;
       lane = lane->next) {
    if (lane->collected == collection->number || lane->task == nullptr || lane->header->is_away) {
      continue;
    }
    const bool is_meant = collection->only == nullptr || lane->header->work == collection->only;
    if (!is_meant) {
      continue;
    }
    if (lane->header->capture != nullptr) {
      has_to_wait = true;  // it writes for one that was given up
      continue;
    }
    lane->collected = collection->number;
    try {
      collection->asked.reserve(kAtOnce);
      collection->stacks.push_back(std::make_unique<FiberStack>());
    } catch (const std::bad_alloc&) {
      continue;
    }
    collection->asked.push_back(collection->stacks.back().get());
    lane->header->capture = collection->stacks.back().get();
    if (lane->header->waits_in != nullptr) {
      lane->header->waits_in->Stir();
    }
  }
  if (!collection->asked.empty() || has_to_wait) {
    next();
    return;
  }
  const std::lock_guard lock(collection->mutex);
  collection->is_done = true;
  collection->changed.notify_one();
}

std::optional<std::vector<FiberStack>> Runtime::CollectStacks(std::chrono::milliseconds patience,
                                                              const IFiberWork* only) {
  auto& self = *implementation_;
  const std::lock_guard one_at_a_time(self.collecting);
  const auto collection = std::make_shared<Implementation::Collection>();
  collection->only = only;
  boost::asio::post(self.io, [&self, collection] {
    collection->number = ++self.last_collection;
    self.Collect(collection);
  });
  std::unique_lock lock(collection->mutex);
  while (!collection->is_done) {
    const auto turns = collection->turns;
    if (!collection->changed.wait_for(
            lock, patience, [&] { return collection->is_done || collection->turns != turns; })) {
      collection->is_given_up = true;
      return std::nullopt;
    }
  }
  std::vector<FiberStack> stacks;
  for (const auto& stack : collection->stacks) {
    stacks.push_back(std::move(*stack));
  }
  self.thread_works.Tell(stacks);
  return stacks;
}

void Runtime::SurveyStacks() noexcept {
  auto& self = *implementation_;
  const bool may_be_deeper = std::exchange(self.has_run, false) || self.lanes_in_use != 0;
  for (const auto& stack_class : self.classes) {
    if (!stack_class) {
      continue;
    }
    if (may_be_deeper) {
      // The rest of the round that is under way, and a whole one.
      stack_class->surveys_left = 2;
    }
    if (stack_class->surveys_left != 0 && stack_class->stacks.Survey()) {
      --stack_class->surveys_left;
    }
  }
}

/// One call from a fiber to a thread of the pool, and the calls back.
class PoolCall final : public IBlockingTask, public IFiberGateway {
 public:
  /// Whether it may be taken back as long as no thread has it.
  enum class Until { kBegun, kEnded };

  PoolCall(boost::asio::io_context& io, BlockingPool& pool,
           const std::function<void(IFiberGateway&)>& function, StackHeader& fiber)
      : io_(io),
        pool_(pool),
        function_(function),
        fiber_(fiber),
        cancellation_(fiber.cancellation),
        watch_(fiber.pool_watch) {
    if (watch_ != nullptr) {
      outer_ = std::exchange(watch_->innermost_, this);
    }
    outer_thread_ = std::exchange(fiber_.thread, &thread_);
  }
  PoolCall(const PoolCall&) = delete;
  PoolCall& operator=(const PoolCall&) = delete;
  ~PoolCall() override {
    registration_ = {};
    if (alarm_) {
      alarm_->call = nullptr;
    }
    fiber_.thread = outer_thread_;
    if (watch_ != nullptr) {
      watch_->innermost_ = outer_;
    }
  }

  /// On a thread of the pool.
  void Run() noexcept override {
    t_pool_thread = &PoolThread::Current();
    t_served_fiber = &fiber_;
    thread_.store(t_pool_thread->Id(), std::memory_order_relaxed);
    t_on_pool = true;
    t_pool_cancellation = cancellation_;
    try {
      function_(*this);
    } catch (...) {
      error_ = std::current_exception();
    }
    t_on_pool = false;
    t_pool_cancellation = nullptr;
    thread_.store(0, std::memory_order_relaxed);
    t_served_fiber = nullptr;
  }

  /// On a thread of the pool. The last thing: the fiber may destroy this call as soon as it runs.
  void Ended() noexcept override {
    boost::asio::post(io_, [this] {
      done_ = true;
      event_.Notify();
    });
  }

  /// On a thread of the pool.
  void RunOnFiber(const std::function<void()>& function) override {
    request_error_ = nullptr;
    boost::asio::post(io_, [this, &function] {
      request_ = &function;
      event_.Notify();
    });
    for (answered_.acquire(); back_call_ != nullptr; answered_.acquire()) {
      try {
        (*std::exchange(back_call_, nullptr))();
      } catch (...) {
        back_call_error_ = std::current_exception();
      }
      boost::asio::post(io_, [this] {
        back_call_done_ = true;
        event_.Notify();
      });
    }
    if (request_error_) {
      std::rethrow_exception(std::exchange(request_error_, nullptr));
    }
  }

  /// On the fiber, while the thread is in RunOnFiber().
  void RunOnThread(const std::function<void()>& function) override {
    back_call_ = &function;
    answered_.release();
    ServeUntil(back_call_done_);
    // One inside another ends before the other does.
    back_call_done_ = false;
    if (back_call_error_) {
      std::rethrow_exception(std::exchange(back_call_error_, nullptr));
    }
  }

  /// On the fiber: serves the gateway until the function has ended. With Until::kBegun it throws OperationCancelled when the
  /// fiber's token is cancelled while no thread has the call, and HttpException(503) when none has it until `give_up`.
  void WaitOnFiber(Until may_withdraw, FiberEvent::Clock::time_point give_up,
                   std::chrono::milliseconds queue_timeout) {
    withdrawable_ = may_withdraw == Until::kBegun;
    if (withdrawable_) {
      WatchCancellation();
    }
    while (!done_ && give_up != FiberEvent::Clock::time_point::max()) {
      if (ServeOnce(give_up)) {
        continue;
      }
      if (pool_.TryWithdraw(*this)) {
        throw HttpException(503, {},
                            "no thread of the blocking pool was free for " +
                                std::to_string(queue_timeout.count()) + " ms (--queue-timeout)")
            .WithCause(cause::kQueueTimeout);
      }
      give_up = FiberEvent::Clock::time_point::max();  // it has begun
    }
    ServeUntil(done_);
    if (error_) {
      std::rethrow_exception(error_);
    }
  }

 private:
  void ServeUntil(const bool& done) {
    while (!done) {
      static_cast<void>(ServeOnce(FiberEvent::Clock::time_point::max()));
    }
  }

  /// Has the fiber woken when its token is cancelled.
  void WatchCancellation() noexcept {
    if (cancellation_ == nullptr) {
      return;
    }
    try {
      alarm_ = std::make_shared<Alarm>(Alarm{this});
      // A task's is cancelled on any thread.
      registration_ = cancellation_->Register([&io = io_, alarm = alarm_] {
        const auto ring = [alarm] {
          if (alarm->call != nullptr) {
            alarm->call->is_cancelled_ = true;
            alarm->call->event_.Notify();
          }
        };
        if (Runtime::OnReactorThread()) {
          ring();
        } else {
          boost::asio::post(io, ring);
        }
      });
    } catch (const std::bad_alloc&) {
      // It waits for its turn, and runs.
    }
  }

  /// False: the time came.
  bool ServeOnce(FiberEvent::Clock::time_point until) {
    if (std::exchange(is_cancelled_, false) && pool_.TryWithdraw(*this)) {
      cancellation_->ThrowIfCancellationRequested();
    }
    if (watch_ != nullptr && watch_->pending_) {
      watch_->pending_ = false;
      if (withdrawable_ && cancellation_ != nullptr && cancellation_->IsCancellationRequested() &&
          pool_.TryWithdraw(*this)) {
        cancellation_->ThrowIfCancellationRequested();
      }
      watch_->OnInterrupted();
      return true;  // others may have run meanwhile
    }
    {
      const WaitsFor waits_for("its thread of the pool");
      if (until == FiberEvent::Clock::time_point::max()) {
        event_.Wait();
      } else if (!event_.WaitUntil(until)) {
        return false;
      }
    }
    if (request_ != nullptr) {
      try {
        (*std::exchange(request_, nullptr))();
      } catch (...) {
        request_error_ = std::current_exception();
      }
      answered_.release();
    }
    return true;
  }

  friend class PoolWatch;

  /// What a cancellation rings, be it too late.
  struct Alarm {
    PoolCall* call;  // null: it has ended
  };

  boost::asio::io_context& io_;
  BlockingPool& pool_;
  const std::function<void(IFiberGateway&)>& function_;
  StackHeader& fiber_;
  const CancellationToken* cancellation_;
  PoolWatch* const watch_;
  PoolCall* outer_ = nullptr;  // that this one is inside of, on the same fiber
  bool withdrawable_ = false;
  std::shared_ptr<Alarm> alarm_;
  CancellationRegistration registration_;
  bool is_cancelled_ = false;  // and nobody has looked at it yet
  std::atomic<pid_t> thread_{0};
  const std::atomic<pid_t>* outer_thread_ = nullptr;
  FiberEvent event_;
  bool done_ = false;
  std::exception_ptr error_;
  const std::function<void()>* request_ = nullptr;
  std::exception_ptr request_error_;
  const std::function<void()>* back_call_ = nullptr;
  std::exception_ptr back_call_error_;
  bool back_call_done_ = false;
  std::binary_semaphore answered_{0};
};

void PoolWatch::Interrupt() noexcept {
  pending_ = true;
  if (innermost_ != nullptr) {
    innermost_->event_.Notify();
  }
}

void PoolWatch::InterruptWait() noexcept {
  wait_pending_ = true;
  if (wait_ != nullptr) {
    wait_->Notify();
  }
}

pid_t PoolWatch::Thread() const noexcept {
  return innermost_ == nullptr ? 0 : innermost_->thread_.load(std::memory_order_relaxed);
}

namespace {

bool OnFiberOf(const Runtime* runtime) {
  return t_reactor == runtime &&
         boost::fibers::context::active()->is_context(boost::fibers::type::worker_context);
}

}  // namespace

void Runtime::RequireFiber(const char* what) const {
  if (!OnFiberOf(this)) {
    throw std::logic_error(
        std::string(what) +
        (t_on_pool ? " in a plain handler: make it an IHttpAsyncHandler" : " outside a request"));
  }
}

void Runtime::Implementation::RunOn(BlockingPool& where, Entry entry,
                                    const PoolFunction& function) {
  PoolCall call(io, where, function, CurrentHeader());
  const bool is_bounded = entry == Entry::kBounded;
  const auto posted = is_bounded ? where.Post(call) : where.PostPastBound(call);
  if (posted == BlockingPool::Posted::kNoThread) {
    throw HttpException(503, {},
                        "the system has no thread for the blocking pool (ulimit -u, or TasksMax of "
                        "the service)")
        .WithCause(cause::kOverloaded);
  }
  if (posted == BlockingPool::Posted::kRefused) {
    throw HttpException(503, {}, "the queue of the blocking pool is full (--blocking-queue)")
        .WithCause(cause::kOverloaded);
  }
  if (posted == BlockingPool::Posted::kShed) {
    throw HttpException(
        503, {},
        "calls for a thread of the blocking pool come faster than they end, and wait "
        "for too long (--shed-target)")
        .WithCause(cause::kLoadShed);
  }
  const bool is_queued = posted == BlockingPool::Posted::kQueued;
  const bool may_give_up = is_bounded && is_queued;
  call.WaitOnFiber(
      is_queued && entry != Entry::kCertain ? PoolCall::Until::kBegun : PoolCall::Until::kEnded,
      may_give_up ? FiberEvent::Clock::now() + queue_timeout : FiberEvent::Clock::time_point::max(),
      queue_timeout);
}

void Runtime::RunOnPool(const std::function<void(IFiberGateway&)>& function) {
  implementation_->RunOn(implementation_->pool, Implementation::Entry::kBounded, function);
}

void Runtime::RunOnPoolPastBound(const std::function<void(IFiberGateway&)>& function) {
  implementation_->RunOn(implementation_->pool, Implementation::Entry::kCertain, function);
}

void Runtime::SetCurrentCancellation(const CancellationToken* token) noexcept {
  implementation_->CurrentHeader().cancellation = token;
}

void Runtime::SetCurrentPoolWatch(PoolWatch* watch) noexcept {
  implementation_->CurrentHeader().pool_watch = watch;
}

void Runtime::SetCurrentGroup(std::uint64_t group) noexcept {
  implementation_->CurrentHeader().group = group;
}

bool Runtime::ShedsArrivals(std::chrono::steady_clock::time_point now) noexcept {
  return implementation_->probe.OnArrival(now);
}

bool Runtime::StackIsShort() const noexcept {
  const auto& header = implementation_->CurrentHeader();
  return header.BytesBelow(__builtin_frame_address(0)) < header.usable_bytes / 4;
}

void Runtime::SetCurrentWork(const IFiberWork* work) noexcept {
  implementation_->CurrentHeader().work = work;
}

void Runtime::SetCurrentLabel(std::string_view label) noexcept {
  auto& header = implementation_->CurrentHeader();
  header.label[label.copy(header.label, StackHeader::kLabelBytes - 1)] = '\0';
}

std::shared_ptr<weft::detail::IWaitPoint> Runtime::MakeWaitPoint(const char* what) {
  if (t_on_pool) {
    return std::make_shared<ThreadWaitPoint>();
  }
  RequireFiber("a wait of <weft/async.hpp>");
  return std::make_shared<FiberWaitPoint>(implementation_->io, what);
}

void Runtime::Yield() noexcept {
  if (OnFiberOf(this)) {
    YieldFiber();
  }
}

std::unique_ptr<weft::detail::IDescriptorWatch> Runtime::Watch(int descriptor) {
  if (t_on_pool) {
    return WatchOnThread(descriptor);
  }
  RequireFiber("weft::DescriptorWatch");
  return WatchOnReactor(implementation_->io, descriptor);
}

CancellationToken Runtime::CurrentCancellation() const {
  if (t_on_pool) {
    return t_pool_cancellation == nullptr ? CancellationToken() : *t_pool_cancellation;
  }
  const auto* const current = OnFiberOf(this) ? implementation_->CurrentCancellation() : nullptr;
  return current == nullptr ? CancellationToken() : *current;
}

const CancellationToken* Runtime::ExchangeCancellation(const CancellationToken* token) noexcept {
  if (t_on_pool) {
    return std::exchange(t_pool_cancellation, token);
  }
  return OnFiberOf(this) ? std::exchange(implementation_->CurrentHeader().cancellation, token)
                         : nullptr;
}

namespace {

/// What a task of weft::Async() works for. It has the text of its maker's, which it may outlive.
class TaskWork final : public IFiberWork {
 public:
  /// `maker`: null: nobody knows.
  explicit TaskWork(const IFiberWork* maker) noexcept {
    if (maker == nullptr) {
      return;
    }
    constexpr std::string_view kBegin = "a task of ";
    TextRoom text(text_);
    text.Append(kBegin);
    const auto rest = text.Rest();
    const std::string_view of_maker(rest.data(), maker->Describe(rest));
    if (of_maker.starts_with(kBegin)) {
      std::copy(of_maker.begin(), of_maker.end(), text_.begin());  // of a task's task: to the left
      bytes_ = of_maker.size();
    } else {
      bytes_ = kBegin.size() + of_maker.size();
    }
  }

  std::size_t Describe(std::span<char> into) const noexcept override {
    return std::string_view(text_.data(), bytes_).copy(into.data(), into.size());
  }
  std::chrono::steady_clock::time_point Started() const noexcept override { return started_; }
  bool IsTask() const noexcept override { return true; }
  std::size_t RequestId(std::span<char> into) const noexcept override {
    constexpr std::string_view kBeforeId = "a task of request ";
    std::string_view id(text_.data(), bytes_);
    if (!id.starts_with(kBeforeId)) {
      return 0;
    }
    id.remove_prefix(kBeforeId.size());
    return id.substr(0, id.find(' ')).copy(into.data(), into.size());
  }

 private:
  static constexpr std::size_t kTextBytes = 256;

  std::array<char, kTextBytes> text_;
  std::size_t bytes_ = 0;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

/// What the maker of a task is told goes for the task, but what is the maker's alone.
WorkHeader HeaderOfTask(const WorkHeader& maker, const IFiberWork& work) noexcept {
  WorkHeader header;
  header.work = &work;
  header.has_offloaded = maker.has_offloaded;
  header.group = maker.group;
  std::copy_n(maker.label, WorkHeader::kLabelBytes, header.label);
  return header;
}

/// A task of weft::Async() on a fiber. It owns itself.
class FiberTask final : public ITask {
 public:
  FiberTask(std::size_t& count, std::shared_ptr<weft::detail::IAsyncTask> task,
            const WorkHeader& maker)
      : count_(count),
        task_(std::move(task)),
        work_(maker.work),
        header_(HeaderOfTask(maker, work_)) {
    ++count_;
  }
  FiberTask(const FiberTask&) = delete;
  FiberTask& operator=(const FiberTask&) = delete;
  ~FiberTask() override { --count_; }

  void Run() noexcept override {
    // Its request may be at its end as soon as the task is.
    const std::unique_ptr<FiberTask> self(this);
    auto& header = *CurrentFiber();
    header.Work() = header_;
    task_->Run();
    header.Work() = {};
  }

 private:
  std::size_t& count_;
  std::shared_ptr<weft::detail::IAsyncTask> task_;
  const TaskWork work_;
  const WorkHeader header_;
};

/// A task of weft::Async() on a thread of the pool. It owns itself.
class ThreadTask final : public IBlockingTask {
 public:
  /// `maker`: what its thread runs. `works` must outlive it.
  ThreadTask(ThreadWorks& works, std::shared_ptr<weft::detail::IAsyncTask> task,
             const WorkHeader& maker)
      : task_(std::move(task)),
        work_(maker.work),
        header_(HeaderOfTask(maker, work_)),
        entry_(works, header_) {}

  void Run() noexcept override {
    t_pool_thread = &PoolThread::Current();
    t_served_fiber = &header_;
    t_on_pool = true;
    entry_.SetThread(t_pool_thread->Id());
    task_->Run();
    entry_.SetThread(0);
    t_on_pool = false;
    t_served_fiber = nullptr;
  }
  void Ended() noexcept override { delete this; }

 private:
  std::shared_ptr<weft::detail::IAsyncTask> task_;
  const TaskWork work_;
  const WorkHeader header_;
  ThreadWorks::Entry entry_;
};

}  // namespace

bool Runtime::TrySpawn(std::shared_ptr<weft::detail::IAsyncTask> task) {
  auto& self = *implementation_;
  if (t_on_pool) {
    auto on_thread =
        std::make_unique<ThreadTask>(self.thread_works, std::move(task),
                                     t_served_fiber == nullptr ? WorkHeader() : *t_served_fiber);
    const auto posted = self.offload_pool.Post(*on_thread);
    if (posted != BlockingPool::Posted::kGiven && posted != BlockingPool::Posted::kQueued) {
      return false;
    }
    static_cast<void>(on_thread.release());
    return true;
  }
  RequireFiber("weft::Async()");
  if (self.tasks >= self.max_tasks) {
    throw HttpException(503, {},
                        "the worker has as many tasks of weft::Async() as it may (--max-tasks)")
        .WithCause(cause::kOverloaded);
  }
  auto on_fiber = std::make_unique<FiberTask>(self.tasks, std::move(task), self.CurrentHeader());
  // It may need as much stack as its maker, whose mapping says so.
  self.Spawn(self.ClassOf(self.CurrentHeader().usable_bytes), *on_fiber);
  static_cast<void>(on_fiber.release());
  return true;
}

void* Runtime::AsioContext(int boost_version) {
  RequireFiber("weft::yield, or the executor of <weft/asio.hpp>,");
  return boost_version == BOOST_VERSION ? &implementation_->io : nullptr;
}

void Runtime::RunBlocking(const std::function<void()>& function) {
  if (t_on_pool) {
    function();
    return;
  }
  RequireFiber("weft::Offload()");
  auto& header = implementation_->CurrentHeader();
  if (header.cancellation != nullptr && header.cancellation->IsCancellationRequested()) {
    // Who catches this and calls again must not keep the others from their turn.
    YieldFiber();
    header.cancellation->ThrowIfCancellationRequested();
  }
  // The bound keeps new work out. What was let in goes on: it may have sent half an answer, and of it there is at
  // most one call a fiber.
  const auto entry =
      header.has_offloaded ? Implementation::Entry::kLetIn : Implementation::Entry::kBounded;
  implementation_->RunOn(implementation_->offload_pool, entry, [&](IFiberGateway&) {
    header.has_offloaded = true;
    function();
  });
}

namespace {

/// What nobody waits for.
class LaterTask final : public IBlockingTask {
 public:
  /// `works` must outlive it.
  LaterTask(ThreadWorks& works, const std::function<void()>& function)
      : function_(function), entry_(works, header_) {}
  void Run() noexcept override { function_(); }
  void Ended() noexcept override { delete this; }

 private:
  std::function<void()> function_;
  const WorkHeader header_;  // nobody's
  const ThreadWorks::Entry entry_;
};

}  // namespace

bool Runtime::TryRunLater(const std::function<void()>& function) noexcept {
  try {
    auto task = std::make_unique<LaterTask>(implementation_->thread_works, function);
    // Past the bound: of a request that was let in there is at most one.
    if (implementation_->offload_pool.PostPastBound(*task) == BlockingPool::Posted::kNoThread) {
      return false;
    }
    static_cast<void>(task.release());
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace weft::host::runtime
