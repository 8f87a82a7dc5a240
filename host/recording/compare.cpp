#include "host/recording/compare.hpp"

#include <algorithm>
#include <boost/algorithm/hex.hpp>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "host/recording/encoding.hpp"

namespace weft::host::recording {

namespace {

using nlohmann::json;

/// Of a long line, so much is shown before the first difference, and so much from it on: a terminal's width.
constexpr std::size_t kExcerptBefore = 24;
constexpr std::size_t kExcerptAfter = 48;
/// The same of bytes that are no text.
constexpr std::size_t kExcerptBytes = 16;
/// nlohmann's diff is recursive: what is nested deeper is compared as text.
constexpr int kMaxJsonDepth = 256;

/// The last offset up to `offset` at which a character begins, or the text ends.
std::size_t CharacterBegin(std::string_view text, std::size_t offset) {
  offset = std::min(offset, text.size());
  while (offset > 0 && offset < text.size() &&
         (static_cast<unsigned char>(text[offset]) & 0xC0U) == 0x80U) {
    --offset;
  }
  return offset;
}

/// The line around `at`, with its line end; `begin` is its first byte.
std::string LineExcerpt(std::string_view text, std::size_t begin, std::size_t at) {
  if (begin == text.size() && begin != 0) {
    return "the end";
  }
  const auto end =
      text.find('\n', begin) == std::string_view::npos ? text.size() : text.find('\n', begin) + 1;
  const auto from = at > begin + kExcerptBefore ? CharacterBegin(text, at - kExcerptBefore) : begin;
  const auto to = std::min(CharacterBegin(text, at + kExcerptAfter), end);
  return (from > begin ? "..." : "") + json(text.substr(from, to - from)).dump() +
         (to < end ? "..." : "");
}

std::string ByteExcerpt(std::string_view bytes, std::size_t at) {
  std::string digits;
  boost::algorithm::hex_lower(bytes.substr(at, kExcerptBytes), std::back_inserter(digits));
  return at == bytes.size() ? "the end" : digits + (bytes.size() > at + kExcerptBytes ? "..." : "");
}

std::string JsonExcerpt(const json& value) {
  const auto text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  const auto end = CharacterBegin(text, kExcerptBefore + kExcerptAfter);
  return text.substr(0, end) + (end < text.size() ? "..." : "");
}

void CompareText(const std::string& item, std::string_view expected, std::string_view got,
                 std::vector<Difference>& differences) {
  if (expected == got) {
    return;
  }
  const auto first = std::ranges::mismatch(expected, got).in1;
  auto at = static_cast<std::size_t>(first - expected.begin());
  if (!IsUtf8(expected) || !IsUtf8(got)) {
    differences.push_back({item + ", byte " + std::to_string(at + 1), ByteExcerpt(expected, at),
                           ByteExcerpt(got, at)});
    return;
  }
  at = CharacterBegin(at < expected.size() ? expected : got, at);
  const auto common = expected.substr(0, at);
  const auto begin = common.rfind('\n') + 1;  // 0 where there is none
  const bool has_lines =
      expected.find('\n') != std::string_view::npos || got.find('\n') != std::string_view::npos;
  const auto line = 1 + std::ranges::count(common, '\n');
  differences.push_back({item + (has_lines ? ", line " + std::to_string(line) : ""),
                         LineExcerpt(expected, begin, at), LineExcerpt(got, begin, at)});
}

std::string Shown(const std::vector<std::string>& values) {
  return values.empty() ? "nothing"
                        : JsonExcerpt(values.size() == 1 ? json(values[0]) : json(values));
}

void CompareHeaders(const HttpHeaders& expected, const HttpHeaders& got,
                    std::vector<Difference>& differences) {
  const auto values_of = [](const HttpHeaders& headers, std::string_view name) {
    std::vector<std::string> values;
    for (const auto& [field, value] : headers) {
      if (EqualsIgnoreCase(field, name)) {
        values.push_back(value);
      }
    }
    return values;
  };
  HttpHeaders done;
  done.Append("Date", "");
  for (const auto& [name, value] : expected) {
    if (done.Contains(name)) {
      continue;
    }
    done.Append(name, "");
    const auto wanted = values_of(expected, name);
    const auto there = values_of(got, name);
    if (wanted.size() == 1 && there.size() == 1) {
      CompareText("header " + name, wanted[0], there[0], differences);
    } else if (wanted != there) {
      differences.push_back({"header " + name, Shown(wanted), Shown(there)});
    }
  }
}

/// application/json, or JSON by its suffix (RFC 6839, section 3.1), whatever the parameters.
bool IsJsonType(std::string_view type) {
  type = type.substr(0, type.find(';'));
  type = type.substr(0, type.find_last_not_of(" \t") + 1);
  return EqualsIgnoreCase(type, "application/json") ||
         EqualsIgnoreCase(type.substr(type.size() - std::min<std::size_t>(type.size(), 5)),
                          "+json");
}

/// Discarded where the text is no JSON.
json ParseJson(std::string_view text) {
  bool too_deep = false;
  const auto is_bearable = [&](int depth, json::parse_event_t, const json&) {
    too_deep = too_deep || depth > kMaxJsonDepth;
    return !too_deep;
  };
  auto value = json::parse(text, is_bearable, /*allow_exceptions=*/false);
  return too_deep ? json(json::value_t::discarded) : value;
}

void CompareJson(const json& expected, const json& got, std::vector<Difference>& differences) {
  std::size_t count = 0;
  for (const auto& step : json::diff(expected, got)) {
    if (++count > kMaxJsonDifferences) {
      break;
    }
    const auto& operation = step.at("op").get_ref<const std::string&>();
    const auto& path = step.at("path").get_ref<const std::string&>();
    const auto item = path.empty() ? "body" : "body at " + path;
    const auto before = operation == "add" ? json() : expected.at(json::json_pointer(path));
    const auto after = operation == "remove" ? json() : step.at("value");
    if (before.is_string() && after.is_string()) {
      CompareText(item, before.get_ref<const std::string&>(), after.get_ref<const std::string&>(),
                  differences);
    } else {
      differences.push_back({item, operation == "add" ? "nothing" : JsonExcerpt(before),
                             operation == "remove" ? "nothing" : JsonExcerpt(after)});
    }
  }
}

void CompareBody(const std::string& expected, const Answer& got,
                 std::vector<Difference>& differences) {
  if (IsJsonType(got.headers.Find("Content-Type").value_or(""))) {
    const auto expected_json = ParseJson(expected);
    const auto got_json = ParseJson(got.body);
    if (!expected_json.is_discarded() && !got_json.is_discarded()) {
      CompareJson(expected_json, got_json, differences);
      return;
    }
  }
  CompareText("body", expected, got.body, differences);
}

}  // namespace

std::string Difference::ToString() const {
  return item + "\n  expected " + expected + "\n  got      " + got;
}

std::vector<Difference> Compare(const ExpectedResponse& expected, const Answer& got) {
  std::vector<Difference> differences;
  if (expected.status != got.status) {
    differences.push_back({"status", std::to_string(expected.status),
                           got.status == 0 ? "no answer" : std::to_string(got.status)});
  }
  CompareHeaders(expected.headers, got.headers, differences);
  if (got.cut) {
    differences.push_back(
        {"body", "an end", "a cut after " + std::to_string(got.body.size()) + " bytes"});
  } else if (expected.body) {
    CompareBody(*expected.body, got, differences);
  }
  return differences;
}

}  // namespace weft::host::recording
