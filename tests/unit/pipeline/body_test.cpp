// The request's body: who reads it, what bounds it, and what becomes of a bad one.
#include <doctest/doctest.h>

#include <exception>
#include <string>

#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using Call = MemoryExchange::Call;

/// Reads the body as it arrives, in small steps.
std::string ReadStream(HttpContext& context) {
  auto& stream = context.Request().GetBufferlessInputStream();
  std::string body;
  std::string piece(7, '\0');
  while (const auto count = stream.Read(piece)) {
    body += piece.substr(0, count);
  }
  return body;
}

/// Answers with the body.
void Echo(HttpContext& context) { context.Response().Write(context.Request().Body()); }
void EchoStream(HttpContext& context) { context.Response().Write(ReadStream(context)); }

bool IsBufferless(Kind kind) {
  return kind == Kind::kPlainBufferless || kind == Kind::kAsyncBufferless;
}

/// One request with a body, and what it was answered with.
struct Result {
  int status = 0;
  std::string sent;
  int made = 0;
  bool entered = false;
  std::size_t lines = 0;
  std::string log;
};

Result Post(Kind kind, std::deque<std::string> body, VariableList variables,
            PipelineOptions options = {}) {
  Result result;
  const auto lines = PipelineHost::Run(options, [&](PipelineHost& host) {
    host.Serve({{"/x", kind, [&](HttpContext& context) {
                   result.entered = true;
                   (IsBufferless(kind) ? EchoStream : Echo)(context);
                 }}});
    TestRequest request("POST", "/x", std::move(variables));
    request.exchange.body = std::move(body);
    host.Process(request);
    result.status = request.exchange.status;
    result.sent = request.exchange.sent;
    result.made = host.Made();
    result.log = host.Log();
    CHECK_FALSE(request.exchange.aborted);
    CHECK(host.Living() == 0);
  });
  result.lines = lines.size();
  return result;
}

TEST_CASE("Pipeline: a body is the handler's, with and without an announced length") {
  for (const auto kind : kAllKinds) {
    for (const VariableList& variables : {VariableList{{"CONTENT_LENGTH", "8"}}, VariableList{},
                                          VariableList{{"CONTENT_LENGTH", ""}}}) {
      const auto result = Post(kind, {"a", "bc", "defgh"}, variables);
      CHECK(result.status == 200);
      CHECK(result.sent == "abcdefgh");
      CHECK(result.lines == 1);
    }
  }
}

TEST_CASE(
    "Pipeline: a handler that buffers is entered when the whole body is there, a bufferless one "
    "before") {
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([kind](PipelineHost& host) {
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "3"}});
      request.exchange.body = {"a", "b", "c"};
      std::size_t reads_at_entry = 0;
      host.Serve({{"/x", kind, [&](HttpContext&) {
                     reads_at_entry = request.exchange.Count(Call::kReadBody);
                   }}});
      host.Process(request);
      CHECK(reads_at_entry == (IsBufferless(kind) ? 0u : 3u));
      // Nobody reads on for a bufferless handler that did not.
      CHECK(request.exchange.Count(Call::kReadBody) == reads_at_entry);
      CHECK(request.exchange.status == 200);
    });
  }
}

TEST_CASE("Pipeline: a request without a body is not asked for one when it announces none") {
  PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, Echo}});
    const auto request = host.Get("/x", {{"CONTENT_LENGTH", "0"}});
    CHECK(request->exchange.Count(Call::kReadBody) == 0);
    CHECK(request->exchange.status == 200);
  });
}

TEST_CASE("Pipeline: no more is read than was announced") {
  for (const auto kind : kAllKinds) {
    const auto result = Post(kind, {"abc", "def"}, {{"CONTENT_LENGTH", "4"}});
    CHECK(result.status == 200);
    CHECK(result.sent == "abcd");
  }
}

TEST_CASE("Pipeline: an announced length over the bound is 413, and nothing is read") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, Echo}});
      for (const std::string length : {"1001", "18446744073709551615"}) {
        TestRequest request("POST", "/x", {{"CONTENT_LENGTH", length}});
        host.Process(request);
        CHECK(request.exchange.status == 413);
        CHECK(request.exchange.sent == "413 Content Too Large\n");
        CHECK(request.exchange.Count(Call::kReadBody) == 0);
        // The operator learns the limit, its value and the size.
        CHECK(host.Log().find(length + " bytes, the limit is 1000 (--max-request-bytes") !=
              std::string::npos);
      }
      CHECK(host.Made() == 0);
    });
    CHECK(lines.size() == 2);
  }
}

TEST_CASE("Pipeline: a body of exactly the bound is taken") {
  const std::string body(1000, 'x');
  for (const auto kind : kAllKinds) {
    CHECK(Post(kind, {body}, {{"CONTENT_LENGTH", "1000"}}).sent == body);
    CHECK(Post(kind, {body}, {}).sent == body);
  }
}

TEST_CASE("Pipeline: a body that grows over the bound without being announced is 413") {
  const std::string body(1001, 'x');
  for (const auto kind : kAllKinds) {
    const auto result = Post(kind, {body.substr(0, 500), body.substr(500)}, {});
    CHECK(result.status == 413);
    CHECK(result.sent == "413 Content Too Large\n");
    CHECK(result.entered == IsBufferless(kind));
    CHECK(result.lines == 1);
    CHECK(result.log.find("the limit is 1000") != std::string::npos);
  }
}

TEST_CASE(
    "Pipeline: a mapping's own bound holds for its folder, be it lower or higher than the host's") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    const std::string body(20, 'x');
    const std::string more(2000, 'x');
    host.Serve({{"/x", Kind::kAsync, Echo}}, R"("httpRuntime": { "maxRequestBytes": 10 }, )");
    TestRequest lower("POST", "/x", {{"CONTENT_LENGTH", "20"}});
    lower.exchange.body = {body};
    host.Process(lower);
    CHECK(lower.exchange.status == 413);
    host.Serve({{"/x", Kind::kAsync, Echo}}, R"("httpRuntime": { "maxRequestBytes": 3000 }, )");
    TestRequest higher("POST", "/x", {{"CONTENT_LENGTH", "2000"}});
    higher.exchange.body = {more};
    host.Process(higher);
    CHECK(higher.exchange.status == 200);
    CHECK(higher.exchange.sent == more);
  });
  CHECK(lines.size() == 2);
}

TEST_CASE("Pipeline: a length that is no number of bytes is 400, and nothing is read") {
  for (const std::string length : {"-1", "+5", " 5", "5 ", "5,5", "0x5", "five", "5.0",
                                   "18446744073709551616", "99999999999999999999999"}) {
    CAPTURE(length);
    for (const auto kind : kAllKinds) {
      const auto result = Post(kind, {"abcde"}, {{"CONTENT_LENGTH", length}});
      CHECK(result.status == 400);
      CHECK(result.sent.starts_with("400 Bad Request\n"));
      // What the client sent is not sent back.
      CHECK(result.sent.find(length) == std::string::npos);
      CHECK(result.made == 0);
      CHECK(result.lines == 1);
    }
  }
}

TEST_CASE("Pipeline: a body shorter than announced is 400, and a buffering handler is not called") {
  for (const auto kind : kAllKinds) {
    const auto result = Post(kind, {"abc"}, {{"CONTENT_LENGTH", "5"}});
    CHECK(result.status == 400);
    CHECK(result.sent == "400 Bad Request\nThe body is shorter than its Content-Length.\n");
    CHECK(result.entered == IsBufferless(kind));
    CHECK(result.lines == 1);
    CHECK(result.log.find("3 of 5 bytes came") != std::string::npos);
  }
}

TEST_CASE("Pipeline: a body that does not come in time is 408, as the exchange says") {
  for (const auto kind : kAllKinds) {
    const auto lines = PipelineHost::Run([kind](PipelineHost& host) {
      bool entered = false;
      host.Serve({{"/x", kind, [&](HttpContext& context) {
                     entered = true;
                     EchoStream(context);
                   }}});
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "5"}});
      request.exchange.body = {"abc"};
      request.exchange.fail_at = 2;
      request.exchange.failure = std::make_exception_ptr(HttpException(408));
      host.Process(request);
      CHECK(request.exchange.status == 408);
      CHECK(request.exchange.sent == "408 Request Timeout\n");
      CHECK(entered == IsBufferless(kind));
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "status") == "408");
  }
}

TEST_CASE(
    "Pipeline: bodies in memory are bounded together: 503 beyond it, and given back afterwards") {
  PipelineOptions options;
  options.limits.max_buffered_bytes = 10;
  const auto lines = PipelineHost::Run(options, [](PipelineHost& host) {
    Signal entered(host.Runtime());
    host::runtime::FiberEvent leave;
    host.Serve({{"/hold", Kind::kAsync,
                 [&](HttpContext& context) {
                   entered.Set();
                   leave.Wait();
                   Echo(context);
                 }},
                {"/x", Kind::kAsync, Echo}});
    TestRequest held("POST", "/hold", {{"CONTENT_LENGTH", "8"}});
    held.exchange.body = {"abcdefgh"};
    SideFiber side(host.Runtime(), [&] { host.Process(held); });
    entered.Wait();

    TestRequest too_much("POST", "/x", {{"CONTENT_LENGTH", "3"}});
    too_much.exchange.body = {"abc"};
    host.Process(too_much);
    CHECK(too_much.exchange.status == 503);
    CHECK(too_much.exchange.Header("Retry-After") == "1");
    CHECK(host.Log().find("--max-buffered-bytes") != std::string::npos);

    // What fits beside the one that is held is served; and the refused one took nothing away.
    TestRequest fits("POST", "/x", {{"CONTENT_LENGTH", "2"}});
    fits.exchange.body = {"ab"};
    host.Process(fits);
    CHECK(fits.exchange.status == 200);

    leave.Notify();
    side.Join();
    CHECK(held.exchange.sent == "abcdefgh");
    TestRequest after("POST", "/x", {{"CONTENT_LENGTH", "10"}});
    after.exchange.body = {"0123456789"};
    host.Process(after);
    CHECK(after.exchange.status == 200);
  });
  CHECK(lines.size() == 4);
}

TEST_CASE("Pipeline: the budget of bodies is given back however a request ends") {
  PipelineOptions options;
  options.limits.max_buffered_bytes = 10;
  PipelineHost::Run(options, [](PipelineHost& host) {
    host.Serve({{"/echo", Kind::kAsync, Echo},
                {"/throw", Kind::kAsync, [](HttpContext&) { throw std::runtime_error("x"); }},
                {"/plain", Kind::kPlain, [](HttpContext&) { throw HttpException(409); }}});
    const auto post = [&host](const std::string& path, std::string_view length, auto... pieces) {
      TestRequest request("POST", path, {{"CONTENT_LENGTH", length}});
      request.exchange.body = {pieces...};
      host.Process(request);
      return request.exchange.status;
    };
    CHECK(post("/throw", "10", "0123456789") == 500);
    CHECK(post("/plain", "10", "0123456789") == 409);
    CHECK(post("/echo", "9", "short") == 400);
    CHECK(post("/echo", "", "0123456789a") == 503);
    CHECK(post("/echo", "", "0123456789", "a") == 503);
    CHECK(post("/nowhere", "10", "0123456789") == 404);
    TestRequest gone("POST", "/echo", {{"CONTENT_LENGTH", "10"}});
    gone.exchange.body = {"012345"};
    gone.exchange.fail_at = 2;
    host.Process(gone);
    CHECK(gone.exchange.status == 500);
    CHECK(post("/echo", "10", "0123456789") == 200);
  });
}

TEST_CASE(
    "Pipeline: a bufferless handler's stream is bounded by the request alone, not by the budget") {
  PipelineOptions options;
  options.limits.max_buffered_bytes = 10;
  const std::string body(900, 'x');
  for (const auto kind : {Kind::kPlainBufferless, Kind::kAsyncBufferless}) {
    const auto result = Post(kind, {body}, {}, options);
    CHECK(result.status == 200);
    CHECK(result.sent == body);
  }
}

TEST_CASE("Pipeline: what a bufferless handler gathers with Body counts for the budget") {
  PipelineOptions options;
  options.limits.max_buffered_bytes = 10;
  for (const auto kind : {Kind::kPlainBufferless, Kind::kAsyncBufferless}) {
    PipelineHost::Run(options, [kind](PipelineHost& host) {
      host.Serve({{"/x", kind, Echo}});
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "20"}});
      request.exchange.body = {std::string(20, 'x')};
      host.Process(request);
      CHECK(request.exchange.status == 503);
    });
  }
}

TEST_CASE("Pipeline: a bufferless handler may gather the body, and then cannot stream it anew") {
  for (const auto kind : {Kind::kPlainBufferless, Kind::kAsyncBufferless}) {
    PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, Echo}});
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "6"}});
      request.exchange.body = {"abc", "def"};
      host.Process(request);
      CHECK(request.exchange.sent == "abcdef");
    });
  }
}

TEST_CASE("Pipeline: a handler that buffers may read its body as a stream, from memory") {
  for (const auto kind : {Kind::kPlain, Kind::kAsync}) {
    PipelineHost::Run([kind](PipelineHost& host) {
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "6"}});
      request.exchange.body = {"abc", "def"};
      std::size_t reads_at_entry = 0;
      host.Serve({{"/x", kind, [&](HttpContext& context) {
                     reads_at_entry = request.exchange.Count(Call::kReadBody);
                     EchoStream(context);
                   }}});
      host.Process(request);
      CHECK(request.exchange.sent == "abcdef");
      CHECK(request.exchange.Count(Call::kReadBody) == reads_at_entry);
    });
  }
}

}  // namespace
}  // namespace weft::test
