#include <weft/http_response.hpp>

#include <doctest/doctest.h>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include <weft/cancellation.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/response_subject.hpp"

namespace weft {
namespace {

using test::MemoryExchange;
using Subject = test::ResponseSubject;
using Call = MemoryExchange::Call;
using Calls = std::vector<Call>;

HttpCookie MakeCookie(std::string name, std::string value) {
  HttpCookie cookie;
  cookie.name = std::move(name);
  cookie.value = std::move(value);
  return cookie;
}

TEST_CASE("HttpResponse: at first it is a 200 with nothing in it, and nothing was sent") {
  const Subject subject;
  CHECK(subject.response.StatusCode() == 200);
  CHECK(subject.response.StatusDescription() == "OK");
  CHECK(subject.response.Headers().empty());
  CHECK(subject.response.BytesWritten() == 0);
  CHECK_FALSE(subject.response.HeadersWritten());
  CHECK(subject.exchange.calls.empty());
}

TEST_CASE("HttpResponse: what fits in the buffer goes out at the end, with its length") {
  Subject subject;
  subject.response.Write("hello, ");
  subject.response.Write("world");
  CHECK(subject.exchange.calls.empty());
  subject.response.Complete();
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders, Call::kSendBody});
  CHECK(subject.exchange.status == 200);
  CHECK(subject.exchange.description == "OK");
  CHECK(subject.exchange.Header("Content-Length") == "12");
  CHECK(subject.exchange.sent == "hello, world");
  CHECK(subject.response.BytesWritten() == 12);
  CHECK(subject.response.HeadersWritten());
}

TEST_CASE("HttpResponse: an empty one says that it is empty") {
  Subject subject;
  subject.response.Complete();
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders});
  CHECK(subject.exchange.Header("Content-Length") == "0");
}

TEST_CASE("HttpResponse: Complete does nothing the second time") {
  Subject subject;
  subject.response.Write("x");
  subject.response.Complete();
  const auto calls = subject.exchange.calls;
  subject.response.Complete();
  CHECK(subject.exchange.calls == calls);
  CHECK(subject.exchange.sent == "x");
}

TEST_CASE("HttpResponse: nothing may be written once it was completed") {
  Subject subject;
  subject.response.Complete();
  CHECK_THROWS_AS(subject.response.Write("x"), std::logic_error);
  CHECK_THROWS_AS(subject.response.BinaryWrite({}), std::logic_error);
  CHECK(subject.exchange.sent.empty());
}

TEST_CASE("HttpResponse: a body of exactly the buffer is still announced") {
  Subject subject;
  subject.response.Write("0123456789");
  subject.response.Write("abcdef");
  CHECK(subject.exchange.calls.empty());
  subject.response.Complete();
  CHECK(subject.exchange.Header("Content-Length") == "16");
  CHECK(subject.exchange.sent == "0123456789abcdef");
}

TEST_CASE("HttpResponse: what outgrows the buffer is streamed, without a length") {
  Subject subject;
  subject.response.Write("0123456789");
  subject.response.Write("abcdefg");
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders, Call::kSendBody});
  CHECK(subject.exchange.sent == "0123456789");
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Length"));
  subject.response.Complete();
  CHECK(subject.exchange.sent == "0123456789abcdefg");
  CHECK(subject.exchange.Count(Call::kSendHeaders) == 1);
}

TEST_CASE("HttpResponse: a text larger than the buffer goes past it, in one piece") {
  Subject subject;
  const std::string large(100, 'x');
  subject.response.Write("ab");
  subject.response.Write(large);
  CHECK(subject.exchange.pieces == std::vector<std::size_t>{2, 100});
  CHECK(subject.exchange.sent == "ab" + large);
  subject.response.Complete();
  CHECK(subject.exchange.pieces.size() == 2);
  CHECK(subject.response.BytesWritten() == 102);
}

TEST_CASE("HttpResponse: texts of every size arrive in order, whatever the buffer") {
  for (const std::size_t buffer : {0u, 1u, 2u, 3u, 7u, 16u, 1000u}) {
    CAPTURE(buffer);
    Subject subject("GET", buffer);
    std::string expected;
    for (std::size_t size = 0; size < 24; ++size) {
      const std::string text(size, static_cast<char>('a' + size));
      subject.response.Write(text);
      expected += text;
    }
    subject.response.Complete();
    CHECK(subject.exchange.sent == expected);
    CHECK(subject.exchange.Count(Call::kSendHeaders) == 1);
    CHECK(subject.exchange.calls.front() == Call::kSendHeaders);
    CHECK(subject.exchange.headers.Contains("Content-Length") == (buffer == 1000));
    CHECK(subject.response.BytesWritten() == expected.size());
    for (const auto piece : subject.exchange.pieces) {
      CHECK(piece != 0);
    }
  }
}

TEST_CASE("HttpResponse: BinaryWrite takes every byte as it is") {
  Subject subject("GET", 1024);
  std::string all(256, '\0');
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = static_cast<char>(i);
  }
  subject.response.BinaryWrite(std::as_bytes(std::span(all)));
  subject.response.Complete();
  CHECK(subject.exchange.sent == all);
}

TEST_CASE("HttpResponse: Flush sends the header block first, even when there is no body yet") {
  Subject subject;
  subject.response.Flush();
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders, Call::kFlush});
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Length"));
  subject.response.Write("a");
  subject.response.Flush();
  CHECK(subject.exchange.calls ==
        Calls{Call::kSendHeaders, Call::kFlush, Call::kSendBody, Call::kFlush});
  subject.response.Write("b");
  subject.response.Complete();
  CHECK(subject.exchange.sent == "ab");
}

TEST_CASE("HttpResponse: a length that the handler set is left to it") {
  Subject subject;
  subject.response.SetHeader("content-length", "3");
  subject.response.Write("abc");
  subject.response.Complete();
  CHECK(subject.exchange.headers.size() == 2);
  CHECK(subject.exchange.Header("Content-Length") == "3");
}

TEST_CASE("HttpResponse: HEAD has the header block of GET, and no body") {
  Subject subject("HEAD");
  subject.response.Write("hello");
  CHECK(subject.response.BytesWritten() == 5);
  subject.response.Complete();
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders});
  CHECK(subject.exchange.Header("Content-Length") == "5");
  CHECK(subject.exchange.Header("Content-Type") == "text/html; charset=utf-8");
}

TEST_CASE("HttpResponse: HEAD of a body beyond the buffer suppresses it all the same") {
  Subject subject("HEAD");
  subject.response.Write(std::string(100, 'x'));
  subject.response.Flush();
  subject.response.Write("more");
  subject.response.Complete();
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders, Call::kFlush});
  CHECK(subject.exchange.sent.empty());
}

TEST_CASE("HttpResponse: HEAD for which the handler wrote nothing claims no length") {
  Subject subject("HEAD");
  subject.response.Complete();
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Length"));
}

TEST_CASE("HttpResponse: the method's letter case counts, so `head` has a body") {
  Subject subject("head");
  subject.response.Write("x");
  subject.response.Complete();
  CHECK(subject.exchange.sent == "x");
}

TEST_CASE("HttpResponse: HEAD announces what GET would send after something was dropped") {
  for (const std::string method : {"GET", "HEAD"}) {
    for (const bool all : {false, true}) {
      CAPTURE(method);
      CAPTURE(all);
      Subject subject(method);
      subject.response.Write("to be dropped");
      if (all) {
        subject.response.Clear();
      } else {
        subject.response.ClearContent();
      }
      subject.response.Write("kept");
      subject.response.Complete();
      CHECK(subject.exchange.Header("Content-Length") == "4");
    }
  }
}

TEST_CASE("HttpResponse: 204, 205 and 304 have no body, no type and no made-up length") {
  for (const int status : {204, 205, 304}) {
    CAPTURE(status);
    Subject subject;
    subject.response.SetStatusCode(status);
    subject.response.SetContentType("text/plain");
    subject.response.Write("ignored");
    subject.response.Write(std::string(100, 'x'));
    subject.response.Complete();
    CHECK(subject.exchange.calls == Calls{Call::kSendHeaders});
    CHECK(subject.exchange.status == status);
    CHECK(subject.exchange.headers.size() == (status == 205 ? 1 : 0));
    CHECK(subject.exchange.Header("Content-Length") == (status == 205 ? "0" : ""));
  }
}

TEST_CASE("HttpResponse: 204 and 304 that are set after a body was written have none either") {
  for (const int status : {204, 304}) {
    for (const bool flushed : {false, true}) {
      CAPTURE(status);
      CAPTURE(flushed);
      Subject subject;
      subject.response.Write("too early");
      subject.response.SetStatusCode(status);
      if (flushed) {
        subject.response.Flush();
      }
      subject.response.Complete();
      CHECK(subject.exchange.status == status);
      CHECK(subject.exchange.Count(Call::kSendBody) == 0);
      CHECK(subject.exchange.sent.empty());
    }
  }
}

TEST_CASE("HttpResponse: 304 may tell what a 200 would have told") {
  Subject subject;
  subject.response.SetStatusCode(304);
  subject.response.SetHeader("ETag", "\"x\"");
  subject.response.Complete();
  CHECK(subject.exchange.Header("ETag") == "\"x\"");
}

TEST_CASE("HttpResponse: statuses from 200 to 599 are taken, no others") {
  Subject subject;
  for (const int status : {200, 299, 418, 599}) {
    subject.response.SetStatusCode(status);
    CHECK(subject.response.StatusCode() == status);
  }
  for (const int status : {-200, 0, 100, 101, 199, 600, 2000}) {
    CAPTURE(status);
    CHECK_THROWS_AS(subject.response.SetStatusCode(status), std::invalid_argument);
  }
  CHECK(subject.response.StatusCode() == 599);
}

TEST_CASE("HttpResponse: a status brings its description, unless one is set after it") {
  Subject subject;
  subject.response.SetStatusDescription("Fine");
  CHECK(subject.response.StatusDescription() == "Fine");
  subject.response.SetStatusCode(404);
  CHECK(subject.response.StatusDescription() == "Not Found");
  subject.response.SetStatusDescription("Gone fishing");
  subject.response.Complete();
  CHECK(subject.exchange.status == 404);
  CHECK(subject.exchange.description == "Gone fishing");
}

TEST_CASE("HttpResponse: a description has at most 512 bytes and no control character") {
  Subject subject;
  CHECK_NOTHROW(subject.response.SetStatusDescription(std::string(512, 'x')));
  CHECK_THROWS_AS(subject.response.SetStatusDescription(std::string(513, 'x')),
                  std::invalid_argument);
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const std::string text = std::string("a") + static_cast<char>(byte);
    if (byte < 0x20 || byte == 0x7f) {
      CHECK_THROWS_AS(subject.response.SetStatusDescription(text), std::invalid_argument);
    } else {
      CHECK_NOTHROW(subject.response.SetStatusDescription(text));
    }
  }
}

TEST_CASE("HttpResponse: headers are set, appended and removed until they are sent") {
  Subject subject;
  subject.response.SetHeader("A", "1");
  subject.response.AppendHeader("a", "2");
  CHECK(subject.response.Headers().size() == 2);
  subject.response.SetHeader("A", "3");
  CHECK(subject.response.Headers().size() == 1);
  CHECK(subject.response.RemoveHeader("a"));
  CHECK_FALSE(subject.response.RemoveHeader("a"));
  CHECK_THROWS_AS(subject.response.SetHeader("A", "x\r\ny"), std::invalid_argument);
  CHECK_THROWS_AS(subject.response.AppendHeader("A\n", "x"), std::invalid_argument);
  CHECK(subject.response.Headers().empty());
}

TEST_CASE("HttpResponse: what is the web server's to send is refused, in any letter case") {
  Subject subject;
  for (const std::string name :
       {"Connection", "connection", "Keep-Alive", "Proxy-Connection", "TE", "te", "Trailer",
        "Transfer-Encoding", "TRANSFER-ENCODING", "Upgrade", "Status", "status"}) {
    CAPTURE(name);
    CHECK_THROWS_AS(subject.response.SetHeader(name, "x"), std::invalid_argument);
    CHECK_THROWS_AS(subject.response.AppendHeader(name, "x"), std::invalid_argument);
  }
  CHECK_THROWS_WITH_AS(subject.response.SetHeader("Upgrade", "h2c"),
                       "header 'Upgrade' is about the web server's connection with its client, "
                       "which that alone keeps (RFC 9110, section 7.6.1): leave it out",
                       std::invalid_argument);
  CHECK(subject.response.Headers().empty());
}

TEST_CASE("HttpResponse: the content type is HTML unless it is set, and an empty one sends none") {
  Subject subject;
  SUBCASE("not set") {
    subject.response.Complete();
    CHECK(subject.exchange.Header("Content-Type") == "text/html; charset=utf-8");
  }
  SUBCASE("set") {
    subject.response.SetContentType("application/json");
    subject.response.Complete();
    CHECK(subject.exchange.Header("Content-Type") == "application/json");
    CHECK(subject.exchange.headers.size() == 2);
  }
  SUBCASE("set to nothing") {
    subject.response.SetContentType("");
    subject.response.Complete();
    CHECK_FALSE(subject.exchange.headers.Contains("Content-Type"));
  }
  SUBCASE("set as a header") {
    subject.response.SetHeader("content-type", "text/plain");
    subject.response.Complete();
    CHECK(subject.exchange.Header("Content-Type") == "text/plain");
    CHECK(subject.exchange.headers.size() == 2);
  }
}

TEST_CASE("HttpResponse: cookies stand beside each other") {
  Subject subject;
  HttpCookie cookie;
  cookie.name = "a";
  cookie.value = "1";
  subject.response.AppendCookie(cookie);
  cookie.name = "b";
  subject.response.AppendCookie(cookie);
  REQUIRE(subject.response.Headers().size() == 2);
  CHECK(subject.response.Headers().begin()->second == "a=1; Path=/");
  cookie.value = "x;y";
  CHECK_THROWS_AS(subject.response.AppendCookie(cookie), std::invalid_argument);
}

TEST_CASE("HttpResponse: once the header block was sent, what would change it throws") {
  Subject subject;
  subject.response.Flush();
  auto& response = subject.response;
  CHECK(response.HeadersWritten());
  CHECK_THROWS_AS(response.SetStatusCode(404), std::logic_error);
  CHECK_THROWS_AS(response.SetStatusDescription("x"), std::logic_error);
  CHECK_THROWS_AS(response.SetHeader("A", "x"), std::logic_error);
  CHECK_THROWS_AS(response.AppendHeader("A", "x"), std::logic_error);
  CHECK_THROWS_AS(response.RemoveHeader("A"), std::logic_error);
  CHECK_THROWS_AS(response.SetContentType("text/plain"), std::logic_error);
  CHECK_THROWS_AS(response.AppendCookie({.name = "a", .value = "b", .domain = {}, .max_age = {}}),
                  std::logic_error);
  CHECK_THROWS_AS(response.SetStatus("404 x"), std::logic_error);
  CHECK_THROWS_AS(response.AddHeader("A", "x"), std::logic_error);
  CHECK_THROWS_AS(response.SetCharset("x"), std::logic_error);
  CHECK_THROWS_AS(response.SetCookie(MakeCookie("a", "b")), std::logic_error);
  CHECK_THROWS_AS(response.ExpireCookie(MakeCookie("a", "b")), std::logic_error);
  CHECK_THROWS_AS(response.RemoveCookie("a"), std::logic_error);
  CHECK_THROWS_AS(response.Redirect("/"), std::logic_error);
  CHECK_THROWS_AS(response.SetRedirectLocation("/"), std::logic_error);
  CHECK_THROWS_AS(response.ClearHeaders(), std::logic_error);
  CHECK(response.StatusCode() == 200);
  // The body may go on.
  response.Write("x");
  response.Complete();
  CHECK(subject.exchange.sent == "x");
}

TEST_CASE("HttpResponse: ClearContent drops what was not sent yet") {
  Subject subject;
  subject.response.SetStatusCode(404);
  subject.response.Write("abc");
  subject.response.ClearContent();
  subject.response.Write("de");
  SUBCASE("before the header block") {
    subject.response.Complete();
    CHECK(subject.exchange.sent == "de");
    CHECK(subject.exchange.Header("Content-Length") == "2");
    CHECK(subject.exchange.status == 404);
  }
  SUBCASE("after it") {
    subject.response.Flush();
    subject.response.Write("fgh");
    subject.response.ClearContent();
    subject.response.Write("i");
    subject.response.Complete();
    CHECK(subject.exchange.sent == "dei");
  }
}

TEST_CASE("HttpResponse: ClearHeaders drops all but the body, Clear the body alone") {
  Subject subject;
  subject.response.SetStatusCode(404);
  subject.response.SetStatusDescription("x");
  subject.response.SetHeader("A", "1");
  subject.response.SetContentType("text/plain; charset=latin1");
  subject.response.AppendCookie(MakeCookie("a", "1"));
  subject.response.SetCause("gone_fishing");
  subject.response.Write("abc");
  SUBCASE("ClearHeaders") {
    subject.response.ClearHeaders();
    CHECK(subject.response.StatusDescription() == "OK");
    CHECK(subject.response.Headers().empty());
    CHECK(subject.response.Cookies().empty());
    CHECK(subject.response.Cause().empty());
    CHECK(subject.response.Charset() == "utf-8");
    subject.response.SetContentType("text/css");
    subject.response.Complete();
    CHECK(subject.exchange.status == 200);
    CHECK(subject.exchange.sent == "abc");
    CHECK(subject.exchange.Header("Content-Type") == "text/css; charset=utf-8");
  }
  SUBCASE("Clear") {
    subject.response.Clear();
    subject.response.Complete();
    CHECK(subject.exchange.status == 404);
    CHECK(subject.exchange.description == "x");
    CHECK(subject.exchange.Header("A") == "1");
    CHECK(subject.exchange.sent.empty());
    CHECK(subject.exchange.Header("Content-Length") == "0");
  }
}

TEST_CASE(
    "HttpResponse: a header block that its peer did not take was not sent, and another may be") {
  Subject subject;
  subject.exchange.fail_at = 1;
  subject.response.SetHeader("X-A", "1");
  subject.response.Write("text");
  CHECK_THROWS_AS(subject.response.Flush(), std::system_error);
  CHECK_FALSE(subject.response.HeadersWritten());
  subject.response.Clear();
  subject.response.ClearHeaders();
  subject.response.SetStatusCode(500);
  subject.response.Write("error");
  subject.response.Complete();
  CHECK(subject.exchange.status == 500);
  CHECK(subject.exchange.sent == "error");
  CHECK_FALSE(subject.exchange.headers.Contains("X-A"));
}

TEST_CASE("HttpResponse: a body that its peer did not take comes after headers that were sent") {
  Subject subject;
  subject.exchange.fail_at = 2;
  CHECK_THROWS_AS(subject.response.Write(std::string(100, 'x')), std::system_error);
  CHECK(subject.response.HeadersWritten());
  CHECK_THROWS_AS(subject.response.ClearHeaders(), std::logic_error);
}

TEST_CASE("HttpResponse: a client that has gone is told to who writes, flushes, and completes") {
  Subject subject;
  subject.exchange.client_gone = true;
  CHECK_THROWS_AS(subject.response.Write(std::string(100, 'x')), OperationCancelled);
  CHECK_THROWS_AS(subject.response.Flush(), OperationCancelled);
  CHECK_THROWS_AS(subject.response.Complete(), OperationCancelled);
}

}  // namespace
}  // namespace weft
