// Plain handlers that do not return when their request is cancelled.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include <weft/async.hpp>
#include "host/runtime/thread_stack.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using Clock = std::chrono::steady_clock;
using Call = MemoryExchange::Call;
using host::pipeline::StuckHandler;

/// Waits, on a fiber, for what another one does.
template <typename Condition>
void YieldUntil(const Condition& condition) {
  while (!condition()) {
    host::runtime::YieldFiber();
  }
}

/// A handler that holds its thread until it is let go, whatever happens to its request.
struct Holder {
  explicit Holder(PipelineHost& host) : entered(host.Runtime()) {}

  Route At(const std::string& path, Function before = {}, Function after = {}) {
    return {path, Kind::kPlain, [this, before, after](HttpContext& context) {
              if (before) {
                before(context);
              }
              thread = host::runtime::CurrentThreadId();
              entered.Set();
              leave.acquire();
              if (after) {
                after(context);
              }
            }};
  }

  Signal entered;
  std::binary_semaphore leave{0};
  pid_t thread = 0;
};

Clock::time_point PassDeadline(PipelineHost& host) {
  const auto time = Clock::now() + std::chrono::seconds(111);
  CHECK(host.Pipeline().CancelOverdue(time).empty());
  return time;
}

TEST_CASE(
    "Pipeline: a client gets its 504 at the deadline while the plain handler holds its thread") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Holder holder(host);
    int refused = 0;
    host.Serve({holder.At("/x", {}, [&](HttpContext& context) {
      const auto refuses = [&](auto&& call) {
        try {
          call();
        } catch (const OperationCancelled& cancelled) {
          refused += cancelled.Reason() == CancellationReason::kDeadline ? 1 : 0;
        }
      };
      refuses([&] {
        context.Response().Write("late");
        context.Response().Flush();
      });
      refuses([&] { context.Request().BinaryRead(10); });
      refuses([&] { context.Response().Finish(); });
      refuses([&] { SleepFor(std::chrono::hours(1)); });
      throw std::runtime_error("whatever comes now");
    })});
    TestRequest request("GET", "/x", {{"CONTENT_LENGTH", "10"}});
    request.exchange.body = {"0123456789"};
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    holder.entered.Wait();
    PassDeadline(host);
    YieldUntil([&] { return request.exchange.Count(Call::kFinish) == 1; });
    CHECK(request.exchange.status == 504);
    CHECK(request.exchange.sent == "504 Gateway Timeout\n");
    CHECK(host.Pipeline().RequestsInFlight() == 1);
    const auto calls = request.exchange.calls.size();

    holder.leave.release();
    side.Join();
    CHECK(refused == 3);  // the body was there before
    CHECK(request.exchange.calls.size() == calls);
    CHECK(host.Pipeline().RequestsInFlight() == 0);
    CHECK(host.Log().find("answered while the handler is still at work") != std::string::npos);
    CHECK(host.Log().find("whatever comes now") != std::string::npos);
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "status") == "504");
  CHECK(FieldOf(lines[0], "cause") == "deadline_passed");
  CHECK(FieldOf(lines[0], "outcome") == "completed");
  CHECK(FieldOf(lines[0], "bytes") == "20");
}

TEST_CASE("Pipeline: HEAD gets its 504 without a body") {
  PipelineHost::Run([](PipelineHost& host) {
    Holder holder(host);
    host.Serve({holder.At("/x")});
    TestRequest request("HEAD", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    holder.entered.Wait();
    PassDeadline(host);
    YieldUntil([&] { return request.exchange.Count(Call::kFinish) == 1; });
    CHECK(request.exchange.status == 504);
    CHECK(request.exchange.sent.empty());
    holder.leave.release();
  });
}

TEST_CASE(
    "Pipeline: an answer that has begun is cut at the deadline, while its plain handler goes on") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Holder holder(host);
    host.Serve({holder.At("/x", [](HttpContext& context) {
      context.Response().Write("half");
      context.Response().Flush();
    })});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    holder.entered.Wait();
    PassDeadline(host);
    YieldUntil([&] { return request.exchange.Count(Call::kFinish) == 1; });
    CHECK(request.exchange.aborted);
    CHECK(request.exchange.sent == "half");
    holder.leave.release();
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "outcome") == "aborted");
  CHECK(FieldOf(lines[0], "cause") == "deadline_passed");
}

TEST_CASE("Pipeline: a stop answers 503 while a plain handler holds its thread") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Holder holder(host);
    host.Serve({holder.At("/x")});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    holder.entered.Wait();
    host.Pipeline().CancelAll(CancellationReason::kShutdown);
    YieldUntil([&] { return request.exchange.Count(Call::kFinish) == 1; });
    CHECK(request.exchange.status == 503);
    holder.leave.release();
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "cause") == "shutting_down");
}

TEST_CASE("Pipeline: of a client that has gone nothing is sent when the deadline passes") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Holder holder(host);
    host.Serve({holder.At("/x")});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    holder.entered.Wait();
    request.exchange.client_gone = true;
    request.cancellation.Cancel(CancellationReason::kClientGone);
    PassDeadline(host);
    YieldUntil([&] { return request.exchange.Count(Call::kFinish) == 1; });
    CHECK(request.exchange.status == 0);
    holder.leave.release();
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "status") == "499");
}

TEST_CASE(
    "Pipeline: a handler that does not return within the grace is told of once, with its thread") {
  PipelineHost::Run([](PipelineHost& host) {
    Holder holder(host);
    host.Serve({holder.At("/x")});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    holder.entered.Wait();
    const auto passed = PassDeadline(host);
    const auto grace = std::chrono::milliseconds(1'000);
    CHECK(host.Pipeline().CancelOverdue(passed + grace - std::chrono::nanoseconds(1)).empty());
    CHECK(host.Pipeline().StuckRequests() == 0);
    const auto stuck = host.Pipeline().CancelOverdue(passed + grace);
    REQUIRE(stuck.size() == 1);
    CHECK(stuck[0].thread == holder.thread);
    CHECK(stuck[0].description.find(" GET /x: ") != std::string::npos);
    CHECK(stuck[0].age >= std::chrono::seconds(111));
    CHECK(host.Pipeline().StuckRequests() == 1);
    CHECK(host.Pipeline().CancelOverdue(passed + std::chrono::hours(1)).empty());
    holder.leave.release();
    side.Join();
    CHECK(host.Pipeline().StuckRequests() == 0);
    CHECK(host.Log().find("returned after all") != std::string::npos);
  });
}

TEST_CASE("Pipeline: a handler that returns within the grace is not told of") {
  PipelineHost::Run([](PipelineHost& host) {
    Holder holder(host);
    host.Serve({holder.At("/x")});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    holder.entered.Wait();
    const auto passed = PassDeadline(host);
    holder.leave.release();
    side.Join();
    CHECK(host.Pipeline().CancelOverdue(passed + std::chrono::hours(1)).empty());
  });
}

TEST_CASE("Pipeline: an async handler's Offload() that does not return is the same") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Signal entered(host.Runtime());
    std::binary_semaphore leave{0};
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext&) {
                   Offload([&] {
                     entered.Set();
                     leave.acquire();
                   });
                   SleepFor(std::chrono::hours(1));
                 }}});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    entered.Wait();
    const auto passed = PassDeadline(host);
    YieldUntil([&] { return request.exchange.Count(Call::kFinish) == 1; });
    CHECK(request.exchange.status == 504);
    CHECK(host.Pipeline().CancelOverdue(passed + std::chrono::seconds(1)).size() == 1);
    leave.release();
    side.Join();
  });
  CHECK(lines.size() == 1);
}

TEST_CASE(
    "Pipeline: who waits for a task that does not end is answered after the grace, and its thread "
    "told of") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Signal entered(host.Runtime());
    std::binary_semaphore leave{0};
    std::string task_threw;
    pid_t thread = 0;
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext&) {
                   auto task = Async([&] {
                     Offload([&] {
                       thread = host::runtime::CurrentThreadId();
                       entered.Set();
                       leave.acquire();
                     });
                     try {
                       SleepFor(std::chrono::hours(1));
                     } catch (const OperationCancelled& cancelled) {
                       task_threw = cancelled.what();
                       throw;
                     }
                   });
                   task.Get();
                 }}});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    entered.Wait();
    const auto passed = PassDeadline(host);
    for (int i = 0; i < 100; ++i) {
      host::runtime::YieldFiber();
    }
    CHECK(request.exchange.Count(Call::kSendHeaders) == 0);  // it may end by itself
    const auto stuck = host.Pipeline().CancelOverdue(passed + std::chrono::seconds(1));
    REQUIRE(stuck.size() == 1);
    CHECK(stuck[0].thread == thread);
    CHECK(host.Pipeline().StuckRequests() == 1);
    CHECK(host.Pipeline().StuckWork() == 2);  // the request's fiber, and the task's
    YieldUntil([&] { return request.exchange.Count(Call::kFinish) == 1; });
    CHECK(request.exchange.status == 504);
    CHECK(host.Pipeline().RequestsInFlight() == 1);
    const auto calls = request.exchange.calls.size();
    CHECK(host.Pipeline().CancelOverdue(passed + std::chrono::seconds(2)).empty());
    leave.release();
    side.Join();
    CHECK_FALSE(task_threw.empty());
    CHECK(host.Pipeline().StuckWork() == 0);
    CHECK(request.exchange.calls.size() == calls);
    CHECK(host.Log().find("answered while the handler is still at work") != std::string::npos);
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "status") == "504");
  CHECK(FieldOf(lines[0], "cause") == "deadline_passed");
}

TEST_CASE(
    "Pipeline: the stuck thread of a task's task is told of, and no thread of another request") {
  PipelineHost::Run([](PipelineHost& host) {
    Signal entered(host.Runtime());
    Signal other_entered(host.Runtime());
    std::counting_semaphore<2> leave{0};
    std::atomic<pid_t> thread = 0;
    host.Serve(
        {{"/x", Kind::kAsync,
          [&](HttpContext&) {
            Async([&] {
              Async([&] {
                // A task of a thread's, too: no fiber waits for that one's thread.
                auto task = Offload([&] {
                  return Async([&] {
                    thread = host::runtime::CurrentThreadId();
                    entered.Set();
                    leave.acquire();
                  });
                });
                task.Get();
              }).Get();
            }).Get();
          }},
         {"/other", Kind::kAsync,
          [&](HttpContext&) {
            Async([&] {
              Offload([&] {
                other_entered.Set();
                leave.acquire();
              });
            }).Get();
          }}},
        R"("locations": { "other": { "httpRuntime": { "executionTimeoutSeconds": 3600 } } }, )");
    TestRequest other_request("GET", "/other");
    SideFiber other(host.Runtime(), [&] { host.Process(other_request); });
    other_entered.Wait();
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    entered.Wait();
    const auto passed = PassDeadline(host);
    const auto stuck = host.Pipeline().CancelOverdue(passed + std::chrono::seconds(1));
    REQUIRE(stuck.size() == 1);
    CHECK(stuck[0].thread == thread);
    CHECK(stuck[0].description.find(" GET /x: ") != std::string::npos);
    CHECK(host.Pipeline().StuckWork() == 4);  // three fibers, and the thread's task
    leave.release(2);
    side.Join();
    other.Join();
    CHECK(host.Pipeline().StuckWork() == 0);
    CHECK(other_request.exchange.status == 200);
  });
}

TEST_CASE("Pipeline: who waits for a callback that does not come is answered after the grace") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    std::optional<Callback<void>> callback;
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext&) {
                   AwaitCallback<void>([&](Callback<void> done) { callback = std::move(done); },
                                       [] {});
                 }}});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    YieldUntil([&] { return callback.has_value(); });
    const auto passed = PassDeadline(host);
    CHECK(host.Pipeline().CancelOverdue(passed + std::chrono::seconds(1)).empty());
    YieldUntil([&] { return request.exchange.Count(Call::kFinish) == 1; });
    CHECK(request.exchange.status == 504);
    (*callback)();
    callback.reset();
    side.Join();
    CHECK(host.Pipeline().RequestsInFlight() == 0);
  });
  CHECK(lines.size() == 1);
}

TEST_CASE("Pipeline: a handler that was finished and does not end is told of, too") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Holder holder(host);
    host.Serve({holder.At("/x", [](HttpContext& context) {
      context.Response().Write("whole");
      context.Response().Finish();
    })});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    holder.entered.Wait();
    const auto passed = PassDeadline(host);
    YieldUntil([&] {
      return host.Pipeline().CancelOverdue(passed + std::chrono::seconds(1)).size() == 1;
    });
    CHECK(request.exchange.status == 200);
    CHECK(request.exchange.sent == "whole");
    holder.leave.release();
    side.Join();
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "outcome") == "finished");
}

TEST_CASE("Pipeline: what waits for a thread at its deadline is answered then, and never called") {
  PipelineOptions options;
  options.runtime.blocking_threads = 1;
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    Holder holder(host);
    bool called = false;
    host.Serve(
        {holder.At("/hold"), {"/x", Kind::kPlain, [&](HttpContext&) { called = true; }}},
        R"("locations": { "hold": { "httpRuntime": { "executionTimeoutSeconds": 3600 } } }, )");
    TestRequest held("GET", "/hold");
    SideFiber side(host.Runtime(), [&] { host.Process(held); });
    holder.entered.Wait();
    TestRequest waiting("GET", "/x");
    SideFiber waiting_side(host.Runtime(), [&] { host.Process(waiting); });
    YieldUntil([&] { return host.Pipeline().RequestsInFlight() == 2; });
    PassDeadline(host);
    waiting_side.Join();  // while the thread is still held
    CHECK(waiting.exchange.status == 504);
    holder.leave.release();
    side.Join();
    CHECK_FALSE(called);
    CHECK(held.exchange.status == 200);
  });
  REQUIRE(lines.size() == 2);
  CHECK(FieldOf(lines[0], "outcome") == "refused");
}

TEST_CASE("Pipeline: what waits too long for a thread is refused before it runs") {
  PipelineOptions options;
  options.runtime.blocking_threads = 1;
  options.runtime.queue_timeout = std::chrono::milliseconds(1);
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    Holder holder(host);
    bool called = false;
    host.Serve({holder.At("/hold"),
                {"/x", Kind::kPlain, [&](HttpContext&) { called = true; }},
                {"/offload", Kind::kAsync, [&](HttpContext& context) {
                   Offload([] {});
                   context.Response().Write("done");
                 }}});
    TestRequest held("GET", "/hold");
    SideFiber side(host.Runtime(), [&] { host.Process(held); });
    holder.entered.Wait();
    const auto refused = host.Get("/x");
    CHECK(refused->exchange.status == 503);
    CHECK(refused->exchange.Header("Retry-After") == "1");
    CHECK(host.Log().find("--queue-timeout") != std::string::npos);
    CHECK(host.Get("/offload")->exchange.sent == "done");  // of a pool of its own
    holder.leave.release();
    side.Join();
    CHECK_FALSE(called);
    CHECK(held.exchange.status == 200);
    CHECK(host.Get("/x")->exchange.status == 200);
    CHECK(called);
  });
  REQUIRE(lines.size() == 4);
  CHECK(FieldOf(lines[0], "cause") == "queue_timeout");
  CHECK(FieldOf(lines[0], "outcome") == "refused");
}

}  // namespace
}  // namespace weft::test
