#include <weft/http_headers.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/doctest_values.hpp"

namespace weft {
namespace {

TEST_CASE("EqualsIgnoreCase: ASCII letter case does not count, everything else does") {
  CHECK(EqualsIgnoreCase("Content-Type", "cONTENT-tYPE"));
  CHECK(EqualsIgnoreCase("", ""));
  CHECK_FALSE(EqualsIgnoreCase("a", ""));
  CHECK_FALSE(EqualsIgnoreCase("ab", "a"));
  CHECK_FALSE(EqualsIgnoreCase("a", "ab"));
  // Neighbours of the letters in ASCII, 32 apart.
  CHECK_FALSE(EqualsIgnoreCase("@", "`"));
  CHECK_FALSE(EqualsIgnoreCase("[", "{"));
  // A capital and a small letter beyond ASCII (in Latin-1 and in UTF-8).
  CHECK_FALSE(EqualsIgnoreCase("\xC4", "\xE4"));
  CHECK_FALSE(EqualsIgnoreCase("\xC3\x84", "\xC3\xA4"));
}

TEST_CASE("IsToken: one or more of the characters that RFC 9110 allows, and nothing else") {
  CHECK(IsToken("GET"));
  CHECK(IsToken("!#$%&'*+-.^_`|~09azAZ"));
  CHECK_FALSE(IsToken(""));
  for (const std::string text :
       {" ",   "GE T", "GET ", " GET", "a:b", "a/b", "\"a\"", "a\n", "\x7f", "\xC3\xA4",
        "(a)", "a,b",  "a;b",  "a=b",  "a@b", "[a]", "{a}",   "<a>", "a?",   "a\\"}) {
    CAPTURE(text);
    CHECK_FALSE(IsToken(text));
  }
  CHECK_FALSE(IsToken(std::string_view("a\0", 2)));
}

TEST_CASE("HttpHeaders: a new collection is empty") {
  const HttpHeaders headers;
  CHECK(headers.empty());
  CHECK(headers.size() == 0);
  CHECK(headers.begin() == headers.end());
  CHECK_FALSE(headers.Find("Host").has_value());
  CHECK_FALSE(headers.Contains("Host"));
}

TEST_CASE("HttpHeaders: names ignore letter case, and keep the spelling that they came with") {
  HttpHeaders headers;
  headers.Append("X-One", "1");
  CHECK(headers.Find("x-oNE") == "1");
  CHECK(headers.Contains("X-ONE"));
  CHECK(headers.begin()->first == "X-One");
}

TEST_CASE(
    "HttpHeaders: Append adds beside fields of the same name, in order, and Find gives the first") {
  HttpHeaders headers;
  headers.Append("Set-Cookie", "a=1");
  headers.Append("Vary", "Accept");
  headers.Append("set-cookie", "b=2");
  REQUIRE(headers.size() == 3);
  CHECK(headers.Find("SET-COOKIE") == "a=1");
  auto at = headers.begin();
  CHECK(*at++ == HttpHeaders::Field("Set-Cookie", "a=1"));
  CHECK(*at++ == HttpHeaders::Field("Vary", "Accept"));
  CHECK(*at++ == HttpHeaders::Field("set-cookie", "b=2"));
}

TEST_CASE("HttpHeaders: Set replaces every field of the name at the place of the first") {
  HttpHeaders headers;
  headers.Append("A", "1");
  headers.Append("B", "2");
  headers.Append("a", "3");
  headers.Append("C", "4");
  headers.Append("A", "5");
  headers.Set("a", "6");
  REQUIRE(headers.size() == 3);
  auto at = headers.begin();
  CHECK(*at++ == HttpHeaders::Field("A", "6"));
  CHECK(*at++ == HttpHeaders::Field("B", "2"));
  CHECK(*at++ == HttpHeaders::Field("C", "4"));

  headers.Set("D", "7");
  CHECK(headers.size() == 4);
  CHECK(headers.Find("d") == "7");
}

TEST_CASE("HttpHeaders: Set takes a value that views the field which it replaces") {
  HttpHeaders headers;
  headers.Append("A", "a text too long for the small string optimisation: one, two");
  headers.Set("A", headers.Find("A")->substr(2));
  CHECK(headers.Find("A") == "text too long for the small string optimisation: one, two");
}

// Names and values that view the collection's own fields: short ones, which move with their strings, and long
// ones, which are freed with them.
struct OwnTexts {
  explicit OwnTexts(bool is_long) : tail(is_long ? 40 : 0, 'x') {
    headers.Append("A" + tail, "1");
    headers.Append("B" + tail, "2");
    headers.Append("a" + tail, "3");
    headers.Append("B" + tail, "4");
    headers.Append("C" + tail, "B" + tail);
    headers.Append("A" + tail, "5");
    headers.Append("D" + tail, "6");
  }

  const HttpHeaders::Field& Field(std::ptrdiff_t index) const { return headers.begin()[index]; }
  /// The fields, each as its name's letter and its value's first.
  std::string Letters() const {
    std::string letters;
    for (const auto& [name, value] : headers) {
      CHECK(name.substr(1) == tail);
      letters += {name.front(), value.front(), ' '};
    }
    return letters;
  }

  std::string tail;
  HttpHeaders headers;
};

TEST_CASE("HttpHeaders: Remove takes a name that views one of its own fields") {
  for (const bool is_long : {false, true}) {
    CAPTURE(is_long);
    for (const std::ptrdiff_t index : {0, 2, 5}) {
      CAPTURE(index);
      OwnTexts own(is_long);
      CHECK(own.headers.Remove(own.Field(index).first));
      CHECK(own.Letters() == "B2 B4 CB D6 ");
    }
    for (const std::ptrdiff_t index : {1, 3}) {
      CAPTURE(index);
      OwnTexts own(is_long);
      CHECK(own.headers.Remove(own.Field(index).first));
      CHECK(own.Letters() == "A1 a3 CB A5 D6 ");
    }
    OwnTexts own(is_long);
    CHECK(own.headers.Remove(own.Field(4).second));
    CHECK(own.Letters() == "A1 a3 CB A5 D6 ");
  }
}

TEST_CASE("HttpHeaders: Set takes a name and a value that view its own fields") {
  for (const bool is_long : {false, true}) {
    CAPTURE(is_long);
    for (const std::ptrdiff_t index : {0, 2, 5}) {
      CAPTURE(index);
      for (std::ptrdiff_t value = 0; value < 7; ++value) {
        CAPTURE(value);
        OwnTexts own(is_long);
        const auto first = own.Field(value).second.substr(0, 1);
        own.headers.Set(own.Field(index).first, own.Field(value).second);
        CHECK(own.Letters() == "A" + first + " B2 B4 CB D6 ");
      }
    }
    OwnTexts by_value(is_long);
    by_value.headers.Set(by_value.Field(4).second, by_value.Field(3).first);
    CHECK(by_value.Letters() == "A1 BB a3 CB A5 D6 ");
    // The name that is looked for is overwritten by the value.
    OwnTexts overwritten(is_long);
    overwritten.headers.Append("E" + overwritten.tail, "E" + overwritten.tail);
    overwritten.headers.Append("E" + overwritten.tail, "7");
    overwritten.headers.Set(overwritten.Field(7).second, "8");
    CHECK(overwritten.Letters() == "A1 B2 a3 B4 CB A5 D6 E8 ");
  }
}

TEST_CASE("HttpHeaders: Append takes a name and a value that view its own fields") {
  for (const bool is_long : {false, true}) {
    CAPTURE(is_long);
    OwnTexts own(is_long);
    // Often enough to outgrow every capacity on the way.
    for (std::ptrdiff_t i = 0; i < 100; ++i) {
      own.headers.Append(own.Field(i).first, own.Field(i).second);
      CHECK((own.Field(7 + i) == own.Field(i)));
    }
  }
}

TEST_CASE("HttpHeaders: Remove takes every field of the name away and says whether there was one") {
  HttpHeaders headers;
  headers.Append("A", "1");
  headers.Append("B", "2");
  headers.Append("a", "3");
  CHECK(headers.Remove("A"));
  CHECK(headers.size() == 1);
  CHECK(headers.Find("B") == "2");
  CHECK_FALSE(headers.Remove("A"));
  CHECK_FALSE(headers.Remove(""));
  headers.Clear();
  CHECK(headers.empty());
}

TEST_CASE("HttpHeaders: one that was moved from is empty, and may be filled again") {
  HttpHeaders from;
  from.Append("A", "1");
  HttpHeaders to(std::move(from));
  CHECK(to.Find("A") == "1");
  // NOLINTNEXTLINE(bugprone-use-after-move): this is what is tested.
  CHECK(from.empty());
  from.Set("B", "2");
  to = std::move(from);
  CHECK(to.Find("B") == "2");
  CHECK(to.size() == 1);
  CHECK(from.empty());
}

TEST_CASE("HttpHeaders: every byte that is no tchar is refused in a name") {
  const std::string tchars =
      "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const char c = static_cast<char>(byte);
    const std::string name = std::string("X") + c + "Y";
    HttpHeaders headers;
    if (tchars.find(c) != std::string::npos) {
      CHECK_NOTHROW(headers.Append(name, "v"));
      CHECK(headers.Find(name) == "v");
    } else {
      CHECK_THROWS_AS(headers.Append(name, "v"), std::invalid_argument);
      CHECK_THROWS_AS(headers.Set(name, "v"), std::invalid_argument);
      CHECK(headers.empty());
    }
  }
}

TEST_CASE("HttpHeaders: an empty name is refused") {
  HttpHeaders headers;
  CHECK_THROWS_AS(headers.Append("", "v"), std::invalid_argument);
  CHECK_THROWS_AS(headers.Set("", "v"), std::invalid_argument);
  CHECK(headers.empty());
}

TEST_CASE("HttpHeaders: every control character but TAB is refused in a value") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const std::string value = std::string("a") + static_cast<char>(byte) + "b";
    const bool refused = (byte < 0x20 && byte != '\t') || byte == 0x7f;
    HttpHeaders headers;
    if (refused) {
      CHECK_THROWS_AS(headers.Append("A", value), std::invalid_argument);
      CHECK_THROWS_AS(headers.Set("A", value), std::invalid_argument);
      CHECK(headers.empty());
    } else {
      CHECK_NOTHROW(headers.Append("A", value));
      CHECK(headers.Find("A") == value);
    }
  }
}

TEST_CASE("HttpHeaders: control characters are refused wherever they stand in a value") {
  HttpHeaders headers;
  headers.Append("A", "before");
  CHECK_THROWS_AS(headers.Set("A", "\r\nSet-Cookie: evil=1"), std::invalid_argument);
  CHECK_THROWS_AS(headers.Set("A", "x\n"), std::invalid_argument);
  CHECK_THROWS_AS(headers.Set("A", std::string("\0", 1)), std::invalid_argument);
  CHECK_THROWS_AS(headers.Append("A", "\r"), std::invalid_argument);
  CHECK_THROWS_AS(headers.Append("B\r\nC", "x"), std::invalid_argument);
  // What was there is untouched by a refused Set().
  CHECK(headers.size() == 1);
  CHECK(headers.Find("A") == "before");
}

TEST_CASE("HttpHeaders: an empty value and one with blanks are kept as they are") {
  HttpHeaders headers;
  headers.Append("A", "");
  headers.Append("B", "  b\t");
  CHECK(headers.Find("A") == "");
  CHECK(headers.Contains("A"));
  CHECK(headers.Find("B") == "  b\t");
}

}  // namespace
}  // namespace weft
