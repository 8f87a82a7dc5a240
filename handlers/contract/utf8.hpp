#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weft::detail {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;
inline constexpr std::string_view kReplacementText = "\xEF\xBF\xBD";

/// One character of a UTF-8 text, or a sequence of bytes that is none.
struct Utf8Character {
  char32_t value;      ///< U+FFFD for what is none
  std::size_t length;  ///< how many bytes it takes, at least 1
  bool valid;
};

/// Reads the character that begins at `at`, which must be within `text`. What is none takes as many bytes as
/// could have begun one (WHATWG Encoding, "maximal subpart"), so that no byte of a sound character is lost.
Utf8Character DecodeUtf8(std::string_view text, std::size_t at) noexcept;

/// Appends a character, which must be a Unicode scalar value.
void AppendUtf8(std::string& text, char32_t character);

}  // namespace weft::detail
