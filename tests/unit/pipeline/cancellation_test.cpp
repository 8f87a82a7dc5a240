// Requests that are cancelled: the client leaves, the deadline passes, the worker stops.
#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <semaphore>
#include <string>
#include <vector>

#include <weft/async.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using Clock = std::chrono::steady_clock;
using Call = MemoryExchange::Call;

/// What became of a request that something was done to while its handler ran.
struct Result {
  int status = 0;
  std::string sent;
  bool aborted = false;
  std::string retry_after;
  std::string log;
  std::string line;
};

using Meanwhile = std::function<void(PipelineHost&, TestRequest&)>;

/// `handler` sets `entered` when it is about to wait; `meanwhile` then runs on the test's fiber.
Result Interrupt(Kind kind, const std::function<void(HttpContext&, Signal& entered)>& handler,
                 const Meanwhile& meanwhile) {
  Result result;
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    Signal entered(host.Runtime());
    host.Serve({{"/x", kind, [&](HttpContext& context) { handler(context, entered); }}});
    TestRequest request("GET", "/x", {{"CONTENT_LENGTH", "0"}});
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    entered.Wait();
    meanwhile(host, request);
    side.Join();
    result.status = request.exchange.status;
    result.sent = request.exchange.sent;
    result.aborted = request.exchange.aborted;
    result.retry_after = request.exchange.Header("Retry-After");
    result.log = host.Log();
    CHECK(host.Living() == 0);
  });
  REQUIRE(lines.size() == 1);
  result.line = lines[0];
  return result;
}

/// A handler that does something and then waits for an hour.
Result WaitForAnHour(Kind kind, const Function& before_wait, const Meanwhile& meanwhile) {
  return Interrupt(
      kind,
      [&](HttpContext& context, Signal& entered) {
        before_wait(context);
        entered.Set();
        SleepFor(std::chrono::hours(1));
      },
      meanwhile);
}

void Nothing(HttpContext&) {}
void Headers(HttpContext& context) {
  context.Response().Write("half");
  context.Response().Flush();
}

void Leave(PipelineHost&, TestRequest& request) {
  request.exchange.client_gone = true;
  request.cancellation.Cancel(CancellationReason::kClientGone);
}
void PassDeadline(PipelineHost& host, TestRequest&) {
  host.Pipeline().CancelOverdue(Clock::now() + std::chrono::seconds(111));
}
void Shutdown(PipelineHost& host, TestRequest&) {
  host.Pipeline().CancelAll(CancellationReason::kShutdown);
}

TEST_CASE("Pipeline: a client that leaves while its handler waits is 499, and nothing is sent") {
  for (const auto kind : kAllKinds) {
    const auto result = WaitForAnHour(kind, Nothing, Leave);
    CHECK(result.status == 0);
    CHECK(result.sent.empty());
    CHECK(result.aborted);
    CHECK(FieldOf(result.line, "status") == "499");
    CHECK(FieldOf(result.line, "outcome") == "client-gone");
    // It is nobody's fault.
    CHECK(result.log.find(" error: ") == std::string::npos);
  }
}

TEST_CASE("Pipeline: a client that leaves after the header block gets no more") {
  for (const auto kind : kAllKinds) {
    const auto result = WaitForAnHour(kind, Headers, Leave);
    CHECK(result.sent == "half");
    CHECK(result.aborted);
    CHECK(FieldOf(result.line, "status") == "499");
    CHECK(FieldOf(result.line, "outcome") == "client-gone");
  }
}

TEST_CASE("Pipeline: a deadline that passes while the handler waits is 504") {
  for (const auto kind : kAllKinds) {
    const auto result = WaitForAnHour(kind, Nothing, PassDeadline);
    CHECK(result.status == 504);
    CHECK(result.sent == "504 Gateway Timeout\n");
    CHECK_FALSE(result.aborted);
    CHECK(FieldOf(result.line, "status") == "504");
    CHECK(result.log.find("deadline passed") != std::string::npos);
  }
}

TEST_CASE("Pipeline: a deadline that passes after the header block cuts the answer") {
  for (const auto kind : kAllKinds) {
    const auto result = WaitForAnHour(kind, Headers, PassDeadline);
    CHECK(result.status == 200);
    CHECK(result.sent == "half");
    CHECK(result.aborted);
    CHECK(FieldOf(result.line, "status") == "504");
    CHECK(FieldOf(result.line, "outcome") == "aborted");
  }
}

TEST_CASE("Pipeline: a request that the shutdown cancels is 503 with Retry-After") {
  for (const auto kind : kAllKinds) {
    const auto result = WaitForAnHour(kind, Nothing, Shutdown);
    CHECK(result.status == 503);
    CHECK(result.sent == "503 Service Unavailable\n");
    CHECK(result.retry_after == "1");
    CHECK(FieldOf(result.line, "status") == "503");
  }
}

TEST_CASE("Pipeline: the first reason to cancel a request stays") {
  const auto result =
      WaitForAnHour(Kind::kAsync, Nothing, [](PipelineHost& host, TestRequest& request) {
        PassDeadline(host, request);
        Shutdown(host, request);
        request.cancellation.Cancel(CancellationReason::kClientGone);
      });
  CHECK(result.status == 504);
}

TEST_CASE(
    "Pipeline: a deadline is the mapping's executionTimeout after the request's beginning, not "
    "sooner") {
  PipelineHost::Run([](PipelineHost& host) {
    Signal entered(host.Runtime());
    host.Serve({{"/x", Kind::kAsync,
                 [&](HttpContext&) {
                   entered.Set();
                   SleepFor(std::chrono::hours(1));
                 }}},
               R"("httpRuntime": { "executionTimeoutSeconds": 30 }, )");
    TestRequest request("GET", "/x");
    const auto before = Clock::now();
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    entered.Wait();
    const auto after = Clock::now();
    const auto token = request.cancellation.Token();
    host.Pipeline().CancelOverdue(before + std::chrono::seconds(30) - std::chrono::nanoseconds(1));
    CHECK_FALSE(token.IsCancellationRequested());
    host.Pipeline().CancelOverdue(after + std::chrono::seconds(30));
    CHECK(token.Reason() == CancellationReason::kDeadline);
    side.Join();
    CHECK(request.exchange.status == 504);
  });
}

TEST_CASE("Pipeline: only requests that are overdue are cancelled") {
  PipelineHost::Run([](PipelineHost& host) {
    Signal first_entered(host.Runtime());
    Signal second_entered(host.Runtime());
    host::runtime::FiberEvent leave;
    host.Serve({{"/1", Kind::kAsync,
                 [&](HttpContext&) {
                   first_entered.Set();
                   SleepFor(std::chrono::hours(1));
                 }},
                {"/2", Kind::kAsync, [&](HttpContext&) {
                   second_entered.Set();
                   leave.Wait();
                 }}});
    TestRequest first("GET", "/1");
    SideFiber first_side(host.Runtime(), [&] { host.Process(first); });
    first_entered.Wait();
    const auto between = Clock::now();
    TestRequest second("GET", "/2");
    SideFiber second_side(host.Runtime(), [&] { host.Process(second); });
    second_entered.Wait();
    host.Pipeline().CancelOverdue(between + std::chrono::seconds(110));
    CHECK_FALSE(second.cancellation.Token().IsCancellationRequested());
    first_side.Join();
    CHECK(first.exchange.status == 504);
    leave.Notify();
    second_side.Join();
    CHECK(second.exchange.status == 200);
  });
}

/// A handler that is cancelled for `reason` and answers nevertheless; `answer` is how.
Result AnswerNevertheless(Kind kind, CancellationReason reason, const Function& answer) {
  return Interrupt(
      kind,
      [&](HttpContext& context, Signal& entered) {
        entered.Set();
        try {
          SleepFor(std::chrono::hours(1));
        } catch (const OperationCancelled& cancelled) {
          CHECK(cancelled.Reason() == reason);
        }
        CHECK(context.Cancellation().Reason() == reason);
        answer(context);
      },
      [reason](PipelineHost& host, TestRequest& request) {
        if (reason == CancellationReason::kDeadline) {
          PassDeadline(host, request);
        } else {
          host.Pipeline().CancelAll(reason);
        }
      });
}

TEST_CASE("Pipeline: a handler that answers after its deadline is 504 all the same") {
  for (const auto kind : kAllKinds) {
    const auto result =
        AnswerNevertheless(kind, CancellationReason::kDeadline,
                           [](HttpContext& context) { context.Response().Write("late"); });
    CHECK(result.status == 504);
    CHECK(result.sent == "504 Gateway Timeout\n");
    CHECK_FALSE(result.aborted);
    CHECK(FieldOf(result.line, "status") == "504");
  }
}

TEST_CASE("Pipeline: a handler that flushes after its deadline is 504 all the same") {
  for (const auto kind : kAllKinds) {
    const auto result =
        AnswerNevertheless(kind, CancellationReason::kDeadline, [](HttpContext& context) {
          context.Response().Write("late");
          CHECK_THROWS_AS(context.Response().Flush(), OperationCancelled);
        });
    CHECK(result.status == 504);
    CHECK(result.sent == "504 Gateway Timeout\n");
    CHECK_FALSE(result.aborted);
  }
}

TEST_CASE(
    "Pipeline: a handler that answers after the shutdown has cancelled it is 503 all the same") {
  for (const auto kind : kAllKinds) {
    const auto result =
        AnswerNevertheless(kind, CancellationReason::kShutdown,
                           [](HttpContext& context) { context.Response().Write("late"); });
    CHECK(result.status == 503);
    CHECK(result.sent == "503 Service Unavailable\n");
    CHECK_FALSE(result.aborted);
  }
}

TEST_CASE("Pipeline: a handler that answers a client that has left is 499, and nothing is sent") {
  for (const auto kind : kAllKinds) {
    const auto result =
        AnswerNevertheless(kind, CancellationReason::kClientGone,
                           [](HttpContext& context) { context.Response().Write("late"); });
    CHECK(result.status == 0);
    CHECK(result.sent.empty());
    CHECK(result.aborted);
    CHECK(FieldOf(result.line, "status") == "499");
  }
}

/// A peer that holds up one kind of call until the request is cancelled.
class StuckPeer {
 public:
  StuckPeer(PipelineHost& host, MemoryExchange& exchange, Call call) : stuck_(host.Runtime()) {
    exchange.before_call = [this, call](Call made) {
      if (made == call) {
        stuck_.Set();
        cancelled_.Wait();
      }
    };
    exchange.on_cancelled = [this] { cancelled_.Notify(); };
  }

  void AwaitCall() noexcept { stuck_.Wait(); }

 private:
  Signal stuck_;
  host::runtime::FiberEvent cancelled_;
};

TEST_CASE("Pipeline: a cancellation wakes an exchange that waits for its peer's body") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext& context) {
                     std::string piece(4, '\0');
                     static_cast<void>(context.Request().GetBufferlessInputStream().Read(piece));
                     FAIL_CHECK("there was nothing to read");
                   }}});
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "4"}});
      StuckPeer peer(host, request.exchange, Call::kReadBody);
      SideFiber side(host.Runtime(), [&] { host.Process(request); });
      peer.AwaitCall();
      PassDeadline(host, request);
      side.Join();
      CHECK(request.exchange.status == 504);
      CHECK(request.exchange.cancellations == 1);
    });
    CHECK(lines.size() == 1);
  }
}

TEST_CASE(
    "Pipeline: a cancellation wakes an exchange whose peer takes nothing, and the answer is cut") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext& context) {
                     context.Response().Write(std::string(100, 'x'));
                     context.Response().Write(std::string(100, 'y'));
                   }}});
      TestRequest request("GET", "/x");
      StuckPeer peer(host, request.exchange, Call::kSendBody);
      SideFiber side(host.Runtime(), [&] { host.Process(request); });
      peer.AwaitCall();
      PassDeadline(host, request);
      side.Join();
      CHECK(request.exchange.sent == std::string(100, 'x'));
      CHECK(request.exchange.aborted);
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "outcome") == "aborted");
  }
}

TEST_CASE(
    "Pipeline: a plain handler whose request is cancelled before a thread was free is not called") {
  PipelineOptions options;
  options.runtime.blocking_threads = 1;
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    Signal entered(host.Runtime());
    std::binary_semaphore leave{0};
    bool called = false;
    host.Serve({{"/hold", Kind::kPlain,
                 [&](HttpContext&) {
                   entered.Set();
                   leave.acquire();
                 }},
                {"/x", Kind::kPlain, [&](HttpContext&) { called = true; }}});
    TestRequest held("GET", "/hold");
    SideFiber side(host.Runtime(), [&] { host.Process(held); });
    entered.Wait();
    Signal queued(host.Runtime());
    TestRequest waiting("GET", "/x");
    SideFiber waiting_side(host.Runtime(), [&] {
      queued.Set();
      host.Process(waiting);
    });
    queued.Wait();
    waiting.cancellation.Cancel(CancellationReason::kDeadline);
    leave.release();
    side.Join();
    waiting_side.Join();
    CHECK_FALSE(called);
    CHECK(waiting.exchange.status == 504);
  });
  CHECK(lines.size() == 2);
}

TEST_CASE("Pipeline: a client that has gone is noticed when its answer is sent") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      TestRequest request("GET", "/x");
      host.Serve({{"/x", kind, [&](HttpContext& context) {
                     context.Response().Write("nobody is there");
                     request.exchange.client_gone = true;
                   }}});
      host.Process(request);
      CHECK(request.exchange.status == 0);
      CHECK(request.exchange.sent.empty());
      CHECK(request.exchange.aborted);
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "status") == "499");
    CHECK(FieldOf(lines[0], "outcome") == "client-gone");
  }
}

TEST_CASE(
    "Pipeline: a client that has gone before the error could be answered is 499, not the error") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    TestRequest request("GET", "/x");
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext&) {
                   request.exchange.client_gone = true;
                   throw std::runtime_error("first");
                 }}});
    host.Process(request);
    CHECK(request.exchange.sent.empty());
    CHECK(request.exchange.aborted);
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "status") == "499");
}

TEST_CASE(
    "Pipeline: a client that leaves during its body keeps a buffering handler from being called") {
  for (const auto kind : {Kind::kPlain, Kind::kAsync}) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      bool entered = false;
      host.Serve({{"/x", kind, [&](HttpContext&) { entered = true; }}});
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "6"}});
      request.exchange.body = {"abc", "def"};
      request.exchange.before_call = [&](Call) {
        // The token alone: the pipeline looks at it before it waits.
        request.cancellation.Cancel(CancellationReason::kClientGone);
      };
      host.Process(request);
      CHECK_FALSE(entered);
      CHECK(request.exchange.Count(Call::kReadBody) == 1);
      CHECK(request.exchange.status == 0);
      CHECK(request.exchange.aborted);
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "status") == "499");
  }
}

TEST_CASE(
    "Pipeline: a deadline that passes during the body is 504, and the handler is not called") {
  for (const auto kind : {Kind::kPlain, Kind::kAsync}) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      bool entered = false;
      host.Serve({{"/x", kind, [&](HttpContext&) { entered = true; }}});
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "6"}});
      request.exchange.body = {"abc", "def"};
      request.exchange.before_call = [&](Call) { PassDeadline(host, request); };
      host.Process(request);
      CHECK_FALSE(entered);
      CHECK(request.exchange.status == 504);
    });
    CHECK(lines.size() == 1);
  }
}

TEST_CASE("Pipeline: a cancelled request leaves nothing behind for the next one on its fiber") {
  PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext& context) {
                   if (context.Request().QueryStringText() == "cancel") {
                     host.Pipeline().CancelAll(CancellationReason::kShutdown);
                   }
                   SleepUntil(Clock::now());
                 }}});
    CHECK(host.Get("/x", {{"QUERY_STRING", "cancel"}})->exchange.status == 503);
    CHECK(host.Get("/x")->exchange.status == 200);
    // Beside requests waits obey nothing.
    CHECK_NOTHROW(SleepUntil(Clock::now()));
  });
}

TEST_CASE("Pipeline: cancelling when there is no request does nothing") {
  PipelineHost::Run([](PipelineHost& host) {
    host.Pipeline().CancelAll(CancellationReason::kShutdown);
    host.Pipeline().CancelOverdue(Clock::time_point::max());
    host.Serve({{"/x", Kind::kAsync, [](HttpContext& context) {
                   CHECK_FALSE(context.Cancellation().IsCancellationRequested());
                 }}});
    CHECK(host.Get("/x")->exchange.status == 200);
  });
}

TEST_CASE("Pipeline: a callback of the cancellation runs on the reactor, once") {
  PipelineHost::Run([](PipelineHost& host) {
    int calls = 0;
    std::thread::id thread;
    Signal entered(host.Runtime());
    host.Serve({{"/x", Kind::kPlain, [&](HttpContext& context) {
                   const auto registration = context.Cancellation().Register([&] {
                     ++calls;
                     thread = std::this_thread::get_id();
                   });
                   entered.Set();
                   SleepFor(std::chrono::hours(1));
                 }}});
    TestRequest request("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    entered.Wait();
    Shutdown(host, request);
    side.Join();
    CHECK(calls == 1);
    CHECK(thread == std::this_thread::get_id());
  });
}

TEST_CASE("Pipeline: a handler that aborts its request gives no answer, or cuts the one it began") {
  for (const auto kind : kAllKinds) {
    for (const bool began : {false, true}) {
      CAPTURE(began);
      const auto lines = PipelineHost::Run([&](PipelineHost& host) {
        host.Serve({{"/x", kind, [began](HttpContext& context) {
                       context.Response().Write("half");
                       if (began) {
                         context.Response().Flush();
                       }
                       context.Request().Abort();
                     }}});
        const auto request = host.Get("/x");
        CHECK(request->exchange.aborted);
        CHECK(request->exchange.sent == (began ? "half" : ""));
        CHECK(request->exchange.status == (began ? 200 : 0));
        // The worker serves on.
        CHECK(host.Get("/none")->exchange.status == 404);
      });
      REQUIRE(lines.size() == 2);
      CHECK(FieldOf(lines[0], "status") == "444");
      CHECK(FieldOf(lines[0], "cause") == "request_aborted");
      CHECK(FieldOf(lines[0], "outcome") == "aborted");
    }
  }
}

}  // namespace
}  // namespace weft::test
