// Exceptions become answers, in one place.
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using Call = MemoryExchange::Call;

void Throw(HttpContext&) { throw std::runtime_error("the secret reason"); }

TEST_CASE(
    "Pipeline: what a handler throws is 500 with a generic text, and the log has the reason") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, Throw}});
      const auto request = host.Get("/x", {{"REQUEST_URI", "/x?a=b"}});
      CHECK(request->exchange.status == 500);
      CHECK(request->exchange.sent == "500 Internal Server Error\n");
      CHECK(request->exchange.Header("Content-Type") == "text/plain; charset=utf-8");
      CHECK_FALSE(request->exchange.aborted);
      // The request's number, its URL, the handler's class, and what().
      CHECK(host.Log().find(" error: request ") != std::string::npos);
      CHECK(host.Log().find("-1 GET /x?a=b: ") != std::string::npos);
      CHECK(host.Log().find("FunctionHandler") != std::string::npos);
      CHECK(host.Log().ends_with(": the secret reason\n"));
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "status") == "500");
    CHECK(FieldOf(lines[0], "id") == "1");
  }
}

TEST_CASE("Pipeline: an exception without a text is 500 too") {
  struct Silent : std::exception {
    const char* what() const noexcept override { return nullptr; }
  };
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([&](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext&) { throw Silent(); }}});
      CHECK(host.Get("/x")->exchange.status == 500);
      CHECK(host.Log().find("says nothing") != std::string::npos);
    });
  }
}

TEST_CASE("Pipeline: what is no std::exception is 500 too") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext&) { throw 42; }}});
      const auto request = host.Get("/x");
      CHECK(request->exchange.status == 500);
      CHECK(request->exchange.sent == "500 Internal Server Error\n");
      CHECK(host.Log().find("no std::exception") != std::string::npos);
    });
    CHECK(lines.size() == 1);
  }
}

TEST_CASE("Pipeline: details are shown with --debug, and then to clients on the loopback alone") {
  struct Case {
    bool debug;
    std::string remote;
    bool shown;
  };
  for (const auto& [debug, remote, shown] :
       {Case{false, "127.0.0.1", false}, Case{false, "::1", false}, Case{true, "127.0.0.1", true},
        Case{true, "127.1.2.3", true}, Case{true, "::1", true},
        Case{true, "::ffff:127.0.0.1", true}, Case{true, "192.0.2.1", false},
        Case{true, "::2", false}, Case{true, "::ffff:192.0.2.1", false}, Case{true, "", false},
        Case{true, "12.7.0.0", false}, Case{true, "1270.0.0.1", false},
        Case{true, "::11", false}}) {
    CAPTURE(debug);
    CAPTURE(remote);
    PipelineOptions options;
    options.limits.request.debug = debug;
    options.limits.output_buffer_bytes = 1000;
    PipelineHost::Run(options, [&, with_remote = remote, is_shown = shown](PipelineHost& host) {
      host.Serve({{"/x", Kind::kAsync, Throw}});
      TestRequest request("GET", "/x");
      request.remote = with_remote;
      host.Process(request);
      CHECK(request.exchange.status == 500);
      CHECK((request.exchange.sent.find("the secret reason") != std::string::npos) == is_shown);
    });
  }
}

TEST_CASE("Pipeline: with --debug nobody sees details through a proxy on this machine") {
  PipelineOptions options;
  options.limits.request.debug = true;
  options.limits.output_buffer_bytes = 1000;
  PipelineHost::Run(options, [](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, Throw}});
    TestRequest request("GET", "/x", {{"HTTP_X_FORWARDED_FOR", "203.0.113.7"}});
    request.remote = "127.0.0.1";
    host.Process(request);
    CHECK(request.exchange.sent == "500 Internal Server Error\n");
  });
}

TEST_CASE("Pipeline: with --debug the detail of an HttpException is shown too, to the loopback") {
  PipelineOptions options;
  options.limits.request.debug = true;
  options.limits.output_buffer_bytes = 1000;
  PipelineHost::Run(options, [](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext&) {
                   throw HttpException(409, "Try later.", "row 17 is locked");
                 }}});
    TestRequest local("GET", "/x");
    local.remote = "127.0.0.1";
    host.Process(local);
    CHECK(local.exchange.sent.find("row 17 is locked") != std::string::npos);
    CHECK(host.Get("/x")->exchange.sent == "409 Conflict\nTry later.\n");
  });
}

TEST_CASE("Pipeline: an HttpException is answered with its status and public text") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext&) {
                     throw HttpException(409, "The order was sent already.", "order 17");
                   }}});
      const auto request = host.Get("/x");
      CHECK(request->exchange.status == 409);
      CHECK(request->exchange.description == "Conflict");
      CHECK(request->exchange.sent == "409 Conflict\nThe order was sent already.\n");
      CHECK(host.Log().find("order 17") != std::string::npos);
      CHECK(host.Log().find(" error: ") == std::string::npos);
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "status") == "409");
  }
}

TEST_CASE("Pipeline: an HttpException without a text has its phrase once") {
  PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext& context) {
                   throw HttpException(std::stoi(std::string(context.Request().QueryStringText())));
                 }}});
    CHECK(host.Get("/x", {{"QUERY_STRING", "403"}})->exchange.sent == "403 Forbidden\n");
    CHECK(host.Get("/x", {{"QUERY_STRING", "501"}})->exchange.sent == "501 Not Implemented\n");
    CHECK(host.Get("/x", {{"QUERY_STRING", "599"}})->exchange.sent == "599 Unknown\n");
  });
}

TEST_CASE("Pipeline: an HttpException with no error status is 500, and says no more") {
  PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext&) { throw HttpException(200); }}});
    const auto request = host.Get("/x");
    CHECK(request->exchange.status == 500);
    CHECK(request->exchange.sent == "500 Internal Server Error\n");
  });
}

TEST_CASE("Pipeline: what a handler had set and written before it threw is dropped") {
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext& context) {
                     auto& response = context.Response();
                     response.SetStatusCode(201);
                     response.SetStatusDescription("Nearly");
                     response.SetContentType("application/json");
                     response.SetHeader("X-Secret", "1");
                     response.SetHeader("Content-Length", "5");
                     response.Write("{\"a\":");
                     throw std::runtime_error("x");
                   }}});
      const auto request = host.Get("/x");
      CHECK(request->exchange.status == 500);
      CHECK(request->exchange.description == "Internal Server Error");
      CHECK_FALSE(request->exchange.headers.Contains("X-Secret"));
      CHECK(request->exchange.Header("Content-Type") == "text/plain; charset=utf-8");
      CHECK(request->exchange.Header("Content-Length") == "26");
      CHECK(request->exchange.sent == "500 Internal Server Error\n");
    });
  }
}

TEST_CASE(
    "Pipeline: an exception after the header block aborts, and no error text follows the body") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext& context) {
                     context.Response().Write("half of ");
                     context.Response().Flush();
                     context.Response().Write("what is not sent");
                     throw HttpException(404, "not found");
                   }}});
      const auto request = host.Get("/x");
      CHECK(request->exchange.status == 200);
      CHECK(request->exchange.sent == "half of ");
      CHECK(request->exchange.aborted);
      CHECK(request->exchange.calls.back() == Call::kAbort);
      CHECK(request->exchange.Count(Call::kAbort) == 1);
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "outcome") == "aborted");
    CHECK(FieldOf(lines[0], "status") == "404");
  }
}

TEST_CASE("Pipeline: a 405 that a handler throws keeps the Allow that it set") {
  PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext& context) {
                   context.Response().SetHeader("Allow", "GET");
                   context.Response().SetHeader("X-Other", "1");
                   throw HttpException(405);
                 }}});
    const auto request = host.Get("/x");
    CHECK(request->exchange.status == 405);
    CHECK(request->exchange.Header("Allow") == "GET");
    CHECK_FALSE(request->exchange.headers.Contains("X-Other"));
  });
}

TEST_CASE("Pipeline: a handler that cannot be made is 500, and the log says why") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Classes().AddHandler("Null", [] { return nullptr; });
    host.Classes().AddHandler("Throws", []() -> std::unique_ptr<IHttpHandler> {
      throw std::runtime_error("no database");
    });
    host.Serve({}, {},
               R"(, { "add": { "verb": "*", "path": "/null", "type": "Null" } },
                    { "add": { "verb": "*", "path": "/throws", "type": "Throws" } })");
    CHECK(host.Get("/null")->exchange.sent == "500 Internal Server Error\n");
    CHECK(host.Get("/throws")->exchange.sent == "500 Internal Server Error\n");
    CHECK(host.Log().find("made no handler") != std::string::npos);
    CHECK(host.Log().find("Throws: no database") != std::string::npos);
  });
  CHECK(lines.size() == 2);
}

TEST_CASE("Pipeline: a type that was not validated is 500 at its own entry alone") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve(
        {{"/x", Kind::kAsync, [](HttpContext&) {}}}, {},
        R"(, { "add": { "verb": "*", "path": "/late", "type": "None", "validate": false } })");
    const auto request = host.Get("/late");
    CHECK(request->exchange.sent == "500 Internal Server Error\n");
    CHECK(host.Log().find("machine.json:1:") != std::string::npos);
    CHECK(host.Log().find(R"(No class "None" is built in)") != std::string::npos);
    CHECK(host.Get("/x")->exchange.status == 200);
  });
  CHECK(lines.size() == 2);
}

TEST_CASE("Pipeline: what a peer sends does not make lines of the log") {
  PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, Throw}});
    host.Get("/x", {{"REQUEST_URI", "/x\r\n2026-01-01 weft[1] error: forged"}});
    const auto log = host.Log();
    CHECK(std::count(log.begin(), log.end(), '\n') == 1);
  });
}

TEST_CASE("Pipeline: an error whose text outgrows the response's buffer arrives whole") {
  PipelineOptions options;
  options.limits.output_buffer_bytes = 8;
  PipelineHost::Run(options, [](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync,
                 [](HttpContext&) { throw HttpException(409, std::string(100, 't')); }}});
    const auto request = host.Get("/x");
    CHECK(request->exchange.status == 409);
    CHECK(request->exchange.sent == "409 Conflict\n" + std::string(100, 't') + "\n");
  });
}

}  // namespace
}  // namespace weft::test
