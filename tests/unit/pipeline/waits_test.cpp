// Every wait of the contract, in an async handler: what a cancellation of its request does to it.
#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

#include <weft/asio.hpp>
#include <weft/async.hpp>
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using host::runtime::YieldFiber;
using std::chrono::hours;

/// What waits have to wait for, and never comes.
struct Scene {
  Scene() : full(1), empty(1) {
    full.Push(1);
    REQUIRE(pipe(ends.data()) == 0);
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene() {
    close(ends[0]);
    close(ends[1]);
  }

  std::array<int, 2> ends{};
  Mutex locked;
  Condition condition;
  Channel<int> full;
  Channel<int> empty;
  std::optional<Task<void>> task;  // that nothing but `leaves` ends
  std::optional<Callback<int>> callback;
  std::string piece = std::string(4, '\0');
  bool leaves = false;
};

struct Wait {
  const char* name;
  std::function<void(HttpContext&, Scene&)> call;
  bool never_ends = true;  // by itself
  /// Called while a thread of the pool is free, which none is later.
  std::function<void()> before = {};
};

const std::vector<Wait>& Waits() {
  static const std::vector<Wait> kWaits = {
      {"SleepFor", [](HttpContext&, Scene&) { SleepFor(hours(1)); }},
      {"SleepUntil, a time that has passed", [](HttpContext&, Scene&) { SleepUntil({}); }, false},
      {"YieldToOthers", [](HttpContext&, Scene&) { YieldToOthers(); }, false},
      {"YieldToOthers, again and again",
       [](HttpContext&, Scene&) {
         for (;;) {
           YieldToOthers();
         }
       }},
      {"DescriptorWatch",
       [](HttpContext&, Scene& scene) { DescriptorWatch(scene.ends[0]).WaitReadable(); }},
      {"DescriptorWatch, ready",
       [](HttpContext&, Scene& scene) { DescriptorWatch(scene.ends[1]).WaitWritable(); }, false},
      {"Offload, the first", [](HttpContext&, Scene&) { Offload([] {}); }},
      {"Offload, not the first", [](HttpContext&, Scene&) { Offload([] {}); }, true,
       [] { Offload([] {}); }},
      {"Offload, of a task", [](HttpContext&, Scene&) { Async([] { Offload([] {}); }).Get(); },
       true, [] { Offload([] {}); }},
      {"AwaitCallback",
       [](HttpContext&, Scene& scene) {
         AwaitCallback<int>([&](Callback<int> done) { scene.callback = std::move(done); });
       }},
      {"AwaitCallback, with a function that cancels",
       [](HttpContext&, Scene& scene) {
         AwaitCallback<int>([&](Callback<int> done) { scene.callback = std::move(done); },
                            [&] { scene.callback->Fail(std::runtime_error("cancelled")); });
       }},
      {"AwaitCallback, whose callback comes at once",
       [](HttpContext&, Scene&) { AwaitCallback<int>([](const Callback<int>& done) { done(1); }); },
       false},
      {"Task::Wait", [](HttpContext&, Scene& scene) { scene.task->Wait(); }},
      {"Task::Get", [](HttpContext&, Scene&) { Async([] { SleepFor(hours(1)); }).Get(); }},
      {"WaitAll", [](HttpContext&, Scene& scene) { WaitAll(*scene.task, *scene.task); }},
      {"WaitFirst",
       [](HttpContext&, Scene& scene) { static_cast<void>(WaitFirst(*scene.task, *scene.task)); }},
      {"Mutex", [](HttpContext&, Scene& scene) { scene.locked.lock(); }},
      {"Condition",
       [](HttpContext&, Scene& scene) {
         Mutex mutex;
         std::unique_lock lock(mutex);
         scene.condition.Wait(lock);
       }},
      {"Channel::Push", [](HttpContext&, Scene& scene) { scene.full.Push(2); }},
      {"Channel::Pop", [](HttpContext&, Scene& scene) { static_cast<void>(scene.empty.Pop()); }},
      {"a read of the body",
       [](HttpContext& context, Scene& scene) {
         static_cast<void>(context.Request().GetBufferlessInputStream().Read(scene.piece));
       }},
      {"Write, more than the buffer holds",
       [](HttpContext& context, Scene&) { context.Response().Write(std::string(100, 'x')); }},
      {"Flush",
       [](HttpContext& context, Scene&) {
         context.Response().Write("x");
         context.Response().Flush();
       }},
      {"Finish", [](HttpContext& context, Scene&) { context.Response().Finish(); }, false},
      {"weft::yield",
       [](HttpContext&, Scene&) {
         boost::asio::steady_timer timer(GetAsioExecutor(), hours(1));
         timer.async_wait(yield);
       }},
      {"weft::yield, with a place for the error",
       [](HttpContext&, Scene&) {
         boost::system::error_code error;
         boost::asio::steady_timer timer(GetAsioExecutor(), hours(1));
         timer.async_wait(yield[error]);
       }},
      {"weft::yield, ready",
       [](HttpContext&, Scene&) { boost::asio::post(GetAsioExecutor(), yield); }, false},
  };
  return kWaits;
}

/// Runs `act` in an async handler, with the one thread of the pool held, and then `meanwhile` beside it.
void InHandler(const Wait& wait,
               const std::function<void(PipelineHost&, HttpContext&, Scene&)>& act,
               const std::function<void(PipelineHost&)>& meanwhile = {}) {
  CAPTURE(wait.name);
  PipelineOptions options;
  options.runtime.blocking_threads = 1;
  PipelineHost::Run(options, [&](PipelineHost& host) {
    Scene scene;
    scene.locked.lock();
    bool is_prepared = false;
    bool may_go = false;
    host.Serve({{"/x", Kind::kAsyncBufferless, [&](HttpContext& context) {
                   if (wait.before) {
                     wait.before();
                   }
                   scene.task = Async([&] {
                     while (!scene.leaves) {
                       YieldFiber();
                     }
                   });
                   is_prepared = true;
                   while (!may_go) {
                     YieldFiber();
                   }
                   act(host, context, scene);
                   scene.leaves = true;
                   scene.task.reset();
                 }}});
    TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "4"}});
    // The peer sends nothing and takes nothing.
    host::runtime::FiberEvent cancelled;
    bool is_cancelled = false;
    request.exchange.before_call = [&](MemoryExchange::Call) {
      while (!is_cancelled) {
        cancelled.Wait();
      }
    };
    request.exchange.on_cancelled = [&] {
      is_cancelled = true;
      cancelled.Notify();
    };
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    while (!is_prepared) {
      YieldFiber();
    }
    Signal is_held(host.Runtime());
    std::binary_semaphore leave{0};
    SideFiber holder(host.Runtime(), [&] {
      Offload([&] {
        is_held.Set();
        leave.acquire();
      });
    });
    is_held.Wait();
    may_go = true;
    if (meanwhile) {
      meanwhile(host);
    }
    leave.release();
    holder.Join();
    side.Join();
  });
}

TEST_CASE("waits: of a request that is cancelled already they throw, and others have their turn") {
  for (const auto& wait : Waits()) {
    bool has_thrown = false;
    bool others_ran = false;
    InHandler(wait, [&](PipelineHost& host, HttpContext& context, Scene& scene) {
      host.Pipeline().CancelAll(CancellationReason::kDeadline);
      SideFiber other(host.Runtime(), [&] { others_ran = true; });
      try {
        wait.call(context, scene);
      } catch (const OperationCancelled& cancelled) {
        has_thrown = cancelled.Reason() == CancellationReason::kDeadline;
      }
      CHECK_MESSAGE(has_thrown, wait.name);
      CHECK_MESSAGE(others_ran, wait.name);
    });
    CHECK_MESSAGE(has_thrown, wait.name);
  }
}

TEST_CASE("waits: who swallows their exception and waits again does not keep others from running") {
  for (const auto& wait : Waits()) {
    int turns = 0;
    bool reactor_ran = false;
    InHandler(wait, [&](PipelineHost& host, HttpContext& context, Scene& scene) {
      constexpr int kTurns = 100;
      host.Pipeline().CancelAll(CancellationReason::kDeadline);
      SideFiber other(host.Runtime(), [&] {
        for (; turns < kTurns; ++turns) {
          YieldFiber();
        }
      });
      boost::asio::post(host.Runtime().Io(), [&] { reactor_ran = true; });
      for (int i = 0; i < 10 * kTurns && (turns < kTurns || !reactor_ran); ++i) {
        try {
          wait.call(context, scene);
        } catch (const OperationCancelled&) {
        }
      }
      CHECK_MESSAGE(turns == kTurns, wait.name);
      CHECK_MESSAGE(reactor_ran, wait.name);
    });
  }
}

TEST_CASE("waits: they end when their request is cancelled meanwhile") {
  for (const auto& wait : Waits()) {
    if (!wait.never_ends) {
      continue;
    }
    bool is_waiting = false;
    bool has_thrown = false;
    InHandler(
        wait,
        [&](PipelineHost&, HttpContext& context, Scene& scene) {
          is_waiting = true;
          try {
            wait.call(context, scene);
          } catch (const OperationCancelled& cancelled) {
            has_thrown = cancelled.Reason() == CancellationReason::kDeadline;
          }
        },
        [&](PipelineHost& host) {
          while (!is_waiting) {
            YieldFiber();
          }
          for (int i = 0; i < 20; ++i) {
            YieldFiber();
          }
          CHECK_MESSAGE(!has_thrown, wait.name);
          host.Pipeline().CancelAll(CancellationReason::kDeadline);
          // Before its thread is free.
          for (int i = 0; i < 1000 && !has_thrown; ++i) {
            YieldFiber();
          }
          CHECK_MESSAGE(has_thrown, wait.name);
        });
  }
}

}  // namespace
}  // namespace weft::test
