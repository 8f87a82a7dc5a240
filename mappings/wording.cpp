#include "mappings/wording.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "mappings/ascii.hpp"

namespace weft::mappings {
namespace {

// Levenshtein's distance, letter case ignored, with one row of the table.
std::size_t Distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < left.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < right.size(); ++j) {
      const std::size_t above = row[j + 1];
      const std::size_t change = ToLower(left[i]) == ToLower(right[j]) ? 0 : 1;
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + change});
      diagonal = above;
    }
  }
  return row.back();
}

bool IsContinuationByte(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

}  // namespace

std::string Quoted(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::size_t length = std::min(text.size(), kQuotedBytes);
  const bool cut = length < text.size();
  while (cut && length > 0 && IsContinuationByte(text[length])) {
    --length;
  }
  std::string quoted = "\"";
  for (const char c : text.substr(0, length)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      quoted += "\\x";
      quoted += kHex[byte >> 4U];
      quoted += kHex[byte & 0x0FU];
    } else {
      quoted += c;
    }
  }
  return quoted + (cut ? "...\"" : "\"");
}

std::string Listed(std::span<const std::string_view> names) {
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) {
      list += i + 1 == names.size() ? " and " : ", ";
    }
    list += Quoted(names[i]);
  }
  return list;
}

std::optional<std::string_view> NearestName(std::string_view name,
                                            std::span<const std::string_view> names) {
  if (name.size() > kQuotedBytes) {
    return std::nullopt;
  }
  std::optional<std::string_view> nearest;
  std::size_t nearest_distance = 0;
  for (const std::string_view candidate : names) {
    const std::size_t distance = Distance(name, candidate);
    // Two slips in a long name, one in a short one: beyond that a suggestion misleads.
    const std::size_t bearable = candidate.size() > 4 ? 2 : 1;
    if (distance <= bearable && (!nearest || distance < nearest_distance)) {
      nearest = candidate;
      nearest_distance = distance;
    }
  }
  return nearest;
}

}  // namespace weft::mappings
