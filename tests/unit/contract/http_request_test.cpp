#include <weft/http_request.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

using test::MakeVariables;
using test::MemoryExchange;
using Call = MemoryExchange::Call;

/// A request with these variables, and the peer that its body comes from.
struct Subject {
  explicit Subject(std::initializer_list<test::VariableList::value_type> variables,
                   std::deque<std::string> body = {})
      : Subject(test::VariableList(variables), std::move(body)) {}
  Subject(const test::VariableList& variables, std::deque<std::string> body)
      : request(MakeVariables(variables), exchange) {
    exchange.body = std::move(body);
  }

  MemoryExchange exchange;
  HttpRequest request;
};

std::vector<HttpHeaders::Field> Fields(const test::VariableList& variables) {
  const Subject subject(variables, {});
  const auto& headers = subject.request.Headers();
  return {headers.begin(), headers.end()};
}

TEST_CASE("HttpRequest: with no variables everything is empty and nothing throws") {
  Subject subject({});
  auto& request = subject.request;
  CHECK(request.HttpMethod().empty());
  CHECK(request.Path().empty());
  CHECK(request.FilePath().empty());
  CHECK(request.PathInfo().empty());
  CHECK(request.RawUrl().empty());
  CHECK(request.QueryStringText().empty());
  CHECK(request.QueryString().empty());
  CHECK(request.PhysicalPath().empty());
  CHECK(request.Headers().empty());
  CHECK(request.Cookies().empty());
  CHECK(request.ServerVariables().empty());
  CHECK(request.ContentType().empty());
  CHECK_FALSE(request.ContentLength().has_value());
  CHECK(request.UserHostAddress().empty());
  CHECK(request.ReadEntityBodyMode() == ReadEntityBodyMode::kNone);
  CHECK(request.Body().empty());
}

TEST_CASE("HttpRequest: the method keeps its letter case") {
  CHECK(Subject({{"REQUEST_METHOD", "gEt"}}).request.HttpMethod() == "gEt");
}

TEST_CASE(
    "HttpRequest: the path is script name and path info, split where the web server split it") {
  const Subject subject({{"SCRIPT_NAME", "/shop/new.ashx"}, {"PATH_INFO", "/a/b"}});
  CHECK(subject.request.Path() == "/shop/new.ashx/a/b");
  CHECK(subject.request.FilePath() == "/shop/new.ashx");
  CHECK(subject.request.PathInfo() == "/a/b");
}

TEST_CASE("HttpRequest: RewritePath moves the split and may change the path") {
  Subject subject({{"SCRIPT_NAME", "/x/../shop/new.ashx/a"}, {"REQUEST_URI", "/x/../shop?y"}});
  auto& request = subject.request;
  request.RewritePath("/shop/new.ashx", "/a");
  CHECK(request.Path() == "/shop/new.ashx/a");
  CHECK(request.FilePath() == "/shop/new.ashx");
  CHECK(request.PathInfo() == "/a");
  // What the client sent stays what it was.
  CHECK(request.RawUrl() == "/x/../shop?y");
  CHECK(request.ServerVariables().Get("SCRIPT_NAME") == "/x/../shop/new.ashx/a");
}

TEST_CASE("HttpRequest: RewritePath with views into the path itself") {
  Subject subject({{"SCRIPT_NAME", "/a.ashx/tail"}, {"PATH_INFO", "/more"}});
  auto& request = subject.request;
  const std::string_view path = request.Path();
  SUBCASE("another split of the same text") {
    request.RewritePath(path.substr(0, 7), path.substr(7));
    CHECK(request.FilePath() == "/a.ashx");
    CHECK(request.PathInfo() == "/tail/more");
    CHECK(request.Path() == "/a.ashx/tail/more");
  }
  SUBCASE("the same split") {
    request.RewritePath(request.FilePath(), request.PathInfo());
    CHECK(request.FilePath() == "/a.ashx/tail");
    CHECK(request.PathInfo() == "/more");
  }
  SUBCASE("the whole of it") {
    request.RewritePath(path, {});
    CHECK(request.FilePath() == "/a.ashx/tail/more");
    CHECK(request.PathInfo().empty());
  }
  SUBCASE("a part of it") {
    request.RewritePath(path.substr(7, 5), {});
    CHECK(request.Path() == "/tail");
    CHECK(request.FilePath() == "/tail");
  }
}

TEST_CASE("HttpRequest: RawUrl is what the client sent, or else the path and the query") {
  CHECK(Subject({{"REQUEST_URI", "/a%20b?c=d"}, {"SCRIPT_NAME", "/a b"}}).request.RawUrl() ==
        "/a%20b?c=d");
  CHECK(Subject({{"SCRIPT_NAME", "/a"}, {"PATH_INFO", "/b"}}).request.RawUrl() == "/a/b");
  CHECK(Subject({{"SCRIPT_NAME", "/a b?"}, {"QUERY_STRING", "c=%20"}}).request.RawUrl() ==
        "/a%20b%3F?c=%20");
}

TEST_CASE("HttpRequest: RawUrl and Url are unaffected by rewrites, also without REQUEST_URI") {
  Subject subject({{"SCRIPT_NAME", "/a"}, {"QUERY_STRING", "b"}, {"HTTP_HOST", "c"}});
  subject.request.RewritePath("/other", {});
  subject.request.SetQueryStringText("d");
  CHECK(subject.request.RawUrl() == "/a?b");
  CHECK(subject.request.Url() == "http://c/a?b");
}

TEST_CASE("HttpRequest: the query is there as it was sent, and decoded") {
  const Subject subject({{"QUERY_STRING", "a=%41&b=c+d"}});
  CHECK(subject.request.QueryStringText() == "a=%41&b=c+d");
  CHECK(subject.request.QueryString().Get("A") == "A");
  CHECK(subject.request.QueryString().Get("b") == "c d");
  // Decoded once, and kept.
  CHECK(&subject.request.QueryString() == &subject.request.QueryString());
}

TEST_CASE("HttpRequest: a broken query throws at each call, and only when it is asked for") {
  const Subject subject({{"QUERY_STRING", "a=%4"}});
  CHECK(subject.request.QueryStringText() == "a=%4");
  CHECK_THROWS_AS(static_cast<void>(subject.request.QueryString()), HttpException);
  CHECK_THROWS_AS(static_cast<void>(subject.request.QueryString()), HttpException);
}

TEST_CASE("HttpRequest: Headers come from HTTP_* in their usual spelling, and in their order") {
  CHECK(Fields({{"HTTP_ACCEPT_ENCODING", "gzip"},
                {"SERVER_NAME", "not a header"},
                {"HTTP_X_A_B", "1"},
                {"HTTP_HOST", "example.org"}}) ==
        std::vector<HttpHeaders::Field>{
            {"Accept-Encoding", "gzip"}, {"X-A-B", "1"}, {"Host", "example.org"}});
}

TEST_CASE("HttpRequest: CONTENT_TYPE and CONTENT_LENGTH are headers unless they are empty") {
  CHECK(Fields({{"CONTENT_TYPE", "text/plain"}, {"CONTENT_LENGTH", "5"}}) ==
        std::vector<HttpHeaders::Field>{{"Content-Type", "text/plain"}, {"Content-Length", "5"}});
  CHECK(Fields({{"CONTENT_TYPE", ""}, {"CONTENT_LENGTH", ""}}).empty());
  CHECK(Subject({{"CONTENT_TYPE", "text/plain"}}).request.ContentType() == "text/plain");
}

TEST_CASE("HttpRequest: an empty header field is a field all the same") {
  CHECK(Fields({{"HTTP_ACCEPT", ""}}) == std::vector<HttpHeaders::Field>{{"Accept", ""}});
}

TEST_CASE("HttpRequest: fields of one name are joined by commas, cookies by semicolons") {
  CHECK(Fields({{"HTTP_ACCEPT", "text/html"},
                {"HTTP_COOKIE", "a=1"},
                {"HTTP_ACCEPT", "text/plain"},
                {"HTTP_COOKIE", "b=2"},
                {"HTTP_ACCEPT", "image/png"}}) ==
        std::vector<HttpHeaders::Field>{{"Accept", "text/html, text/plain, image/png"},
                                        {"Cookie", "a=1; b=2"}});
}

TEST_CASE("HttpRequest: a field that comes as HTTP_CONTENT_* too is there once") {
  // nginx passes every field on as HTTP_*, beside the parameters that CGI has for these two.
  CHECK(Fields({{"CONTENT_TYPE", "text/plain"},
                {"CONTENT_LENGTH", "5"},
                {"HTTP_CONTENT_TYPE", "text/plain"},
                {"HTTP_CONTENT_LENGTH", "5"}}) ==
        std::vector<HttpHeaders::Field>{{"Content-Type", "text/plain"}, {"Content-Length", "5"}});
  CHECK(Fields({{"HTTP_CONTENT_LENGTH", "5"}, {"CONTENT_LENGTH", "5"}}) ==
        std::vector<HttpHeaders::Field>{{"Content-Length", "5"}});
}

TEST_CASE("HttpRequest: what is no HTTP field is no header, but stays a variable") {
  const Subject subject({{"HTTP_", "a"},
                         {"HTTP_A B", "b"},
                         {"HTTP_X", "c\r\nEvil: d"},
                         {"HTTPS", "on"},
                         {"HTTP", "e"},
                         {"http_y", "f"},
                         {"HTTP_GOOD", "g"}});
  const auto& headers = subject.request.Headers();
  CHECK(headers.size() == 1);
  CHECK(headers.Find("Good") == "g");
  CHECK(subject.request.ServerVariables().Get("HTTP_X") == "c\r\nEvil: d");
}

TEST_CASE("HttpRequest: a repeated field with a bad value leaves the good one alone") {
  CHECK(Fields({{"HTTP_X", "good"}, {"HTTP_X", "bad\n"}}) ==
        std::vector<HttpHeaders::Field>{{"X", "good"}});
}

TEST_CASE("HttpRequest: one field is found without the others, its lines joined") {
  const Subject subject({{"HTTP_X", "one"},
                         {"HTTP_EMPTY", ""},
                         {"HTTP_LIST", ""},
                         {"HTTP_LIST", "a"},
                         {"HTTP_X_OTHER", "no"},
                         {"HTTP_LIST", "b, c"}});
  const auto& request = subject.request;
  CHECK(request.FindField("HTTP_X") == "one");
  CHECK(request.FindField("HTTP_EMPTY") == "");
  CHECK_FALSE(request.FindField("HTTP_ABSENT").has_value());
  const auto list = request.FindField("HTTP_LIST");
  CHECK(list == ", a, b, c");
  CHECK(list == request.Headers().Find("List"));
  // What was given stays where it is.
  CHECK(request.FindField("HTTP_LIST")->data() == list->data());
}

TEST_CASE("HttpRequest: cookies come from every Cookie field") {
  const Subject subject({{"HTTP_COOKIE", "a=1; b=2"}, {"HTTP_COOKIE", "c=3"}});
  CHECK(subject.request.Cookies().size() == 3);
  CHECK(subject.request.Cookies().Get("c") == "3");
  CHECK(&subject.request.Cookies() == &subject.request.Cookies());
}

TEST_CASE("HttpRequest: ContentLength is a plain number of bytes, or absent") {
  const auto length = [](std::string_view text) {
    return Subject({{"CONTENT_LENGTH", text}}).request.ContentLength();
  };
  CHECK(length("0") == 0);
  CHECK(length("17") == 17);
  CHECK(length("007") == 7);
  CHECK(length("18446744073709551615") == 18'446'744'073'709'551'615u);
  for (const std::string_view text :
       {"", " ", "-1", "+1", " 1", "1 ", "1,1", "1.0", "0x10", "1e3", "ten", "18446744073709551616",
        "99999999999999999999999999"}) {
    CAPTURE(text);
    CHECK_FALSE(length(text).has_value());
  }
}

TEST_CASE("HttpRequest: UserHostAddress is REMOTE_ADDR") {
  CHECK(Subject({{"REMOTE_ADDR", "192.0.2.1"}}).request.UserHostAddress() == "192.0.2.1");
}

/// Bytes that would show a piece out of its place.
std::string Pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>((i * 31 + i / 251) & 0xff);
  }
  return text;
}

TEST_CASE("HttpRequest: Body is whole over pieces of any size, and read once") {
  // Sizes around those in which it reads.
  const std::vector<std::vector<std::size_t>> cuts = {
      {1},           {511},       {512},
      {513},         {1, 511, 1}, {512, 65536},
      {512, 65537},  {65536},     {65535, 1, 65536, 3},
      {1, 1, 1},     {200'000},   {3, 70'000, 1, 0, 5, 66'000},
      {1'100'000, 7}};
  for (const bool announced : {false, true}) {
    for (const auto& sizes : cuts) {
      std::size_t total = 0;
      for (const auto size : sizes) {
        total += size;
      }
      CAPTURE(announced);
      CAPTURE(total);
      const auto whole = Pattern(total);
      std::deque<std::string> pieces;
      std::size_t at = 0;
      for (const auto size : sizes) {
        pieces.push_back(whole.substr(at, size));
        at += size;
      }
      const auto length = std::to_string(total);
      Subject subject(
          announced ? test::VariableList{{"CONTENT_LENGTH", length}} : test::VariableList{},
          pieces);
      CHECK(subject.request.Body() == whole);
      CHECK(subject.request.ReadEntityBodyMode() == ReadEntityBodyMode::kClassic);
      const auto reads = subject.exchange.Count(Call::kReadBody);
      CHECK(subject.request.Body() == whole);
      CHECK(subject.exchange.Count(Call::kReadBody) == reads);
    }
  }
}

TEST_CASE("HttpRequest: a length that lies costs no memory and changes nothing") {
  // Sixteen exabytes: reserving on its word would throw.
  Subject subject({{"CONTENT_LENGTH", "18446744073709551615"}}, {"abc"});
  CHECK(subject.request.Body() == "abc");
}

TEST_CASE("HttpRequest: an empty body is empty, and its end is not asked for again") {
  Subject subject({});
  CHECK(subject.request.Body().empty());
  CHECK(subject.request.Body().empty());
  CHECK(subject.exchange.Count(Call::kReadBody) == 1);
}

TEST_CASE("HttpRequest: after a failed read the failure comes again, and half a body is none") {
  Subject subject({}, {"abc", "def"});
  subject.exchange.fail_at = 2;
  CHECK_THROWS_AS(static_cast<void>(subject.request.Body()), std::system_error);
  CHECK(subject.request.ReadEntityBodyMode() == ReadEntityBodyMode::kNone);
  CHECK_THROWS_AS(static_cast<void>(subject.request.Body()), std::system_error);
  CHECK_THROWS_AS(static_cast<void>(subject.request.GetBufferlessInputStream()), std::system_error);
  CHECK_THROWS_AS(static_cast<void>(subject.request.GetBufferedInputStream()), std::system_error);
  CHECK(subject.exchange.Count(Call::kReadBody) == 2);
}

TEST_CASE("HttpRequest: the stream hands the body out as it arrives") {
  Subject subject({}, {"abcdef", "g"});
  auto& stream = subject.request.GetBufferlessInputStream();
  CHECK(subject.request.ReadEntityBodyMode() == ReadEntityBodyMode::kBufferless);
  CHECK(subject.exchange.calls.empty());
  std::string buffer(4, '\0');
  CHECK(stream.Read(buffer) == 4);
  CHECK(buffer == "abcd");
  CHECK(stream.Read(buffer) == 2);
  CHECK(stream.Read(buffer) == 1);
  CHECK(buffer[0] == 'g');
  CHECK(stream.Read(buffer) == 0);
  CHECK(stream.Read(buffer) == 0);
}

TEST_CASE("HttpRequest: Body after GetBufferlessInputStream throws, read from or not") {
  Subject subject({}, {"abc"});
  auto& stream = subject.request.GetBufferlessInputStream();
  CHECK_THROWS_AS(static_cast<void>(subject.request.Body()), std::logic_error);
  std::string buffer(2, '\0');
  CHECK(stream.Read(buffer) == 2);
  CHECK_THROWS_AS(static_cast<void>(subject.request.Body()), std::logic_error);
  // The stream goes on where it was.
  CHECK(&subject.request.GetBufferlessInputStream() == &stream);
  CHECK(stream.Read(buffer) == 1);
  CHECK(buffer[0] == 'c');
}

}  // namespace
}  // namespace weft
