// What is refused at once because there is too much of it.
#include <doctest/doctest.h>

#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

TEST_CASE(
    "Pipeline: more requests than the limit are 503 with Retry-After at once, until one has "
    "ended") {
  PipelineOptions options;
  options.limits.max_requests = 2;
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    Signal first_entered(host.Runtime());
    Signal second_entered(host.Runtime());
    host::runtime::FiberEvent leave_first;
    host::runtime::FiberEvent leave_second;
    host.Serve({{"/1", Kind::kAsync,
                 [&](HttpContext&) {
                   first_entered.Set();
                   leave_first.Wait();
                 }},
                {"/2", Kind::kAsync,
                 [&](HttpContext&) {
                   second_entered.Set();
                   leave_second.Wait();
                 }},
                {"/x", Kind::kAsync, [](HttpContext&) {}}});
    SideFiber first(host.Runtime(), [&] { CHECK(host.Get("/1")->exchange.status == 200); });
    SideFiber second(host.Runtime(), [&] { CHECK(host.Get("/2")->exchange.status == 200); });
    first_entered.Wait();
    second_entered.Wait();
    CHECK(host.Pipeline().RequestsInFlight() == 2);

    for (const std::string path : {"/x", "/nowhere"}) {
      TestRequest request("POST", path, {{"CONTENT_LENGTH", "3"}});
      request.exchange.body = {"abc"};
      host.Process(request);
      CHECK(request.exchange.status == 503);
      CHECK(request.exchange.Header("Retry-After") == "1");
      CHECK(request.exchange.sent == "503 Service Unavailable\n");
      CHECK(request.exchange.Count(MemoryExchange::Call::kReadBody) == 0);
    }
    CHECK(host.Log().find("more than 2 requests in flight (--max-requests)") != std::string::npos);
    CHECK(host.Pipeline().RequestsInFlight() == 2);

    leave_first.Notify();
    first.Join();
    CHECK(host.Get("/x")->exchange.status == 200);
    leave_second.Notify();
  });
  CHECK(lines.size() == 5);
}

TEST_CASE("Pipeline: an entry's maxRequests is a bound of its own, and names its place") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Signal entered(host.Runtime());
    host::runtime::FiberEvent leave;
    host.Serve({{.path = "/x",
                 .kind = Kind::kAsync,
                 .function =
                     [&](HttpContext& context) {
                       if (context.Request().QueryStringText() == "hold") {
                         entered.Set();
                         leave.Wait();
                       }
                     },
                 .attributes = R"(, "maxRequests": 1)"},
                {"/y", Kind::kAsync, [](HttpContext&) {}}});
    TestRequest held("GET", "/x", {{"QUERY_STRING", "hold"}});
    SideFiber side(host.Runtime(), [&] { host.Process(held); });
    entered.Wait();
    const auto refused = host.Get("/x");
    CHECK(refused->exchange.status == 503);
    CHECK(refused->exchange.Header("Retry-After") == "1");
    CHECK(host.Log().find("more than 1 requests in flight of the entry at ") != std::string::npos);
    CHECK(host.Log().find("/machine.json:") != std::string::npos);
    CHECK(host.Get("/y")->exchange.status == 200);  // the others are served
    leave.Notify();
    side.Join();
    CHECK(host.Get("/x")->exchange.status == 200);
  });
  REQUIRE(lines.size() == 4);
  CHECK(FieldOf(lines[0], "cause") == "mapping_overloaded");
  CHECK(FieldOf(lines[0], "outcome") == "refused");
}

TEST_CASE("Pipeline: a folder's maxRequests counts all below it that has no bound of its own") {
  PipelineHost::Run([](PipelineHost& host) {
    Signal entered(host.Runtime());
    host::runtime::FiberEvent leave;
    const auto answer = [](HttpContext&) {};
    host.Serve({{"/a/hold", Kind::kAsync,
                 [&](HttpContext&) {
                   entered.Set();
                   leave.Wait();
                 }},
                {"/a/x", Kind::kAsync, answer},
                {"/a/own/x", Kind::kAsync, answer},
                {"/b/x", Kind::kAsync, answer}},
               R"("locations": { "a": { "httpRuntime": { "maxRequests": 1 } },
                                 "a/own": { "httpRuntime": { "maxRequests": 2 } } }, )");
    TestRequest held("GET", "/a/hold");
    SideFiber side(host.Runtime(), [&] { host.Process(held); });
    entered.Wait();
    CHECK(host.Get("/a/x")->exchange.status == 503);
    CHECK(host.Get("/a/own/x")->exchange.status == 200);
    CHECK(host.Get("/b/x")->exchange.status == 200);
    leave.Notify();
    side.Join();
    CHECK(host.Get("/a/x")->exchange.status == 200);
  });
}

TEST_CASE(
    "Pipeline: of refused requests the log has a line a second for each cause, and all are "
    "counted") {
  PipelineOptions options;
  options.limits.max_requests = 0;
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    host.Serve({});
    for (int i = 0; i < 100; ++i) {
      CHECK(host.Get("/x")->exchange.status == 503);
    }
    REQUIRE(host.Pipeline().RefusedRequests().size() == 1);
    const auto& refused = host.Pipeline().RefusedRequests()[0];
    CHECK(refused.cause == "overloaded");
    CHECK(refused.count == 100);
    CHECK(refused.not_logged > 0);
  });
  CHECK(lines.size() == 100);
}

TEST_CASE("Pipeline: a refused request is not an error of the host's") {
  PipelineOptions options;
  options.limits.max_requests = 0;
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    host.Serve({});
    CHECK(host.Get("/x")->exchange.status == 503);
    CHECK(host.Log().find(" info: ") != std::string::npos);
    CHECK(host.Log().find(" error: ") == std::string::npos);
  });
  CHECK(lines.size() == 1);
}

TEST_CASE(
    "Pipeline: a plain handler for which the pool has no room is 503, and runs when there is") {
  PipelineOptions options;
  options.runtime.blocking_threads = 1;
  options.runtime.blocking_queue = 1;
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    Signal entered(host.Runtime());
    std::binary_semaphore leave{0};
    int entries = 0;
    host.Serve({{"/hold", Kind::kPlain,
                 [&](HttpContext&) {
                   entered.Set();
                   leave.acquire();
                 }},
                {"/x", Kind::kPlain, [&](HttpContext&) { ++entries; }}});
    SideFiber held(host.Runtime(), [&] { CHECK(host.Get("/hold")->exchange.status == 200); });
    entered.Wait();
    // It waits in the queue as soon as it runs at all.
    Signal queued(host.Runtime());
    SideFiber waiting(host.Runtime(), [&] {
      queued.Set();
      CHECK(host.Get("/x")->exchange.status == 200);
    });
    queued.Wait();

    const auto refused = host.Get("/x");
    CHECK(refused->exchange.status == 503);
    CHECK(refused->exchange.Header("Retry-After") == "1");
    CHECK(host.Log().find("--blocking-queue") != std::string::npos);
    CHECK(entries == 0);

    leave.release();
    held.Join();
    waiting.Join();
    CHECK(host.Get("/x")->exchange.status == 200);
    CHECK(entries == 2);
  });
  REQUIRE(lines.size() == 4);
  CHECK(FieldOf(lines[0], "status") == "503");
  CHECK(FieldOf(lines[0], "outcome") == "refused");
}

TEST_CASE("Pipeline: requests in flight are counted from their beginning to their record") {
  PipelineHost::Run([](PipelineHost& host) {
    std::vector<std::size_t> seen;
    host.Serve({{"/x", Kind::kAsync,
                 [&](HttpContext&) { seen.push_back(host.Pipeline().RequestsInFlight()); }}});
    CHECK(host.Pipeline().RequestsInFlight() == 0);
    host.Get("/x");
    host.Get("/x");
    CHECK(seen == std::vector<std::size_t>{1, 1});
    CHECK(host.Pipeline().RequestsInFlight() == 0);
  });
}

TEST_CASE("Pipeline: many requests at once each get their own answer") {
  static constexpr std::size_t kRequests = 200;
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    std::size_t entered = 0;
    Signal all_entered(host.Runtime());
    std::vector<std::unique_ptr<host::runtime::FiberEvent>> events;
    for (std::size_t i = 0; i < kRequests; ++i) {
      events.push_back(std::make_unique<host::runtime::FiberEvent>());
    }
    host.Serve({{"*", Kind::kAsync, [&](HttpContext& context) {
                   const auto number = std::stoul(std::string(context.Request().Path().substr(1)));
                   if (++entered == kRequests) {
                     all_entered.Set();
                   }
                   events[number]->Wait();
                   context.Response().Write(std::to_string(number));
                 }}});
    std::vector<std::unique_ptr<TestRequest>> requests;
    std::vector<std::unique_ptr<SideFiber>> fibers;
    for (std::size_t i = 0; i < kRequests; ++i) {
      requests.push_back(std::make_unique<TestRequest>("GET", "/" + std::to_string(i)));
      fibers.push_back(std::make_unique<SideFiber>(
          host.Runtime(), [&host, &request = *requests.back()] { host.Process(request); }));
    }
    all_entered.Wait();
    CHECK(host.Pipeline().RequestsInFlight() == kRequests);
    for (std::size_t i = kRequests; i-- > 0;) {
      events[i]->Notify();
    }
    for (auto& fiber : fibers) {
      fiber->Join();
    }
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < kRequests; ++i) {
      wrong += requests[i]->exchange.sent == std::to_string(i) ? 0 : 1;
    }
    CHECK(wrong == 0);
    CHECK(host.Living() == 0);
  });
  CHECK(lines.size() == kRequests);
}

}  // namespace
}  // namespace weft::test
