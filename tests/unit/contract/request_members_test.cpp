#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <weft/http_context.hpp>
#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

using test::MakeVariables;
using test::VariableList;

/// A request with these variables.
struct Subject {
  explicit Subject(std::initializer_list<VariableList::value_type> variables,
                   const HttpRequestSettings& with_settings = {})
      : settings(with_settings),
        request(MakeVariables(VariableList(variables)), exchange, &settings) {}

  test::MemoryExchange exchange;
  HttpRequestSettings settings;
  HttpRequest request;
};

/// Checks that it throws a 400 with this cause, again and again.
template <typename F>
void CheckRefused(std::string_view cause, F&& function) {
  for (int call = 0; call < 2; ++call) {
    try {
      function();
      FAIL_CHECK("it was taken");
    } catch (const HttpException& error) {
      CHECK(error.StatusCode() == 400);
      CHECK(error.Cause() == cause);
      CHECK_FALSE(error.PublicText().empty());
    }
  }
}

std::vector<std::string> Values(const std::vector<QualityValue>& items) {
  std::vector<std::string> values;
  for (const auto& item : items) {
    values.push_back(item.value);
  }
  return values;
}

TEST_CASE("HttpRequest: with no variables the texts are empty, and nobody is local or known") {
  const Subject subject({});
  const auto& request = subject.request;
  CHECK(request.RequestType().empty());
  CHECK(request.AcceptTypes().empty());
  CHECK(request.UserLanguages().empty());
  CHECK(request.UserAgent().empty());
  CHECK(request.UrlReferrer().empty());
  CHECK(request.UserHostName().empty());
  CHECK_FALSE(request.IsAuthenticated());
  CHECK_FALSE(request.IsLocal());
}

TEST_CASE("HttpRequest: RequestType is the method until another is set") {
  Subject subject({{"REQUEST_METHOD", "POST"}});
  auto& request = subject.request;
  CHECK(request.RequestType() == "POST");
  request.SetRequestType("PUT");
  CHECK(request.RequestType() == "PUT");
  CHECK(request.HttpMethod() == "POST");
  request.SetRequestType(request.RequestType());
  CHECK(request.RequestType() == "PUT");
  request.SetRequestType({});
  CHECK(request.RequestType().empty());
}

TEST_CASE(
    "HttpRequest: AcceptTypes and UserLanguages are the fields in the order of their weights") {
  const Subject subject({{"HTTP_ACCEPT", "text/plain;q=0.5, text/html"},
                         {"HTTP_ACCEPT_LANGUAGE", "da, en-gb;q=0.8, *;q=0"}});
  const auto& request = subject.request;
  CHECK(Values(request.AcceptTypes()) == std::vector<std::string>{"text/html", "text/plain"});
  CHECK(Values(request.UserLanguages()) == std::vector<std::string>{"da", "en-gb", "*"});
  CHECK(request.UserLanguages().back().quality == 0);
  CHECK(&request.AcceptTypes() == &request.AcceptTypes());
  CHECK(&request.UserLanguages() == &request.UserLanguages());
}

TEST_CASE("HttpRequest: a field that came several times is one list") {
  const Subject subject({{"HTTP_ACCEPT", "a/b;q=0.1"},
                         {"HTTP_ACCEPT_LANGUAGE", "en;q=0.3"},
                         {"HTTP_ACCEPT", "c/d"},
                         {"HTTP_ACCEPT_LANGUAGE", ""},
                         {"HTTP_ACCEPT_LANGUAGE", "de"},
                         {"HTTP_ACCEPT", "e/f;q=0.2"}});
  CHECK(Values(subject.request.AcceptTypes()) == std::vector<std::string>{"c/d", "e/f", "a/b"});
  CHECK(Values(subject.request.UserLanguages()) == std::vector<std::string>{"de", "en"});
}

TEST_CASE("HttpRequest: UserAgent is the field as it came") {
  CHECK(Subject({{"HTTP_USER_AGENT", "Mozilla/5.0 (X11) <script>"}}).request.UserAgent() ==
        "Mozilla/5.0 (X11) <script>");
}

TEST_CASE("HttpRequest: UrlReferrer is a URI reference, or nothing") {
  for (const std::string_view text :
       {"http://www.example.org/hypertext/Overview.html", "https://[2001:db8::1]:8443/a?b=c",
        "/relative?x", "page.html", "about:blank", "?q", "http://example.org", "a:?", "a:#", "a:/",
        "a:b", "a:", "?", "#", "/?"}) {
    CAPTURE(text);
    CHECK(Subject({{"HTTP_REFERER", text}}).request.UrlReferrer() == text);
  }
  for (const std::string_view text :
       {"http://example.org/a b", "http://exa mple.org/", "http://example.org/%4", "http://[::1/",
        "http://example.org/\"><script>", "http://example.org/\n", "1:x y", "\xc3\xa4", "a:>",
        "a:%", "a:\xc3", "1:?", ":?"}) {
    CAPTURE(text);
    CHECK(Subject({{"HTTP_REFERER", text}}).request.UrlReferrer().empty());
  }
}

TEST_CASE("HttpRequest: the user is whom the web server names") {
  const Subject subject({{"REMOTE_USER", "ada"}, {"AUTH_TYPE", "Basic"}});
  CHECK(subject.request.IsAuthenticated());
  // A type without a name is nobody; neither is who only says so.
  CHECK_FALSE(Subject({{"REMOTE_USER", ""}, {"AUTH_TYPE", "Basic"}}).request.IsAuthenticated());
  CHECK_FALSE(Subject({{"HTTP_REMOTE_USER", "ada"}, {"HTTP_AUTHORIZATION", "Basic YTpi"}})
                  .request.IsAuthenticated());
}

TEST_CASE("HttpRequest: UserHostName is REMOTE_HOST, or else the address") {
  CHECK(Subject({{"REMOTE_ADDR", "192.0.2.1"}, {"REMOTE_HOST", "a.example"}})
            .request.UserHostName() == "a.example");
  CHECK(Subject({{"REMOTE_ADDR", "192.0.2.1"}}).request.UserHostName() == "192.0.2.1");
  CHECK(Subject({{"REMOTE_ADDR", "192.0.2.1"}, {"REMOTE_HOST", ""}}).request.UserHostName() ==
        "192.0.2.1");
}

TEST_CASE("HttpRequest: local are the loopback interface and the server's own address") {
  for (const std::string_view address : {"127.0.0.1", "127.1.2.3", "127.255.255.255", "::1",
                                         "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1"}) {
    CAPTURE(address);
    CHECK(Subject({{"REMOTE_ADDR", address}}).request.IsLocal());
  }
  for (const std::string_view address :
       {"", "192.0.2.1", "128.0.0.1", "126.255.255.255", "127.evil.example", "127.0.0.1.example",
        "127.0.0.1 ", "127.1", "::", "::2", "::ffff:128.0.0.1", "::127.0.0.1", "fe80::1", "[::1]",
        "unix:", "localhost"}) {
    CAPTURE(address);
    CHECK_FALSE(Subject({{"REMOTE_ADDR", address}}).request.IsLocal());
    CHECK_FALSE(
        Subject({{"REMOTE_ADDR", address}, {"SERVER_ADDR", "192.0.2.2"}}).request.IsLocal());
  }
  CHECK(Subject({{"REMOTE_ADDR", "192.0.2.1"}, {"SERVER_ADDR", "192.0.2.1"}}).request.IsLocal());
  CHECK_FALSE(Subject({{"REMOTE_ADDR", ""}, {"SERVER_ADDR", ""}}).request.IsLocal());
}

TEST_CASE("HttpRequest: what came through a proxy on this machine is not local") {
  for (const std::string_view field :
       {"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP"}) {
    CAPTURE(field);
    CHECK_FALSE(Subject({{"REMOTE_ADDR", "127.0.0.1"}, {field, "203.0.113.7"}}).request.IsLocal());
    CHECK_FALSE(Subject({{"REMOTE_ADDR", "127.0.0.1"}, {field, ""}}).request.IsLocal());
  }
}

TEST_CASE("HttpRequest: as many query fields as the host allows, and no more") {
  const HttpRequestSettings three{.max_fields = 3};
  CHECK(Subject({{"QUERY_STRING", "&a=1&&b&a=3&"}}, three).request.QueryString().size() == 3);
  const Subject subject({{"QUERY_STRING", "a=1&b&a=3&c"}}, three);
  CheckRefused("too_many_fields", [&] { static_cast<void>(subject.request.QueryString()); });
  CHECK(subject.request.QueryStringText() == "a=1&b&a=3&c");
}

TEST_CASE("HttpRequest: without settings a thousand query fields are taken") {
  std::string query(1999, '&');
  for (std::size_t at = 0; at < query.size(); at += 2) {
    query[at] = 'a';
  }
  test::MemoryExchange exchange;
  const HttpRequest thousand(MakeVariables({{"QUERY_STRING", query}}), exchange);
  CHECK(thousand.QueryString().size() == 1000);
  query += "&b";
  const HttpRequest more(MakeVariables({{"QUERY_STRING", query}}), exchange);
  CheckRefused("too_many_fields", [&] { static_cast<void>(more.QueryString()); });
}

TEST_CASE("HttpRequest: a broken query has its own cause") {
  const Subject subject({{"QUERY_STRING", "a=%4"}});
  CheckRefused("query_malformed", [&] { static_cast<void>(subject.request.QueryString()); });
}

TEST_CASE("HttpRequest: as many cookies as the host allows, in all Cookie fields") {
  const HttpRequestSettings three{.max_fields = 3};
  CHECK(Subject({{"HTTP_COOKIE", "a=1; nonsense; b=2"}, {"HTTP_COOKIE", "a=3"}}, three)
            .request.Cookies()
            .size() == 3);
  const Subject subject({{"HTTP_COOKIE", "a=1; b=2"}, {"HTTP_COOKIE", "a=3; c=4"}}, three);
  CheckRefused("too_many_fields", [&] { static_cast<void>(subject.request.Cookies()); });
}

TEST_CASE("HttpRequest: a control character among the cookies is refused, wherever it stands") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;
    for (const std::string& text : {std::string("a=1; b=x") + static_cast<char>(byte) + "y",
                                    std::string(1, static_cast<char>(byte)) + "a=1",
                                    std::string("a") + static_cast<char>(byte) + "b=1"}) {
      const Subject subject({{"HTTP_COOKIE", "z=0"}, {"HTTP_COOKIE", text}});
      if (control) {
        CheckRefused("cookie_malformed", [&] { static_cast<void>(subject.request.Cookies()); });
      } else {
        CHECK(subject.request.Cookies().Get("z") == "0");
      }
    }
  }
}

}  // namespace
}  // namespace weft
