#include <weft/quality_list.hpp>

#include <algorithm>
#include <optional>
#include <utility>

#include <weft/http_headers.hpp>
#include "handlers/contract/field_cursor.hpp"

namespace weft {

namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// A qvalue in thousandths.
std::optional<int> ParseWeight(std::string_view text) {
  constexpr std::size_t kLongest = 5;  // 0.123
  if (text.empty() || text.size() > kLongest || (text[0] != '0' && text[0] != '1') ||
      (text.size() > 1 && text[1] != '.')) {
    return std::nullopt;
  }
  int weight = (text[0] - '0') * 1000;
  int step = 100;
  for (const char digit : text.substr(std::min<std::size_t>(text.size(), 2))) {
    if (!IsDigit(digit)) {
      return std::nullopt;
    }
    weight += (digit - '0') * step;
    step /= 10;
  }
  return weight <= 1000 ? std::optional(weight) : std::nullopt;
}

/// RFC 4647, section 2.1.
bool IsLanguageRange(std::string_view text) {
  if (text == "*") {
    return true;
  }
  constexpr std::size_t kLongestSubtag = 8;
  std::size_t subtag = 0;
  bool first = true;
  for (const char c : text) {
    if (c == '-') {
      if (subtag == 0) {
        return false;
      }
      subtag = 0;
      first = false;
    } else if (!(IsLetter(c) || (!first && IsDigit(c))) || ++subtag > kLongestSubtag) {
      return false;
    }
  }
  return subtag != 0;
}

/// What an item begins with; empty where it is malformed.
std::string TakeRange(FieldCursor& cursor, QualityListKind kind) {
  std::string range(cursor.TakeToken());
  switch (kind) {
    case QualityListKind::kTokens:
      break;
    case QualityListKind::kLanguageRanges:
      if (!IsLanguageRange(range)) {
        return {};
      }
      break;
    case QualityListKind::kMediaRanges: {
      if (range.empty() || !cursor.Take('/')) {
        return {};
      }
      const auto subtype = cursor.TakeToken();
      if (subtype.empty() || (range == "*" && subtype != "*")) {
        return {};
      }
      range.append("/").append(subtype);
      break;
    }
  }
  return range;
}

/// One item; the cursor stands on a comma or at the end then, or, where it is malformed, before the next comma.
std::optional<QualityValue> TakeItem(FieldCursor& cursor, QualityListKind kind) {
  QualityValue item{TakeRange(cursor, kind), 1};
  if (item.value.empty()) {
    return std::nullopt;
  }
  bool weighted = false;
  while (true) {
    cursor.SkipBlanks();
    if (cursor.AtEnd() || cursor.Next() == ',') {
      return item;
    }
    if (!cursor.Take(';')) {
      return std::nullopt;
    }
    cursor.SkipBlanks();
    if (cursor.AtEnd() || cursor.Next() == ',' || cursor.Next() == ';') {
      continue;  // an empty parameter is none (RFC 9110, section 5.6.6)
    }
    const auto name = cursor.TakeToken();
    if (name.empty() || !cursor.Take('=')) {
      return std::nullopt;
    }
    const auto value = cursor.TakeTokenOrQuotedString();
    if (value.empty()) {
      return std::nullopt;
    }
    // A parameter of that name is the weight, wherever it stands (RFC 9110, section 12.5.1).
    if (EqualsIgnoreCase(name, "q")) {
      const auto weight = ParseWeight(value);
      if (weighted || !weight) {
        return std::nullopt;
      }
      weighted = true;
      item.quality = *weight / 1000.0;
    } else if (kind == QualityListKind::kMediaRanges) {
      item.value.append(";").append(name).append("=").append(value);
    } else {
      return std::nullopt;
    }
  }
}

}  // namespace

std::vector<QualityValue> ParseQualityList(std::string_view text, QualityListKind kind) {
  std::vector<QualityValue> items;
  FieldCursor cursor(text);
  for (std::size_t seen = 0; seen < kMaxQualityValues;) {
    cursor.SkipBlanks();
    if (cursor.AtEnd()) {
      break;
    }
    if (cursor.Take(',')) {
      continue;  // empty items count for nothing (RFC 9110, section 5.6.1.2)
    }
    ++seen;
    if (auto item = TakeItem(cursor, kind)) {
      items.push_back(*std::move(item));
    } else {
      cursor.SkipTo(',');
    }
  }
  std::stable_sort(items.begin(), items.end(), [](const QualityValue& a, const QualityValue& b) {
    return a.quality > b.quality;
  });
  return items;
}

}  // namespace weft
