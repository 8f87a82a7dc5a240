#include <weft/http_cookie.hpp>

#include <doctest/doctest.h>

#include <cctype>
#include <chrono>
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

bool IsRefused(const HttpCookie& cookie) {
  try {
    static_cast<void>(cookie.ToHeaderValue());
    return false;
  } catch (const std::invalid_argument& error) {
    const std::string text = error.what();
    CHECK(text.starts_with("the cookie '" + cookie.name.substr(0, cookie.name.find('\0'))));
    CHECK((cookie.value.size() < 4 || text.find(cookie.value) == std::string::npos));
    return true;
  }
}

TEST_CASE("HttpCookie: Expires and Partitioned are written when they are set") {
  auto cookie = Cookie("n", "v");
  cookie.secure = true;
  cookie.partitioned = true;
  cookie.expires = std::chrono::sys_days(std::chrono::year(1994) / 11 / 6) + std::chrono::hours(8) +
                   std::chrono::minutes(49) + std::chrono::seconds(37);
  CHECK(cookie.ToHeaderValue() ==
        "n=v; Path=/; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Secure; Partitioned");
}

TEST_CASE("HttpCookie: a lifetime is sent from nothing to 400 days") {
  auto cookie = Cookie("n", "v");
  const auto sent = [&](std::chrono::seconds age) {
    cookie.max_age = age;
    return cookie.ToHeaderValue();
  };
  CHECK(sent(std::chrono::seconds(0)) == "n=v; Path=/; Max-Age=0");
  CHECK(sent(std::chrono::seconds(-1)) == "n=v; Path=/; Max-Age=0");
  CHECK(sent(std::chrono::seconds::min()) == "n=v; Path=/; Max-Age=0");
  CHECK(sent(HttpCookie::kMaxLifetime) == "n=v; Path=/; Max-Age=34560000");
  CHECK(sent(std::chrono::seconds::max()) == "n=v; Path=/; Max-Age=34560000");
  cookie.max_age.reset();
  const auto now = std::chrono::system_clock::now();
  cookie.expires = now + std::chrono::hours(24 * 4000);
  const auto bounded = HttpCookie::TryParse(cookie.ToHeaderValue());
  REQUIRE(bounded);
  CHECK(*bounded->expires >= now + HttpCookie::kMaxLifetime - std::chrono::seconds(1));
  CHECK(*bounded->expires <= std::chrono::system_clock::now() + HttpCookie::kMaxLifetime);
  cookie.expires = std::chrono::system_clock::time_point::max();
  CHECK_NOTHROW(static_cast<void>(cookie.ToHeaderValue()));
  cookie.expires = std::chrono::system_clock::time_point::min();
  CHECK(cookie.ToHeaderValue() == "n=v; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST_CASE("HttpCookie: a cookie needs a name") { CHECK(IsRefused(Cookie("", "v"))); }

TEST_CASE("HttpCookie: a byte that would end or split the cookie is refused in every part") {
  const std::string separators_of_names = " \t\",/:;<=>?@[\\]{}()";
  const std::string separators_of_values = " \t\",;\\";
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const char c = static_cast<char>(byte);
    const bool never = byte < 0x20 || byte >= 0x7f;
    const std::string text = std::string("a") + c + "b";
    CHECK(IsRefused(Cookie(text, "v")) ==
          (never || separators_of_names.find(c) != std::string::npos));
    CHECK(IsRefused(Cookie("n", text)) ==
          (never || separators_of_values.find(c) != std::string::npos));
    auto cookie = Cookie("n", "v");
    cookie.path = "/" + text;
    CHECK(IsRefused(cookie) == (never || c == ';'));
    cookie.path = "/";
    cookie.domain = text;
    const bool is_of_label = std::string_view("-_.").find(c) != std::string_view::npos ||
                             (std::isalnum(byte) != 0 && byte < 0x80);
    CHECK(IsRefused(cookie) != is_of_label);
  }
}

TEST_CASE("HttpCookie: a folded line smuggles nothing in") {
  CHECK(IsRefused(Cookie("n", "v\r\n\tSet-Cookie: a=b")));
  auto cookie = Cookie("n", "v");
  cookie.path = "/\r\n x";
  CHECK(IsRefused(cookie));
}

TEST_CASE("HttpCookie: a path begins with a slash, and a domain has no empty part") {
  auto cookie = Cookie("n", "v");
  cookie.path = "shop";
  CHECK(IsRefused(cookie));
  cookie.path = "/";
  for (const std::string domain : {".", "..", "a..b", "a.", "..a"}) {
    CAPTURE(domain);
    cookie.domain = domain;
    CHECK(IsRefused(cookie));
  }
  cookie.domain = ".example.org";
  CHECK(cookie.ToHeaderValue() == "n=v; Path=/; Domain=example.org");
}

TEST_CASE("HttpCookie: what browsers drop for its size is refused") {
  CHECK_FALSE(IsRefused(Cookie("name", std::string(4092, 'x'))));
  CHECK(IsRefused(Cookie("name", std::string(4093, 'x'))));
  auto cookie = Cookie("n", "v");
  cookie.path = "/" + std::string(1023, 'x');
  CHECK_FALSE(IsRefused(cookie));
  cookie.path += 'x';
  CHECK(IsRefused(cookie));
  cookie.path = "/";
  cookie.domain = std::string(1025, 'x');
  CHECK(IsRefused(cookie));
}

TEST_CASE("HttpCookie: SameSite=None and Partitioned need Secure") {
  auto cookie = Cookie("n", "v");
  cookie.same_site = SameSite::kNone;
  CHECK(IsRefused(cookie));
  cookie.secure = true;
  CHECK(cookie.ToHeaderValue() == "n=v; Path=/; Secure; SameSite=None");
  cookie = Cookie("n", "v");
  cookie.partitioned = true;
  CHECK(IsRefused(cookie));
}

TEST_CASE("HttpCookie: the prefixes of names hold what they promise, in any letter case") {
  for (const std::string name : {"__Secure-n", "__secure-n", "__Host-n", "__hOST-n"}) {
    CAPTURE(name);
    auto cookie = Cookie(name, "v");
    CHECK(IsRefused(cookie));
    cookie.secure = true;
    CHECK_FALSE(IsRefused(cookie));
    const bool is_of_host = name.size() == 8;
    cookie.path = "/a";
    CHECK(IsRefused(cookie) == is_of_host);
    cookie.path.clear();
    CHECK(IsRefused(cookie) == is_of_host);
    cookie.path = "/";
    cookie.domain = "example.org";
    CHECK(IsRefused(cookie) == is_of_host);
  }
  CHECK_FALSE(IsRefused(Cookie("__Hos-n", "v")));
}

TEST_CASE("HttpCookie: any text can be a value once it is encoded") {
  std::string all(256, '\0');
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = static_cast<char>(i);
  }
  const auto cookie = Cookie("n", HttpCookie::EncodeValue(all));
  CHECK_FALSE(IsRefused(cookie));
  CHECK(HttpCookie::DecodeValue(cookie.value) == all);
  CHECK(HttpCookie::EncodeValue("a b;\"%=&") == "a%20b%3B%22%25=&");
}

TEST_CASE("HttpCookie: sub-values are written and read back, whatever is in them") {
  auto cookie = Cookie("n", "plain");
  CHECK_FALSE(cookie.HasKeys());
  NameValueCollection values;
  values.Append("user", "Ada & Co; \xc3\xa4=1");
  values.Append("empty", "");
  values.Append("user", "second");
  cookie.SetValues(values);
  CHECK(cookie.HasKeys());
  CHECK_FALSE(IsRefused(cookie));
  const auto read = cookie.Values();
  CHECK(std::vector<Item>(read.begin(), read.end()) ==
        std::vector<Item>(values.begin(), values.end()));
}

TEST_CASE("HttpCookie: TryParse reads what ToHeaderValue wrote") {
  auto cookie = Cookie("n", "v=1");
  cookie.path = "/shop";
  cookie.domain = "example.org";
  cookie.max_age = std::chrono::hours(1);
  cookie.expires = std::chrono::sys_days(std::chrono::year(2001) / 2 / 3);
  cookie.secure = true;
  cookie.http_only = true;
  cookie.same_site = SameSite::kStrict;
  cookie.partitioned = true;
  const auto read = HttpCookie::TryParse(cookie.ToHeaderValue());
  REQUIRE(read);
  CHECK(read->IsSameAs(cookie));
  CHECK(read->value == "v=1");
  CHECK(read->max_age == cookie.max_age);
  CHECK(read->expires == cookie.expires);
  CHECK(read->ToHeaderValue() == cookie.ToHeaderValue());
}

TEST_CASE("HttpCookie: TryParse reads as browsers do") {
  const auto parse = [](std::string_view text) {
    const auto cookie = HttpCookie::TryParse(text);
    REQUIRE(cookie);
    return *cookie;
  };
  auto cookie = parse(" n = a b ;; SECURE ; path = x ; path=/y; domain=.Example.org;samesite=LAX");
  CHECK(cookie.name == "n");
  CHECK(cookie.value == "a b");
  CHECK(cookie.secure);
  CHECK(cookie.path == "/y");
  CHECK(cookie.domain == "Example.org");
  CHECK(cookie.same_site == SameSite::kLax);
  CHECK(parse("n=v; Path=x").path.empty());
  CHECK(parse("n=v; Max-Age=5").max_age == std::chrono::seconds(5));
  CHECK(parse("n=v; Max-Age=-5").max_age == std::chrono::seconds(0));
  CHECK(parse("n=v; Max-Age=99999999999999999999999").max_age == HttpCookie::kMaxLifetime);
  for (const std::string age : {"", "-", "+5", "5s", "0x5", "--5"}) {
    CAPTURE(age);
    CHECK_FALSE(parse("n=v; Max-Age=" + age).max_age);
  }
  CHECK(parse("n=v; Expires=Sat, 03-Feb-2001 00:00:00 GMT").expires ==
        std::chrono::sys_days(std::chrono::year(2001) / 2 / 3));
  CHECK_FALSE(parse("n=v; Expires=soon").expires);
  CHECK(parse("n=v; Path=/" + std::string(1024, 'x')).path.empty());
  CHECK(parse("n=v; SameSite=x").same_site == SameSite::kUnset);
  for (const std::string& text : {std::string(), std::string("n"), std::string("=v"),
                                  std::string(" =v"), std::string("n; a=b"), std::string("n=\r"),
                                  std::string("n=a\0b", 5), "n=" + std::string(4096, 'x')}) {
    CAPTURE(text);
    CHECK_FALSE(HttpCookie::TryParse(text));
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
