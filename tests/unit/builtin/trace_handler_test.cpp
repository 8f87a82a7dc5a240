#include "handlers/builtin/trace_handler.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>

#include <weft/http_exception.hpp>
#include "tests/support/config_section.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft::builtin {
namespace {

using test::MemoryExchange;

struct Ask {
  std::string method = "GET";
  std::string query{};
  std::string remote = "127.0.0.1";
  std::string host = "localhost:8080";
  std::string script = "/trace.axd";
  test::VariableList more{};
  std::optional<std::string> section{};
  bool keeps = true;
};

struct Answer {
  int status = 0;
  std::string body{};
  std::string policy{};
  std::string location{};
  TraceQuestion question{};
  int clears = 0;
};

Answer Serve(const Ask& ask) {
  Answer answer;
  const auto pages = std::make_shared<TracePages>();
  if (ask.keeps) {
    pages->answer = [&](const TraceQuestion& question) {
      answer.question = question;
      return TraceAnswer{.is_found = question.id != "gone", .text = "the page"};
    };
    pages->clear = [&] { ++answer.clears; };
  }
  MemoryExchange exchange;
  TraceHandler handler(pages);
  test::VariableList variables{{"REQUEST_METHOD", ask.method},
                               {"QUERY_STRING", ask.query},
                               {"REMOTE_ADDR", ask.remote},
                               {"HTTP_HOST", ask.host},
                               {"SCRIPT_NAME", ask.script}};
  variables.insert(variables.end(), ask.more.begin(), ask.more.end());
  HttpContext context(test::MakeVariables(variables), exchange, {}, 1024);
  std::optional<test::ConfigSection> section;
  if (ask.section) {
    section.emplace("weft.trace", *ask.section);
    context.SetSections(&*section);
  }
  try {
    handler.ProcessRequest(context);
    context.Response().Complete();
    answer.status = context.Response().StatusCode();
    answer.location = context.Response().Headers().Find("Location").value_or("");
    answer.policy = context.Response().Headers().Find("Content-Security-Policy").value_or("");
  } catch (const HttpException& error) {
    answer.status = error.StatusCode();
  }
  answer.body = exchange.sent;
  return answer;
}

TEST_CASE("TraceHandler: asks for what the query says") {
  const auto answer = Serve({.query = "status=4xx&path=%2Fa&handler=b&slower=1.5"});
  CHECK(answer.status == 200);
  CHECK(answer.body == "the page");
  CHECK(answer.question.status == "4xx");
  CHECK(answer.question.path == "/a");
  CHECK(answer.question.handler == "b");
  CHECK(answer.question.slower_ms == 1.5);
  CHECK(answer.question.self == "/trace.axd");
  CHECK_FALSE(answer.question.as_json);
  CHECK(Serve({.query = "id=3-4"}).question.id == "3-4");
  CHECK(Serve({.query = "id=gone"}).status == 404);
  CHECK(Serve({.query = "slower=x"}).status == 400);
  CHECK(Serve({.query = "slower=-1"}).status == 400);
  CHECK(Serve({.query = "slower=nan"}).status == 400);
}

TEST_CASE("TraceHandler: is a page for people, or JSON") {
  CHECK(Serve({.query = "format=json"}).question.as_json);
  CHECK(Serve({.more = {{"HTTP_ACCEPT", "application/json"}}}).question.as_json);
  CHECK_FALSE(
      Serve({.more = {{"HTTP_ACCEPT", "text/html,application/json;q=0.9"}}}).question.as_json);
  CHECK(Serve({.query = "format=xml"}).status == 400);
}

TEST_CASE("TraceHandler: its page may load nothing, and run nothing") {
  const auto answer = Serve({});
  REQUIRE(answer.question.nonce.size() == 32);
  CHECK(answer.policy ==
        "default-src 'none'; style-src 'nonce-" + answer.question.nonce +
            "'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
  CHECK(Serve({}).question.nonce != answer.question.nonce);
}

TEST_CASE("TraceHandler: is for clients of this machine, under a name of its own") {
  CHECK(Serve({.remote = "192.0.2.1"}).status == 403);
  CHECK(Serve({.remote = ""}).status == 403);
  // A proxy of this machine whose word is not believed may speak for anybody.
  CHECK(Serve({.more = {{"HTTP_X_FORWARDED_FOR", "127.0.0.1"}}}).status == 403);
  for (const char* const host :
       {"localhost", "LOCALHOST:80", "a.localhost", "127.0.0.1:8080", "[::1]:80", ""}) {
    CHECK_MESSAGE(Serve({.host = host}).status == 200, host);
  }
  for (const char* const host : {"example.com", "localhost.example.com", "127.0.0.1.example.com",
                                 "1.2.3.4x", "notlocalhost"}) {
    CHECK_MESSAGE(Serve({.host = host}).status == 403, host);
  }
  CHECK(Serve({.remote = "192.0.2.1", .host = "example.com", .section = "\"all\""}).status == 200);
  CHECK(Serve({.remote = "192.0.2.1", .section = "\"local\""}).status == 403);
  CHECK(Serve({.section = "true"}).status == 500);
}

TEST_CASE("TraceHandler: its links and its redirect lead to itself, whatever its path") {
  const auto self = [](const char* script) { return Serve({.script = script}).question.self; };
  CHECK(self("/a/trace.axd") == "/a/trace.axd");
  CHECK(self("/a b/?/tr\"ace.axd") == "/a%20b/%3F/tr%22ace.axd");
  CHECK(self("//example.com/trace.axd") == "/example.com/trace.axd");
  const auto cleared =
      Serve({.method = "POST", .query = "clear", .script = "//example.com/trace.axd"});
  CHECK(cleared.location == "/example.com/trace.axd");
}

TEST_CASE("TraceHandler: says that nothing is kept") {
  CHECK(Serve({.keeps = false}).status == 403);
}

TEST_CASE("TraceHandler: forgets for who asks for it here, and not for another site's page") {
  CHECK(Serve({.query = "clear"}).clears == 0);
  const auto cleared = Serve({.method = "POST", .query = "clear"});
  CHECK(cleared.clears == 1);
  CHECK(cleared.status == 303);
  CHECK(
      Serve({.method = "POST", .query = "clear", .more = {{"HTTP_SEC_FETCH_SITE", "same-origin"}}})
          .clears == 1);
  CHECK(
      Serve(
          {.method = "POST", .query = "clear", .more = {{"HTTP_ORIGIN", "http://localhost:8080"}}})
          .clears == 1);
  CHECK(Serve({.method = "POST", .query = "clear", .more = {{"HTTP_SEC_FETCH_SITE", "cross-site"}}})
            .status == 403);
  CHECK(
      Serve({.method = "POST", .query = "clear", .more = {{"HTTP_ORIGIN", "http://evil.example"}}})
          .status == 403);
  CHECK(Serve({.method = "POST", .query = "clear", .more = {{"HTTP_ORIGIN", "null"}}}).clears == 0);
  CHECK(Serve({.method = "POST"}).status == 400);
  CHECK(Serve({.method = "DELETE", .query = "clear"}).status == 405);
}

}  // namespace
}  // namespace weft::builtin
