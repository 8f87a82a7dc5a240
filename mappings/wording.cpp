#include "mappings/wording.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "mappings/ascii.hpp"

namespace weft::mappings {
namespace {

/// Insertions, deletions, replacements and swapped neighbours, the four slips of a typist (restricted
/// Damerau-Levenshtein distance), letter case ignored.
std::size_t Slips(std::string_view from, std::string_view to) {
  const auto same = [](char a, char b) { return ToLower(a) == ToLower(b); };
  std::vector<std::size_t> before_last(to.size() + 1);
  std::vector<std::size_t> last(to.size() + 1);
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (same(from[i - 1], to[j - 1]) ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && same(from[i - 1], to[j - 2]) && same(from[i - 2], to[j - 1])) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[to.size()];
}

/// The only one of `names` that begins with `start`.
std::optional<std::string_view> CompletedName(std::string_view start,
                                              std::span<const std::string_view> names) {
  std::optional<std::string_view> completed;
  for (const std::string_view name : names) {
    if (EqualsIgnoringCase(name.substr(0, start.size()), start)) {
      if (completed) {
        return std::nullopt;
      }
      completed = name;
    }
  }
  return completed;
}

bool IsContinuationByte(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

/// How many bytes the control character takes that `text` begins with; 0 for any other.
std::size_t ControlBytes(std::string_view text) {
  const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (at(0) < 0x20 || at(0) == 0x7F) {
    return 1;
  }
  // U+0080 to U+009F are controls too: a terminal obeys them.
  return text.size() > 1 && at(0) == 0xC2 && at(1) >= 0x80 && at(1) < 0xA0 ? 2 : 0;
}

}  // namespace

void AppendEscaped(std::string& to, char byte) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto value = static_cast<unsigned char>(byte);
  to += "\\x";
  to += kHex[value >> 4U];
  to += kHex[value & 0x0FU];
}

std::string Quoted(std::string_view text) {
  std::size_t length = std::min(text.size(), kQuotedBytes);
  const bool cut = length < text.size();
  while (cut && length > 0 && IsContinuationByte(text[length])) {
    --length;
  }
  std::string quoted = "\"";
  text = text.substr(0, length);
  while (!text.empty()) {
    const std::size_t escaped = ControlBytes(text);
    for (const char c : text.substr(0, escaped)) {
      AppendEscaped(quoted, c);
    }
    if (escaped == 0) {
      quoted += text.front();
    }
    text.remove_prefix(std::max<std::size_t>(escaped, 1));
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
  if (name.empty() || name.size() > kQuotedBytes) {
    return std::nullopt;  // counting slips takes time and memory of the product
  }
  if (const auto completed = CompletedName(name, names)) {
    return completed;
  }
  std::optional<std::string_view> nearest;
  // In a third of the letters: beyond that a suggestion misleads.
  std::size_t least = std::max<std::size_t>(1, name.size() / 3) + 1;
  for (const std::string_view candidate : names) {
    if (const std::size_t slips = Slips(name, candidate); slips < least) {
      nearest = candidate;
      least = slips;
    }
  }
  return nearest;
}

std::string UnknownKey(std::string_view key, std::string_view owner,
                       std::span<const std::string_view> names) {
  std::string sentence = "Unknown key " + Quoted(key) + " in " + std::string(owner);
  if (names.empty()) {
    return sentence + ", which takes none: write {}.";
  }
  if (const auto near = NearestName(key, names)) {
    return sentence + "; did you mean " + Quoted(*near) + "?";
  }
  return sentence + ", which knows " + Listed(names) + ".";
}

}  // namespace weft::mappings
