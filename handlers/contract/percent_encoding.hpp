#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace weft::detail {

/// The bytes that stay as they are.
using ByteSet = std::array<bool, 256>;

constexpr ByteSet AlphanumericAnd(std::string_view others) {
  ByteSet set{};
  for (unsigned c = '0'; c <= '9'; ++c) {
    set[c] = true;
  }
  for (unsigned c = 'A'; c <= 'Z'; ++c) {
    set[c] = true;
    set[c + 32] = true;
  }
  for (const char c : others) {
    set[static_cast<unsigned char>(c)] = true;
  }
  return set;
}

constexpr bool Contains(const ByteSet& set, char c) { return set[static_cast<unsigned char>(c)]; }

inline constexpr std::string_view kSmallDigits = "0123456789abcdef";
inline constexpr std::string_view kCapitalDigits = "0123456789ABCDEF";

/// Appends `%XX` for a byte (RFC 3986, section 2.1), with these digits.
inline void AppendEscape(std::string& to, char c, std::string_view digits) {
  const auto byte = static_cast<unsigned char>(c);
  to += '%';
  to += digits[byte >> 4U];
  to += digits[byte & 15U];
}

/// -1 for what is no hexadecimal digit.
constexpr int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const auto small = static_cast<char>(c | 0x20);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

/// Whether `%XX` begins at `at`.
constexpr bool IsEscape(std::string_view text, std::size_t at) {
  return text[at] == '%' && text.size() - at > 2 && HexValue(text[at + 1]) >= 0 &&
         HexValue(text[at + 2]) >= 0;
}

}  // namespace weft::detail
