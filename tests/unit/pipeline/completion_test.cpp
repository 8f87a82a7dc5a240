// What a handler leaves for the end of its request: callbacks, items, errors; and the request's id.
#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

bool IsPlain(Kind kind) { return kind == Kind::kPlain || kind == Kind::kPlainBufferless; }

/// Tells on which thread it goes.
struct Witness {
  Witness(std::vector<std::string>& with_events, std::thread::id with_reactor)
      : events(&with_events), reactor(with_reactor) {}
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;
  ~Witness() {
    events->emplace_back(std::this_thread::get_id() == reactor ? "item on reactor"
                                                               : "item on pool");
  }

  std::vector<std::string>* events;
  std::thread::id reactor;
};

TEST_CASE("Pipeline: callbacks run and items go after the answer, where the handler ran") {
  const auto reactor = std::this_thread::get_id();
  for (const auto kind : kAllKinds) {
    for (const bool throws : {false, true}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(throws);
      std::vector<std::string> events;
      const auto lines = PipelineHost::Run([&](PipelineHost& host) {
        TestRequest request("GET", "/x");
        host.Serve({{"/x", kind, [&](HttpContext& context) {
                       context.Items().Emplace<Witness>({}, events, reactor);
                       context.AddOnRequestCompleted([&](HttpContext& ended) {
                         CHECK(request.exchange.status == (throws ? 409 : 200));
                         CHECK_FALSE(request.exchange.sent.empty());
                         CHECK((ended.Error() != nullptr) == throws);
                         CHECK_THROWS_AS(ended.Response().Flush(), std::logic_error);
                         events.emplace_back(std::this_thread::get_id() == reactor ? "on reactor"
                                                                                   : "on pool");
                       });
                       context.AddOnRequestCompleted([](HttpContext&) { throw 17; });
                       context.AddOnRequestCompleted(
                           [](HttpContext&) { throw std::runtime_error("the second"); });
                       context.Response().Write("text");
                       if (throws) {
                         throw HttpException(409);
                       }
                       context.Response().Flush();
                     }}});
        host.Process(request);
        CHECK(host.Log().find(": a callback of its end failed: the second\n") != std::string::npos);
        CHECK(host.Log().find(": a callback of its end failed: an exception that is no "
                              "std::exception\n") != std::string::npos);
      });
      CHECK(events == (IsPlain(kind) ? std::vector<std::string>{"on pool", "item on pool"}
                                     : std::vector<std::string>{"on reactor", "item on reactor"}));
      CHECK(lines.size() == 1);
    }
  }
}

TEST_CASE("Pipeline: the answer ends before the callbacks are called, an error's too") {
  using Call = MemoryExchange::Call;
  for (const bool throws : {false, true}) {
    TestRequest request("GET", "/x");
    std::size_t ends = 0;
    PipelineHost::Run([&](PipelineHost& host) {
      host.Serve({{"/x", Kind::kPlain, [&](HttpContext& context) {
                     context.AddOnRequestCompleted(
                         [&](HttpContext&) { ends = request.exchange.Count(Call::kFinish); });
                     if (throws) {
                       throw HttpException(409);
                     }
                   }}});
      host.Process(request);
    });
    CHECK(ends == 1);
    CHECK(request.exchange.calls.back() == Call::kFinish);
  }
}

TEST_CASE("Pipeline: callbacks of what makes a handler do not hold up a refusal") {
  struct Factory : IHttpHandlerFactory {
    explicit Factory(std::function<void()> callback) : on_completed(std::move(callback)) {}
    std::unique_ptr<IHttpHandler> GetHandler(HttpContext& context, std::string_view,
                                             std::string_view, std::string_view) override {
      struct Unused : IHttpHandler {
        void ProcessRequest(HttpContext&) override {}
        bool IsReusable() const override { return true; }
      };
      context.AddOnRequestCompleted([this](HttpContext&) { on_completed(); });
      return std::make_unique<Unused>();
    }
    void ReleaseHandler(std::unique_ptr<IHttpHandler>) override {}

    std::function<void()> on_completed;
  };
  TestRequest request("POST", "/f", {{"CONTENT_LENGTH", "5"}});
  request.exchange.body = {"half"};
  std::size_t ends = 0;
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    host.Classes().AddFactory("test::Factory", std::make_unique<Factory>([&] {
                                ends = request.exchange.Count(MemoryExchange::Call::kFinish);
                              }));
    host.Serve({}, {}, R"(, { "add": { "verb": "*", "path": "/f", "type": "test::Factory" } })");
    host.Process(request);
  });
  CHECK(request.exchange.status == 400);
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "outcome") == "refused");
  CHECK(ends == 1);
}

TEST_CASE("Pipeline: callbacks run for a client that has gone, too") {
  for (const auto kind : kAllKinds) {
    int calls = 0;
    PipelineHost::Run([&](PipelineHost& host) {
      TestRequest request("GET", "/x");
      host.Serve({{"/x", kind, [&](HttpContext& context) {
                     context.AddOnRequestCompleted([&](HttpContext&) { ++calls; });
                     request.cancellation.Cancel(CancellationReason::kClientGone);
                     context.Response().Write(std::string(100, 'x'));
                   }}});
      host.Process(request);
      CHECK(request.exchange.aborted);
    });
    CHECK(calls == 1);
  }
}

TEST_CASE("Pipeline: a callback of a plain handler may read and wait, of an async one await") {
  for (const auto kind : kAllKinds) {
    std::string body;
    PipelineHost::Run([&](PipelineHost& host) {
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "4"}});
      request.exchange.body = {"ping"};
      host.Serve({{"/x", kind, [&](HttpContext& context) {
                     context.AddOnRequestCompleted([&](HttpContext& ended) {
                       SleepFor(std::chrono::milliseconds(1));
                       body = ended.Request().Body();
                     });
                     // A later read would find the peer gone.
                     static_cast<void>(context.Request().Body());
                   }}});
      host.Process(request);
    });
    CHECK(body == "ping");
  }
}

TEST_CASE("Pipeline: a full queue of the pool does not keep callbacks from their thread") {
  const auto reactor = std::this_thread::get_id();
  PipelineOptions options;
  options.runtime.blocking_threads = 1;
  options.runtime.blocking_queue = 1;
  std::thread::id thread;
  PipelineHost::Run(options, [&](PipelineHost& host) {
    host.Serve({{"/x", Kind::kPlain, [&](HttpContext& context) {
                   context.AddOnRequestCompleted(
                       [&](HttpContext&) { thread = std::this_thread::get_id(); });
                 }}});
    host.Get("/x");
  });
  CHECK(thread != std::thread::id());
  CHECK(thread != reactor);
}

TEST_CASE("Pipeline: an error that was added is answered as if it had been thrown") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/added", kind,
                   [](HttpContext& context) {
                     context.Response().Write("dropped");
                     context.AddError(std::make_exception_ptr(HttpException(409, "Later.")));
                     context.AddError(std::make_exception_ptr(HttpException(410)));
                   }},
                  {"/cleared", kind, [](HttpContext& context) {
                     context.AddError(std::make_exception_ptr(HttpException(409)));
                     context.ClearError();
                     context.Response().Write("kept");
                   }}});
      CHECK(host.Get("/added")->exchange.sent == "409 Conflict\nLater.\n");
      CHECK(host.Get("/cleared")->exchange.sent == "kept");
    });
    REQUIRE(lines.size() == 2);
    CHECK(FieldOf(lines[0], "status") == "409");
    CHECK(FieldOf(lines[1], "status") == "200");
  }
}

TEST_CASE("Pipeline: the request's id is in its access line and in each line of its log") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kPlain, [](HttpContext& context) {
                   context.Response().SetHeader("X-Request-Id", context.RequestId());
                   context.AddOnRequestCompleted([](HttpContext&) { throw 1; });
                   context.Response().Flush();
                   throw std::runtime_error("no");
                 }}});
    const auto given = host.Get("/x", {{"HTTP_X_REQUEST_ID", "abc"}});
    CHECK(given->exchange.Header("X-Request-Id") == "abc");
    CHECK(host.Log().find(" error: request abc GET /x: ") != std::string::npos);
    CHECK(host.Log().find(" error: request abc: a callback of its end failed: ") !=
          std::string::npos);
    host.Get("/none");
  });
  REQUIRE(lines.size() == 2);
  CHECK(FieldOf(lines[0], "request") == "abc");
  CHECK(FieldOf(lines[0], "id") == "1");
  CHECK(FieldOf(lines[1], "request").ends_with("-2"));
}

}  // namespace
}  // namespace weft::test
