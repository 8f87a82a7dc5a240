// HttpResponse::Finish(): the client has its answer, and the handler works on.
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using Call = MemoryExchange::Call;
using Calls = std::vector<Call>;
using Clock = std::chrono::steady_clock;

/// What was sent, and how it ended.
Calls Sent(const MemoryExchange& exchange) {
  auto calls = exchange.calls;
  std::erase(calls, Call::kReadBody);
  return calls;
}

TEST_CASE("Pipeline: a handler that finishes its answer works on, and its client is let go") {
  for (const auto kind : kAllKinds) {
    CAPTURE(static_cast<int>(kind));
    bool worked_on = false;
    bool completed = false;
    const auto lines = PipelineHost::Run([&](PipelineHost& host) {
      TestRequest request("GET", "/x");
      host.Serve({{"/x", kind, [&](HttpContext& context) {
                     auto& response = context.Response();
                     context.AddOnRequestCompleted([&](HttpContext&) { completed = true; });
                     response.AppendToLog("early");
                     response.Write("accepted");
                     CHECK(response.Finish());
                     CHECK(Sent(request.exchange) ==
                           Calls{Call::kSendHeaders, Call::kSendBody, Call::kFlush, Call::kFinish});
                     CHECK(host.Pipeline().RequestsInFlight() == 1);
                     CHECK_FALSE(completed);
                     // Its peer's word counts no more.
                     request.cancellation.Cancel(CancellationReason::kClientGone);
                     CHECK_FALSE(context.Cancellation().IsCancellationRequested());
                     CHECK_FALSE(response.IsClientConnected());
                     SleepFor(std::chrono::milliseconds(1));
                     CHECK_THROWS_AS(response.Write("x"), std::logic_error);
                     CHECK_THROWS_AS(response.Flush(), std::logic_error);
                     CHECK_THROWS_AS(response.SetStatusCode(404), std::logic_error);
                     CHECK(response.Finish());
                     response.Complete();
                     worked_on = true;
                   }}});
      host.Process(request);
      CHECK(Sent(request.exchange).size() == 4);
      CHECK(request.exchange.sent == "accepted");
      CHECK(request.exchange.Header("Content-Length") == "8");
    });
    CHECK(worked_on);
    CHECK(completed);
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "status") == "200");
    CHECK(FieldOf(lines[0], "bytes") == "8");
    CHECK(FieldOf(lines[0], "cause") == "mapped");
    CHECK(FieldOf(lines[0], "outcome") == "finished");
    CHECK(FieldOf(lines[0], "log") == "early");
  }
}

TEST_CASE("Pipeline: what a handler throws after its answer is logged, and answers nothing") {
  for (const auto kind : kAllKinds) {
    for (const bool added : {false, true}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(added);
      const auto lines = PipelineHost::Run([&](PipelineHost& host) {
        TestRequest request("GET", "/x");
        host.Serve({{"/x", kind, [&](HttpContext& context) {
                       context.Response().SetStatusCode(202);
                       context.Response().Finish();
                       if (added) {
                         context.AddError(std::make_exception_ptr(HttpException(409, "too late")));
                         return;
                       }
                       throw std::runtime_error("too late");
                     }}});
        host.Process(request);
        CHECK(request.exchange.status == 202);
        CHECK(Sent(request.exchange) == Calls{Call::kSendHeaders, Call::kFlush, Call::kFinish});
        CHECK(host.Log().find("failed after its answer was finished: ") != std::string::npos);
        CHECK(host.Log().find("too late") != std::string::npos);
      });
      REQUIRE(lines.size() == 1);
      CHECK(FieldOf(lines[0], "status") == "202");
      CHECK(FieldOf(lines[0], "outcome") == "finished");
    }
  }
}

TEST_CASE("Pipeline: who works on has a deadline of its own, and is stopped with the worker") {
  for (const auto kind : kAllKinds) {
    for (const bool stops : {false, true}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(stops);
      PipelineOptions options;
      options.limits.finish_timeout = std::chrono::seconds(300);
      PipelineHost::Run(options, [&](PipelineHost& host) {
        Signal finished(host.Runtime());
        TestRequest request("GET", "/x");
        CancellationToken token;
        host.Serve({{"/x", kind,
                     [&](HttpContext& context) {
                       token = context.Cancellation();
                       context.Response().Finish();
                       finished.Set();
                       SleepFor(std::chrono::hours(1));
                     }}},
                   R"("httpRuntime": { "executionTimeoutSeconds": 30 }, )");
        const auto before = Clock::now();
        SideFiber side(host.Runtime(), [&] { host.Process(request); });
        finished.Wait();
        const auto after = Clock::now();
        host.Pipeline().CancelOverdue(before + std::chrono::seconds(300) -
                                      std::chrono::nanoseconds(1));
        CHECK_FALSE(token.IsCancellationRequested());
        if (stops) {
          host.Pipeline().CancelAll(CancellationReason::kShutdown);
          CHECK(token.Reason() == CancellationReason::kShutdown);
        } else {
          host.Pipeline().CancelOverdue(after + std::chrono::seconds(300));
          CHECK(token.Reason() == CancellationReason::kDeadline);
        }
        side.Join();
        CHECK(request.exchange.calls.back() == Call::kFinish);
        CHECK(host.Log().find(stops ? "request cancelled: shutdown"
                                    : "it did not end within 300000 ms (--finish-timeout)") !=
              std::string::npos);
      });
    }
  }
}

TEST_CASE("Pipeline: where too many work on already the client waits for the handler") {
  for (const auto kind : kAllKinds) {
    for (const bool throws : {false, true}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(throws);
      PipelineOptions options;
      options.limits.max_finished = 1;
      const auto lines = PipelineHost::Run(options, [&](PipelineHost& host) {
        Signal finished(host.Runtime());
        host::runtime::FiberEvent leave;
        host.Serve({{"/first", Kind::kAsync,
                     [&](HttpContext& context) {
                       CHECK(context.Response().Finish());
                       finished.Set();
                       leave.Wait();
                     }},
                    {"/third", kind, [](HttpContext& context) { context.Response().Finish(); }},
                    {"/second", kind, [&](HttpContext& context) {
                       context.Response().Write("all of it");
                       CHECK_FALSE(context.Response().Finish());
                       CHECK_FALSE(context.Response().Finish());
                       CHECK_THROWS_AS(context.Response().Write("x"), std::logic_error);
                       if (throws) {
                         throw std::runtime_error("too late");
                       }
                     }}});
        TestRequest first("GET", "/first");
        SideFiber side(host.Runtime(), [&] { host.Process(first); });
        finished.Wait();
        auto second = host.Get("/second");
        CHECK(second->exchange.sent == "all of it");
        CHECK(second->exchange.Count(Call::kFinish) == 0);
        CHECK_FALSE(second->exchange.aborted);
        leave.Notify();
        side.Join();
        // It has made room.
        CHECK(host.Get("/third")->exchange.Count(Call::kFinish) == 1);
      });
      REQUIRE(lines.size() == 3);
      CHECK(FieldOf(lines[0], "outcome") == "finished");
      CHECK(FieldOf(lines[1], "outcome") == "completed");
      CHECK(FieldOf(lines[1], "status") == "200");
      CHECK(FieldOf(lines[2], "outcome") == "finished");
    }
  }
}

TEST_CASE("Pipeline: no more work on than may, also where they finish at the same time") {
  for (const auto kind : kAllKinds) {
    for (const bool lets_go : {true, false}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(lets_go);
      PipelineOptions options;
      options.limits.max_finished = 1;
      PipelineHost::Run(options, [&](PipelineHost& host) {
        TestRequest first("GET", "/x");
        TestRequest second("GET", "/x");
        const auto process_second = [&](Call call) {
          if (call == Call::kFinish) {
            SideFiber side(host.Runtime(), [&] { host.Process(second); });
            side.Join();
          }
        };
        host.Serve({{"/x", kind, [](HttpContext& context) { context.Response().Finish(); }}});
        first.exchange.finishes = lets_go;
        first.exchange.before_call = process_second;
        host.Process(first);
        CHECK(first.exchange.Count(Call::kFinish) == 1);
        CHECK(second.exchange.Count(Call::kFinish) == 0);
        // The place is free again, whatever came of it.
        CHECK(host.Get("/x")->exchange.Count(Call::kFinish) == 1);
      });
    }
  }
}

TEST_CASE("Pipeline: where a peer cannot be let go of, it can still leave") {
  PipelineHost::Run([&](PipelineHost& host) {
    TestRequest request("GET", "/x");
    request.exchange.finishes = false;
    host.Serve({{"/x", Kind::kPlain, [&](HttpContext& context) {
                   CHECK_FALSE(context.Response().Finish());
                   CHECK(context.Response().IsClientConnected());
                   request.cancellation.Cancel(CancellationReason::kClientGone);
                   CHECK_FALSE(context.Response().IsClientConnected());
                   context.Cancellation().ThrowIfCancellationRequested();
                 }}});
    host.Process(request);
    CHECK(request.exchange.status == 200);
    CHECK_FALSE(request.exchange.aborted);
  });
}

TEST_CASE("Pipeline: a client that has gone is told to who finishes, and the record is a 499") {
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    TestRequest request("GET", "/x");
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext& context) {
                   request.exchange.client_gone = true;
                   request.cancellation.Cancel(CancellationReason::kClientGone);
                   CHECK_THROWS_AS(context.Response().Finish(), OperationCancelled);
                   context.Response().Finish();
                 }}});
    host.Process(request);
    CHECK(request.exchange.Count(Call::kFinish) == 0);
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "status") == "499");
}

TEST_CASE("Pipeline: HEAD, 204 and an answer that was streamed are finished like others") {
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([&](PipelineHost& host) {
      host.Serve({{"/x", kind,
                   [](HttpContext& context) {
                     context.Response().Write("body");
                     CHECK(context.Response().Finish());
                   }},
                  {"/204", kind,
                   [](HttpContext& context) {
                     context.Response().SetStatusCode(204);
                     CHECK(context.Response().Finish());
                   }},
                  {"/streamed", kind, [](HttpContext& context) {
                     context.Response().Write("a");
                     context.Response().Flush();
                     context.Response().Write("b");
                     CHECK(context.Response().Finish());
                   }}});
      TestRequest head("HEAD", "/x");
      host.Process(head);
      CHECK(Sent(head.exchange) == Calls{Call::kSendHeaders, Call::kFlush, Call::kFinish});
      CHECK(head.exchange.Header("Content-Length") == "4");
      CHECK(host.Get("/204")->exchange.Count(Call::kFinish) == 1);
      const auto streamed = host.Get("/streamed");
      CHECK(streamed->exchange.sent == "ab");
      CHECK(streamed->exchange.calls.back() == Call::kFinish);
    });
  }
}

TEST_CASE("Pipeline: a body that was not read before the answer was finished can be read no more") {
  for (const auto kind : kAllKinds) {
    CAPTURE(static_cast<int>(kind));
    const bool is_there = kind == Kind::kPlain || kind == Kind::kAsync;
    PipelineHost::Run([&](PipelineHost& host) {
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "4"}});
      request.exchange.body = {"ping"};
      host.Serve({{"/x", kind, [&](HttpContext& context) {
                     CHECK(context.Response().Finish());
                     if (is_there) {
                       CHECK(context.Request().Body() == "ping");
                     } else {
                       CHECK_THROWS_AS(static_cast<void>(context.Request().Body()),
                                       std::logic_error);
                     }
                   }}});
      host.Process(request);
      CHECK(request.exchange.Count(Call::kReadBody) == (is_there ? 1 : 0));
    });
  }
}

TEST_CASE("Pipeline: a handler that is executed inside another may finish the answer of both") {
  for (const auto kind : kAllKinds) {
    for (const auto inner : kAllKinds) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(static_cast<int>(inner));
      const auto lines = PipelineHost::Run([&](PipelineHost& host) {
        host.Serve({{"/x", kind,
                     [](HttpContext& context) {
                       context.Response().Write("a");
                       context.Server().Transfer("/inner");
                       CHECK_THROWS_AS(context.Response().Write("c"), std::logic_error);
                     }},
                    {"/inner", inner, [](HttpContext& context) {
                       context.Response().Write("b");
                       CHECK(context.Response().Finish());
                     }}});
        const auto request = host.Get("/x");
        CHECK(request->exchange.sent == "ab");
        CHECK(request->exchange.calls.back() == Call::kFinish);
      });
      REQUIRE(lines.size() == 1);
      CHECK(FieldOf(lines[0], "outcome") == "finished");
    }
  }
}

TEST_CASE("Pipeline: a finished request is not recorded again when the process ends without it") {
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    Signal finished(host.Runtime());
    host::runtime::FiberEvent leave;
    TestRequest request("GET", "/x");
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext& context) {
                   context.Response().Finish();
                   finished.Set();
                   leave.Wait();
                 }}});
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    finished.Wait();
    host.Pipeline().RecordUnfinished();
    leave.Notify();
    side.Join();
  });
  CHECK(lines.size() == 1);
}

TEST_CASE("Pipeline: what is cancelled while its peer is let go is cancelled") {
  for (const bool finishes : {false, true}) {
    CAPTURE(finishes);
    PipelineHost::Run([&](PipelineHost& host) {
      TestRequest request("GET", "/x");
      request.exchange.finishes = finishes;
      request.exchange.before_call = [&](Call call) {
        if (call == Call::kFinish) {
          host.Pipeline().CancelAll(CancellationReason::kShutdown);
        }
      };
      CancellationReason reason{};
      host.Serve({{"/x", Kind::kAsync, [&](HttpContext& context) {
                     context.Response().Finish();
                     reason = context.Cancellation().Reason();
                   }}});
      host.Process(request);
      CHECK(reason == CancellationReason::kShutdown);
    });
  }
}

TEST_CASE("Pipeline: callbacks of the header block run where the handler runs, in their order") {
  for (const auto kind : kAllKinds) {
    for (const bool flushes : {false, true}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(flushes);
      PipelineHost::Run([&](PipelineHost& host) {
        std::string order;
        host.Serve({{"/x", kind, [&](HttpContext& context) {
                       auto& response = context.Response();
                       response.AddOnSendingHeaders([&](HttpContext& inner) {
                         order += '1';
                         CHECK(&inner == &context);
                         inner.Response().AddOnSendingHeaders([&](HttpContext&) { order += '3'; });
                         inner.Response().SetHeader("X", "set late");
                         CHECK_THROWS_AS(inner.Response().Write("x"), std::logic_error);
                         CHECK_THROWS_AS(inner.Response().Flush(), std::logic_error);
                         CHECK_THROWS_AS(inner.Response().WriteFile("/proc/self/status"),
                                         std::logic_error);
                         CHECK_THROWS_AS(inner.Response().Complete(), std::logic_error);
                       });
                       response.AddOnSendingHeaders([&](HttpContext&) { order += '2'; });
                       response.Write("body");
                       if (flushes) {
                         response.Flush();
                         CHECK(order == "123");
                         CHECK_THROWS_AS(response.AddOnSendingHeaders([](HttpContext&) {}),
                                         std::logic_error);
                       }
                     }}});
        const auto request = host.Get("/x");
        CHECK(order == "123");
        CHECK(request->exchange.Header("X") == "set late");
        CHECK(request->exchange.sent == "body");
      });
    }
  }
}

TEST_CASE("Pipeline: a callback of the header block may choose a status without a body") {
  PipelineHost::Run([](PipelineHost& host) {
    for (const bool large : {false, true}) {
      host.Serve({{"/x", Kind::kAsync, [&](HttpContext& context) {
                     context.Response().AddOnSendingHeaders(
                         [](HttpContext& inner) { inner.Response().SetStatusCode(204); });
                     context.Response().Write("body");
                     context.Response().Write(std::string(large ? 1000 : 1, 'x'));
                   }}});
      const auto request = host.Get("/x");
      CHECK(request->exchange.status == 204);
      CHECK(request->exchange.sent.empty());
      CHECK(request->exchange.headers.empty());
    }
  });
}

TEST_CASE("Pipeline: what a callback of the header block throws is the answer, however often") {
  for (const auto kind : kAllKinds) {
    for (const bool swallowed : {false, true}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(swallowed);
      const auto lines = PipelineHost::Run([&](PipelineHost& host) {
        int calls = 0;
        host.Serve({{"/x", kind, [&](HttpContext& context) {
                       context.Response().AddOnSendingHeaders([&](HttpContext&) {
                         ++calls;
                         throw std::runtime_error("no header");
                       });
                       context.Response().AddOnSendingHeaders([&](HttpContext&) { calls += 100; });
                       context.Response().Write("secret");
                       if (swallowed) {
                         CHECK_THROWS_AS(context.Response().Flush(), std::runtime_error);
                       }
                     }}});
        const auto request = host.Get("/x");
        CHECK(calls == 1);
        CHECK(request->exchange.status == 500);
        CHECK(request->exchange.sent.find("secret") == std::string::npos);
        CHECK_FALSE(request->exchange.aborted);
      });
      REQUIRE(lines.size() == 1);
      CHECK(FieldOf(lines[0], "cause") == "handler_failed");
    }
  }
}

}  // namespace
}  // namespace weft::test
