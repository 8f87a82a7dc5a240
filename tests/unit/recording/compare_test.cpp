#include "host/recording/compare.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/doctest_values.hpp"

using weft::HttpHeaders;
using weft::host::recording::Answer;
using weft::host::recording::Compare;
using weft::host::recording::ExpectedResponse;

namespace {

using Lines = std::vector<std::string>;
using Fields = std::vector<std::pair<std::string, std::string>>;

HttpHeaders Headers(const Fields& fields) {
  HttpHeaders headers;
  for (const auto& [name, value] : fields) {
    headers.Append(name, value);
  }
  return headers;
}

Lines Told(const ExpectedResponse& expected, const Answer& got) {
  Lines lines;
  for (const auto& difference : Compare(expected, got)) {
    lines.push_back(difference.ToString());
  }
  return lines;
}

Lines ToldOfHeaders(const Fields& expected, const Fields& got) {
  return Told({200, Headers(expected), {}}, {200, Headers(got), "a body"});
}

Lines ToldOfBodies(std::string_view expected, std::string_view got,
                   std::string_view type = "text/plain") {
  return Told({200, {}, std::string(expected)},
              {200, Headers({{"Content-Type", std::string(type)}}), std::string(got)});
}

Lines ToldOfJson(std::string_view expected, std::string_view got) {
  return ToldOfBodies(expected, got, "application/json");
}

}  // namespace

TEST_CASE("Compare: an answer as it is recorded has no difference") {
  const auto headers = Headers({{"A", "1"}, {"B", "2"}});
  CHECK(Told({200, headers, "x"}, {200, headers, "x"}) == Lines());
}

TEST_CASE("Compare: every item that differs is told, expected and got") {
  CHECK(Told({200, Headers({{"A", "1"}}), "x"}, {404, Headers({{"A", "2"}}), "y"}) ==
        Lines{"status\n  expected 200\n  got      404",
              "header A\n  expected \"1\"\n  got      \"2\"",
              "body\n  expected \"x\"\n  got      \"y\""});
}

TEST_CASE("Compare: an answer that did not come, and one that was cut") {
  CHECK(Told({200, {}, {}}, {0, {}, "", true}) ==
        Lines{"status\n  expected 200\n  got      no answer",
              "body\n  expected an end\n  got      a cut after 0 bytes"});
  CHECK(Told({200, {}, "abc"}, {200, {}, "abc", true}) ==
        Lines{"body\n  expected an end\n  got      a cut after 3 bytes"});
}

TEST_CASE("Compare: headers that are not listed are ignored, and so is Date") {
  CHECK(ToldOfHeaders({}, {{"A", "1"}}) == Lines());
  CHECK(ToldOfHeaders({{"date", "Mon"}}, {{"Date", "Tue"}}) == Lines());
  CHECK(ToldOfHeaders({{"Date", "Mon"}}, {}) == Lines());
}

TEST_CASE("Compare: names of headers ignore letter case, values do not") {
  CHECK(ToldOfHeaders({{"Content-type", "a"}}, {{"content-Type", "a"}}) == Lines());
  CHECK(ToldOfHeaders({{"A", "x"}}, {{"A", "X"}}) ==
        Lines{"header A\n  expected \"x\"\n  got      \"X\""});
  CHECK(ToldOfHeaders({{"A", ""}}, {{"A", "x"}}) ==
        Lines{"header A\n  expected \"\"\n  got      \"x\""});
}

TEST_CASE("Compare: all fields of a listed header count, in their order") {
  CHECK(ToldOfHeaders({{"A", "1"}, {"B", "x"}, {"a", "2"}}, {{"A", "1"}, {"A", "2"}, {"B", "x"}}) ==
        Lines());
  CHECK(ToldOfHeaders({{"A", "1"}}, {}) == Lines{"header A\n  expected \"1\"\n  got      nothing"});
  CHECK(ToldOfHeaders({{"A", "1"}, {"A", "2"}}, {{"A", "2"}, {"A", "1"}}) ==
        Lines{"header A\n  expected [\"1\",\"2\"]\n  got      [\"2\",\"1\"]"});
  CHECK(ToldOfHeaders({{"A", "1"}}, {{"A", "1"}, {"A", "1"}}) ==
        Lines{"header A\n  expected \"1\"\n  got      [\"1\",\"1\"]"});
}

TEST_CASE("Compare: of a text the first line that differs is told") {
  CHECK(ToldOfBodies("a\nb\nc", "a\nB\nC") ==
        Lines{"body, line 2\n  expected \"b\\n\"\n  got      \"B\\n\""});
  CHECK(ToldOfBodies("a\nb\n", "a\n") ==
        Lines{"body, line 2\n  expected \"b\\n\"\n  got      the end"});
  CHECK(ToldOfBodies("a\n", "a\nb\n") ==
        Lines{"body, line 2\n  expected the end\n  got      \"b\\n\""});
  CHECK(ToldOfBodies("a\n", "a") == Lines{"body, line 1\n  expected \"a\\n\"\n  got      \"a\""});
  CHECK(ToldOfBodies("a\r\n", "a\n") ==
        Lines{"body, line 1\n  expected \"a\\r\\n\"\n  got      \"a\\n\""});
  CHECK(ToldOfBodies("", "a") == Lines{"body\n  expected \"\"\n  got      \"a\""});
  CHECK(ToldOfBodies("a", "") == Lines{"body\n  expected \"a\"\n  got      \"\""});
}

TEST_CASE("Compare: of a long line the part around the difference is told, in whole characters") {
  const std::string before(100, '-');
  const std::string after(100, '+');
  CHECK(ToldOfBodies(before + "x" + after, before + "y" + after) ==
        Lines{"body\n  expected ...\"" + std::string(24, '-') + "x" + std::string(47, '+') +
              "\"...\n  got      ...\"" + std::string(24, '-') + "y" + std::string(47, '+') +
              "\"..."});
  // Two characters that share their first byte.
  CHECK(ToldOfBodies("\u00e4", "\u00e5") ==
        Lines{"body\n  expected \"\u00e4\"\n  got      \"\u00e5\""});
  CHECK(ToldOfBodies("a\u00e4", "a") == Lines{"body\n  expected \"a\u00e4\"\n  got      \"a\""});
  std::string umlauts;
  for (int i = 0; i < 30; ++i) {
    umlauts += "\u00e4";
  }
  for (const std::string_view shift : {"", "-"}) {
    const auto told = ToldOfBodies(umlauts + std::string(shift) + "x" + umlauts,
                                   umlauts + std::string(shift) + "y" + umlauts);
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("\u00e4x\u00e4") + told[0].find("-x\u00e4") != 0);
    CHECK(told[0].find("\ufffd") == std::string::npos);
  }
}

TEST_CASE("Compare: of what is no text, the bytes from the difference on are told") {
  CHECK(ToldOfBodies("\x89PNG\r\n\x1a", "\x89PNX") ==
        Lines{"body, byte 4\n  expected 470d0a1a\n  got      58"});
  CHECK(ToldOfBodies("\xff", "") == Lines{"body, byte 1\n  expected ff\n  got      the end"});
  CHECK(ToldOfBodies("\xff" + std::string(17, 'a'), "\xff" + std::string(16, 'a')) ==
        Lines{"body, byte 18\n  expected 61\n  got      the end"});
  CHECK(ToldOfBodies("\xff" + std::string(17, 'a'), "\xfe") ==
        Lines{"body, byte 1\n  expected ff616161616161616161616161616161...\n  got      fe"});
  CHECK(ToldOfHeaders({{"A", "\xe4"}, {"A", "b"}}, {}) ==
        Lines{"header A\n  expected [\"\ufffd\",\"b\"]\n  got      nothing"});
}

TEST_CASE("Compare: JSON is compared by structure where the answer's type says so") {
  const std::string_view one = R"({"a": 1, "b": [1.0, null]})";
  const std::string_view other = "{\"b\":[1,null],\n\"a\":1}\n";
  for (const std::string_view type :
       {"application/json", "Application/JSON; charset=utf-8", "application/problem+json ;x=y"}) {
    CAPTURE(type);
    CHECK(ToldOfBodies(one, other, type) == Lines());
  }
  for (const std::string_view type :
       {"text/plain", "", "application/jsonl", "json", "application/xml"}) {
    CAPTURE(type);
    CHECK(ToldOfBodies(one, other, type).size() == 1);
  }
}

TEST_CASE("Compare: each value of a JSON body that differs is told by its pointer") {
  CHECK(ToldOfJson(R"({"a": [1, 2, 3], "b/c": "x", "d": {}})",
                   R"({"a": [1, 4], "b/c": "y", "e": "f"})") ==
        Lines{"body at /a/1\n  expected 2\n  got      4",
              "body at /a/2\n  expected 3\n  got      nothing",
              "body at /b~1c\n  expected \"x\"\n  got      \"y\"",
              "body at /d\n  expected {}\n  got      nothing",
              "body at /e\n  expected nothing\n  got      \"f\""});
  CHECK(ToldOfJson("[1]", "{}") == Lines{"body\n  expected [1]\n  got      {}"});
  CHECK(ToldOfJson("[1]", "[1, 2]") == Lines{"body at /-\n  expected nothing\n  got      2"});
  CHECK(ToldOfJson(R"(["a\nb"])", R"(["a\nc"])") ==
        Lines{"body at /0, line 2\n  expected \"b\"\n  got      \"c\""});
  CHECK(ToldOfJson("[null]", "[\"\"]") == Lines{"body at /0\n  expected null\n  got      \"\""});
  CHECK(ToldOfJson("[]", "[\"" + std::string(100, 'x') + "\"]") ==
        Lines{"body at /-\n  expected nothing\n  got      \"" + std::string(71, 'x') + "..."});
}

TEST_CASE("Compare: of a list that differs everywhere, the first differences are told") {
  std::string ones = "[1";
  std::string twos = "[2";
  for (int i = 0; i < 100; ++i) {
    ones += ",1";
    twos += ",2";
  }
  CHECK(ToldOfJson(ones + "]", twos + "]").size() == weft::host::recording::kMaxJsonDifferences);
}

TEST_CASE("Compare: what is no JSON, or nested too deeply, is compared as text") {
  CHECK(ToldOfJson("{}", "{} ") == Lines());
  CHECK(ToldOfJson("{", "{") == Lines());
  CHECK(ToldOfJson("{}", "{ ") == Lines{"body\n  expected \"{}\"\n  got      \"{ \""});
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  CHECK(ToldOfJson(deep, deep) == Lines());
  CHECK(ToldOfJson(deep, deep + " ").size() == 1);
}
