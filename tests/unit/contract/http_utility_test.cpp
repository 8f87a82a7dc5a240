#include <weft/http_utility.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"

namespace weft {
namespace {

using Table = std::vector<std::pair<std::string_view, std::string_view>>;
using Function = std::string (*)(std::string_view);

void CheckTable(Function function, const Table& table) {
  for (const auto& [text, expected] : table) {
    CAPTURE(text);
    CHECK(function(text) == expected);
  }
}

void AppendCharacter(std::string& text, unsigned c) {
  const auto append = [&](unsigned byte) { text += static_cast<char>(byte); };
  if (c < 0x80) {
    append(c);
  } else if (c < 0x800) {
    append(0xC0 | (c >> 6));
    append(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    append(0xE0 | (c >> 12));
    append(0x80 | ((c >> 6) & 0x3F));
    append(0x80 | (c & 0x3F));
  } else {
    append(0xF0 | (c >> 18));
    append(0x80 | ((c >> 12) & 0x3F));
    append(0x80 | ((c >> 6) & 0x3F));
    append(0x80 | (c & 0x3F));
  }
}

/// The same texts in every run: bytes of every value, and the characters that the encoders look at more often.
std::vector<std::string> ByteTexts() {
  constexpr std::string_view kInteresting = "&;#<>\"'%+ \\/=?xXu0aF-_.~";
  std::mt19937 random(20061);  // NOLINT(cert-msc32-c,cert-msc51-cpp): it shall be the same.
  std::vector<std::string> texts;
  for (int i = 0; i < 5'000; ++i) {
    std::string text(random() % 24, '\0');
    for (char& c : text) {
      c = random() % 3 == 0 ? static_cast<char>(random() % 256)
                            : kInteresting[random() % kInteresting.size()];
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

/// Every character there is, a block of them in each text.
std::vector<std::string> CharacterTexts() {
  std::vector<std::string> texts;
  std::string text;
  for (unsigned c = 0; c <= 0x10FFFF; ++c) {
    if (c < 0xD800 || c > 0xDFFF) {
      AppendCharacter(text, c);
    }
    if (text.size() > 4'000) {
      texts.push_back(std::move(text));
      text.clear();
    }
  }
  texts.push_back(std::move(text));
  return texts;
}

TEST_CASE("HttpUtility::HtmlEncode: the original's results") {
  CheckTable(&HttpUtility::HtmlEncode,
             {{"", ""},
              {"plain", "plain"},
              {"<b>\"it's\" & more</b>", "&lt;b&gt;&quot;it&#39;s&quot; &amp; more&lt;/b&gt;"},
              {"&amp;", "&amp;amp;"},
              {"\t\r\n\x01\x7F", "\t\r\n\x01\x7F"},
              {"\u009F\u00A0\u00E9\u00FF\u0100", "\u009F&#160;&#233;&#255;\u0100"},
              {"\u20AC", "\u20AC"},
              {"\U0001F600", "&#128512;"},
              {"`/=", "`/="}});
  CHECK(HttpUtility::HtmlEncode(std::string_view("a\0<", 3)) == std::string("a\0&lt;", 6));
}

TEST_CASE("HttpUtility::HtmlAttributeEncode: the original's results") {
  CheckTable(&HttpUtility::HtmlAttributeEncode,
             {{"", ""},
              {"<a href=\"x\">'&'</a>", "&lt;a href=&quot;x&quot;>&#39;&amp;&#39;&lt;/a>"},
              {"\u00E9\U0001F600", "\u00E9\U0001F600"}});
}

TEST_CASE(
    "HttpUtility: what is no UTF-8 becomes U+FFFD where characters count, as browsers have it") {
  // The Unicode Standard, section 3.9, and what would be more than one character if it were read carelessly.
  const Table table{{"\xFF", "\uFFFD"},
                    {"a\x80z", "a\uFFFDz"},
                    {"\xC0\x80", "\uFFFD\uFFFD"},
                    {"\xC3<", "\uFFFD<"},
                    {"\xE2\x82", "\uFFFD"},
                    {"\xE2\x82<", "\uFFFD<"},
                    {"\xE0\x80\xBC", "\uFFFD\uFFFD\uFFFD"},
                    {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
                    {"\xF0\x9F\x98", "\uFFFD"},
                    {"\xF0\x8F\xBF\xBF", "\uFFFD\uFFFD\uFFFD\uFFFD"},
                    {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
                    {"\xF5\x80", "\uFFFD\uFFFD"},
                    {"\xF1\x80\x80\xE1\x80\xC2\x62", "\uFFFD\uFFFD\uFFFD\x62"}};
  for (const auto& [text, expected] : table) {
    CAPTURE(text);
    std::string with_bracket(expected);
    const auto bracket = with_bracket.find('<');
    CHECK(HttpUtility::JavaScriptStringEncode(text) ==
          (bracket == std::string::npos ? with_bracket
                                        : with_bracket.replace(bracket, 1, "\\u003c")));
    with_bracket = expected;
    if (bracket != std::string::npos) {
      with_bracket.replace(bracket, 1, "&lt;");
    }
    CHECK(HttpUtility::HtmlEncode(text) == with_bracket);
    CHECK(HttpUtility::HtmlAttributeEncode(text) == with_bracket);
  }
}

TEST_CASE("HttpUtility::HtmlDecode: the original's results") {
  CheckTable(&HttpUtility::HtmlDecode,
             {{"", ""},
              {"plain; text", "plain; text"},
              {"&lt;&gt;&quot;&#39;&apos;&amp;", "<>\"''&"},
              {"&amp;lt;", "&lt;"},
              {"&eacute;&Eacute;&euro;&nbsp;&zwnj;&Yuml;", "\u00E9\u00C9\u20AC\u00A0\u200C\u0178"},
              {"&#233;&#xE9;&#Xe9;&#0233;&#x0000000000E9;", "\u00E9\u00E9\u00E9\u00E9\u00E9"},
              {"&#128512;&#x1F600;&#x10FFFF;", "\U0001F600\U0001F600\U0010FFFF"},
              {"&#55296;&#xDFFF;&#x110000;&#99999999999999999999;",
               "&#55296;&#xDFFF;&#x110000;&#99999999999999999999;"},
              {"&LT;&unknown;&;&#;&#x;&#g;&#xg;&#12a;", "&LT;&unknown;&;&#;&#x;&#g;&#xg;&#12a;"},
              {"&lt &lt&lt;", "&lt &lt<"},
              {"&&&amp", "&&&amp"},
              {"a & b; c", "a & b; c"},
              {"&", "&"},
              {"&#128;", "\u0080"},
              {"\xFF&lt;\xC3", "\xFF<\xC3"}});
}

TEST_CASE("HttpUtility::HtmlDecode: where it leaves the original") {
  CheckTable(&HttpUtility::HtmlDecode,
             {{"&#0;&#x0;", "\uFFFD\uFFFD"}, {"&# 65;&#+65;&#65 ;", "&# 65;&#+65;&#65 ;"}});
}

TEST_CASE("HttpUtility::UrlEncode: the original's results") {
  CheckTable(&HttpUtility::UrlEncode, {{"", ""},
                                       {"azAZ09-_.!*()", "azAZ09-_.!*()"},
                                       {"a b+c", "a+b%2bc"},
                                       {"~'&=/?#%\"<>", "%7e%27%26%3d%2f%3f%23%25%22%3c%3e"},
                                       {"\u00E9\U0001F600", "%c3%a9%f0%9f%98%80"},
                                       {"\r\n\x7F", "%0d%0a%7f"},
                                       {"\xFF", "%ff"}});
}

TEST_CASE("HttpUtility::UrlDecode: the original's results, but %u and broken UTF-8 stay") {
  CheckTable(&HttpUtility::UrlDecode, {{"", ""},
                                       {"a+b%2Bc%2b", "a b+c+"},
                                       {"%c3%a9%C3%A9", "\u00E9\u00E9"},
                                       {"%252e", "%2e"},
                                       {"%", "%"},
                                       {"%4", "%4"},
                                       {"%zz%4g%g4%%41", "%zz%4g%g4%A"},
                                       {"%u00e9%uFF1C", "%u00e9%uFF1C"},
                                       {"%ff", "\xFF"}});
  CHECK(HttpUtility::UrlDecode("a%00b") == std::string("a\0b", 3));
}

TEST_CASE("HttpUtility::UrlPathEncode: the original's results") {
  CheckTable(&HttpUtility::UrlPathEncode,
             {{"", ""},
              {"/a b/\u00E9.txt", "/a%20b/%c3%a9.txt"},
              {"http://example.org:80/a b?c=d&e=[f]#g", "http://example.org:80/a%20b?c=d&e=[f]#g"},
              {"/a%20b+c;d=e,f:g@h!i$j'k(l)m*n~", "/a%20b+c;d=e,f:g@h!i$j'k(l)m*n~"},
              {"/\r\n\x7F\xFF", "/%0d%0a%7f%ff"}});
}

TEST_CASE("HttpUtility::UrlPathEncode: where it leaves the original, to make a URL of it") {
  CheckTable(&HttpUtility::UrlPathEncode, {{"/\"<>\\^`{|}", "/%22%3c%3e%5c%5e%60%7b%7c%7d"},
                                           {"100%/%4/%zz", "100%25/%254/%25zz"},
                                           {"/a?b c\r\n#\u00E9", "/a?b%20c%0d%0a#%c3%a9"}});
}

TEST_CASE("HttpUtility::EscapeDataString: all but RFC 3986's unreserved characters") {
  CheckTable(&HttpUtility::EscapeDataString, {{"", ""},
                                              {"azAZ09-._~", "azAZ09-._~"},
                                              {"a b+c/d", "a%20b%2Bc%2Fd"},
                                              {"!*'()\u00E9\xFF", "%21%2A%27%28%29%C3%A9%FF"}});
  CheckTable(&HttpUtility::UnescapeDataString,
             {{"a%20b+c%2fd%2F", "a b+c/d/"}, {"%4%zz%u0041", "%4%zz%u0041"}});
}

TEST_CASE("HttpUtility::UrlTokenEncode: the original's results") {
  CheckTable(&HttpUtility::UrlTokenEncode, {{"", ""},
                                            {"f", "Zg2"},
                                            {"fo", "Zm81"},
                                            {"foo", "Zm9v0"},
                                            {"foob", "Zm9vYg2"},
                                            {"\xFB\xEF\xBE\xFF", "----_w2"}});
}

TEST_CASE("HttpUtility::UrlTokenDecode: what UrlTokenEncode() cannot have made is none") {
  CHECK(HttpUtility::UrlTokenDecode("Zm9vYg2") == "foob");
  CHECK(HttpUtility::UrlTokenDecode("") == "");
  for (const std::string_view token :
       {"0", "2", "Z0", "Z3", "Zg", "Zg0", "Zg1", "Zm9v1", "Zm9v4", "Zm9+0", "Zm9/0", "Zm9=0",
        "Zm9 0", "Zh2", "Zm91", "Zm9v02", "\xC3\xA9Zg0"}) {
    CAPTURE(token);
    CHECK_FALSE(HttpUtility::UrlTokenDecode(token).has_value());
  }
}

TEST_CASE("HttpUtility::JavaScriptStringEncode: the original's results") {
  const Table table{{"", ""},
                    {"plain /text/ `${x}`", "plain /text/ `${x}`"},
                    {"\"\\\b\f\n\r\t", "\\\"\\\\\\b\\f\\n\\r\\t"},
                    {"\x01\x0B\x1F\x7F", "\\u0001\\u000b\\u001f\x7F"},
                    {"it's </script> & co", "it\\u0027s \\u003c/script\\u003e \\u0026 co"},
                    {"\u0085\u2028\u2029\u2027\u202A", "\\u0085\\u2028\\u2029\u2027\u202A"},
                    {"\u00E9\U0001F600", "\u00E9\U0001F600"}};
  for (const auto& [text, expected] : table) {
    CAPTURE(text);
    CHECK(HttpUtility::JavaScriptStringEncode(text) == expected);
    CHECK(HttpUtility::JavaScriptStringEncode(text, JavaScriptQuotes::kDouble) ==
          "\"" + std::string(expected) + "\"");
  }
  CHECK(HttpUtility::JavaScriptStringEncode(std::string_view("\0", 1)) == "\\u0000");
}

TEST_CASE("HttpUtility: every character comes back from HTML and from URLs") {
  for (const auto& text : CharacterTexts()) {
    REQUIRE(HttpUtility::HtmlDecode(HttpUtility::HtmlEncode(text)) == text);
    REQUIRE(HttpUtility::HtmlDecode(HttpUtility::HtmlAttributeEncode(text)) == text);
    REQUIRE(HttpUtility::UrlDecode(HttpUtility::UrlEncode(text)) == text);
  }
}

TEST_CASE(
    "HttpUtility: every byte comes back from a URL, and the encoders' results are what they "
    "promise") {
  constexpr auto kNone = std::string_view::npos;
  constexpr std::string_view kControls("\0\x01\t\n\r\x1F\x7F", 7);
  for (const auto& text : ByteTexts()) {
    CAPTURE(text);
    REQUIRE(HttpUtility::UrlDecode(HttpUtility::UrlEncode(text)) == text);
    REQUIRE(HttpUtility::UnescapeDataString(HttpUtility::EscapeDataString(text)) == text);
    REQUIRE(HttpUtility::UrlTokenDecode(HttpUtility::UrlTokenEncode(text)) == text);
    const auto url = HttpUtility::UrlPathEncode(text);
    REQUIRE(HttpUtility::UrlPathEncode(url) == url);
    REQUIRE(HttpUtility::UnescapeDataString(url) == HttpUtility::UnescapeDataString(text));
    REQUIRE(url.find_first_of(kControls) == kNone);
    REQUIRE(url.find_first_of(" \"<>\\^`{|}") == kNone);
    REQUIRE(HttpUtility::HtmlEncode(text).find_first_of("<>\"'") == kNone);
    REQUIRE(HttpUtility::HtmlAttributeEncode(text).find_first_of("<\"'") == kNone);
    const auto script = HttpUtility::JavaScriptStringEncode(text);
    REQUIRE(script.find_first_of("<>&'") == kNone);
    REQUIRE(script.find_first_of(kControls.substr(0, 6)) == kNone);
    // What is sound comes out of nothing; what was made sound stays so.
    const auto sound = HttpUtility::HtmlDecode(HttpUtility::HtmlEncode(text));
    REQUIRE(HttpUtility::HtmlDecode(HttpUtility::HtmlEncode(sound)) == sound);
    static_cast<void>(HttpUtility::HtmlDecode(text));
  }
}

TEST_CASE("HttpUtility: the names of HTML 4 are all known") {
  // First and last of each of the three sets, and the ends of the table.
  CheckTable(&HttpUtility::HtmlDecode, {{"&nbsp;&yuml;", "\u00A0\u00FF"},
                                        {"&fnof;&diams;", "\u0192\u2666"},
                                        {"&quot;&euro;", "\"\u20AC"},
                                        {"&AElig;&zwnj;", "\u00C6\u200C"}});
}

TEST_CASE(
    "HttpUtility: ParseQueryString is the contract's, and refuses what UrlDecode lets stand") {
  CHECK(HttpUtility::ParseQueryString("a=1+2&b=%41").Get("b") == "A");
  CHECK_THROWS_AS(HttpUtility::ParseQueryString("a=%4"), HttpException);
}

}  // namespace
}  // namespace weft
