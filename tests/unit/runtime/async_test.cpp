// <weft/async.hpp> over the runtime: on fibers, and on threads of the pool.
#include <weft/async.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <weft/http_exception.hpp>
#include "host/runtime/fiber_event.hpp"
#include "host/runtime/runtime.hpp"
#include "tests/support/run_in_fiber.hpp"

namespace weft {
namespace {

using host::runtime::IFiberGateway;
using host::runtime::Runtime;
using std::chrono::hours;
using std::chrono::milliseconds;
using test::RunInFiber;
using test::SideFiber;
using Clock = std::chrono::steady_clock;

enum class Place { kFiber, kThread };
constexpr std::array kPlaces{Place::kFiber, Place::kThread};

/// What a request is: something that runs at one of the places, and may be cancelled.
class Request {
 public:
  explicit Request(Runtime& runtime) : runtime_(runtime) {}

  void Run(Place place, const std::function<void()>& body) {
    const auto token = source.Token();
    runtime_.SetCurrentCancellation(&token);
    try {
      if (place == Place::kFiber) {
        body();
      } else {
        runtime_.RunOnPool([&](IFiberGateway&) { body(); });
      }
    } catch (...) {
      runtime_.SetCurrentCancellation(nullptr);
      throw;
    }
    runtime_.SetCurrentCancellation(nullptr);
  }

  CancellationSource source;

 private:
  Runtime& runtime_;
};

/// Runs `body` at each of the places, as a request.
void AtEachPlace(const std::function<void(Runtime&, Request&, Place)>& body) {
  for (const auto place : kPlaces) {
    CAPTURE(static_cast<int>(place));
    RunInFiber([&](Runtime& runtime) {
      Request request(runtime);
      request.Run(place, [&] { body(runtime, request, place); });
    });
  }
}

/// Checks that `wait`, which never ends by itself, ends when its request is cancelled, and at once when it is already.
void CheckCancellable(const std::function<void()>& wait) {
  for (const auto place : kPlaces) {
    for (const bool before : {false, true}) {
      CAPTURE(static_cast<int>(place));
      CAPTURE(before);
      RunInFiber([&](Runtime& runtime) {
        Request request(runtime);
        std::thread canceller;
        if (before) {
          request.source.Cancel(CancellationReason::kDeadline);
        }
        bool thrown = false;
        request.Run(place, [&] {
          if (!before) {
            canceller = std::thread([&] { request.source.Cancel(CancellationReason::kDeadline); });
          }
          try {
            wait();
          } catch (const OperationCancelled& cancelled) {
            thrown = cancelled.Reason() == CancellationReason::kDeadline;
          }
        });
        CHECK(thrown);
        if (canceller.joinable()) {
          canceller.join();
        }
      });
    }
  }
}

TEST_CASE("async.hpp: a wait that never ends by itself ends when the request is cancelled") {
  SUBCASE("SleepFor") {
    CheckCancellable([] { SleepFor(hours(1)); });
  }
  SUBCASE("SleepUntil the end of time") {
    CheckCancellable([] { SleepUntil(Clock::time_point::max()); });
  }
  SUBCASE("Mutex") {
    CheckCancellable([] {
      Mutex mutex;
      mutex.lock();
      mutex.lock();
    });
  }
  SUBCASE("Condition, which has its lock again") {
    CheckCancellable([] {
      Mutex mutex;
      Condition condition;
      std::unique_lock lock(mutex);
      try {
        condition.Wait(lock);
      } catch (const OperationCancelled&) {
        CHECK(lock.owns_lock());
        CHECK_FALSE(mutex.try_lock());
        throw;
      }
    });
  }
  SUBCASE("Channel, empty") {
    CheckCancellable([] {
      Channel<int> channel(1);
      static_cast<void>(channel.Pop());
    });
  }
  SUBCASE("Channel, full") {
    CheckCancellable([] {
      Channel<int> channel(1);
      channel.Push(1);
      channel.Push(2);
    });
  }
  SUBCASE("AwaitCallback") {
    CheckCancellable([] {
      std::optional<Callback<int>> kept;
      AwaitCallback<int>([&](Callback<int> callback) { kept = std::move(callback); });
    });
  }
  SUBCASE("DescriptorWatch") {
    CheckCancellable([] {
      std::array<int, 2> ends{};
      REQUIRE(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
      struct Closer {
        std::array<int, 2>& ends;
        ~Closer() {
          close(ends[0]);
          close(ends[1]);
        }
      } const closer{ends};
      DescriptorWatch(ends[0]).WaitReadable();
    });
  }
  SUBCASE("a task's end") {
    CheckCancellable([] { Async([] { SleepFor(hours(1)); }).Get(); });
  }
  SUBCASE("the first of several tasks") {
    CheckCancellable([] {
      auto one = Async([] { SleepFor(hours(1)); });
      auto other = Async([] { SleepFor(hours(1)); });
      (WaitFirst(one, other) == 0 ? one : other).Get();
    });
  }
  SUBCASE("YieldToOthers, again and again") {
    CheckCancellable([] {
      for (;;) {
        YieldToOthers();
      }
    });
  }
}

TEST_CASE("async.hpp: who is cancelled, and waits again, lets others have their turn") {
  for (const bool for_first : {false, true}) {
    CAPTURE(for_first);
    RunInFiber([&](Runtime& runtime) {
      Request request(runtime);
      request.Run(Place::kFiber, [&] {
        bool go_on = false;
        const auto task = Async([&] {
          while (!go_on) {
            host::runtime::YieldFiber();
          }
        });
        request.source.Cancel(CancellationReason::kDeadline);
        bool others_ran = false;
        SideFiber other(runtime, [&] { others_ran = true; });
        for (int waits = 0; waits < 100 && !others_ran; ++waits) {
          if (for_first) {
            CHECK_THROWS_AS(static_cast<void>(WaitFirst(task)), OperationCancelled);
          } else {
            CHECK_THROWS_AS(task.Wait(), OperationCancelled);
          }
        }
        CHECK(others_ran);
        go_on = true;
      });
    });
  }
}

TEST_CASE("SleepFor: the longest time there is does not end") {
  CheckCancellable([] { SleepFor(std::chrono::nanoseconds::max()); });
}

TEST_CASE(
    "Async: a task that no thread has begun is run for a fiber that waits for it, or lets it go") {
  const Runtime::Options one_thread{
      .stack_bytes = 1024 * 1024, .blocking_threads = 1, .blocking_queue = 1};
  for (const bool waits : {false, true}) {
    CAPTURE(waits);
    RunInFiber(
        [&](Runtime& runtime) {
          Request request(runtime);
          request.Run(Place::kFiber, [&] {
            std::vector<Task<int>> tasks;
            Offload([&] {
              for (int i = 0; i < 3; ++i) {
                tasks.push_back(Async([i] { return i; }));
              }
            });
            for (std::size_t i = 0; waits && i < tasks.size(); ++i) {
              CHECK(tasks[i].Get() == static_cast<int>(i));
            }
          });
        },
        one_thread);
  }
}

TEST_CASE(
    "Async: a task of an async handler is run by its fiber, and by no thread that waits for it") {
  RunInFiber([](Runtime& runtime) {
    const auto reactor = std::this_thread::get_id();
    std::optional<Task<std::thread::id>> task;
    std::atomic<bool> is_made = false;
    std::atomic<bool> is_told = false;
    std::thread::id ran_on;
    SideFiber waiter(runtime, [&] {
      Offload([&] {
        while (!is_made) {
          std::this_thread::yield();
        }
        ran_on = task->Get();
        is_told = true;
      });
    });
    host::runtime::YieldFiber();
    task = Async([] { return std::this_thread::get_id(); });
    is_made = true;
    // The reactor is held, so that the task's fiber cannot begin before the thread waits for it.
    const auto until = Clock::now() + milliseconds(20);
    while (!is_told && Clock::now() < until) {
      std::this_thread::yield();
    }
    waiter.Join();
    CHECK(ran_on == reactor);
  });
}

TEST_CASE("async.hpp: on a thread that serves no request every wait says so") {
  RunInFiber([](Runtime&) {
    std::thread([] {
      Mutex mutex;
      mutex.lock();  // waits for nothing
      CHECK_THROWS_AS(mutex.lock(), std::logic_error);
      Channel<int> channel(1);
      CHECK_THROWS_AS(channel.Pop(), std::logic_error);
      CHECK_THROWS_AS(static_cast<void>(Async([] {})), std::logic_error);
      CHECK_THROWS_AS(DescriptorWatch(0), std::logic_error);
      CHECK_THROWS_AS(AwaitCallback<void>([](const Callback<void>&) {}), std::logic_error);
    }).join();
  });
}

// ---- Tasks

TEST_CASE("Async: a result, a move-only one, none, and an exception come from Get(), once") {
  AtEachPlace([](Runtime&, Request&, Place) {
    CHECK(Async([] { return 42; }).Get() == 42);
    auto task = Async([] { return std::make_unique<std::string>("text"); });
    CHECK(*task.Get() == "text");
    CHECK_FALSE(task.IsValid());
    CHECK_THROWS_AS(task.Get(), std::logic_error);
    bool ran = false;
    Async([&] { ran = true; }).Get();
    CHECK(ran);
    CHECK_THROWS_WITH_AS(Async([]() -> int { throw std::runtime_error("from beside"); }).Get(),
                         "from beside", std::runtime_error);
  });
}

TEST_CASE("Async: tasks of an async handler run on the reactor's thread, beside one another") {
  RunInFiber([](Runtime&) {
    const auto here = std::this_thread::get_id();
    host::runtime::FiberEvent first;
    host::runtime::FiberEvent second;
    const auto one = Async([&] {
      CHECK(std::this_thread::get_id() == here);
      first.Notify();
      second.Wait();
    });
    const auto other = Async([&] {
      first.Wait();
      second.Notify();
    });
    WaitAll(one, other);
    CHECK(one.IsReady());
    CHECK(other.IsReady());
  });
}

TEST_CASE(
    "Async: tasks of a plain handler run on other threads, or where they are waited for when none "
    "is free") {
  for (const std::size_t threads : {1, 8}) {
    RunInFiber(
        [&](Runtime& runtime) {
          runtime.RunOnPool([](IFiberGateway&) {
            const std::function<int(int)> sum = [&](int depth) -> int {
              if (depth == 0) {
                return 1;
              }
              auto left = Async([&sum, depth] { return sum(depth - 1); });
              auto right = Async([&sum, depth] { return sum(depth - 1); });
              return left.Get() + right.Get();
            };
            CHECK(sum(6) == 64);
          });
        },
        {.stack_bytes = 256 * 1024,
         .idle_stacks = 4,
         .blocking_threads = threads,
         .blocking_queue = 4});
  }
}

TEST_CASE("Async: a task that goes is cancelled, and its end waited for") {
  AtEachPlace([](Runtime&, Request&, Place place) {
    bool begun = false;
    std::optional<CancellationReason> reason;
    {
      const auto task = Async([&] {
        begun = true;
        try {
          SleepFor(hours(1));
        } catch (const OperationCancelled& cancelled) {
          reason = cancelled.Reason();
          throw;
        }
      });
      if (place == Place::kFiber) {
        YieldToOthers();
      }
    }
    // A thread's may never have begun.
    CHECK((reason == CancellationReason::kCancelled) == begun);
    if (place == Place::kFiber) {
      CHECK(begun);
    }
  });
}

TEST_CASE("Async: Cancel() stops a task, whose Get() says so, and not its maker") {
  AtEachPlace([](Runtime&, Request& request, Place) {
    auto task = Async([] { SleepFor(hours(1)); });
    task.Cancel();
    try {
      task.Get();
      FAIL("it had no end");
    } catch (const OperationCancelled& cancelled) {
      CHECK(cancelled.Reason() == CancellationReason::kCancelled);
    }
    CHECK_FALSE(request.source.Token().IsCancellationRequested());
    SleepFor(milliseconds(1));
  });
}

TEST_CASE("Async: a cancelled request cancels its tasks, and theirs") {
  AtEachPlace([](Runtime&, Request& request, Place) {
    std::atomic<int> cancelled_tasks = 0;
    const auto wait = [&] {
      try {
        SleepFor(hours(1));
      } catch (const OperationCancelled& cancelled) {
        CHECK(cancelled.Reason() == CancellationReason::kShutdown);
        ++cancelled_tasks;
        throw;
      }
    };
    auto outer = Async([&] {
      auto inner = Async(wait);
      try {
        inner.Get();
      } catch (const OperationCancelled&) {
        ++cancelled_tasks;
        throw;
      }
    });
    request.source.Cancel(CancellationReason::kShutdown);
    CHECK_THROWS_AS(outer.Get(), OperationCancelled);
    // Where no thread was free neither may have begun.
    CHECK(cancelled_tasks <= 2);
  });
}

TEST_CASE("Async: what a task's function captured is gone when its end is told") {
  AtEachPlace([](Runtime&, Request&, Place) {
    auto value = std::make_shared<int>(7);
    auto task = Async([value] { return *value; });
    CHECK(task.Get() == 7);
    CHECK(value.use_count() == 1);
    {
      const auto dropped = Async([value] { SleepFor(hours(1)); });
    }
    CHECK(value.use_count() == 1);
  });
}

TEST_CASE(
    "Async: beyond --max-tasks it is refused with 503, and there is room again when one ends") {
  RunInFiber(
      [](Runtime&) {
        auto one = Async([] { SleepFor(milliseconds(1)); });
        auto other = Async([] { SleepFor(milliseconds(1)); });
        try {
          static_cast<void>(Async([] {}));
          FAIL("it was let in");
        } catch (const HttpException& error) {
          CHECK(error.StatusCode() == 503);
          CHECK(std::string(error.what()).find("--max-tasks") != std::string::npos);
        }
        WaitAll(one, other);
        YieldToOthers();
        Async([] {}).Get();
      },
      {.stack_bytes = 256 * 1024, .idle_stacks = 4, .max_tasks = 2});
}

TEST_CASE("WaitFirst: the place of the first that has ended, of arguments and of a range") {
  AtEachPlace([](Runtime&, Request&, Place place) {
    if (place == Place::kThread) {
      return;  // which of them is first depends on the threads
    }
    const auto slow = Async([] { SleepFor(hours(1)); });
    const auto quick = Async([] { SleepFor(milliseconds(1)); });
    CHECK(WaitFirst(slow, quick) == 1);
    CHECK(WaitFirst(quick, slow) == 0);
    std::vector<Task<int>> tasks;
    tasks.push_back(Async([]() -> int {
      SleepFor(hours(1));
      return 0;
    }));
    tasks.push_back(Async([]() -> int { throw std::runtime_error("first"); }));
    CHECK(WaitFirst(tasks) == 1);
    CHECK_THROWS_AS(tasks[1].Get(), std::runtime_error);
    CHECK_THROWS_AS(WaitFirst(std::vector<Task<int>>()), std::invalid_argument);
  });
}

TEST_CASE("WaitFirst: a task that no thread has begun is run by who waits") {
  RunInFiber(
      [](Runtime& runtime) {
        runtime.RunOnPool([](IFiberGateway&) {
          std::vector<Task<int>> tasks;
          for (int i = 0; i < 20; ++i) {
            tasks.push_back(Async([i] { return i; }));
          }
          CHECK(WaitFirst(tasks) < tasks.size());
          WaitAll(tasks);
          for (int i = 0; i < 20; ++i) {
            CHECK(tasks[static_cast<std::size_t>(i)].Get() == i);
          }
        });
      },
      {.stack_bytes = 256 * 1024, .idle_stacks = 4, .blocking_threads = 1, .blocking_queue = 0});
}

// ---- Callbacks

TEST_CASE("AwaitCallback: its value, none, or its exception, called here or on another thread") {
  AtEachPlace([](Runtime&, Request&, Place) {
    CHECK(AwaitCallback<int>([](const Callback<int>& done) { CHECK(done(42)); }) == 42);
    AwaitCallback<void>([](const Callback<void>& done) { done(); });
    CHECK_THROWS_WITH_AS(AwaitCallback<int>([](const Callback<int>& done) {
                           done.Fail(std::runtime_error("failed"));
                         }),
                         "failed", std::runtime_error);
    CHECK_THROWS_WITH_AS(
        AwaitCallback<int>([](const Callback<int>&) { throw std::runtime_error("not begun"); }),
        "not begun", std::runtime_error);
    std::vector<std::thread> threads;
    for (int i = 0; i < 200; ++i) {
      const auto text = AwaitCallback<std::string>([&](Callback<std::string> done) {
        threads.emplace_back([done = std::move(done), i] { done(std::to_string(i)); });
      });
      CHECK(text == std::to_string(i));
      threads.back().join();
    }
  });
}

TEST_CASE("AwaitCallback: the first call counts, of however many threads") {
  AtEachPlace([](Runtime&, Request&, Place) {
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> first = 0;
      std::atomic<int> winner = -1;
      std::vector<std::thread> threads;
      const auto value = AwaitCallback<int>([&](const Callback<int>& done) {
        for (int i = 0; i < 4; ++i) {
          threads.emplace_back([&, done, i] {
            if (done(i)) {
              ++first;
              winner = i;
            }
          });
        }
      });
      for (auto& thread : threads) {
        thread.join();
      }
      CHECK(first == 1);
      CHECK(value == winner);
    }
  });
}

TEST_CASE("AwaitCallback: a callback that goes without a call is an error, not a wait for ever") {
  AtEachPlace([](Runtime&, Request&, Place) {
    CHECK_THROWS_AS(AwaitCallback<int>([](const Callback<int>&) {}), std::logic_error);
    std::thread thread;
    CHECK_THROWS_AS(AwaitCallback<void>([&](Callback<void> done) {
                      thread = std::thread([kept = std::move(done)] { const auto copy = kept; });
                    }),
                    std::logic_error);
    thread.join();
  });
}

TEST_CASE("AwaitCallback: a call that comes after the waiter has gone does nothing") {
  AtEachPlace([](Runtime&, Request& request, Place) {
    std::optional<Callback<std::string>> kept;
    CHECK_THROWS_AS(AwaitCallback<std::string>([&](Callback<std::string> done) {
                      kept = std::move(done);
                      request.source.Cancel(CancellationReason::kClientGone);
                    }),
                    OperationCancelled);
    CHECK((*kept)("late"));
    CHECK_FALSE((*kept)("again"));
  });
}

TEST_CASE("AwaitCallback: with a function that cancels, the callback is waited for") {
  AtEachPlace([](Runtime&, Request& request, Place) {
    std::optional<Callback<int>> kept;
    std::thread thread;
    std::atomic<bool> ended = false;
    CHECK_THROWS_AS(AwaitCallback<int>(
                        [&](Callback<int> done) {
                          kept = std::move(done);
                          request.source.Cancel(CancellationReason::kClientGone);
                        },
                        [&] {
                          thread = std::thread([&] {
                            std::this_thread::sleep_for(milliseconds(5));
                            ended = true;
                            kept->Fail(std::runtime_error("stopped"));
                          });
                        }),
                    OperationCancelled);
    CHECK(ended);
    thread.join();
  });
}

TEST_CASE("AwaitCallback: a cancelled request begins no operation, and cancels none") {
  AtEachPlace([](Runtime&, Request& request, Place) {
    request.source.Cancel(CancellationReason::kClientGone);
    bool called = false;
    CHECK_THROWS_AS(AwaitCallback<int>(
                        [&](const Callback<int>& done) {
                          called = true;
                          done(1);
                        },
                        [&] { called = true; }),
                    OperationCancelled);
    CHECK_FALSE(called);
  });
}

TEST_CASE("AwaitCallback: a loop whose callbacks come at once sees its cancellation") {
  RunInFiber([](Runtime& runtime) {
    Request request(runtime);
    request.Run(Place::kFiber, [&] {
      boost::asio::post(runtime.Io(),
                        [&] { request.source.Cancel(CancellationReason::kDeadline); });
      int values = 0;
      const auto loop = [&] {
        for (; values < 100'000; ++values) {
          AwaitCallback<int>([](const Callback<int>& done) { done(1); });
        }
      };
      CHECK_THROWS_AS(loop(), OperationCancelled);
      CHECK(values < 100'000);
    });
  });
}

TEST_CASE("AwaitCallback: a value that came at once is returned, though its request is cancelled") {
  AtEachPlace([](Runtime&, Request& request, Place) {
    CHECK(AwaitCallback<int>([&](const Callback<int>& done) {
            done(42);
            request.source.Cancel(CancellationReason::kDeadline);
          }) == 42);
  });
}

// ---- Descriptors

class SocketPair {
 public:
  SocketPair() {
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_.data()) == 0);
  }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  ~SocketPair() {
    close(ends_[0]);
    CloseOther();
  }

  int Here() const { return ends_[0]; }
  int Other() const { return ends_[1]; }
  void CloseOther() {
    if (const int end = std::exchange(ends_[1], -1); end >= 0) {
      close(end);
    }
  }
  void Fill() const {
    const std::string text(64 * 1024, 'x');
    while (write(ends_[0], text.data(), text.size()) > 0) {
    }
  }

 private:
  std::array<int, 2> ends_{};
};

TEST_CASE(
    "DescriptorWatch: readable by bytes and by the end, writable by room, or the time comes "
    "first") {
  AtEachPlace([](Runtime&, Request&, Place) {
    SocketPair pair;
    DescriptorWatch watch(pair.Here());
    watch.WaitWritable();
    CHECK_FALSE(watch.WaitReadableUntil(Clock::now()));
    CHECK_FALSE(watch.WaitReadableUntil(Clock::now() + milliseconds(1)));
    std::thread other([&] {
      std::this_thread::sleep_for(milliseconds(2));
      CHECK(write(pair.Other(), "x", 1) == 1);
    });
    watch.WaitReadable();
    other.join();
    CHECK(watch.WaitReadableUntil(Clock::now() + hours(1)));
    char byte = 0;
    CHECK(read(pair.Here(), &byte, 1) == 1);
    CHECK_FALSE(watch.WaitReadableUntil(Clock::now() + milliseconds(1)));
    pair.Fill();
    CHECK_FALSE(watch.WaitWritableUntil(Clock::now() + milliseconds(1)));
    pair.CloseOther();
    watch.WaitReadable();
  });
}

TEST_CASE("DescriptorWatch: one fiber waits for reading while another waits for writing") {
  RunInFiber([](Runtime& runtime) {
    SocketPair pair;
    pair.Fill();
    DescriptorWatch watch(pair.Here());
    bool writable = false;
    SideFiber writer(runtime, [&] {
      watch.WaitWritable();
      writable = true;
    });
    host::runtime::YieldFiber();
    CHECK(write(pair.Other(), "x", 1) == 1);
    watch.WaitReadable();
    CHECK_FALSE(writable);
    std::string piece(1 << 20, '\0');
    while (read(pair.Other(), piece.data(), piece.size()) > 0) {
    }
    writer.Join();
    CHECK(writable);
  });
}

TEST_CASE(
    "DescriptorWatch: what is always ready, what there is not, and one that is watched already") {
  AtEachPlace([](Runtime&, Request&, Place place) {
    CHECK_THROWS_AS(DescriptorWatch(-1), std::system_error);
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    DescriptorWatch(file).WaitReadable();
    DescriptorWatch(file).WaitWritable();
    close(file);
    if (place == Place::kFiber) {
      const SocketPair pair;
      const DescriptorWatch watch(pair.Here());
      CHECK_THROWS_AS(DescriptorWatch(pair.Here()), std::system_error);
    }
  });
}

TEST_CASE("DescriptorWatch: the descriptor is its owner's, before and after") {
  RunInFiber([](Runtime&) {
    const SocketPair pair;
    const int flags = fcntl(pair.Here(), F_GETFL);
    {
      DescriptorWatch watch(pair.Here());
      watch.WaitWritable();
      DescriptorWatch moved(std::move(watch));
      moved.WaitWritable();
    }
    CHECK(fcntl(pair.Here(), F_GETFL) == flags);
    DescriptorWatch(pair.Here()).WaitWritable();
  });
}

// ---- Mutex, Condition, Channel

TEST_CASE("Mutex: fibers and threads exclude one another, also across waits") {
  RunInFiber([](Runtime& runtime) {
    Mutex mutex;
    int inside = 0;
    int entered = 0;
    const auto work = [&] {
      for (int i = 0; i < 50; ++i) {
        const std::lock_guard lock(mutex);
        CHECK(++inside == 1);
        SleepFor(std::chrono::microseconds(i % 3 == 0 ? 100 : 0));
        ++entered;
        --inside;
      }
    };
    std::vector<Task<void>> fibers;
    for (int i = 0; i < 4; ++i) {
      fibers.push_back(Async(work));
    }
    runtime.RunOnPool([&](IFiberGateway&) {
      std::vector<Task<void>> threads;
      for (int i = 0; i < 4; ++i) {
        threads.push_back(Async(work));
      }
      WaitAll(threads);
    });
    WaitAll(fibers);
    CHECK(entered == 400);
  });
}

TEST_CASE("Mutex: first come, first served, and who gives up is passed over") {
  RunInFiber([](Runtime&) {
    Mutex mutex;
    mutex.lock();
    std::vector<int> order;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 5; ++i) {
      tasks.push_back(Async([&, i] {
        const std::lock_guard lock(mutex);
        order.push_back(i);
      }));
    }
    YieldToOthers();
    CHECK_FALSE(mutex.try_lock());
    tasks[2].Cancel();
    YieldToOthers();
    mutex.unlock();
    // It has gone to the first already.
    CHECK_FALSE(mutex.try_lock());
    for (const int i : {0, 1, 3, 4}) {
      tasks[static_cast<std::size_t>(i)].Get();
    }
    CHECK_THROWS_AS(tasks[2].Get(), OperationCancelled);
    CHECK(order == std::vector<int>{0, 1, 3, 4});
    CHECK(mutex.try_lock());
  });
}

TEST_CASE("Mutex: a lock that is handed to who is cancelled at that moment is not lost") {
  RunInFiber([](Runtime&) {
    Mutex mutex;
    mutex.lock();
    auto task = Async([&] { const std::lock_guard lock(mutex); });
    YieldToOthers();
    mutex.unlock();
    task.Cancel();
    task.Get();
    CHECK(mutex.try_lock());
  });
}

TEST_CASE("Condition: notifications are neither lost nor too many") {
  AtEachPlace([](Runtime&, Request&, Place place) {
    Mutex mutex;
    Condition condition;
    int value = 0;
    std::unique_lock lock(mutex);
    CHECK_FALSE(condition.WaitUntil(lock, Clock::now() + milliseconds(1)));
    CHECK(lock.owns_lock());
    CHECK_FALSE(
        condition.WaitUntil(lock, Clock::now() + milliseconds(1), [&] { return value == 1; }));
    if (place == Place::kThread) {
      return;
    }
    const auto task = Async([&] {
      for (int i = 0; i < 100; ++i) {
        {
          const std::lock_guard inner(mutex);
          ++value;
        }
        condition.NotifyOne();
        YieldToOthers();
      }
    });
    condition.Wait(lock, [&] { return value == 100; });
    CHECK(lock.owns_lock());
    std::unique_lock<Mutex> none;
    CHECK_THROWS_AS(condition.Wait(none), std::logic_error);
  });
}

TEST_CASE("Channel: values come in their order, and who brings them waits while it is full") {
  RunInFiber([](Runtime&) {
    Channel<std::unique_ptr<int>> channel(3);
    CHECK(channel.Capacity() == 3);
    std::size_t most = 0;
    const auto producer = Async([&] {
      for (int i = 0; i < 100; ++i) {
        CHECK(channel.Push(std::make_unique<int>(i)));
        most = std::max(most, channel.Size());
      }
      channel.Close();
    });
    int expected = 0;
    while (const auto value = channel.Pop()) {
      CHECK(**value == expected);
      ++expected;
    }
    CHECK(expected == 100);
    CHECK(most == 3);
    CHECK(channel.IsClosed());
    CHECK_FALSE(channel.Push(nullptr));
  });
}

TEST_CASE("Channel: between fibers and threads nothing is lost or doubled") {
  RunInFiber([](Runtime& runtime) {
    Channel<int> channel(4);
    std::atomic<long> sum = 0;
    std::atomic<int> count = 0;
    const auto consume = [&] {
      while (const auto value = channel.Pop()) {
        sum += *value;
        ++count;
      }
    };
    std::vector<Task<void>> consumers;
    for (int i = 0; i < 3; ++i) {
      consumers.push_back(Async(consume));
    }
    runtime.RunOnPool([&](IFiberGateway&) {
      std::vector<Task<void>> producers;
      for (int i = 0; i < 4; ++i) {
        producers.push_back(Async([&] {
          for (int value = 1; value <= 250; ++value) {
            channel.Push(value);
          }
        }));
      }
      WaitAll(producers);
    });
    channel.Close();
    WaitAll(consumers);
    CHECK(count == 1000);
    CHECK(sum == 4L * 250 * 251 / 2);
  });
}

TEST_CASE("Channel: what needs no wait, and what has a time") {
  AtEachPlace([](Runtime&, Request&, Place) {
    CHECK_THROWS_AS(Channel<int>(0), std::invalid_argument);
    Channel<int> channel(1);
    CHECK_FALSE(channel.TryPop());
    CHECK_FALSE(channel.Pop(Clock::now() + milliseconds(1)));
    CHECK(channel.TryPush(1));
    CHECK_FALSE(channel.TryPush(2));
    channel.Close();
    CHECK_FALSE(channel.TryPush(3));
    CHECK(channel.Pop() == 1);
    CHECK_FALSE(channel.Pop());
  });
}

// ---- Exceptions and fibers

TEST_CASE(
    "Fibers: who waits while an exception is handled keeps it, whatever others throw and catch") {
  RunInFiber([](Runtime&) {
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 8; ++i) {
      tasks.push_back(Async([i] {
        for (int round = 0; round < 10; ++round) {
          try {
            throw std::runtime_error(std::to_string(i));
          } catch (const std::runtime_error& error) {
            SleepFor(std::chrono::microseconds(50 * ((i + round) % 4)));
            CHECK(error.what() == std::to_string(i));
            try {
              throw;
            } catch (const std::runtime_error& again) {
              YieldToOthers();
              CHECK(again.what() == std::to_string(i));
            }
            CHECK(std::current_exception() != nullptr);
          }
          CHECK(std::current_exception() == nullptr);
          CHECK(std::uncaught_exceptions() == 0);
        }
      }));
    }
    WaitAll(tasks);
    for (auto& task : tasks) {
      task.Get();
    }
  });
}

TEST_CASE("Fibers: a destructor that waits while an exception unwinds its stack disturbs nobody") {
  struct Waits {
    ~Waits() {
      CHECK(std::uncaught_exceptions() == 1);
      try {
        SleepFor(milliseconds(1));
      } catch (const OperationCancelled&) {
      }
      CHECK(std::uncaught_exceptions() == 1);
    }
  };
  RunInFiber([](Runtime&) {
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 4; ++i) {
      tasks.push_back(Async([i] {
        CHECK(std::uncaught_exceptions() == 0);
        try {
          const Waits waits;
          throw std::runtime_error(std::to_string(i));
        } catch (const std::runtime_error& error) {
          CHECK(error.what() == std::to_string(i));
        }
        CHECK(std::uncaught_exceptions() == 0);
      }));
    }
    WaitAll(tasks);
    for (auto& task : tasks) {
      task.Get();
    }
  });
}

}  // namespace
}  // namespace weft
