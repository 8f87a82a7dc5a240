#include "host/runtime/runtime.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include "host/runtime/current_fiber.hpp"
#include "host/runtime/fiber_event.hpp"
#include "tests/support/run_in_fiber.hpp"

namespace weft::host::runtime {

using std::chrono::hours;
using std::chrono::milliseconds;
using test::RunInFiber;
using test::SideFiber;
using test::Signal;
using Clock = std::chrono::steady_clock;

TEST_CASE("FiberEvent: a notification before the wait is kept, several count as one") {
  RunInFiber([](Runtime&) {
    FiberEvent event;
    event.Notify();
    event.Notify();
    event.Wait();
    CHECK_FALSE(event.WaitUntil(Clock::now() + milliseconds(1)));
    event.Notify();
    event.Reset();
    CHECK_FALSE(event.WaitUntil(Clock::now() + milliseconds(1)));
  });
}

TEST_CASE("FiberEvent: a notification wakes the waiter before its time") {
  RunInFiber([](Runtime& runtime) {
    FiberEvent event;
    SideFiber other(runtime, [&] { event.Notify(); });
    CHECK(event.WaitUntil(Clock::now() + hours(1)));
  });
}

TEST_CASE(
    "FiberEvent: a notification that comes when the time has passed is kept for the next wait") {
  RunInFiber([](Runtime&) {
    FiberEvent event;
    CHECK_FALSE(event.WaitUntil(Clock::now()));
    CHECK_FALSE(event.WaitUntil(Clock::now() + milliseconds(1)));
    event.Notify();
    CHECK(event.WaitUntil(Clock::now() + hours(1)));
  });
}

TEST_CASE("FiberEvent: time-outs and notifications that meet lose nothing") {
  RunInFiber([](Runtime& runtime) {
    int woken = 0;
    for (int i = 0; i < 2000; ++i) {
      FiberEvent event;
      SideFiber other(runtime, [&] {
        FiberEvent pause;
        static_cast<void>(pause.WaitUntil(Clock::now() + std::chrono::microseconds(i % 40)));
        event.Notify();
      });
      if (!event.WaitUntil(Clock::now() + std::chrono::microseconds(20))) {
        event.Wait();
      }
      ++woken;
    }
    CHECK(woken == 2000);
  });
}

TEST_CASE("Scheduler: timers and posts are served while a fiber yields for ever") {
  RunInFiber([](Runtime& runtime) {
    bool fired = false;
    boost::asio::steady_timer timer(runtime.Io(), milliseconds(5));
    timer.async_wait([&](const boost::system::error_code&) { fired = true; });
    bool posted = false;
    boost::asio::post(runtime.Io(), [&] { posted = true; });
    const auto give_up = Clock::now() + std::chrono::seconds(20);
    while (!(fired && posted) && Clock::now() < give_up) {
      YieldFiber();
    }
    CHECK(fired);
    CHECK(posted);
  });
}

TEST_CASE("Scheduler: fibers that yield take turns") {
  RunInFiber([](Runtime& runtime) {
    std::string order;
    {
      SideFiber a(runtime, [&] {
        for (int i = 0; i < 3; ++i) {
          order += 'a';
          YieldFiber();
        }
      });
      SideFiber b(runtime, [&] {
        for (int i = 0; i < 3; ++i) {
          order += 'b';
          YieldFiber();
        }
      });
    }
    CHECK(order == "ababab");
  });
}

TEST_CASE("Scheduler: a thread's post wakes a reactor that has nothing to do") {
  RunInFiber([](Runtime& runtime) {
    for (int i = 0; i < 200; ++i) {
      FiberEvent event;
      std::thread thread([&] { boost::asio::post(runtime.Io(), [&] { event.Notify(); }); });
      event.Wait();
      thread.join();
    }
  });
}

TEST_CASE("Runtime: thousands of fibers wait at once and all end") {
  int ended = 0;
  RunInFiber(
      [&](Runtime& runtime) {
        std::vector<std::unique_ptr<SideFiber>> fibers;
        for (int i = 0; i < 3000; ++i) {
          fibers.push_back(std::make_unique<SideFiber>(runtime, [&ended] {
            weft::SleepFor(milliseconds(20));
            ++ended;
          }));
        }
        CHECK(runtime.FibersInUse() >= 3000);
      },
      {.stack_bytes = 64 * 1024});
  CHECK(ended == 3000);
}

TEST_CASE("Runtime: exceptions pass on many fibers at once without meeting") {
  RunInFiber([](Runtime& runtime) {
    int caught = 0;
    {
      std::vector<std::unique_ptr<SideFiber>> fibers;
      for (int i = 0; i < 50; ++i) {
        fibers.push_back(std::make_unique<SideFiber>(runtime, [&caught, i] {
          try {
            weft::SleepFor(milliseconds(i % 5));
            throw std::runtime_error(std::to_string(i));
          } catch (const std::runtime_error& error) {
            CHECK(error.what() == std::to_string(i));
            ++caught;
          }
        }));
      }
    }
    CHECK(caught == 50);
  });
}

TEST_CASE("Runtime: one after another in a process, each starts and ends cleanly") {
  for (int i = 0; i < 5; ++i) {
    RunInFiber([](Runtime&) { weft::SleepFor(milliseconds(1)); });
  }
}

TEST_CASE("SleepUntil: on a fiber the others run meanwhile") {
  RunInFiber([](Runtime& runtime) {
    std::string order;
    {
      SideFiber slow(runtime, [&] {
        weft::SleepFor(milliseconds(20));
        order += 's';
      });
      SideFiber quick(runtime, [&] {
        weft::SleepFor(milliseconds(1));
        order += 'q';
      });
    }
    CHECK(order == "qs");
  });
}

TEST_CASE(
    "SleepUntil: a cancellation ends it with its reason, on the reactor and from another thread") {
  RunInFiber([](Runtime& runtime) {
    for (const bool elsewhere : {false, true}) {
      CancellationSource source;
      const auto token = source.Token();
      runtime.SetCurrentCancellation(&token);
      std::thread thread;
      std::optional<SideFiber> canceller;
      if (elsewhere) {
        thread = std::thread([&] { source.Cancel(CancellationReason::kDeadline); });
      } else {
        canceller.emplace(runtime, [&] { source.Cancel(CancellationReason::kDeadline); });
      }
      try {
        weft::SleepFor(hours(1));
        FAIL("the sleep went on");
      } catch (const OperationCancelled& cancelled) {
        CHECK(cancelled.Reason() == CancellationReason::kDeadline);
      }
      if (thread.joinable()) {
        thread.join();
      }
      runtime.SetCurrentCancellation(nullptr);
    }
  });
}

TEST_CASE("SleepUntil: with a token that is cancelled already it does not wait") {
  RunInFiber([](Runtime& runtime) {
    CancellationSource source;
    source.Cancel(CancellationReason::kClientGone);
    const auto token = source.Token();
    runtime.SetCurrentCancellation(&token);
    CHECK_THROWS_AS(weft::SleepFor(hours(1)), OperationCancelled);
    runtime.SetCurrentCancellation(nullptr);
  });
}

TEST_CASE("SleepUntil: in the pool a cancellation ends it too") {
  RunInFiber([](Runtime& runtime) {
    CancellationSource source;
    const auto token = source.Token();
    runtime.SetCurrentCancellation(&token);
    SideFiber canceller(runtime, [&] {
      weft::SleepFor(milliseconds(5));
      source.Cancel(CancellationReason::kShutdown);
    });
    CHECK_THROWS_AS(runtime.RunOnPool([](IFiberGateway&) { weft::SleepFor(hours(1)); }),
                    OperationCancelled);
    runtime.SetCurrentCancellation(nullptr);
  });
}

TEST_CASE("SleepUntil: outside a request it says so") {
  CHECK_THROWS_AS(weft::SleepFor(milliseconds(1)), std::logic_error);
}

TEST_CASE("Offload: the function runs on another thread, its result or exception comes back") {
  RunInFiber([](Runtime&) {
    const auto reactor = std::this_thread::get_id();
    CHECK(weft::Offload([] { return std::this_thread::get_id(); }) != reactor);
    CHECK(*weft::Offload([] { return std::make_unique<int>(7); }) == 7);
    CHECK_THROWS_WITH(weft::Offload([] { throw std::runtime_error("from there"); }), "from there");
    weft::Offload([] {});
  });
}

TEST_CASE("Offload: in the pool it runs in place, so that a full pool cannot wait for itself") {
  RunInFiber(
      [](Runtime& runtime) {
        runtime.RunOnPool([](IFiberGateway&) {
          const auto here = std::this_thread::get_id();
          CHECK(weft::Offload([] { return std::this_thread::get_id(); }) == here);
        });
      },
      {.stack_bytes = 256 * 1024, .idle_stacks = 4, .blocking_threads = 1, .blocking_queue = 1});
}

TEST_CASE("TryRunLater: nobody waits for it but the end of the runtime, and no bound refuses it") {
  std::atomic<int> ended = 0;
  const auto reactor = std::this_thread::get_id();
  RunInFiber(
      [&](Runtime& runtime) {
        CHECK_FALSE(runtime.MayBlock());
        for (int i = 0; i < 20; ++i) {
          CHECK(runtime.TryRunLater([&] {
            CHECK(runtime.MayBlock());
            CHECK(std::this_thread::get_id() != reactor);
            ++ended;
          }));
        }
      },
      {.stack_bytes = 256 * 1024, .idle_stacks = 4, .blocking_threads = 1, .blocking_queue = 0});
  CHECK(ended == 20);
}

TEST_CASE("Offload: other fibers run while one waits for a blocking call") {
  RunInFiber([](Runtime& runtime) {
    std::atomic<bool> go_on = false;
    SideFiber other(runtime, [&] { go_on = true; });
    weft::Offload([&] {
      while (!go_on) {
        std::this_thread::yield();
      }
    });
    CHECK(go_on);
  });
}

TEST_CASE("Offload: a full queue refuses a task's first call, what was let in waits for its turn") {
  RunInFiber(
      [](Runtime& runtime) {
        std::atomic<bool> go_on = false;
        weft::Offload([] {});  // lets this fiber's task in
        {
          SideFiber holder(runtime, [&] {
            weft::Offload([&] {
              while (!go_on) {
                std::this_thread::yield();
              }
            });
          });
          YieldFiber();
          SideFiber refused(runtime, [] {
            try {
              weft::Offload([] {});
              FAIL("it was taken");
            } catch (const HttpException& error) {
              CHECK(error.StatusCode() == 503);
            }
          });
          SideFiber releaser(runtime, [&] { go_on = true; });
          CHECK(weft::Offload([] { return 7; }) == 7);
        }
      },
      {.stack_bytes = 256 * 1024, .idle_stacks = 4, .blocking_threads = 1, .blocking_queue = 0});
}

TEST_CASE("Offload: what waits for a thread is withdrawn when it is cancelled, of a task too") {
  const Runtime::Options one_thread{.stack_bytes = 1024 * 1024, .blocking_threads = 1};
  for (const bool has_offloaded : {false, true}) {
    for (const bool is_task : {false, true}) {
      CAPTURE(has_offloaded);
      CAPTURE(is_task);
      RunInFiber(
          [&](Runtime& runtime) {
            bool may_go = false;
            bool has_thrown = false;
            bool was_run = false;
            bool is_prepared = false;
            CancellationSource source;
            const auto token = source.Token();
            SideFiber waiter(runtime, [&] {
              runtime.SetCurrentCancellation(&token);
              if (has_offloaded) {
                weft::Offload([] {});
              }
              is_prepared = true;
              while (!may_go) {
                YieldFiber();
              }
              const auto wait = [&] {
                try {
                  weft::Offload([&] { was_run = true; });
                } catch (const OperationCancelled&) {
                  has_thrown = true;
                }
              };
              if (is_task) {
                const auto task = weft::Async(wait);
                try {
                  task.Wait();
                } catch (const OperationCancelled&) {
                  // Or it has ended by then.
                }
              } else {
                wait();
              }
              runtime.SetCurrentCancellation(nullptr);
            });
            while (!is_prepared) {
              YieldFiber();
            }
            Signal held(runtime);
            std::binary_semaphore leave{0};
            SideFiber holder(runtime, [&] {
              weft::Offload([&] {
                held.Set();
                leave.acquire();
              });
            });
            held.Wait();
            may_go = true;
            for (int i = 0; i < 20; ++i) {
              YieldFiber();
            }
            CHECK_FALSE(has_thrown);
            std::thread([&] { source.Cancel(CancellationReason::kDeadline); }).join();
            for (int i = 0; i < 1000 && !has_thrown; ++i) {
              YieldFiber();
            }
            CHECK(has_thrown);
            leave.release();
            holder.Join();
            waiter.Join();
            CHECK_FALSE(was_run);
          },
          one_thread);
    }
  }
}

TEST_CASE("Offload: a fiber's next task is refused as any other") {
  RunInFiber(
      [](Runtime& runtime) {
        std::atomic<bool> go_on = false;
        {
          // Two fibers that are both kept for the next tasks.
          int let_in = 0;
          SideFiber one(runtime, [&] {
            weft::Offload([] {});
            for (++let_in; let_in < 2;) {
              YieldFiber();
            }
          });
          SideFiber other(runtime, [&] {
            while (let_in < 1) {
              YieldFiber();
            }
            weft::Offload([] {});
            ++let_in;
          });
        }
        SideFiber holder(runtime, [&] {
          weft::Offload([&] {
            while (!go_on) {
              std::this_thread::yield();
            }
          });
        });
        YieldFiber();
        SideFiber refused(runtime, [] { CHECK_THROWS_AS(weft::Offload([] {}), HttpException); });
        YieldFiber();
        go_on = true;
      },
      {.stack_bytes = 256 * 1024, .idle_stacks = 4, .blocking_threads = 1, .blocking_queue = 0});
}

namespace {

/// Where the caller's frame is.
__attribute__((noinline)) const char* Here() {
  return static_cast<const char*>(__builtin_frame_address(0));
}

}  // namespace

TEST_CASE("RunOnStackOf: what is no more than the fiber has runs on the fiber") {
  RunInFiber([](Runtime& runtime) {
    const auto* const outside = Here();
    for (const std::size_t bytes :
         {std::size_t{0}, std::size_t{64 * 1024}, std::size_t{1024 * 1024}}) {
      runtime.RunOnStackOf(bytes, [&] {
        CHECK(Here() < outside);
        CHECK(outside - Here() < 10'000);
      });
    }
    CHECK(runtime.StackUses().size() == 1);
  });
}

TEST_CASE("RunOnStackOf: on the other stack everything is as on the fiber's own") {
  Runtime::Options options = test::RoomyStacks();
  options.blocking_threads = 1;
  options.blocking_queue = 0;
  RunInFiber(
      [](Runtime& runtime) {
        CancellationSource source;
        const auto token = source.Token();
        runtime.SetCurrentCancellation(&token);
        int offloaded = 0;
        runtime.RunOnStackOf(4'000'000, [&] {
          CHECK_FALSE(runtime.StackIsShort());
          weft::SleepFor(milliseconds(1));
          offloaded = weft::Offload([] { return 7; });
          runtime.RunOnStackOf(8'000'000, [&] { weft::SleepFor(milliseconds(1)); });
          YieldFiber();
        });
        CHECK(offloaded == 7);
        CHECK_THROWS_AS(
            runtime.RunOnStackOf(4'000'000, [] { throw std::runtime_error("what it throws"); }),
            std::runtime_error);
        // A wait there obeys what cancels here, and one that has begun ends by it.
        SideFiber canceller(runtime, [&] {
          YieldFiber();
          source.Cancel(CancellationReason::kClientGone);
        });
        CHECK_THROWS_AS(runtime.RunOnStackOf(4'000'000, [&] { weft::SleepFor(hours(1)); }),
                        OperationCancelled);
        runtime.SetCurrentCancellation(nullptr);
        // And nothing of it is left for the next one.
        runtime.RunOnStackOf(4'000'000, [&] { weft::SleepFor(milliseconds(1)); });
      },
      options);
}

TEST_CASE("RunOnStackOf: tasks that are made there have as much stack") {
  RunInFiber([](Runtime& runtime) {
    const auto fibers = [&](std::size_t stack_bytes) {
      for (const auto& use : runtime.StackUses()) {
        if (use.stack_bytes == stack_bytes) {
          return use.fibers;
        }
      }
      return std::size_t{0};
    };
    constexpr std::size_t kLarge = 4 * 1024 * 1024;
    runtime.RunOnStackOf(kLarge, [&] {
      CHECK(fibers(kLarge) == 1);
      auto task = weft::Async([&] { return weft::Async([&] { return fibers(kLarge); }).Get(); });
      CHECK(task.Get() == 3);
    });
  });
}

TEST_CASE("RunOnStackOf: who offloaded there has its place in the pool here too, and back") {
  Runtime::Options options = test::RoomyStacks();
  options.blocking_threads = 1;
  options.blocking_queue = 0;
  RunInFiber(
      [](Runtime& runtime) {
        runtime.RunOnStackOf(4'000'000, [] { weft::Offload([] {}); });
        std::atomic<bool> go = false;
        SideFiber busy(runtime, [&] {
          weft::Offload([&] {
            while (!go) {
              std::this_thread::yield();
            }
          });
        });
        YieldFiber();
        // The pool is full, and this fiber is let in all the same: it waits until the other lets go.
        SideFiber releaser(runtime, [&] {
          YieldFiber();
          go = true;
        });
        CHECK_NOTHROW(weft::Offload([] {}));
      },
      options);
}

TEST_CASE("CollectStacks: every fiber that works tells its own stack, and waits on") {
  RunInFiber([](Runtime& runtime) {
    std::atomic<int> woken = 0;
    FiberEvent event;
    FiberEvent timed_event;
    {
      SideFiber sleeper(runtime, [&] {
        runtime.SetCurrentLabel("a sleeper");
        CHECK(timed_event.WaitUntil(Clock::now() + hours(1)));
        ++woken;
      });
      SideFiber waiter(runtime, [&] {
        runtime.SetCurrentLabel("a waiter");
        event.Wait();
        ++woken;
      });
      SideFiber away(runtime, [&] {
        runtime.SetCurrentLabel("away");
        runtime.RunOnStackOf(8'000'000, [&] { weft::SleepFor(milliseconds(1)); });
      });
      std::optional<std::vector<FiberStack>> stacks;
      weft::Offload([&] { stacks = runtime.CollectStacks(hours(1)); });
      REQUIRE(stacks.has_value());
      CHECK(woken == 0);
      std::vector<std::string> told;
      for (const auto& stack : *stacks) {
        CHECK(stack.frames.size() > 2);
        told.push_back(stack.what);
        if (stack.what.empty()) {
          CHECK(stack.waits_for == "its thread of the pool");
          CHECK(stack.thread != 0);
        }
      }
      std::sort(told.begin(), told.end());
      CHECK(told.front().empty());  // this fiber, which works for nothing
      CHECK(std::count(told.begin(), told.end(), "a sleeper") == 1);
      CHECK(std::count(told.begin(), told.end(), "a waiter") == 1);
      CHECK(std::count(told.begin(), told.end(), "away") <= 1);  // on one of its two stacks
      event.Notify();
      timed_event.Notify();
    }
    CHECK(woken == 2);
  });
}

TEST_CASE("CollectStacks: tasks are told as their maker's, and waits in words") {
  struct Work final : IFiberWork {
    std::size_t Describe(std::span<char> into) const noexcept override {
      return std::string_view("request 7 GET /").copy(into.data(), into.size());
    }
    Clock::time_point Started() const noexcept override { return {}; }
  };
  RunInFiber([](Runtime& runtime) {
    std::optional<std::vector<FiberStack>> stacks;
    weft::Mutex mutex;
    {
      std::unique_lock lock(mutex);
      std::optional<weft::Task<void>> outer;
      {
        const Work work;
        runtime.SetCurrentWork(&work);
        runtime.SetCurrentLabel("Handler");
        outer =
            weft::Async([&] { weft::Async([&] { const std::lock_guard second(mutex); }).Wait(); });
        runtime.SetCurrentWork(nullptr);
        runtime.SetCurrentLabel({});
      }
      // The work has gone; its task goes on.
      while (runtime.FibersInUse() < 3) {
        YieldFiber();
      }
      YieldFiber();
      weft::Offload([&] { stacks = runtime.CollectStacks(hours(1)); });
      lock.unlock();
      outer->Wait();
    }
    REQUIRE(stacks.has_value());
    std::vector<std::string> told;
    for (const auto& stack : *stacks) {
      told.push_back(stack.what + " waits for " + stack.waits_for);
    }
    std::sort(told.begin(), told.end());
    CHECK(told ==
          std::vector<std::string>{" waits for its thread of the pool",
                                   "a task of request 7 GET /: Handler waits for a task",
                                   "a task of request 7 GET /: Handler waits for a weft::Mutex"});
  });
}

TEST_CASE("CollectStacks: a thread's task is told as its maker's, with its thread, while it runs") {
  struct Work final : IFiberWork {
    std::size_t Describe(std::span<char> into) const noexcept override {
      return std::string_view("request 7 GET /").copy(into.data(), into.size());
    }
    Clock::time_point Started() const noexcept override { return {}; }
  };
  RunInFiber([](Runtime& runtime) {
    const Work work;
    runtime.SetCurrentWork(&work);
    std::atomic<bool> go = false;
    std::atomic<pid_t> thread = 0;
    const auto tasks = [&] {
      auto stacks = runtime.CollectStacks(hours(1));
      REQUIRE(stacks.has_value());
      std::erase_if(*stacks, [](const auto& stack) { return stack.has_fiber; });
      return *stacks;
    };
    runtime.RunOnPool([&](IFiberGateway&) {
      const auto first = weft::Async([] {});
      const auto second = weft::Async([&] {
        thread = CurrentThreadId();
        while (!go) {
          std::this_thread::yield();
        }
      });
      while (thread == 0 || !first.IsReady()) {
        std::this_thread::yield();
      }
      const auto told = tasks();
      REQUIRE(told.size() == 1);
      CHECK(told[0].what == "a task of request 7 GET /");
      CHECK(told[0].is_task);
      CHECK(told[0].thread == thread);
      CHECK(told[0].frames.empty());
      go = true;
      second.Wait();
    });
    runtime.SetCurrentWork(nullptr);
  });
}

TEST_CASE("CollectStacks: a reactor that is held up does not hold up who asks") {
  RunInFiber([](Runtime& runtime) {
    std::optional<std::vector<FiberStack>> stacks{std::in_place};
    std::thread asker([&] { stacks = runtime.CollectStacks(milliseconds(1)); });
    asker.join();  // on the reactor's thread, which so is held
    CHECK_FALSE(stacks.has_value());
    YieldFiber();
  });
}

TEST_CASE("CollectStacks: who asks while an answer to another is under way leaves no work behind") {
  RunInFiber([](Runtime& runtime) {
    FiberEvent end;
    SideFiber waiter(runtime, [&] { end.Wait(); });
    YieldFiber();
    for (int i = 0; i < 2; ++i) {
      std::thread asker([&] { CHECK_FALSE(runtime.CollectStacks(milliseconds(1)).has_value()); });
      asker.join();  // on the reactor's thread, which so is held
    }
    std::optional<std::vector<FiberStack>> stacks;
    weft::Offload([&] { stacks = runtime.CollectStacks(hours(1)); });
    REQUIRE(stacks.has_value());
    CHECK(stacks->size() == 2);
    // A reactor that has nothing to do does not turn.
    const auto turn = ReactorTurn();
    weft::SleepFor(milliseconds(50));
    CHECK(ReactorTurn() - turn < 100);
    end.Notify();
  });
}

TEST_CASE("RunOnPool: a full queue is 503 at once") {
  RunInFiber(
      [](Runtime& runtime) {
        std::atomic<bool> go_on = false;
        const auto wait = [&](IFiberGateway&) {
          while (!go_on) {
            std::this_thread::yield();
          }
        };
        SideFiber first(runtime, [&] { runtime.RunOnPool(wait); });
        SideFiber second(runtime, [&] { runtime.RunOnPool(wait); });
        YieldFiber();
        try {
          runtime.RunOnPool(wait);
          FAIL("it was taken");
        } catch (const HttpException& error) {
          CHECK(error.StatusCode() == 503);
        }
        go_on = true;
      },
      {.stack_bytes = 256 * 1024, .idle_stacks = 4, .blocking_threads = 1, .blocking_queue = 1});
}

TEST_CASE("RunOnPool: the gateway runs functions on the fiber, and carries what they throw") {
  RunInFiber([](Runtime& runtime) {
    const auto reactor = std::this_thread::get_id();
    runtime.RunOnPool([&](IFiberGateway& gateway) {
      CHECK(std::this_thread::get_id() != reactor);
      for (int i = 0; i < 100; ++i) {
        std::thread::id there;
        gateway.RunOnFiber([&] {
          weft::SleepFor(std::chrono::microseconds(10));  // the fiber may wait in it
          there = std::this_thread::get_id();
        });
        CHECK(there == reactor);
      }
      CHECK_THROWS_WITH(gateway.RunOnFiber([] { throw std::runtime_error("on the fiber"); }),
                        "on the fiber");
    });
  });
}

}  // namespace weft::host::runtime
