#include "host/observe/trace_page.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace weft::host::observe {
namespace {

using std::chrono::milliseconds;

const TracePage kPage{.self = "/trace.axd", .nonce = "abc", .kept = 100};
constexpr std::string_view kHostile = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>";

std::string Escaped(std::string_view text) {
  std::string html;
  AppendHtml(html, text);
  return html;
}

Trace Hostile() {
  Trace trace{.id = {3, 120}};
  auto& record = trace.record;
  const std::string hostile(kHostile);
  record.status = 200;
  for (auto* const text :
       {&record.method, &record.url, &record.request_id, &record.client, &record.type,
        &record.entry, &record.entry_where, &record.cause, &record.error, &record.log_text}) {
    *text = hostile;
  }
  record.parameters = {{hostile, hostile}, {"HTTP_" + hostile, hostile}};
  record.response_fields = {{hostile, hostile}};
  record.lines = {{2, milliseconds(1), hostile}};
  return trace;
}

bool HasNoTagOf(const std::string& html) {
  return html.find("<script") == std::string::npos && html.find("<img") == std::string::npos &&
         html.find("onerror='") == std::string::npos;
}

/// Those of a page's tables that have no role.
std::vector<std::string> TagsWithoutRole(std::string_view html) {
  std::vector<std::string> tags;
  for (auto at = html.find("<t"); at != std::string_view::npos; at = html.find("<t", at + 1)) {
    const auto tag = html.substr(at, html.find('>', at) - at);
    if (!tag.starts_with("<title") && tag.find(" role=\"") == std::string_view::npos) {
      tags.emplace_back(tag);
    }
  }
  return tags;
}

TEST_CASE("Trace page: tables stay tables for who cannot see them, on a telephone too") {
  // Where a style makes blocks of them, browsers forget what they are.
  const auto trace = Hostile();
  MappingExplanation mapping{.is_known = true};
  mapping.tried = {{"a", "b", "c", "d", true}};
  CHECK(TagsWithoutRole(TracesToHtml({trace}, 1, {}, kPage)) == std::vector<std::string>());
  CHECK(TagsWithoutRole(TraceToHtml(trace, mapping, kPage)) == std::vector<std::string>());
}

TEST_CASE("Trace page: what a peer sent is text, whatever it is") {
  CHECK(Escaped("<a href=\"x\" b='c'>&amp;") ==
        "&lt;a href=&quot;x&quot; b=&#39;c&#39;&gt;&amp;amp;");
  CHECK(Escaped("gr\u00fc\u00df \U0001F600") == "gr\u00fc\u00df \U0001F600");
  CHECK(Escaped(std::string_view("a\0b\x1b[31m\r", 9)) == "a[U+0000]b[U+001B][31m[U+000D]");
  CHECK(Escaped("a\u202eb\u200bc\ufeff\u2066") == "a[U+202E]b[U+200B]c[U+FEFF][U+2066]");
  CHECK(Escaped("\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80 \xe2\x82").find('\xff') ==
        std::string::npos);
  CHECK(Escaped("\xe2\x82") == "\ufffd\ufffd");

  const auto trace = Hostile();
  MappingExplanation mapping{.is_known = true};
  const std::string hostile(kHostile);
  mapping.cause = mapping.detail = mapping.file_path = mapping.path_info = mapping.location =
      mapping.default_document = hostile;
  mapping.chain = {hostile};
  mapping.tried = {{hostile, hostile, hostile, hostile, true}};
  CHECK(HasNoTagOf(TraceToHtml(trace, mapping, kPage)));
  const TraceFilter filter{.status = hostile, .path = hostile, .handler = hostile};
  CHECK(HasNoTagOf(TracesToHtml({trace}, 1, filter, kPage)));
  CHECK(HasNoTagOf(TracesToHtml({}, 1, filter, {.self = hostile, .nonce = "a", .kept = 1})));
  CHECK(HasNoTagOf(NoTraceToHtml({.self = hostile, .nonce = "a", .kept = 1})));
}

TEST_CASE("Trace page: a filter passes what it says") {
  TraceRecord record;
  record.status = 404;
  record.url = "/shop/Cart.ashx?q=hidden";
  record.type = "shop::Cart";
  record.entry = "carts";
  record.duration = milliseconds(20);
  const auto passes = [&](const TraceFilter& filter) { return filter.Passes(record); };
  CHECK(passes({}));
  CHECK(passes({.status = "404"}));
  CHECK(passes({.status = "4xx"}));
  CHECK_FALSE(passes({.status = "5xx"}));
  CHECK_FALSE(passes({.status = "40"}));
  CHECK(passes({.path = "/shop/cart"}));
  CHECK_FALSE(passes({.path = "hidden"}));
  CHECK(passes({.handler = "SHOP::"}));
  CHECK(passes({.handler = "carts"}));
  CHECK_FALSE(passes({.handler = "other"}));
  CHECK(passes({.slower_ms = 19.5}));
  CHECK_FALSE(passes({.slower_ms = 20}));
  CHECK_FALSE(passes({.status = "4xx", .path = "/no"}));
}

TEST_CASE("Trace page: ids are read back, and nothing else is") {
  CHECK(ToString(TraceRing::Id{3, 120}) == "3-120");
  CHECK(ParseTraceId("3-120") == TraceRing::Id{3, 120});
  for (const char* const wrong :
       {"", "3", "3-", "-1", "3-1x", "a-1", "3--1", "99999999999999999999999-1", " 3-1"}) {
    CHECK_FALSE_MESSAGE(ParseTraceId(wrong), wrong);
  }
}

TEST_CASE("Trace page: the steps follow one another, without those that it did not come to") {
  Trace trace{.id = {0, 1}};
  auto& steps = trace.record.steps;
  steps[static_cast<std::size_t>(TraceStep::kParsed)] = milliseconds(1);
  steps[static_cast<std::size_t>(TraceStep::kMapped)] = milliseconds(3);
  steps[static_cast<std::size_t>(TraceStep::kEnded)] = milliseconds(7);
  const auto json = nlohmann::json::parse(TraceToJson(trace, {}));
  REQUIRE(json["steps"].size() == 3);
  CHECK(json["steps"][1] == nlohmann::json{{"step", "mapping"}, {"fromMs", 1.0}, {"ms", 2.0}});
  CHECK(json["steps"][2] == nlohmann::json{{"step", "end"}, {"fromMs", 3.0}, {"ms", 4.0}});
  CHECK(json["mapping"].is_null());
  CHECK(json["answeredMs"].is_null());
}

TEST_CASE("Trace page: JSON has what no UTF-8 is replaced, and the header in its order") {
  auto trace = Hostile();
  trace.record.url = "/\xff";
  trace.record.response_fields = {{"B", "2"}, {"A", "1"}};
  const auto json =
      nlohmann::json::parse(TraceToJson(trace, {.is_known = true, .cause = "mapped"}));
  CHECK(json["url"] == "/\ufffd");
  CHECK(json["responseHeader"] == nlohmann::json::parse(R"([["B","2"],["A","1"]])"));
  CHECK(json["mapping"]["cause"] == "mapped");
  CHECK(json["lines"][0]["level"] == "warning");
}

}  // namespace
}  // namespace weft::host::observe
