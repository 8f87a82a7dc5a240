#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

/// What the readers and writers of header fields share, character by character. FieldCursor reads whole fields.
namespace weft::detail {

/// CTL: a control character of ASCII, DEL included.
constexpr bool IsControl(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

/// As it is where it is no capital of ASCII.
constexpr char ToLower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

/// Without the blanks and tabs around it (OWS: RFC 9110, section 5.6.3).
constexpr std::string_view Trim(std::string_view text) noexcept {
  const auto first = text.find_first_not_of(" \t");
  return first == std::string_view::npos
             ? std::string_view()
             : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Decimal digits alone, as Content-Length has them; absent for any other text, and beyond 64 bits.
inline std::optional<std::uint64_t> ParseNumber(std::string_view text) noexcept {
  std::uint64_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && parsed == end ? std::optional(number) : std::nullopt;
}

}  // namespace weft::detail
