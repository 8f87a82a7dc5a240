// What HttpResponse has beside status, header fields and body: http_response_test.cpp is about those.
#include <doctest/doctest.h>

#include <functional>
#include <iomanip>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/http_context.hpp>
#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

using test::MemoryExchange;
using Call = MemoryExchange::Call;
using Calls = std::vector<Call>;

/// A request's context and the peer that its answer goes to.
struct Subject {
  explicit Subject(std::string_view method = "GET", std::size_t buffer_bytes = 1024,
                   std::string application = "/")
      : context(test::MakeVariables({{"REQUEST_METHOD", method}}), exchange, cancellation.Token(),
                buffer_bytes),
        response(context.Response()) {
    context.Request().SetApplicationPath(std::move(application));
  }

  MemoryExchange exchange;
  CancellationSource cancellation;
  HttpContext context;
  HttpResponse& response;
};

HttpCookie MakeCookie(std::string name, std::string value, std::string path = "/") {
  HttpCookie cookie;
  cookie.name = std::move(name);
  cookie.value = std::move(value);
  cookie.path = std::move(path);
  return cookie;
}

TEST_CASE("HttpResponse: Status is code and description in one text") {
  Subject subject;
  CHECK(subject.response.Status() == "200 OK");
  subject.response.SetStatus("404 Nothing here");
  CHECK(subject.response.StatusCode() == 404);
  CHECK(subject.response.StatusDescription() == "Nothing here");
  subject.response.SetStatus("409");
  CHECK(subject.response.Status() == "409 Conflict");
  subject.response.SetStatus("410 ");
  CHECK(subject.response.Status() == "410 Gone");
  for (const std::string text :
       {"", "4", "40", "4o4 x", "404x", "-40 x", "199 x", "600 x", "404 a\r\nb", "+04 x"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(subject.response.SetStatus(text), std::invalid_argument);
    CHECK(subject.response.StatusCode() == 410);
  }
}

TEST_CASE("HttpResponse: no setter lets anything through that would begin another field") {
  // CR, LF, NUL, other controls, a folded line, and what only looks like them in UTF-8 or Latin-1.
  for (const std::string& bad : {std::string("\r"), std::string("\n"), std::string("\r\n"),
                                 std::string("\r\n X"), std::string("\n\tX"), std::string("\0", 1),
                                 std::string("\x01"), std::string("\x1b"), std::string("\x7f")}) {
    CAPTURE(bad);
    const auto value = "a" + bad + "b";
    Subject subject;
    auto& response = subject.response;
    auto cookie = MakeCookie("n", value);
    const std::vector<std::function<void()>> setters{
        [&] { response.SetStatus("404 " + value); },
        [&] { response.SetStatusDescription(value); },
        [&] { response.SetHeader("X", value); },
        [&] { response.SetHeader(value, "x"); },
        [&] { response.AppendHeader("X", value); },
        [&] { response.AppendHeader("Location", value); },
        [&] { response.AddHeader("X", value); },
        [&] { response.SetContentType("text/" + value); },
        [&] { response.SetContentType("image/" + value); },
        [&] { response.SetContentType("text/plain; charset=" + value); },
        [&] { response.SetCharset(value); },
        [&] { response.AppendCookie(cookie); },
        [&] { response.SetCookie(cookie); },
        [&] {
          cookie.value.clear();
          cookie.path = "/" + value;
          response.ExpireCookie(cookie);
        },
        [&] { response.Redirect("/" + value); },
        [&] { response.SetRedirectLocation("/" + value); }};
    for (std::size_t i = 0; i < setters.size(); ++i) {
      CAPTURE(i);
      CHECK_THROWS_AS(setters[i](), std::invalid_argument);
      CHECK(response.Headers().empty());
      CHECK(response.StatusCode() == 200);
    }
    CHECK_FALSE(HttpResponse::IsLocalUrl("/" + value));
  }
}

TEST_CASE("HttpResponse: what is not ASCII is sent in fields as it is, and encoded in a URL") {
  Subject subject;
  subject.response.SetHeader("X", "\xc3\xa4\xff");
  CHECK(subject.response.Headers().Find("X") == "\xc3\xa4\xff");
  // U+010A, whose last byte is no line feed once it is encoded.
  subject.response.Redirect("/\xc4\x8a\xff");
  CHECK(subject.response.RedirectLocation() == "/%c4%8a%ff");
  CHECK_THROWS_AS(subject.response.SetCharset("\xc3\xa4"), std::invalid_argument);
}

TEST_CASE("HttpResponse: a field of which there is one is replaced, not added") {
  Subject subject;
  for (const std::string name :
       {"Content-Type", "content-length", "ETag", "Location", "Last-Modified"}) {
    CAPTURE(name);
    subject.response.AppendHeader(name, "1");
    subject.response.AppendHeader(name, "2");
    CHECK(subject.response.Headers().Find(name) == "2");
  }
  CHECK(subject.response.Headers().size() == 5);
  subject.response.AddHeader("X", "1");
  subject.response.AddHeader("X", "2");
  CHECK(subject.response.Headers().size() == 7);
  for (const std::string length : {"", "-1", "1 ", "0x1", "99999999999999999999"}) {
    CAPTURE(length);
    CHECK_THROWS_AS(subject.response.SetHeader("Content-Length", length), std::invalid_argument);
  }
}

TEST_CASE("HttpResponse: media type and charset are set apart, and keep each other") {
  Subject subject;
  auto& response = subject.response;
  CHECK(response.ContentType() == "text/html; charset=utf-8");
  CHECK(response.Charset() == "utf-8");
  response.SetContentType("text/plain");
  CHECK(response.ContentType() == "text/plain; charset=utf-8");
  response.SetCharset("iso-8859-1");
  CHECK(response.ContentType() == "text/plain; charset=iso-8859-1");
  response.SetContentType("TEXT/css; x=1");
  CHECK(response.ContentType() == "TEXT/css; x=1; charset=iso-8859-1");
  response.SetContentType("image/png");
  CHECK(response.ContentType() == "image/png");
  CHECK(response.Charset().empty());
  response.SetContentType("application/xhtml+xml");
  CHECK(response.ContentType() == "application/xhtml+xml; charset=iso-8859-1");
  response.SetContentType("text/html; CharSet=\"utf-16\"; x=1");
  CHECK(response.Charset() == "utf-16");
  response.SetCharset("utf-8");
  CHECK(response.ContentType() == "text/html; x=1; charset=utf-8");
  response.SetCharset("");
  CHECK(response.ContentType() == "text/html; x=1");
  response.SetContentType("text/plain");
  CHECK(response.ContentType() == "text/plain");
  response.SetContentType("text/plain; a=\"; charset=x\"");
  CHECK(response.Charset().empty());
  response.SetContentType("");
  response.Complete();
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Type"));
}

TEST_CASE("HttpResponse: a charset alone changes the usual type's") {
  Subject subject;
  subject.response.SetCharset("iso-8859-1");
  subject.response.Complete();
  CHECK(subject.exchange.Header("Content-Type") == "text/html; charset=iso-8859-1");
}

TEST_CASE("HttpResponse: cookies are added, replaced, taken back and expired") {
  Subject subject;
  auto& response = subject.response;
  response.AppendCookie(MakeCookie("a", "1"));
  response.AppendCookie(MakeCookie("a", "2"));
  response.AppendCookie(MakeCookie("a", "3", "/x"));
  response.SetHeader("X", "1");
  REQUIRE(response.Cookies().size() == 3);
  response.SetCookie(MakeCookie("a", "4"));
  auto cookies = response.Cookies();
  REQUIRE(cookies.size() == 2);
  CHECK(cookies[0].value == "3");
  CHECK(cookies[1].value == "4");
  CHECK(response.Headers().Find("X") == "1");
  CHECK_THROWS_AS(response.SetCookie(MakeCookie("a", ";")), std::invalid_argument);
  CHECK(response.Cookies().size() == 2);
  auto other = MakeCookie("a", "kept?", "/x");
  other.http_only = true;
  response.ExpireCookie(other);
  cookies = response.Cookies();
  REQUIRE(cookies.size() == 2);
  CHECK(cookies[1].ToHeaderValue() ==
        "a=; Path=/x; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly");
  CHECK(response.RemoveCookie("a"));
  CHECK_FALSE(response.RemoveCookie("a"));
  CHECK(response.Cookies().empty());
  CHECK(response.Headers().size() == 1);
}

TEST_CASE("HttpResponse: Output writes like Write, in the classic locale") {
  Subject subject;
  subject.response.Write("a");
  auto& output = subject.response.Output();
  CHECK(&output == &subject.response.Output());
  output << 1234567 << ' ' << std::setprecision(2) << 0.5 << std::endl << std::flush;
  output.put('x');
  output.write("\0y", 2);
  CHECK(subject.exchange.calls.empty());
  subject.response.Write("z");
  subject.response.Complete();
  CHECK(subject.exchange.sent == std::string("a1234567 0.5\nx\0yz", 17));
}

TEST_CASE("HttpResponse: Output lets through what Write throws") {
  Subject subject("GET", 4);
  subject.exchange.client_gone = true;
  CHECK_THROWS_AS(subject.response.Output() << "more than the buffer", OperationCancelled);
}

TEST_CASE("HttpResponse: without buffering each write goes to the client at once") {
  Subject subject;
  CHECK(subject.response.BufferOutput());
  subject.response.Write("first ");
  subject.response.SetBufferOutput(false);
  CHECK_FALSE(subject.response.BufferOutput());
  subject.response.Write("second");
  CHECK(subject.exchange.calls ==
        Calls{Call::kSendHeaders, Call::kSendBody, Call::kSendBody, Call::kFlush});
  subject.response.Output() << "third";
  CHECK(subject.exchange.calls.back() == Call::kFlush);
  subject.response.SetBufferOutput(true);
  const auto calls = subject.exchange.calls.size();
  subject.response.Write(std::string(1024, 'x'));
  CHECK(subject.exchange.calls.size() == calls);
  subject.response.Write("y");
  CHECK(subject.exchange.calls.size() > calls);
}

TEST_CASE("HttpResponse: suppressed content is not sent, and not announced") {
  for (const std::string method : {"GET", "HEAD"}) {
    for (const bool announced : {false, true}) {
      CAPTURE(method);
      CAPTURE(announced);
      Subject subject(method);
      subject.response.Write("before");
      if (announced) {
        subject.response.SetHeader("Content-Length", "11");
      }
      subject.response.SetSuppressContent(true);
      CHECK(subject.response.SuppressContent());
      subject.response.Write(std::string(5000, 'x'));
      subject.response.Complete();
      CHECK(subject.exchange.calls == Calls{Call::kSendHeaders});
      CHECK(subject.exchange.Header("Content-Length") == (method == "GET" ? "0"
                                                          : announced     ? "11"
                                                                          : ""));
      CHECK(subject.exchange.headers.Contains("Content-Type"));
    }
  }
}

TEST_CASE("HttpResponse: the client is there until it is known to have gone") {
  Subject subject;
  const auto gone = subject.response.ClientDisconnectedToken();
  CHECK(subject.response.IsClientConnected());
  CHECK_FALSE(gone.IsCancellationRequested());
  SUBCASE("it leaves") {
    subject.cancellation.Cancel(CancellationReason::kClientGone);
    CHECK_FALSE(subject.response.IsClientConnected());
    CHECK(gone.Reason() == CancellationReason::kClientGone);
  }
  SUBCASE("something else ends the request") {
    subject.cancellation.Cancel(CancellationReason::kDeadline);
    CHECK(subject.response.IsClientConnected());
    CHECK_FALSE(gone.IsCancellationRequested());
  }
}

TEST_CASE("HttpResponse: a token that is asked for late knows that the client has gone") {
  Subject subject;
  subject.cancellation.Cancel(CancellationReason::kClientGone);
  CHECK(subject.response.ClientDisconnectedToken().Reason() == CancellationReason::kClientGone);
}

TEST_CASE("HttpResponse: Close aborts the request") {
  Subject subject;
  try {
    subject.response.Close();
    FAIL("it returned");
  } catch (const OperationCancelled& cancelled) {
    CHECK(cancelled.Reason() == CancellationReason::kAborted);
  }
}

TEST_CASE("HttpResponse: text for the log is gathered, up to a bound") {
  Subject subject;
  CHECK(subject.response.LogText().empty());
  subject.response.AppendToLog("a=1");
  subject.response.AppendToLog(" b=2");
  CHECK(subject.response.LogText() == "a=1 b=2");
  subject.response.AppendToLog(std::string(5000, 'x'));
  CHECK(subject.response.LogText().size() == 1024 + 3);
  CHECK(subject.response.LogText().ends_with("xxx..."));
  subject.response.AppendToLog("y");
  CHECK(subject.response.LogText().ends_with("xxx..."));
}

TEST_CASE("HttpResponse: a redirect says where to, and has a page with a link") {
  Subject subject;
  subject.response.SetHeader("X", "kept");
  subject.response.SetHeader("Content-Length", "7");
  subject.response.SetHeader("Content-Encoding", "br");
  subject.response.SetHeader("Content-Range", "bytes 0-6/9");
  subject.response.SetContentType("image/png");
  subject.response.Write("dropped");
  subject.response.Redirect("/new?a=1&b=\"2\"");
  CHECK(subject.response.IsRequestBeingRedirected());
  subject.response.Complete();
  CHECK(subject.exchange.status == 302);
  CHECK(subject.exchange.Header("Location") == "/new?a=1&b=%222%22");
  CHECK(subject.exchange.Header("X") == "kept");
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Encoding"));
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Range"));
  CHECK(subject.exchange.Header("Content-Type") == "text/html; charset=utf-8");
  CHECK(subject.exchange.sent ==
        "<!DOCTYPE html>\n<title>302 Found</title>\n<p>Found: "
        "<a href=\"/new?a=1&amp;b=%222%22\">/new?a=1&amp;b=%222%22</a></p>\n");
  CHECK(subject.exchange.Header("Content-Length") == std::to_string(subject.exchange.sent.size()));
}

TEST_CASE("HttpResponse: HEAD is redirected without the page") {
  Subject subject("HEAD");
  subject.response.Redirect("/new");
  subject.response.Complete();
  CHECK(subject.exchange.Header("Location") == "/new");
  CHECK(subject.exchange.sent.empty());
}

TEST_CASE("HttpResponse: every status that redirects can be had, and no other") {
  Subject subject;
  auto& response = subject.response;
  const std::vector<std::pair<int, std::function<void()>>> redirects{
      {302, [&] { response.Redirect("/x"); }},
      {301, [&] { response.RedirectPermanent("/x"); }},
      {303, [&] { response.RedirectSeeOther("/x"); }},
      {307, [&] { response.RedirectPreserveMethod("/x"); }},
      {308, [&] { response.RedirectPermanentPreserveMethod("/x"); }}};
  for (const auto& [status, redirect] : redirects) {
    redirect();
    CHECK(response.StatusCode() == status);
    CHECK(response.IsRequestBeingRedirected());
    response.ClearHeaders();
    CHECK_FALSE(response.IsRequestBeingRedirected());
  }
  for (const int status : {200, 300, 304, 305, 306, 309, 404}) {
    CAPTURE(status);
    CHECK_THROWS_AS(response.Redirect("/x", status), std::invalid_argument);
  }
}

TEST_CASE("HttpResponse: a redirect's URL is resolved and encoded, a relative one stays so") {
  const std::vector<std::pair<std::string, std::string>> urls{
      {"https://example.org:8443/a b?c=d e#f", "https://example.org:8443/a%20b?c=d%20e#f"},
      {"//example.org/x", "//example.org/x"},
      {"../x", "../x"},
      {"?page=2", "?page=2"},
      {"#top", "#top"},
      {"~/orders", "/shop/orders"},
      {"~", "/shop/"},
      {"~/", "/shop/"},
      {"~//evil.example/", "/shop/evil.example/"},
      {"~/\\evil.example/", "/shop/evil.example/"},
      {"~ada/x", "~ada/x"},
      {"/a?b[]=1&c[x]=#[#", "/a?b%5b%5d=1&c%5bx%5d=#%5b%23"},
      {"http://[::1]:8080/[x]", "http://[::1]:8080/%5bx%5d"},
      {"/a\\b", "/a%5cb"},
      {"/50%", "/50%25"},
      {"/50%25", "/50%25"},
      {"myapp://token/x", "myapp://token/x"},
      {"/x?u=http://[::1]/", "/x?u=http://%5b::1%5d/"}};
  for (const auto& [url, location] : urls) {
    CAPTURE(url);
    Subject subject("GET", 1024, "/shop");
    subject.response.Redirect(url);
    CHECK(subject.response.RedirectLocation() == location);
  }
  for (const std::string url : {"", "http://[::1", "1http://x/", "a:b:c://["}) {
    CAPTURE(url);
    Subject subject;
    CHECK_THROWS_AS(subject.response.Redirect(url), std::invalid_argument);
    CHECK(subject.response.StatusCode() == 200);
  }
  Subject root;
  CHECK(root.response.ResolveUrl("~//evil.example") == "/evil.example");
  CHECK(root.response.ResolveUrl("~") == "/");
}

TEST_CASE("HttpResponse: the page of a redirect links to no script") {
  Subject subject;
  subject.response.Redirect("javascript:alert(1)");
  subject.response.Complete();
  CHECK(subject.exchange.sent.find("javascript") == std::string::npos);
}

TEST_CASE("HttpResponse: the Location field can be set by itself") {
  Subject subject;
  subject.response.SetRedirectLocation("~/new one");
  CHECK(subject.response.RedirectLocation() == "/new%20one");
  CHECK_FALSE(subject.response.IsRequestBeingRedirected());
  subject.response.SetStatusCode(308);
  CHECK(subject.response.IsRequestBeingRedirected());
  subject.response.SetRedirectLocation("");
  CHECK_FALSE(subject.response.Headers().Contains("Location"));
}

TEST_CASE("HttpResponse: only what leads nowhere else is a local URL") {
  for (const std::string url : {"/", "/a", "/a?b=//c", "~/", "~/a", "/a\\b", "/%0d"}) {
    CAPTURE(url);
    CHECK(HttpResponse::IsLocalUrl(url));
  }
  for (const std::string url : {"", "a", "a/b", "//a", "/\\a", "\\a", "http://a/", "~", "~//a",
                                "~/\\a", "~a", "javascript:x", " /a", "/\t/a", "/\n/a", "?a"}) {
    CAPTURE(url);
    CHECK_FALSE(HttpResponse::IsLocalUrl(url));
  }
}

// Every status that matters, GET and HEAD, with a length that the handler set or not, whole or in pieces.
TEST_CASE("HttpResponse: a body and its length agree in every combination") {
  for (const int status : {200, 204, 205, 206, 304, 404}) {
    for (const std::string method : {"GET", "HEAD", "POST"}) {
      for (const bool announced : {false, true}) {
        for (const bool flushed : {false, true}) {
          CAPTURE(status);
          CAPTURE(method);
          CAPTURE(announced);
          CAPTURE(flushed);
          Subject subject(method);
          subject.response.SetStatusCode(status);
          if (announced) {
            subject.response.SetHeader("Content-Length", "4");
          }
          subject.response.Write("ab");
          if (flushed) {
            subject.response.Flush();
          }
          subject.response.Write("cd");
          subject.response.Complete();
          const bool has_body = status != 204 && status != 205 && status != 304;
          CHECK(subject.exchange.sent == (has_body && method != "HEAD" ? "abcd" : ""));
          const auto length = subject.exchange.Header("Content-Length");
          if (status == 204) {
            CHECK(length.empty());
          } else if (status == 205) {
            CHECK(length == "0");
          } else if (status == 304) {
            CHECK(length == (announced ? "4" : ""));
          } else {
            CHECK(length == (announced || !flushed ? "4" : ""));
          }
          CHECK(subject.exchange.headers.Contains("Content-Type") == has_body);
        }
      }
    }
  }
}

/// The cause of what it throws; empty: nothing.
std::string CauseOf(const std::function<void()>& function) {
  try {
    function();
    return {};
  } catch (const HttpException& error) {
    CHECK(error.StatusCode() == 500);
    return std::string(error.Cause());
  }
}

TEST_CASE("HttpResponse: a body that is not as long as announced is an error, before it is sent") {
  Subject subject;
  subject.response.SetHeader("Content-Length", "3");
  SUBCASE("too much") {
    subject.response.Write("abcd");
    CHECK(CauseOf([&] { subject.response.Complete(); }) == "answer_too_long");
  }
  SUBCASE("too much for the buffer") {
    subject.response.SetBufferBytes(2);
    subject.response.Write("ab");
    CHECK(CauseOf([&] { subject.response.Write("cd"); }) == "answer_too_long");
  }
  SUBCASE("too little") {
    subject.response.Write("ab");
    CHECK(CauseOf([&] { subject.response.Complete(); }) == "answer_too_short");
  }
  SUBCASE("nothing") {
    CHECK(CauseOf([&] { subject.response.Complete(); }) == "answer_too_short");
  }
  CHECK(subject.exchange.calls.empty());
  CHECK_FALSE(subject.response.HeadersWritten());
}

TEST_CASE("HttpResponse: a body that turns out not to be as long as announced is cut") {
  Subject subject;
  subject.response.SetHeader("Content-Length", "3");
  subject.response.Write("ab");
  subject.response.Flush();
  SUBCASE("too much, at once") {
    CHECK(CauseOf([&] { subject.response.Write(std::string(2000, 'x')); }) == "answer_too_long");
  }
  SUBCASE("too much, gathered") {
    subject.response.Write("cd");
    CHECK(CauseOf([&] { subject.response.Flush(); }) == "answer_too_long");
  }
  SUBCASE("too much, at the end") {
    subject.response.Write("cd");
    CHECK(CauseOf([&] { subject.response.Complete(); }) == "answer_too_long");
  }
  SUBCASE("too little") {
    CHECK(CauseOf([&] { subject.response.Complete(); }) == "answer_too_short");
  }
  SUBCASE("too little, for the rest is suppressed") {
    subject.response.SetSuppressContent(true);
    subject.response.Write("c");
    CHECK(CauseOf([&] { subject.response.Complete(); }) == "answer_too_short");
  }
  CHECK(subject.exchange.sent == "ab");
}

TEST_CASE("HttpResponse: HEAD may announce a length without writing the body") {
  Subject subject("HEAD");
  subject.response.SetHeader("Content-Length", "1000");
  subject.response.Complete();
  CHECK(subject.exchange.Header("Content-Length") == "1000");
}

}  // namespace
}  // namespace weft
