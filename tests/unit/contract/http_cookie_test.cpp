#include <weft/http_cookie.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/doctest_values.hpp"

namespace weft {
namespace {

using Item = NameValueCollection::Item;
using SameSite = HttpCookie::SameSitePolicy;

HttpCookie Cookie(std::string name, std::string value) {
  HttpCookie cookie;
  cookie.name = std::move(name);
  cookie.value = std::move(value);
  return cookie;
}

std::vector<Item> Items(std::string_view header) {
  const auto cookies = ParseCookies(header);
  return {cookies.begin(), cookies.end()};
}

TEST_CASE("HttpCookie: the plainest cookie is for the whole site, until the browser closes") {
  CHECK(Cookie("name", "value").ToHeaderValue() == "name=value; Path=/");
  CHECK(Cookie("n", "").ToHeaderValue() == "n=; Path=/");
}

TEST_CASE("HttpCookie: each attribute is written when it is set, in one order") {
  auto cookie = Cookie("n", "v");
  cookie.path = "/shop";
  cookie.domain = "example.org";
  cookie.max_age = std::chrono::hours(1);
  cookie.secure = true;
  cookie.http_only = true;
  cookie.same_site = SameSite::kLax;
  CHECK(cookie.ToHeaderValue() ==
        "n=v; Path=/shop; Domain=example.org; Max-Age=3600; Secure; HttpOnly; SameSite=Lax");
  cookie.same_site = SameSite::kStrict;
  CHECK(cookie.ToHeaderValue().ends_with("; SameSite=Strict"));
  cookie.same_site = SameSite::kNone;
  CHECK(cookie.ToHeaderValue().ends_with("; SameSite=None"));
}

TEST_CASE("HttpCookie: an empty path is left out") {
  auto cookie = Cookie("n", "v");
  cookie.path.clear();
  CHECK(cookie.ToHeaderValue() == "n=v");
}

TEST_CASE("HttpCookie: a Max-Age of nothing and a negative one end the cookie at once") {
  auto cookie = Cookie("n", "v");
  cookie.max_age = std::chrono::seconds(0);
  CHECK(cookie.ToHeaderValue() == "n=v; Path=/; Max-Age=0");
  cookie.max_age = std::chrono::seconds(-1);
  CHECK(cookie.ToHeaderValue() == "n=v; Path=/; Max-Age=-1");
}

TEST_CASE("HttpCookie: a cookie needs a name") {
  CHECK_THROWS_AS(static_cast<void>(Cookie("", "v").ToHeaderValue()), std::invalid_argument);
}

TEST_CASE("HttpCookie: a byte that would end or split the cookie is refused in every part") {
  const std::string separators_of_names = " \t\",/:;<=>?@[\\]{}()";
  const std::string separators_of_values = " \t\",;\\";
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const char c = static_cast<char>(byte);
    const bool control = byte < 0x20 || byte == 0x7f;
    const std::string text = std::string("a") + c + "b";
    const auto refuses = [](const HttpCookie& cookie) {
      try {
        static_cast<void>(cookie.ToHeaderValue());
        return false;
      } catch (const std::invalid_argument&) {
        return true;
      }
    };
    CHECK(refuses(Cookie(text, "v")) ==
          (control || separators_of_names.find(c) != std::string::npos));
    CHECK(refuses(Cookie("n", text)) ==
          (control || separators_of_values.find(c) != std::string::npos));
    auto cookie = Cookie("n", "v");
    cookie.path = "/" + text;
    CHECK(refuses(cookie) == (control || c == ';'));
    cookie.path = "/";
    cookie.domain = text;
    CHECK(refuses(cookie) == (control || c == ';' || c == ' ' || c == ','));
  }
}

TEST_CASE("ParseCookies: names and values come as they were sent, in order, duplicates kept") {
  CHECK(Items("a=1; b=2; a=3") == std::vector<Item>{{"a", "1"}, {"b", "2"}, {"a", "3"}});
  CHECK(Items("").empty());
  CHECK(Items("a=%20+\"x\"") == std::vector<Item>{{"a", "%20+\"x\""}});
}

TEST_CASE("ParseCookies: blanks around names and values do not count, those within do") {
  CHECK(Items("  a = 1 ;b=2;\tc=3 4\t") == std::vector<Item>{{"a", "1"}, {"b", "2"}, {"c", "3 4"}});
}

TEST_CASE("ParseCookies: the first `=` divides") {
  CHECK(Items("a=b=c; d==") == std::vector<Item>{{"a", "b=c"}, {"d", "="}});
  CHECK(Items("a=") == std::vector<Item>{{"a", ""}});
}

TEST_CASE("ParseCookies: what has no name is passed over") {
  CHECK(Items("; ;;").empty());
  CHECK(Items("nonsense; =v; a=1") == std::vector<Item>{{"a", "1"}});
  CHECK(Items("   =v").empty());
}

TEST_CASE("ParseCookies: what ToHeaderValue wrote is read back") {
  const auto cookies = ParseCookies(Cookie("session", "abc-_.!~*'()%7B").ToHeaderValue());
  CHECK(cookies.Get("session") == "abc-_.!~*'()%7B");
}

}  // namespace
}  // namespace weft
