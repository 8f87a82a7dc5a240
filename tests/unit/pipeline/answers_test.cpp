// What a request is answered with when all goes well, and when nothing serves it.
#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include <weft/async.hpp>
#include <weft/server_sent_events.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using Call = MemoryExchange::Call;
using Calls = std::vector<Call>;

TEST_CASE("Pipeline: a handler's answer reaches the peer, whole and with its length") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext& context) {
                     context.Response().SetStatusCode(201);
                     context.Response().SetHeader("X-A", "1");
                     context.Response().Write("hello");
                   }}});
      const auto request = host.Get("/x");
      CHECK(request->exchange.status == 201);
      CHECK(request->exchange.description == "Created");
      CHECK(request->exchange.Header("X-A") == "1");
      CHECK(request->exchange.Header("Content-Length") == "5");
      CHECK(request->exchange.sent == "hello");
      CHECK_FALSE(request->exchange.aborted);
      CHECK(host.Log().empty());
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "status") == "201");
    CHECK(FieldOf(lines[0], "outcome") == "completed");
  }
}

TEST_CASE("Pipeline: a handler that does nothing is an empty 200") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext&) {}}});
      const auto request = host.Get("/x");
      CHECK(request->exchange.status == 200);
      CHECK(request->exchange.Header("Content-Length") == "0");
      CHECK(request->exchange.sent.empty());
    });
    CHECK(lines.size() == 1);
  }
}

TEST_CASE("Pipeline: HEAD has the header block of GET and no body") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext& context) { context.Response().Write("hello"); }}});
      TestRequest request("HEAD", "/x");
      host.Process(request);
      CHECK(request.exchange.status == 200);
      CHECK(request.exchange.Header("Content-Length") == "5");
      CHECK(request.exchange.calls.back() == Call::kSendHeaders);
    });
    CHECK(lines.size() == 1);
    CHECK(FieldOf(lines[0], "method") == "HEAD");
  }
}

TEST_CASE("Pipeline: HEAD of a stream of events ends at once, and is a whole answer") {
  for (const auto kind : kAllKinds) {
    for (const bool nested : {false, true}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(nested);
      bool failed = true;
      const auto lines = PipelineHost::Run([&](PipelineHost& host) {
        host.Serve({{"/events", kind,
                     [](HttpContext& context) {
                       ServerSentEvents events(context);
                       SleepFor(std::chrono::hours(1));
                     }},
                    {"/x", kind, [&](HttpContext& context) {
                       context.AddOnRequestCompleted(
                           [&](HttpContext& at_end) { failed = at_end.Error() != nullptr; });
                       context.Server().Execute("/events");
                     }}});
        TestRequest request("HEAD", nested ? "/x" : "/events");
        host.Process(request);
        CHECK(request.exchange.status == 200);
        CHECK(request.exchange.Header("Content-Type") == "text/event-stream");
        CHECK_FALSE(request.exchange.headers.Contains("Content-Length"));
        CHECK(request.exchange.sent.empty());
        CHECK_FALSE(request.exchange.aborted);
        CHECK(host.Log().empty());
      });
      CHECK(failed != nested);
      REQUIRE(lines.size() == 1);
      CHECK(FieldOf(lines[0], "status") == "200");
      CHECK(FieldOf(lines[0], "cause") == "mapped");
      CHECK(FieldOf(lines[0], "outcome") == "completed");
    }
  }
}

TEST_CASE("Pipeline: what no entry matches is 404, in plain text") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext&) {}}});
    const auto request = host.Get("/y");
    CHECK(request->exchange.status == 404);
    CHECK(request->exchange.sent == "404 Not Found\n");
    CHECK(request->exchange.Header("Content-Type") == "text/plain; charset=utf-8");
    CHECK_FALSE(request->exchange.headers.Contains("Allow"));
    CHECK(host.Made() == 0);
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "status") == "404");
  CHECK(FieldOf(lines[0], "url") == "/y");
}

TEST_CASE("Pipeline: a path under other verbs alone is 405, with those in Allow") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{.path = "/x", .function = [](HttpContext&) {}, .verb = "GET,HEAD"},
                {.path = "/x", .function = [](HttpContext&) {}, .verb = "PUT"}});
    TestRequest request("DELETE", "/x");
    host.Process(request);
    CHECK(request.exchange.status == 405);
    CHECK(request.exchange.Header("Allow") == "GET, HEAD, PUT");
    CHECK(request.exchange.sent == "405 Method Not Allowed\n");
    // The method's letter case counts.
    TestRequest small("get", "/x");
    host.Process(small);
    CHECK(small.exchange.status == 405);
    CHECK(host.Made() == 0);
  });
  CHECK(lines.size() == 2);
}

TEST_CASE(
    "Pipeline: HEAD of a path that is not served has no body, and the length that GET would have") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({});
    TestRequest request("HEAD", "/y");
    host.Process(request);
    CHECK(request.exchange.status == 404);
    CHECK(request.exchange.sent.empty());
    CHECK(request.exchange.Header("Content-Length") == "14");
  });
  CHECK(lines.size() == 1);
}

TEST_CASE("Pipeline: HEAD that fails after its handler wrote announces the error's own length") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext& context) {
                   context.Response().Write("text that GET would drop");
                   throw std::runtime_error("late");
                 }}});
    TestRequest head("HEAD", "/x");
    host.Process(head);
    TestRequest get("GET", "/x");
    host.Process(get);
    CHECK(get.exchange.Header("Content-Length") == std::to_string(get.exchange.sent.size()));
    CHECK(head.exchange.Header("Content-Length") == get.exchange.Header("Content-Length"));
  });
  CHECK(lines.size() == 2);
}

TEST_CASE("Pipeline: a path that has no normal form is 400, and no handler sees it") {
  struct Case {
    std::string path;
    std::string_view cause;
  };
  const std::vector<Case> cases = {
      {"", "path_not_absolute"},       {"x", "path_not_absolute"},
      {"/../x", "path_above_root"},    {"/a/../../x", "path_above_root"},
      {"/a\\x", "path_has_backslash"}, {std::string("/a\0x", 4), "path_has_nul"}};
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    host.Serve({{"*", Kind::kAsync, [](HttpContext&) {}}});
    for (const auto& [path, cause] : cases) {
      CAPTURE(path);
      const auto request = host.Get(path);
      CHECK(request->exchange.status == 400);
      CHECK(request->exchange.sent.starts_with("400 Bad Request\n"));
      // Why is for the operator.
      CHECK(request->exchange.sent.find(cause) == std::string::npos);
      CHECK(host.Log().find(cause) != std::string::npos);
    }
    CHECK(host.Made() == 0);
  });
  CHECK(lines.size() == cases.size());
  for (const auto& line : lines) {
    CHECK(FieldOf(line, "status") == "400");
  }
}

TEST_CASE("Pipeline: a path too long for its folder's patterns is 414, and no handler sees it") {
  std::string patterns = "a*b";
  while (patterns.size() < 1000) {
    patterns += ",a*b";
  }
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    host.Serve({{"*", Kind::kAsync, [](HttpContext&) {}}, {patterns, Kind::kAsync, {}}});
    CHECK(host.Get("/" + std::string(1000, 'a'))->exchange.status == 200);
    const auto request = host.Get("/" + std::string(100'000, 'a'));
    CHECK(request->exchange.sent == "414 URI Too Long\n");
    CHECK(host.Log().find("path_too_long: 100001 bytes") != std::string::npos);
    CHECK(host.Made() == 1);
  });
  REQUIRE(lines.size() == 2);
  CHECK(FieldOf(lines[1], "status") == "414");
  CHECK(FieldOf(lines[1], "cause") == "path_too_long");
}

TEST_CASE("Pipeline: a method that is no token is 400, and no handler sees it") {
  const std::vector<std::string> methods = {"",     "GE T",    "GET\r\nX", std::string("GET\0", 4),
                                            "G\"T", "\xC3\x84"};
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    host.Serve({{"*", Kind::kAsync, [](HttpContext&) {}}});
    for (const auto& method : methods) {
      TestRequest request(method, "/x");
      host.Process(request);
      CHECK(request.exchange.status == 400);
    }
    CHECK(host.Made() == 0);
  });
  CHECK(lines.size() == methods.size());
}

TEST_CASE("Pipeline: the handler sees the path that was mapped, normalised and split") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    std::string seen;
    host.Serve({{"*.do", Kind::kAsync, [&seen](HttpContext& context) {
                   const auto& request = context.Request();
                   seen = std::string(request.FilePath()) + "|" + std::string(request.PathInfo()) +
                          "|" + std::string(request.RawUrl());
                 }}});
    host.Get("/a//b/../c.do/tail/x", {{"REQUEST_URI", "/a//b/../c.do/tail/x?q"}});
    CHECK(seen == "/a/c.do|/tail/x|/a//b/../c.do/tail/x?q");
    host.Get("/c.do", {{"PATH_INFO", "/tail"}});
    CHECK(seen == "/c.do|/tail|/c.do/tail");
  });
  REQUIRE(lines.size() == 2);
  CHECK(FieldOf(lines[0], "url") == "/a//b/../c.do/tail/x?q");
}

TEST_CASE("Pipeline: 204 that a handler chose has no body") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext& context) {
                   context.Response().SetStatusCode(204);
                   context.Response().Write("ignored");
                 }}});
    const auto request = host.Get("/x");
    CHECK(request->exchange.status == 204);
    CHECK(request->exchange.headers.empty());
    CHECK(request->exchange.calls.back() == Call::kSendHeaders);
  });
  CHECK(lines.size() == 1);
}

TEST_CASE("Pipeline: a handler that streams is sent as it writes") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      Calls before_end;
      TestRequest request("GET", "/x");
      host.Serve({{"/x", kind, [&](HttpContext& context) {
                     context.Response().Write("first");
                     context.Response().Flush();
                     before_end = request.exchange.calls;
                     context.Response().Write(std::string(100, 'x'));
                     context.Response().Write("last");
                   }}});
      host.Process(request);
      CHECK(Calls(before_end.end() - 3, before_end.end()) ==
            Calls{Call::kSendHeaders, Call::kSendBody, Call::kFlush});
      CHECK(request.exchange.sent == "first" + std::string(100, 'x') + "last");
      CHECK_FALSE(request.exchange.headers.Contains("Content-Length"));
    });
    CHECK(lines.size() == 1);
    CHECK(FieldOf(lines[0], "bytes") == "109");
  }
}

}  // namespace
}  // namespace weft::test
