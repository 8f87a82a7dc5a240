#include <weft/http_utility.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

#include "handlers/contract/html_entities.hpp"
#include "handlers/contract/percent_encoding.hpp"
#include "handlers/contract/utf8.hpp"

namespace weft {

namespace {

constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

unsigned Byte(char c) { return static_cast<unsigned char>(c); }

constexpr detail::ByteSet kQuerySafe = detail::AlphanumericAnd("-_.!*()");
constexpr detail::ByteSet kUnreserved = detail::AlphanumericAnd("-._~");
/// RFC 3986's unreserved and reserved characters; `%` is looked at by itself.
constexpr detail::ByteSet kUrlCharacters = detail::AlphanumericAnd("-._~:/?#[]@!$&'()*+,;=");

enum class Plus { kIsBlank, kStays };

std::string DecodeEscapes(std::string_view text, Plus plus) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (detail::IsEscape(text, i)) {
      decoded +=
          static_cast<char>(detail::HexValue(text[i + 1]) * 16 + detail::HexValue(text[i + 2]));
      i += 2;
    } else {
      decoded += plus == Plus::kIsBlank && text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

/// Copies `text`, with U+FFFD for what is no UTF-8. `replacement(character)` is what stands for a character, needed
/// until the next call; empty where the character stays.
template <typename Replacement>
std::string EncodeCharacters(std::string_view text, Replacement&& replacement) {
  std::string encoded;
  encoded.reserve(text.size());
  std::size_t copied = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto character = detail::DecodeUtf8(text, i);
    const std::string_view other =
        character.valid ? replacement(character.value) : detail::kReplacementText;
    if (!other.empty()) {
      encoded.append(text.substr(copied, i - copied)).append(other);
      copied = i + character.length;
    }
    i += character.length;
  }
  return encoded.append(text.substr(copied));
}

/// The character of a `#NUMBER` or `#xNUMBER`; 0 where it is none.
char32_t NumberedCharacter(std::string_view reference) {
  reference.remove_prefix(1);
  const bool hex = !reference.empty() && (reference[0] | 0x20) == 'x';
  reference.remove_prefix(hex ? 1 : 0);
  if (reference.empty()) {
    return 0;
  }
  char32_t value = 0;
  for (const char c : reference) {
    const int digit = detail::HexValue(c);
    if (digit < 0 || (!hex && digit > 9)) {
      return 0;
    }
    value = value * (hex ? 16U : 10U) + static_cast<char32_t>(digit);
    if (value > 0x10FFFF) {
      return 0;
    }
  }
  if (value == 0) {
    return detail::kReplacementCharacter;
  }
  return value >= 0xD800 && value <= 0xDFFF ? 0 : value;
}

}  // namespace

std::string HttpUtility::HtmlEncode(std::string_view text) {
  std::string number;
  return EncodeCharacters(text, [&](char32_t c) -> std::string_view {
    switch (c) {
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return "&quot;";
      case '\'':
        return "&#39;";
      case '&':
        return "&amp;";
      default:
        if (c < 0xA0 || (c > 0xFF && c <= 0xFFFF)) {
          return {};
        }
        number = "&#" + std::to_string(static_cast<std::uint32_t>(c)) + ";";
        return number;
    }
  });
}

std::string HttpUtility::HtmlAttributeEncode(std::string_view text) {
  return EncodeCharacters(text, [](char32_t c) -> std::string_view {
    switch (c) {
      case '"':
        return "&quot;";
      case '\'':
        return "&#39;";
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      default:
        return {};
    }
  });
}

std::string HttpUtility::HtmlDecode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  while (!text.empty()) {
    const auto ampersand = text.find('&');
    decoded.append(text.substr(0, ampersand));
    if (ampersand == std::string_view::npos) {
      break;
    }
    text.remove_prefix(ampersand);
    // A reference ends before the next one begins, so that no byte is searched twice.
    const auto end = text.find_first_of("&;", 1);
    char32_t character = 0;
    if (end != std::string_view::npos && text[end] == ';' && end > 1) {
      const auto reference = text.substr(1, end - 1);
      character =
          reference[0] == '#' ? NumberedCharacter(reference) : detail::FindHtmlEntity(reference);
    }
    if (character != 0) {
      detail::AppendUtf8(decoded, character);
      text.remove_prefix(end + 1);
    } else {
      decoded.append(text.substr(0, end));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end);
    }
  }
  return decoded;
}

std::string HttpUtility::UrlEncode(std::string_view text) {
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (detail::Contains(kQuerySafe, c)) {
      encoded += c;
    } else if (c == ' ') {
      encoded += '+';
    } else {
      detail::AppendEscape(encoded, c, detail::kSmallDigits);
    }
  }
  return encoded;
}

std::string HttpUtility::UrlDecode(std::string_view text) {
  return DecodeEscapes(text, Plus::kIsBlank);
}

std::string HttpUtility::UrlPathEncode(std::string_view text) {
  std::string encoded;
  encoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (detail::Contains(kUrlCharacters, text[i]) || detail::IsEscape(text, i)) {
      encoded += text[i];
    } else {
      detail::AppendEscape(encoded, text[i], detail::kSmallDigits);
    }
  }
  return encoded;
}

std::string HttpUtility::EscapeDataString(std::string_view text) {
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (detail::Contains(kUnreserved, c)) {
      encoded += c;
    } else {
      detail::AppendEscape(encoded, c, detail::kCapitalDigits);
    }
  }
  return encoded;
}

std::string HttpUtility::UnescapeDataString(std::string_view text) {
  return DecodeEscapes(text, Plus::kStays);
}

std::string HttpUtility::UrlTokenEncode(std::string_view bytes) {
  std::string token;
  if (bytes.empty()) {
    return token;
  }
  token.reserve((bytes.size() + 2) / 3 * 4 + 1);
  unsigned bits = 0;
  int count = 0;  // of bits that no character has yet
  for (const char c : bytes) {
    bits = (bits << 8) | Byte(c);
    for (count += 8; count >= 6; count -= 6) {
      token += kBase64Url[(bits >> (count - 6)) & 63];
    }
  }
  if (count != 0) {
    token += kBase64Url[(bits << (6 - count)) & 63];
  }
  token += static_cast<char>('0' + (3 - bytes.size() % 3) % 3);
  return token;
}

std::optional<std::string> HttpUtility::UrlTokenDecode(std::string_view token) {
  std::string bytes;
  if (token.empty()) {
    return bytes;
  }
  const char padding = token.back();
  token.remove_suffix(1);
  if (padding < '0' || padding > '2' || token.empty() ||
      (token.size() + static_cast<std::size_t>(padding - '0')) % 4 != 0) {
    return std::nullopt;
  }
  bytes.reserve(token.size() / 4 * 3 + 2);
  unsigned bits = 0;
  int count = 0;
  for (const char c : token) {
    const auto value = kBase64Url.find(c);
    if (value == std::string_view::npos) {
      return std::nullopt;
    }
    bits = (bits << 6) | static_cast<unsigned>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>((bits >> count) & 0xFF);
    }
  }
  // Bits behind the last byte would let two tokens mean the same.
  if ((bits & ((1U << count) - 1)) != 0) {
    return std::nullopt;
  }
  return bytes;
}

std::string HttpUtility::JavaScriptStringEncode(std::string_view text, JavaScriptQuotes quotes) {
  std::array<char, 6> escape{'\\', 'u', '0', '0', '0', '0'};
  auto encoded = EncodeCharacters(text, [&](char32_t c) -> std::string_view {
    switch (c) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\b':
        return "\\b";
      case '\f':
        return "\\f";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\'':
      case '<':
      case '>':
      case '&':
      case 0x85:
      case 0x2028:
      case 0x2029:
        break;
      default:
        if (c >= 0x20) {
          return {};
        }
    }
    for (std::size_t i = 0; i < 4; ++i) {
      escape[2 + i] = detail::kSmallDigits[(c >> (12 - 4 * i)) & 15];
    }
    return {escape.data(), escape.size()};
  });
  if (quotes == JavaScriptQuotes::kDouble) {
    encoded.insert(encoded.begin(), '"');
    encoded += '"';
  }
  return encoded;
}

}  // namespace weft
