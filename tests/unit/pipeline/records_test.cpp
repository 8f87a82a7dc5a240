// Exactly one record a request, and what it says.
#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

std::string LineOf(const Route& route, TestRequest& request, PipelineOptions options = {}) {
  const auto lines = PipelineHost::Run(options, [&](PipelineHost& host) {
    host.Serve({route});
    host.Process(request);
  });
  REQUIRE(lines.size() == 1);
  return lines[0];
}

TEST_CASE("Record: it tells who asked for what, and what served it") {
  TestRequest request("POST", "/a.do", {{"REQUEST_URI", "/a.do?b=\"c\""}, {"CONTENT_LENGTH", "0"}});
  request.remote = "2001:db8::1";
  const auto line =
      LineOf({.path = "*.do",
              .function = [](HttpContext& context) { context.Response().Write("12345"); },
              .verb = "GET,POST"},
             request);
  CHECK(FieldOf(line, "id") == "1");
  CHECK(FieldOf(line, "remote") == "2001:db8::1");
  CHECK(FieldOf(line, "method") == "POST");
  CHECK(line.find(R"( url="/a.do?b=\"c\"" )") != std::string::npos);
  CHECK(FieldOf(line, "status") == "200");
  CHECK(FieldOf(line, "bytes") == "5");
  CHECK(FieldOf(line, "entry") == "GET,POST *.do");
  CHECK(FieldOf(line, "outcome") == "completed");
}

}  // namespace

/// A class whose name a test knows. Outside the unnamed namespace, of which the name would tell.
class NamedHandler final : public IHttpAsyncHandler {
 public:
  void ProcessRequest(HttpContext&) override {}
  bool IsReusable() const override { return true; }
};

namespace {

TEST_CASE(
    "Record: its type is the class that served, and its entry goes by its name where it has one") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    AddHandler<NamedHandler>(host.Classes(), "Alias");
    host.Serve({}, {},
               R"(, { "add": { "verb": "*", "path": "/a", "type": "Alias" } },
                    { "add": { "verb": "*", "path": "/b", "type": "Alias", "name": "the b" } },
                    { "add": { "verb": "*", "path": "/c", "type": "None", "validate": false } })");
    host.Get("/a");
    host.Get("/b");
    host.Get("/c");
  });
  REQUIRE(lines.size() == 3);
  CHECK(FieldOf(lines[0], "type") == "weft::test::NamedHandler");
  CHECK(FieldOf(lines[0], "entry") == "* /a");
  CHECK(FieldOf(lines[1], "entry") == "the b");
  // Where nothing could serve, what the mapping says.
  CHECK(FieldOf(lines[2], "type") == "None");
}

TEST_CASE("Record: what is still in flight when the process ends is recorded as cut") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Signal entered(host.Runtime());
    host::runtime::FiberEvent leave;
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext&) {
                   entered.Set();
                   leave.Wait();
                 }}});
    host.Pipeline().RecordUnfinished();
    TestRequest request("GET", "/x", {{"REQUEST_URI", "/x?held"}});
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    entered.Wait();
    host.Pipeline().RecordUnfinished();
    leave.Notify();  // a process that ends would not come here
  });
  REQUIRE(lines.size() == 2);
  CHECK(FieldOf(lines[0], "url") == "/x?held");
  CHECK(FieldOf(lines[0], "status") == "503");
  CHECK(FieldOf(lines[0], "outcome") == "aborted");
}

TEST_CASE("Record: requests are numbered in the order of their beginning, refusals included") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({});
    host.Get("/1");
    host.Pipeline().RecordRefusal(431, "too many parameters");
    host.Get("/3");
  });
  REQUIRE(lines.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(FieldOf(lines[i], "id") == std::to_string(i + 1));
  }
}

TEST_CASE("Record: a refusal has its status and outcome, and the log its reason") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Pipeline().RecordRefusal(431, "1025 parameters, the limit is 1024");
    CHECK(host.Log().find("refused with 431: 1025 parameters, the limit is 1024\n") !=
          std::string::npos);
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "status") == "431");
  CHECK(FieldOf(lines[0], "outcome") == "refused");
}

TEST_CASE("Record: an answer that no handler gave has its machine-readable cause") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{.path = "/x", .function = [](HttpContext&) {}, .verb = "GET"}});
    host.Get("/nowhere");
    TestRequest put("PUT", "/x");
    host.Process(put);
    host.Get("/../x");
    host.Get("/a\\b");
    // One that a handler gave.
    host.Get("/x");
  });
  REQUIRE(lines.size() == 5);
  CHECK(FieldOf(lines[0], "cause") == "no_mapping");
  CHECK(FieldOf(lines[1], "cause") == "method_not_mapped");
  CHECK(FieldOf(lines[2], "cause") == "path_above_root");
  CHECK(FieldOf(lines[3], "cause") == "path_has_backslash");
  CHECK(FieldOf(lines[4], "cause") == "mapped");
}

TEST_CASE("Record: the cause that an HttpException has is the record's, another's is not lost") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kPlain, [](HttpContext& context) {
                   const auto query = context.Request().QueryStringText();
                   if (query == "cause") {
                     throw HttpException(409).WithCause("order_sent");
                   }
                   if (query == "none") {
                     throw HttpException(409);
                   }
                   if (query == "odd") {
                     throw 42;
                   }
                   throw std::runtime_error("x");
                 }}});
    for (const std::string query : {"cause", "none", "odd", "error"}) {
      host.Get("/x", {{"QUERY_STRING", query}});
    }
  });
  REQUIRE(lines.size() == 4);
  CHECK(FieldOf(lines[0], "cause") == "order_sent");
  CHECK(FieldOf(lines[1], "cause") == "mapped");
  CHECK(FieldOf(lines[2], "cause") == "handler_failed");
  CHECK(FieldOf(lines[3], "cause") == "handler_failed");
}

TEST_CASE("Record: it has what its handler said for the log, and why it answered so") {
  TestRequest request("GET", "/x");
  const auto line = LineOf({"/x", Kind::kPlain,
                            [](HttpContext& context) {
                              context.Response().AppendToLog("order=1 \"x\"");
                              context.Response().AppendToLog("\n");
                              context.Response().SetCause("order_unknown");
                              context.Response().SetStatusCode(404);
                            }},
                           request);
  CHECK(FieldOf(line, "status") == "404");
  CHECK(FieldOf(line, "cause") == "order_unknown");
  CHECK(line.ends_with(R"( outcome=completed log="order=1 \"x\"\u000a")"));
}

TEST_CASE("Record: a cause that its handler gave is not that of what it threw then") {
  TestRequest request("GET", "/x");
  const auto line = LineOf({"/x", Kind::kAsync,
                            [](HttpContext& context) {
                              context.Response().AppendToLog("half way");
                              context.Response().SetCause("order_unknown");
                              throw std::runtime_error("x");
                            }},
                           request);
  CHECK(FieldOf(line, "cause") == "handler_failed");
  CHECK(FieldOf(line, "log") == "half way");
}

TEST_CASE("Record: a body that is not as long as announced has a cause, and is cut or not sent") {
  for (const bool too_long : {false, true}) {
    for (const bool flushed : {false, true}) {
      CAPTURE(too_long);
      CAPTURE(flushed);
      TestRequest request("GET", "/x");
      const auto line = LineOf({"/x", Kind::kPlain,
                                [&](HttpContext& context) {
                                  context.Response().SetHeader("Content-Length", "3");
                                  context.Response().Write("ab");
                                  if (flushed) {
                                    context.Response().Flush();
                                  }
                                  if (too_long) {
                                    context.Response().Write("cd");
                                  }
                                }},
                               request);
      CHECK(FieldOf(line, "cause") == (too_long ? "answer_too_long" : "answer_too_short"));
      CHECK(FieldOf(line, "status") == "500");
      CHECK(FieldOf(line, "outcome") == (flushed ? "aborted" : "completed"));
      CHECK(request.exchange.aborted == flushed);
      CHECK(request.exchange.status == (flushed ? 200 : 500));
      if (flushed) {
        CHECK(request.exchange.sent == "ab");
      }
    }
  }
}

TEST_CASE("Record: each way in which a request fails has a cause of its own") {
  PipelineOptions options;
  options.limits.max_requests = 1;
  options.limits.max_buffered_bytes = 10;
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    host.Classes().AddHandler("Null", [] { return nullptr; });
    host.Classes().AddHandler("Throws", []() -> std::unique_ptr<IHttpHandler> {
      throw std::runtime_error("no database");
    });
    host.Serve(
        {{"/x", Kind::kAsync,
          [&](HttpContext& context) {
            if (context.Request().QueryStringText() == "nested") {
              host.Get("/x");
            }
          }},
         {"/wait", Kind::kAsync,
          [](HttpContext& context) { context.Cancellation().ThrowIfCancellationRequested(); }}},
        {}, R"(, { "add": { "verb": "*", "path": "/null", "type": "Null" } },
                        { "add": { "verb": "*", "path": "/throws", "type": "Throws" } },
                        { "add": { "verb": "*", "path": "/late", "type": "None", "validate": false } })");
    const auto post = [&](std::string length, std::deque<std::string> body) {
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", length}});
      request.exchange.body = std::move(body);
      host.Process(request);
    };
    post("1001", {});
    post("5x", {});
    post("5", {"abc"});
    post("20", {"0123456789", "0123456789"});
    host.Get("/null");
    host.Get("/throws");
    host.Get("/late");
    TestRequest malformed("GE T", "/x");
    host.Process(malformed);
    host.Get("/x", {{"QUERY_STRING", "nested"}});  // the one inside is recorded first
    for (const auto reason : {CancellationReason::kDeadline, CancellationReason::kShutdown,
                              CancellationReason::kClientGone}) {
      TestRequest cancelled("GET", "/wait");
      cancelled.cancellation.Cancel(reason);
      host.Process(cancelled);
    }
    host.Pipeline().RecordRefusal(431, "x");
    host.Pipeline().RecordRefusal(503, "x");
    host.Pipeline().RecordRefusal(413, "x");
    host.Pipeline().RecordRefusal(400, "x");
  });
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"413", "body_too_large"},       {"400", "body_length_malformed"},
      {"400", "body_too_short"},       {"503", "overloaded"},
      {"500", "handler_not_made"},     {"500", "handler_not_made"},
      {"500", "handler_type_unknown"}, {"400", "method_malformed"},
      {"503", "overloaded"},           {"200", "mapped"},
      {"504", "deadline_passed"},      {"503", "shutting_down"},
      {"499", "client_gone"},          {"431", "params_too_large"},
      {"503", "overloaded"},           {"413", "body_too_large"},
      {"400", "request_malformed"}};
  REQUIRE(lines.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(lines[i]);
    CHECK(FieldOf(lines[i], "status") == expected[i].first);
    CHECK(FieldOf(lines[i], "cause") == expected[i].second);
  }
}

TEST_CASE("Record: what no handler saw, malformed or over a limit, is refused") {
  PipelineOptions options;
  options.limits.max_requests = 1;
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext& context) {
                   if (context.Request().QueryStringText() == "nested") {
                     host.Get("/x");  // one too many
                   }
                 }}});
    TestRequest announced("POST", "/x", {{"CONTENT_LENGTH", "1001"}});
    host.Process(announced);
    TestRequest unknown("POST", "/x", {{"CONTENT_LENGTH", "x"}});
    host.Process(unknown);
    host.Get("/../x");
    TestRequest cut("POST", "/x", {{"CONTENT_LENGTH", "5"}});
    host.Process(cut);
    host.Get("/x", {{"QUERY_STRING", "nested"}});
  });
  REQUIRE(lines.size() == 6);
  const std::vector<std::string> statuses = {"413", "400", "400", "400", "503"};
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    CAPTURE(lines[i]);
    CHECK(FieldOf(lines[i], "status") == statuses[i]);
    CHECK(FieldOf(lines[i], "outcome") == "refused");
  }
  CHECK(FieldOf(lines[5], "outcome") == "completed");
}

TEST_CASE("Record: its bytes are those of the body that was sent") {
  const auto bytes_of = [](const Function& function, std::string method, bool gone = false) {
    TestRequest request(std::move(method), "/x");
    request.exchange.client_gone = gone;
    const auto line = LineOf({"/x", Kind::kAsync, function}, request);
    CAPTURE(line);
    CHECK(FieldOf(line, "bytes") == std::to_string(request.exchange.sent.size()));
  };
  bytes_of([](HttpContext& context) { context.Response().Write("hello"); }, "GET");
  bytes_of([](HttpContext& context) { context.Response().Write(std::string(1000, 'x')); }, "GET");
  // Suppressed, dropped, cut off, or never taken: not sent.
  bytes_of([](HttpContext& context) { context.Response().Write("hello"); }, "HEAD");
  bytes_of(
      [](HttpContext& context) {
        context.Response().SetStatusCode(204);
        context.Response().Write("hello");
      },
      "GET");
  bytes_of(
      [](HttpContext& context) {
        context.Response().Write("dropped");
        context.Response().ClearContent();
        context.Response().Write("kept");
      },
      "GET");
  bytes_of(
      [](HttpContext& context) {
        context.Response().Write("dropped for the error's text");
        throw HttpException(404);
      },
      "GET");
  bytes_of(
      [](HttpContext& context) {
        context.Response().Write("sent");
        context.Response().Flush();
        context.Response().Write("not sent");
        throw HttpException(404);
      },
      "GET");
  bytes_of([](HttpContext& context) { context.Response().Write("hello"); }, "GET", true);
}

TEST_CASE("Record: it has the address of the client and not of a trusted proxy") {
  PipelineOptions options;
  options.limits.request.trusted_proxies.Add("10.0.0.1");
  std::string log;
  const auto lines = PipelineHost::Run(options, [&](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext&) {}}});
    for (const std::string_view field : {"203.0.113.7", "203.0.113.7, evil\n"}) {
      TestRequest request("GET", "/x", {{"HTTP_X_FORWARDED_FOR", field}});
      request.remote = "10.0.0.1";
      host.Process(request);
    }
    log = host.Log();
  });
  REQUIRE(lines.size() == 2);
  CHECK(FieldOf(lines[0], "remote") == "203.0.113.7");
  CHECK(FieldOf(lines[1], "remote") == "10.0.0.1");
  // Told once, and on one line.
  CHECK(log.find("request 1 ") == std::string::npos);
  CHECK(log.find("request 2 from the trusted proxy '10.0.0.1'") != std::string::npos);
  CHECK(log.find("evil\n'") == std::string::npos);
}

TEST_CASE("Record: without an access log requests are served all the same") {
  RunInFiber([](host::runtime::Runtime& runtime) {
    host::observe::AccessLog access_log("");
    host::pipeline::Pipeline pipeline(runtime, access_log, PipelineOptions().limits);
    pipeline.RecordRefusal(400, "nobody writes this");
    CHECK(pipeline.RequestsInFlight() == 0);
  });
}

}  // namespace
}  // namespace weft::test
