#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include <weft/http_exception.hpp>
#include <weft/http_request.hpp>
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

using test::VariableList;

std::string Url(std::initializer_list<VariableList::value_type> variables) {
  test::MemoryExchange exchange;
  const HttpRequest request(test::MakeVariables(VariableList(variables)), exchange);
  CHECK(&request.Url() == &request.Url());
  return request.Url();
}

TEST_CASE("HttpRequest: Url is scheme, host, path and query as the client asked for them") {
  CHECK(Url({{"HTTP_HOST", "example.org"}, {"REQUEST_URI", "/a%20b/c?d=e&f"}}) ==
        "http://example.org/a%20b/c?d=e&f");
  CHECK(Url({{"HTTP_HOST", "example.org:8080"}, {"REQUEST_URI", "/"}, {"SERVER_PORT", "80"}}) ==
        "http://example.org:8080/");
  CHECK(Url({{"HTTP_HOST", "[2001:DB8::1]:8443"}, {"REQUEST_URI", "/"}, {"HTTPS", "on"}}) ==
        "https://[2001:db8::1]:8443/");
}

TEST_CASE(
    "HttpRequest: Url has the host in small letters, and no port that the scheme has anyway") {
  CHECK(Url({{"HTTP_HOST", "Example.ORG:80"}, {"REQUEST_URI", "/A"}}) == "http://example.org/A");
  CHECK(Url({{"HTTP_HOST", "a:443"}, {"REQUEST_URI", "/"}}) == "http://a:443/");
  CHECK(Url({{"HTTP_HOST", "a:443"}, {"REQUEST_URI", "/"}, {"HTTPS", "on"}}) == "https://a/");
  CHECK(Url({{"HTTP_HOST", "a:80"}, {"REQUEST_URI", "/"}, {"HTTPS", "on"}}) == "https://a:80/");
  CHECK(Url({{"HTTP_HOST", "a:"}, {"REQUEST_URI", "/"}}) == "http://a/");
  CHECK(Url({{"HTTP_HOST", "[::1]"}, {"REQUEST_URI", "/"}}) == "http://[::1]/");
  CHECK(Url({{"HTTP_HOST", "[::80]"}, {"REQUEST_URI", "/"}}) == "http://[::80]/");
}

TEST_CASE("HttpRequest: without a Host field Url has the server's name and port") {
  CHECK(Url({{"SERVER_NAME", "www.example.org"}, {"SERVER_PORT", "80"}, {"REQUEST_URI", "/a"}}) ==
        "http://www.example.org/a");
  CHECK(Url({{"SERVER_NAME", "www.example.org"},
             {"SERVER_PORT", "8080"},
             {"HTTP_HOST", ""},
             {"REQUEST_URI", "/a"}}) == "http://www.example.org:8080/a");
  CHECK(Url({{"SERVER_NAME", "2001:db8::1"}, {"SERVER_PORT", "81"}, {"REQUEST_URI", "/"}}) ==
        "http://[2001:db8::1]:81/");
  CHECK(Url({{"SERVER_NAME", "[2001:db8::1]"}, {"REQUEST_URI", "/"}}) == "http://[2001:db8::1]/");
  CHECK(Url({{"REQUEST_URI", "/"}}).empty());
  CHECK(Url({{"SERVER_PORT", "80"}, {"REQUEST_URI", "/"}}).empty());
  CHECK(Url({{"SERVER_NAME", "not a name"}, {"REQUEST_URI", "/"}}).empty());
}

TEST_CASE("HttpRequest: a Host field that is no host is refused") {
  for (const std::string_view host : {"exa mple.org",
                                      "user@example.org",
                                      "example.org/path",
                                      "example.org?x",
                                      "example.org#x",
                                      "[::1",
                                      "::1",
                                      "[::g]",
                                      "[127.0.0.1]",
                                      "example.org:80a",
                                      "example.org:-1",
                                      "example.org:99999",
                                      "example.org:65536",
                                      "example.org:0",
                                      ":80",
                                      ":",
                                      "a:b:c",
                                      "\"><script>",
                                      "a\\b",
                                      "a\n",
                                      "a%4",
                                      "\xc3\xa4.example",
                                      "a,b c"}) {
    CAPTURE(host);
    test::MemoryExchange exchange;
    const HttpRequest request(
        test::MakeVariables({{"HTTP_HOST", host}, {"SERVER_NAME", "example.org"}}), exchange);
    for (int call = 0; call < 2; ++call) {
      try {
        static_cast<void>(request.Url());
        FAIL_CHECK("it was taken");
      } catch (const HttpException& error) {
        CHECK(error.StatusCode() == 400);
        CHECK(error.Cause() == "host_malformed");
      }
    }
  }
}

TEST_CASE("HttpRequest: Url has nothing in it that may not stand in a URL") {
  CHECK(Url({{"HTTP_HOST", "a"}, {"REQUEST_URI", "/\"<> \xc3\xa4|\\^`{}[]#x\x01?\"'\xff%"}}) ==
        "http://a/%22%3C%3E%20%C3%A4%7C%5C%5E%60%7B%7D%5B%5D%23x%01?%22'%FF%25");
  CHECK(Url({{"HTTP_HOST", "a"}, {"REQUEST_URI", "/%41%zz%4"}}) == "http://a/%41%25zz%254");
  // Two slashes at its begin are a path all the same.
  CHECK(Url({{"HTTP_HOST", "a"}, {"REQUEST_URI", "//evil.example/x"}}) ==
        "http://a//evil.example/x");
}

TEST_CASE("HttpRequest: Url of a request target that is no path") {
  CHECK(Url({{"HTTP_HOST", "a"}, {"REQUEST_URI", "*"}}) == "http://a");
  CHECK(Url({{"HTTP_HOST", "a"}, {"REQUEST_URI", "http://b:81/c?d"}}) == "http://a/c?d");
  CHECK(Url({{"HTTP_HOST", "a"}, {"REQUEST_URI", "http://b"}}) == "http://a");
  CHECK(Url({{"HTTP_HOST", "a"}, {"REQUEST_URI", "http://b?c"}}) == "http://a?c");
  CHECK(Url({{"HTTP_HOST", "a"}, {"REQUEST_URI", "b:443"}}) == "http://a");
  CHECK(Url({{"HTTP_HOST", "a"}, {"REQUEST_URI", ""}}) == "http://a");
}

TEST_CASE("HttpRequest: without REQUEST_URI Url is made of the decoded path and the query") {
  CHECK(Url({{"HTTP_HOST", "a"},
             {"SCRIPT_NAME", "/b c%20.ashx"},
             {"PATH_INFO", "/d?e"},
             {"QUERY_STRING", "f=%41+g"}}) == "http://a/b%20c%2520.ashx/d%3Fe?f=%41+g");
  CHECK(Url({{"HTTP_HOST", "a"}, {"SCRIPT_NAME", "/b"}, {"QUERY_STRING", ""}}) == "http://a/b");
}

TEST_CASE("HttpRequest: Url is unaffected by rewrites") {
  test::MemoryExchange exchange;
  HttpRequest request(
      test::MakeVariables({{"HTTP_HOST", "a"}, {"REQUEST_URI", "/b?c"}, {"SCRIPT_NAME", "/b"}}),
      exchange);
  request.RewritePath("/other", {});
  CHECK(request.Url() == "http://a/b?c");
}

TEST_CASE("HttpRequest: the connection is secure where HTTPS or REQUEST_SCHEME says so") {
  const auto secure = [](std::initializer_list<VariableList::value_type> variables) {
    test::MemoryExchange exchange;
    return HttpRequest(test::MakeVariables(VariableList(variables)), exchange).IsSecureConnection();
  };
  CHECK_FALSE(secure({}));
  for (const std::string_view value : {"on", "ON", "1", "yes"}) {
    CHECK(secure({{"HTTPS", value}}));
  }
  CHECK_FALSE(secure({{"HTTPS", "off"}}));
  CHECK_FALSE(secure({{"HTTPS", "Off"}, {"REQUEST_SCHEME", "https"}}));
  CHECK(secure({{"HTTPS", ""}, {"REQUEST_SCHEME", "https"}}));
  CHECK(secure({{"REQUEST_SCHEME", "HTTPS"}}));
  CHECK_FALSE(secure({{"REQUEST_SCHEME", "http"}}));
  CHECK_FALSE(secure({{"HTTP_HTTPS", "on"}, {"SERVER_PORT", "443"}}));
}

}  // namespace
}  // namespace weft
