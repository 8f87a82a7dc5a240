#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <weft/detail/request_execution.hpp>
#include <weft/http_context.hpp>
#include <weft/http_date.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

using namespace std::chrono_literals;
using test::MemoryExchange;
using test::VariableList;
using Call = MemoryExchange::Call;
using Calls = std::vector<Call>;

constexpr std::chrono::sys_seconds kDate =
    std::chrono::sys_days(2026y / std::chrono::November / 1) + 12h;

/// A request with conditions, and its answer.
struct Subject {
  explicit Subject(test::VariableList conditions = {}, std::string_view method = "GET",
                   std::size_t buffer_bytes = 16)
      : context(
            [&] {
              conditions.emplace_back("REQUEST_METHOD", method);
              return test::MakeVariables(conditions);
            }(),
            exchange, {}, buffer_bytes) {}

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, value] : exchange.headers) {
      names.push_back(name);
    }
    return names;
  }

  MemoryExchange exchange;
  HttpContext context;
  HttpResponse& response = context.Response();
};

TEST_CASE(
    "HttpResponse: a GET whose entity tag the client has is a 304, with the fields of RFC 9110, "
    "section 15.4.5") {
  Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "\"a\""}});
  auto& response = subject.response;
  response.Cache().SetETag(EntityTag("a"));
  response.Cache().SetLastModified(kDate);
  response.Cache().SetMaxAge(60s);
  response.Cache().SetExpires(kDate);
  response.Cache().VaryByHeaders({"Accept"});
  response.SetHeader("Content-Location", "/a");
  response.SetHeader("Content-Length", "5");
  response.SetHeader("Content-Language", "de");
  response.SetHeader("Content-Encoding", "gzip");
  response.SetHeader("Accept-Ranges", "bytes");
  response.SetContentType("text/plain");
  response.Write("hello");
  response.Complete();
  CHECK(subject.exchange.status == 304);
  CHECK(subject.exchange.description == "Not Modified");
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders});
  CHECK(subject.Names() ==
        std::vector<std::string>{"Content-Location", "Cache-Control", "Expires", "ETag", "Vary"});
  CHECK(response.StatusCode() == 304);  // for the access log
  CHECK(response.Cause().empty());
}

TEST_CASE("HttpResponse: a 304 without an entity tag keeps Last-Modified") {
  const auto date = FormatHttpDate(kDate);
  Subject subject(VariableList{{"HTTP_IF_MODIFIED_SINCE", date}});
  subject.response.SetHeader("Last-Modified", date);
  subject.response.Write("hello");
  subject.response.Complete();
  CHECK(subject.exchange.status == 304);
  CHECK(subject.Names() == std::vector<std::string>{"Last-Modified"});
}

TEST_CASE("HttpResponse: a 304 keeps what is not about the content") {
  Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "*"}});
  auto& response = subject.response;
  response.SetHeader("ETag", "\"a\"");
  response.SetHeader("Access-Control-Allow-Origin", "*");
  response.SetHeader("Content-Security-Policy", "default-src 'self'");
  response.SetHeader("Content-Disposition", "attachment");
  response.AppendHeader("Set-Cookie", "a=1");
  response.AppendHeader("Set-Cookie", "b=2");
  response.Complete();
  CHECK(subject.Names() == std::vector<std::string>{"ETag", "Access-Control-Allow-Origin",
                                                    "Content-Security-Policy", "Set-Cookie",
                                                    "Set-Cookie"});
}

TEST_CASE("HttpResponse: validators that were set as fields count as those of the policy") {
  for (const bool by_policy : {false, true}) {
    CAPTURE(by_policy);
    for (const std::string_view sent : {"\"a\"", "W/\"a\"", "\"b\""}) {
      CAPTURE(sent);
      Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", sent}});
      if (by_policy) {
        subject.response.Cache().SetETag(EntityTag("a"));
      } else {
        subject.response.SetHeader("etag", "\"a\"");
      }
      subject.response.Write("hello");
      subject.response.Complete();
      CHECK(subject.exchange.status == (sent == "\"b\"" ? 200 : 304));
      CHECK(subject.exchange.sent == (sent == "\"b\"" ? "hello" : ""));
    }
  }
}

TEST_CASE("HttpResponse: HEAD is answered as GET") {
  Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "\"a\""}}, "HEAD");
  subject.response.SetHeader("ETag", "\"a\"");
  subject.response.Write("hello");
  subject.response.Complete();
  CHECK(subject.exchange.status == 304);
  CHECK(subject.Names() == std::vector<std::string>{"ETag"});
}

TEST_CASE("HttpResponse: a condition that fails is a 412 without content, and its cause is told") {
  for (const auto* const method : {"GET", "HEAD"}) {
    CAPTURE(method);
    Subject subject(VariableList{{"HTTP_IF_MATCH", "\"b\""}}, method);
    subject.response.Cache().SetETag(EntityTag("a"));
    subject.response.Cache().SetMaxAge(60s);
    subject.response.SetHeader("Content-Encoding", "gzip");
    subject.response.SetHeader("X-Other", "x");
    subject.response.Write("hello");
    subject.response.Complete();
    CHECK(subject.exchange.status == 412);
    CHECK(subject.exchange.description == "Precondition Failed");
    CHECK(subject.exchange.sent.empty());
    // No cache keeps it under the validators of what it is not.
    CHECK(subject.Names() == std::vector<std::string>{"X-Other", "Content-Length"});
    CHECK(subject.exchange.Header("Content-Length") == "0");
    CHECK(subject.response.Cause() == "precondition_failed");
  }
}

TEST_CASE("HttpResponse: conditions count for 2xx alone, and for GET and HEAD alone") {
  for (const int status : {200, 203, 299}) {
    Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "*"}});
    subject.response.SetStatusCode(status);
    subject.response.SetHeader("ETag", "\"a\"");
    subject.response.Complete();
    CHECK(subject.exchange.status == 304);
  }
  for (const int status : {302, 304, 404, 500}) {
    Subject subject(VariableList{{"HTTP_IF_MATCH", "\"b\""}});
    subject.response.SetStatusCode(status);
    subject.response.SetHeader("ETag", "\"a\"");
    subject.response.Complete();
    CHECK(subject.exchange.status == status);
  }
  for (const auto* const method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    Subject subject(VariableList{{"HTTP_IF_MATCH", "\"b\""}}, method);
    subject.response.SetHeader("ETag", "\"a\"");
    subject.response.Write("x");
    subject.response.Complete();
    CHECK(subject.exchange.status == 200);
    CHECK(subject.exchange.sent == "x");
  }
}

TEST_CASE("HttpResponse: without validators conditions count for nothing") {
  Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "*"}, {"HTTP_IF_MATCH", "\"b\""}});
  subject.response.Cache().SetMaxAge(1s);
  subject.response.Write("x");
  subject.response.Complete();
  CHECK(subject.exchange.status == 200);
}

TEST_CASE("HttpResponse: a field ETag that is none, and a date that is none, are no validators") {
  Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "\"a\""}, {"HTTP_IF_MODIFIED_SINCE", "x"}});
  subject.response.SetHeader("ETag", "a");
  subject.response.SetHeader("Last-Modified", "x");
  subject.response.Complete();
  CHECK(subject.exchange.status == 200);
}

TEST_CASE("HttpResponse: what a streaming handler writes after its 304 is dropped") {
  Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "\"a\""}}, "GET", 4);
  auto& response = subject.response;
  response.Cache().SetETag(EntityTag("a"));
  response.Write("more than the buffer");
  CHECK(response.HeadersWritten());
  CHECK_FALSE(response.IsBodyWanted());
  response.Write("ab");
  response.Write("and more than the buffer");
  response.Flush();
  response.Complete();
  CHECK(subject.exchange.status == 304);
  CHECK(subject.exchange.Count(Call::kSendHeaders) == 1);
  CHECK(subject.exchange.Count(Call::kSendBody) == 0);
}

TEST_CASE("HttpResponse: what a streaming handler writes after its 412 is dropped") {
  for (const std::string_view text : {"ab", "more than the buffer"}) {
    Subject subject(VariableList{{"HTTP_IF_MATCH", "\"b\""}}, "GET", 4);
    subject.response.Cache().SetETag(EntityTag("a"));
    subject.response.Write(text);
    subject.response.Flush();
    subject.response.Write(text);
    subject.response.Complete();
    CHECK(subject.exchange.status == 412);
    CHECK(subject.exchange.Count(Call::kSendBody) == 0);
  }
}

TEST_CASE("HttpResponse: IsBodyWanted says it before anything is made, and changes nothing") {
  {
    Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "\"a\""}});
    CHECK(subject.response.IsBodyWanted());
    subject.response.Cache().SetETag(EntityTag("a"));
    CHECK_FALSE(subject.response.IsBodyWanted());
    CHECK(subject.response.StatusCode() == 200);
    CHECK(subject.response.Headers().empty());
    subject.response.Complete();
    CHECK(subject.exchange.status == 304);
  }
  {
    Subject subject(VariableList{{"HTTP_IF_UNMODIFIED_SINCE", FormatHttpDate(kDate)}});
    subject.response.Cache().SetLastModified(kDate + 1s);
    CHECK_FALSE(subject.response.IsBodyWanted());
    subject.response.SetHeader("Last-Modified", FormatHttpDate(kDate));
    CHECK(subject.response.IsBodyWanted());
  }
  CHECK_FALSE(Subject({}, "HEAD").response.IsBodyWanted());
  Subject subject;
  CHECK(subject.response.IsBodyWanted());
  subject.response.SetStatusCode(204);
  CHECK_FALSE(subject.response.IsBodyWanted());
}

TEST_CASE("HttpResponse: a Last-Modified of the policy in the future is compared as it is told") {
  // Its client was told `now`, and asks later.
  const auto date = FormatHttpDate(std::chrono::system_clock::now() + 1h);
  Subject subject(VariableList{{"HTTP_IF_MODIFIED_SINCE", date}});
  subject.response.Cache().SetLastModified(std::chrono::system_clock::now() + 1000h);
  subject.response.Complete();
  CHECK(subject.exchange.status == 304);
}

TEST_CASE("HttpContext: PreconditionsHold answers 412 before a handler changes anything") {
  Subject subject(VariableList{{"HTTP_IF_MATCH", "\"old\""}}, "PUT");
  subject.response.Cache().SetMaxAge(60s);
  CHECK_FALSE(subject.context.PreconditionsHold({.etag = EntityTag("new")}));
  subject.response.Write("dropped");
  subject.response.Complete();
  CHECK(subject.exchange.status == 412);
  CHECK(subject.exchange.sent.empty());
  CHECK(subject.Names() == std::vector<std::string>{"Content-Length"});
  CHECK(subject.response.Cause() == "precondition_failed");
}

TEST_CASE("HttpContext: PreconditionsHold leaves a request alone whose conditions hold") {
  Subject subject(VariableList{{"HTTP_IF_MATCH", "\"a\""}}, "PUT");
  CHECK(subject.context.PreconditionsHold({.etag = EntityTag("a")}));
  // The new state's tag, which is not compared once more.
  subject.response.Cache().SetETag(EntityTag("b"));
  subject.response.Write("done");
  subject.response.Complete();
  CHECK(subject.exchange.status == 200);
  CHECK(subject.exchange.Header("ETag") == "\"b\"");
  CHECK(subject.exchange.sent == "done");
}

TEST_CASE(
    "HttpContext: PreconditionsHold lets the first PUT make what is not there, and no second") {
  Subject first(VariableList{{"HTTP_IF_NONE_MATCH", "*"}}, "PUT");
  CHECK(first.context.PreconditionsHold({.exists = false}));
  Subject second(VariableList{{"HTTP_IF_NONE_MATCH", "*"}}, "PUT");
  CHECK_FALSE(second.context.PreconditionsHold({}));
  second.response.Complete();
  CHECK(second.exchange.status == 412);
}

TEST_CASE("HttpContext: PreconditionsHold answers a GET with 304 and its validators") {
  Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "\"a\""}});
  subject.response.Cache().SetLastModified(kDate);
  subject.response.Cache().SetMaxAge(60s);
  CHECK_FALSE(subject.context.PreconditionsHold({.etag = EntityTag("a"), .last_modified = kDate}));
  subject.response.Complete();
  CHECK(subject.exchange.status == 304);
  CHECK(subject.Names() == std::vector<std::string>{"ETag", "Cache-Control"});
  const auto date = FormatHttpDate(kDate);
  Subject by_date(VariableList{{"HTTP_IF_MODIFIED_SINCE", date}});
  CHECK_FALSE(by_date.context.PreconditionsHold({.last_modified = kDate}));
  by_date.response.Complete();
  CHECK(by_date.exchange.Header("Last-Modified") == date);
}

TEST_CASE("HttpContext: PreconditionsHold inside an execution is the outer handler's to ask") {
  class Inside final : public detail::IRequestExecution {
   public:
    void Execute(HttpContext&, std::string_view, std::string_view) override {}
    void Execute(HttpContext&, IHttpHandler&) override {}
    std::chrono::milliseconds Timeout() override { return {}; }
    void SetTimeout(std::chrono::milliseconds) override {}
    std::size_t Depth() const noexcept override { return 1; }
  } inside;
  Subject subject(VariableList{{"HTTP_IF_MATCH", "\"b\""}}, "PUT");
  subject.context.SetExecution(&inside);
  CHECK(subject.context.PreconditionsHold({.etag = EntityTag("a")}));
  CHECK(subject.response.StatusCode() == 200);
}

TEST_CASE("HttpContext: PreconditionsHold once the header block was sent is a mistake") {
  Subject subject;
  subject.response.Flush();
  CHECK_THROWS_AS(static_cast<void>(subject.context.PreconditionsHold({})), std::logic_error);
}

TEST_CASE(
    "HttpResponse: a header block that could not be sent can be sent again as what it became") {
  Subject subject(VariableList{{"HTTP_IF_NONE_MATCH", "\"a\""}});
  subject.response.Cache().SetETag(EntityTag("a"));
  subject.exchange.fail_at = 1;
  CHECK_THROWS(subject.response.Complete());
  subject.response.Complete();
  CHECK(subject.exchange.status == 304);
}

}  // namespace
}  // namespace weft
