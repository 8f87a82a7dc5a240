#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

/// Letters and digits of paths, host names and keys: ASCII only, and the same in every locale.
namespace weft::mappings {

constexpr char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

[[nodiscard]] inline std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), ToLower);
  return lower;
}

[[nodiscard]] constexpr bool EqualsIgnoringCase(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, {}, ToLower, ToLower);
}

/// Of a hexadecimal digit; nothing for what is none.
[[nodiscard]] constexpr std::optional<unsigned> HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return static_cast<unsigned>(c - '0');
  }
  const char small = ToLower(c);
  return small >= 'a' && small <= 'f' ? std::optional(static_cast<unsigned>(small - 'a' + 10))
                                      : std::nullopt;
}

/// FNV-1a over the lower-case form. It is no defence against chosen keys, and needs none: only
/// names from the configuration are ever stored under it.
struct IgnoringCaseHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    std::uint64_t hash = 14695981039346656037U;
    for (const char c : text) {
      hash = (hash ^ static_cast<unsigned char>(ToLower(c))) * 1099511628211U;
    }
    return static_cast<std::size_t>(hash);
  }
};

struct IgnoringCaseEqual {
  using is_transparent = void;
  bool operator()(std::string_view left, std::string_view right) const {
    return EqualsIgnoringCase(left, right);
  }
};

/// An order of names that ignores letter case.
struct LessIgnoringCase {
  using is_transparent = void;
  bool operator()(std::string_view left, std::string_view right) const {
    return std::ranges::lexicographical_compare(left, right, {}, ToLower, ToLower);
  }
};

/// A map by name that ignores letter case and is searched with a `string_view` as it is.
template <class Value>
using NameMap = std::unordered_map<std::string, Value, IgnoringCaseHash, IgnoringCaseEqual>;

}  // namespace weft::mappings
