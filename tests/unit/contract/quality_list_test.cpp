#include <weft/quality_list.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <ostream>
#include <random>
#include <string>
#include <vector>

using std::string_literals::operator""s;

namespace weft {

static std::ostream& operator<<(std::ostream& out, const QualityValue& item) {
  return out << item.value << " (" << item.quality << ")";
}

namespace {

using Items = std::vector<QualityValue>;
using enum QualityListKind;

void CheckItems(std::string_view text, QualityListKind kind, const Items& expected) {
  CAPTURE(text);
  const auto items = ParseQualityList(text, kind);
  CHECK(items.size() == expected.size());
  for (std::size_t i = 0; i < std::min(items.size(), expected.size()); ++i) {
    CHECK(items[i] == expected[i]);
  }
}

TEST_CASE("ParseQualityList: the examples of RFC 9110, section 12.5.1") {
  CheckItems("audio/*; q=0.2, audio/basic", kMediaRanges, {{"audio/basic", 1}, {"audio/*", 0.2}});
  CheckItems("text/plain; q=0.5, text/html,\t text/x-dvi; q=0.8, text/x-c", kMediaRanges,
             {{"text/html", 1}, {"text/x-c", 1}, {"text/x-dvi", 0.8}, {"text/plain", 0.5}});
  CheckItems("text/*, text/plain, text/plain;format=flowed, */*", kMediaRanges,
             {{"text/*", 1}, {"text/plain", 1}, {"text/plain;format=flowed", 1}, {"*/*", 1}});
  CheckItems(
      "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, "
      "*/*;q=0.5",
      kMediaRanges,
      {{"text/plain;format=flowed", 1},
       {"text/plain", 0.7},
       {"*/*", 0.5},
       {"text/plain;format=fixed", 0.4},
       {"text/*", 0.3}});
}

TEST_CASE("ParseQualityList: the examples of RFC 9110, sections 12.5.2 to 12.5.4") {
  CheckItems("iso-8859-5, unicode-1-1;q=0.8", kTokens, {{"iso-8859-5", 1}, {"unicode-1-1", 0.8}});
  CheckItems("compress, gzip", kTokens, {{"compress", 1}, {"gzip", 1}});
  CheckItems("", kTokens, {});
  CheckItems("*", kTokens, {{"*", 1}});
  CheckItems("compress;q=0.5, gzip;q=1.0", kTokens, {{"gzip", 1}, {"compress", 0.5}});
  CheckItems("gzip;q=1.0, identity; q=0.5, *;q=0", kTokens,
             {{"gzip", 1}, {"identity", 0.5}, {"*", 0}});
  CheckItems("da, en-gb;q=0.8, en;q=0.7", kLanguageRanges,
             {{"da", 1}, {"en-gb", 0.8}, {"en", 0.7}});
}

TEST_CASE("ParseQualityList: what a browser sends") {
  CheckItems(
      "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8,"
      "application/signed-exchange;v=b3;q=0.7",
      kMediaRanges,
      {{"text/html", 1},
       {"application/xhtml+xml", 1},
       {"image/webp", 1},
       {"application/xml", 0.9},
       {"*/*", 0.8},
       {"application/signed-exchange;v=b3", 0.7}});
}

TEST_CASE(
    "ParseQualityList: weights are as RFC 9110, section 12.4.2, has them, others are malformed") {
  for (const auto& [text, quality] : std::vector<std::pair<std::string, double>>{{"0", 0},
                                                                                 {"0.", 0},
                                                                                 {"0.0", 0},
                                                                                 {"0.000", 0},
                                                                                 {"0.001", 0.001},
                                                                                 {"0.12", 0.12},
                                                                                 {"0.999", 0.999},
                                                                                 {"1", 1},
                                                                                 {"1.", 1},
                                                                                 {"1.0", 1},
                                                                                 {"1.000", 1}}) {
    CheckItems("a/b;q=" + text, kMediaRanges, {{"a/b", quality}});
    CheckItems("a/b ; Q=" + text + " ,", kMediaRanges, {{"a/b", quality}});
  }
  for (const std::string text :
       {"",    "2",    "1.1", "1.001", "0.0000", "1.0000", "-1",  "+1",  ".5", "00",
        "0,5", "0.5.", "0x1", "1e0",   "0.a",    "\"1\"",  "nan", "one", "=1", " 1"}) {
    CheckItems("x/y;q=" + text + ", a/b", kMediaRanges,
               text == "0,5" ? Items{{"a/b", 1}, {"x/y", 0}} : Items{{"a/b", 1}});
  }
  // Two of them say nothing that could be relied on.
  CheckItems("x/y;q=1;q=0.5, a/b", kMediaRanges, {{"a/b", 1}});
}

TEST_CASE("ParseQualityList: items of one weight keep their order, unacceptable ones come last") {
  CheckItems("a;q=0, b;q=0.5, c, d;q=0, e;q=0.5, f", kTokens,
             {{"c", 1}, {"f", 1}, {"b", 0.5}, {"e", 0.5}, {"a", 0}, {"d", 0}});
}

TEST_CASE("ParseQualityList: a weight is found among parameters, which stay as they were sent") {
  CheckItems("text/html; Level=\"1, \\\"2\\\"; q=0\" ;q=0.4;x=y", kMediaRanges,
             {{"text/html;Level=\"1, \\\"2\\\"; q=0\";x=y", 0.4}});
  CheckItems("a/b;;; q=0.5;", kMediaRanges, {{"a/b", 0.5}});
}

TEST_CASE("ParseQualityList: malformed items are passed over") {
  for (const std::string bad : {"text",
                                "text/",
                                "/html",
                                "/",
                                "text/html/x",
                                "*/html",
                                "te xt/html",
                                "text /html",
                                "text/ html",
                                "text/html level=1",
                                "text/html;level",
                                "text/html;level=",
                                "text/html;=1",
                                "text/html;level =1",
                                "text/html;level= 1",
                                "text/html;a=\"b\"c",
                                "text/html;q",
                                "t@xt/html",
                                "text/html;level=\x01",
                                "\"text/html\"",
                                "text/html\x80"}) {
    CheckItems("a/b, " + bad + ", c/d;q=0.5", kMediaRanges, {{"a/b", 1}, {"c/d", 0.5}});
    CheckItems(bad, kMediaRanges, {});
  }
  for (const std::string bad : {"-", "en-", "-en", "en--gb", "e1", "1", "en_GB", "abcdefghi",
                                "en-abcdefghi", "**", "*-CH", "en;level=1", "en gb", "\xc3\xa4"}) {
    CheckItems("da, " + bad + ", de-CH-1996;q=0.5", kLanguageRanges,
               {{"da", 1}, {"de-CH-1996", 0.5}});
  }
  CheckItems(",, ,\t, a ,,", kTokens, {{"a", 1}});
}

TEST_CASE("ParseQualityList: a quotation mark that nothing closes takes the rest with it") {
  CheckItems("a/b, c/d;x=\"e, f/g", kMediaRanges, {{"a/b", 1}});
  CheckItems("a/b, c/d;x=\"e\\\", f/g", kMediaRanges, {{"a/b", 1}});
  CheckItems("a/b, c/d;x=\"", kMediaRanges, {{"a/b", 1}});
  CheckItems("a/b, c/d;x=\"\\", kMediaRanges, {{"a/b", 1}});
}

TEST_CASE("ParseQualityList: a NUL is a byte like others") {
  CheckItems(std::string_view("a/b, c\0/d, e/f", 14), kMediaRanges, {{"a/b", 1}, {"e/f", 1}});
}

TEST_CASE("ParseQualityList: items beyond the bound are not looked at") {
  std::string text;
  for (std::size_t i = 0; i < kMaxQualityValues; ++i) {
    text += i % 2 == 0 ? "a," : "@,";
  }
  CHECK(ParseQualityList(text + "b", kTokens).size() == kMaxQualityValues / 2);
}

TEST_CASE(
    "ParseQualityList: lists that are made of good and malformed items come back as the good "
    "ones") {
  std::mt19937 random(20'261'123);
  const auto pick = [&random](const std::vector<std::string>& from) {
    return from[random() % from.size()];
  };
  const std::vector<std::string> ranges = {"a/b", "*/*", "text/*", "a+b/c.d-e", "!/#"};
  const std::vector<std::string> parameters = {
      "", "", "x=y", "x=\"\"", "x=\",;q=0\"", "charset=\"\\\"\""};
  const std::vector<std::string> blanks = {"", " ", "\t", "  "};
  const std::vector<std::string> junk = {"",      "@",       "a",  "a/b/c",       "a/b;q=7",
                                         "a/b c", "*/a;x=y", ";;", "a/b;x=\"y\"z"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    Items expected;
    for (auto count = random() % 8; count != 0; --count) {
      text += pick(blanks);
      if (random() % 3 == 0) {
        text += pick(junk);
      } else {
        QualityValue item{pick(ranges), 1};
        text += item.value;
        if (const auto parameter = pick(parameters); !parameter.empty()) {
          text += pick(blanks) + ";" + pick(blanks) + parameter;
          item.value += ";" + parameter;
        }
        if (random() % 2 == 0) {
          const auto weight = random() % 1001;
          auto digits = std::to_string(weight);
          digits.insert(0, 4 - std::min<std::size_t>(digits.size(), 4), '0');
          text += pick(blanks) + ";" + pick(blanks) + "q=" + digits.substr(0, 1) + "." +
                  digits.substr(1);
          item.quality = static_cast<double>(weight) / 1000;
        }
        expected.push_back(item);
      }
      text += pick(blanks) + ",";
    }
    std::stable_sort(
        expected.begin(), expected.end(),
        [](const QualityValue& a, const QualityValue& b) { return a.quality > b.quality; });
    CheckItems(text, kMediaRanges, expected);
  }
}

TEST_CASE("ParseQualityList: any bytes give a sorted list of no more items than were sent") {
  std::mt19937 random(9110);
  const std::string alphabet = "aZ9*/;,=\"\\q01.- \t@\0\xff"s;
  for (int round = 0; round < 20'000; ++round) {
    std::string text(random() % 40, '\0');
    for (char& c : text) {
      c = alphabet[random() % alphabet.size()];
    }
    CAPTURE(text);
    for (const auto kind : {kMediaRanges, kLanguageRanges, kTokens}) {
      const auto items = ParseQualityList(text, kind);
      CHECK(items.size() <=
            static_cast<std::size_t>(std::count(text.begin(), text.end(), ',')) + 1);
      double last = 1;
      for (const auto& item : items) {
        CHECK(!item.value.empty());
        CHECK(item.quality <= last);
        CHECK(item.quality >= 0);
        last = item.quality;
        // What it gives, it takes.
        CHECK(ParseQualityList(item.value, kind) == Items{{item.value, 1}});
      }
    }
  }
}

}  // namespace
}  // namespace weft
