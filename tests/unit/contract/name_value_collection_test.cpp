#include <weft/name_value_collection.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"

namespace weft {
namespace {

using Item = NameValueCollection::Item;

std::vector<Item> Items(std::string_view text) {
  const auto items = ParseQueryString(text);
  return {items.begin(), items.end()};
}

std::string Hex(int byte, bool capital) {
  std::string text(2, '\0');
  const char* const digits = capital ? "0123456789ABCDEF" : "0123456789abcdef";
  text[0] = digits[byte / 16];
  text[1] = digits[byte % 16];
  return text;
}

TEST_CASE("NameValueCollection: names ignore letter case and repeat in order") {
  NameValueCollection items;
  CHECK(items.empty());
  items.Append("A", "1");
  items.Append("b", "2");
  items.Append("a", "3");
  CHECK(items.size() == 3);
  CHECK(items.Find("a") == "1");
  CHECK(items.Find("B") == "2");
  CHECK_FALSE(items.Find("c").has_value());
  CHECK(items.FindAll("A") == std::vector<std::string_view>{"1", "3"});
  CHECK(items.FindAll("c").empty());
}

TEST_CASE(
    "NameValueCollection: Get falls back where there is no such name, not where a value is empty") {
  NameValueCollection items;
  items.Append("empty", "");
  CHECK(items.Get("empty", "other").empty());
  CHECK(items.Get("none", "other") == "other");
  CHECK(items.Get("none").empty());
}

TEST_CASE("NameValueCollection: one that was moved from is empty, and may be filled again") {
  NameValueCollection from;
  from.Append("a", "1");
  NameValueCollection to(std::move(from));
  CHECK(to.Get("a") == "1");
  // NOLINTNEXTLINE(bugprone-use-after-move): this is what is tested.
  CHECK(from.empty());
  from.Append("b", "2");
  to = std::move(from);
  CHECK(to.Get("b") == "2");
  CHECK(to.size() == 1);
  CHECK(from.empty());
}

TEST_CASE("ParseQueryString: names and values come in their order, duplicates kept") {
  CHECK(Items("a=1&b=2&a=3") == std::vector<Item>{{"a", "1"}, {"b", "2"}, {"a", "3"}});
  CHECK(Items("").empty());
}

TEST_CASE("ParseQueryString: empty items are passed over") {
  CHECK(Items("&").empty());
  CHECK(Items("&&&").empty());
  CHECK(Items("&a=1&&b=2&") == std::vector<Item>{{"a", "1"}, {"b", "2"}});
}

TEST_CASE("ParseQueryString: an item without `=` has an empty value") {
  CHECK(Items("a") == std::vector<Item>{{"a", ""}});
  CHECK(Items("a&b=") == std::vector<Item>{{"a", ""}, {"b", ""}});
}

TEST_CASE("ParseQueryString: the first `=` divides, the others belong to the value") {
  CHECK(Items("a=b=c") == std::vector<Item>{{"a", "b=c"}});
  CHECK(Items("=") == std::vector<Item>{{"", ""}});
  CHECK(Items("=v") == std::vector<Item>{{"", "v"}});
  CHECK(Items("a==") == std::vector<Item>{{"a", "="}});
}

TEST_CASE("ParseQueryString: `+` is a blank in names and values, %2B a plus") {
  CHECK(Items("a+b=c+d") == std::vector<Item>{{"a b", "c d"}});
  CHECK(Items("a%2Bb=%2b") == std::vector<Item>{{"a+b", "+"}});
  CHECK(Items("+=+") == std::vector<Item>{{" ", " "}});
}

TEST_CASE(
    "ParseQueryString: every byte from %00 to %FF is decoded, once, with digits of either case") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const std::string decoded(1, static_cast<char>(byte));
    for (const bool capital : {false, true}) {
      const std::string encoded = "%" + Hex(byte, capital);
      CHECK(Items(encoded + "=x" + encoded + "y") ==
            std::vector<Item>{{decoded, "x" + decoded + "y"}});
    }
  }
  // What decoding brings to light divides nothing and is not decoded again.
  CHECK(Items("a%26b%3Dc=1%252e") == std::vector<Item>{{"a&b=c", "1%2e"}});
}

TEST_CASE("ParseQueryString: every byte that is no `&`, `=`, `+` or `%` stands for itself") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const char c = static_cast<char>(byte);
    if (c == '&' || c == '=' || c == '+' || c == '%') {
      continue;
    }
    const std::string raw(1, c);
    CHECK(Items(raw + "=" + raw) == std::vector<Item>{{raw, raw}});
  }
}

TEST_CASE("ParseQueryString: a broken percent-escape is answered with 400, wherever it stands") {
  for (const std::string text : {"%", "%4", "%4g", "%g4", "%%", "% 1", "%+1", "a=%", "a=1%", "a=%1",
                                 "a=%zz", "%=1", "a=1&b=%2", "a=1&%", "%4&1", "%4=1"}) {
    CAPTURE(text);
    try {
      static_cast<void>(ParseQueryString(text));
      FAIL_CHECK("it was taken");
    } catch (const HttpException& error) {
      CHECK(error.StatusCode() == 400);
      CHECK_FALSE(error.PublicText().empty());
      // What a peer sent is not sent back.
      CHECK(error.PublicText().find('%') == std::string::npos);
    }
  }
}

TEST_CASE("ParseQueryString: a NUL in the text ends nothing") {
  CHECK(Items(std::string_view("a=1\0&b=2", 8)) ==
        std::vector<Item>{{"a", std::string("1\0", 2)}, {"b", "2"}});
}

TEST_CASE("ParseQueryString: a long text is taken whole") {
  std::string text;
  for (int i = 0; i < 10'000; ++i) {
    text += "n" + std::to_string(i) + "=%41" + std::to_string(i) + "&";
  }
  const auto items = ParseQueryString(text);
  REQUIRE(items.size() == 10'000);
  CHECK(items.Get("n9999") == "A9999");
}

}  // namespace
}  // namespace weft
