#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <weft/http_headers.hpp>

namespace weft {

/// Reads a header field's value from left to right, by the rules that fields share (RFC 9110, section 5.6). Every
/// step is linear in what it passes over, and none goes back.
///
/// Lifetime: views the text.
class FieldCursor {
 public:
  explicit FieldCursor(std::string_view text) noexcept : rest_(text) {}

  bool AtEnd() const noexcept { return rest_.empty(); }
  /// NUL at the end.
  char Next() const noexcept { return rest_.empty() ? '\0' : rest_.front(); }
  std::string_view Rest() const noexcept { return rest_; }

  /// OWS.
  void SkipBlanks() noexcept {
    const auto first = rest_.find_first_not_of(" \t");
    rest_.remove_prefix(first == std::string_view::npos ? rest_.size() : first);
  }

  bool Take(char c) noexcept {
    if (Next() != c || rest_.empty()) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }

  /// Empty where none begins here.
  std::string_view TakeToken() noexcept {
    std::size_t length = 0;
    while (length < rest_.size() && IsToken(rest_.substr(length, 1))) {
      ++length;
    }
    return TakeFront(length);
  }

  /// Decimal digits; empty where none stands here.
  std::string_view TakeDigits() noexcept {
    const auto end = rest_.find_first_not_of("0123456789");
    return TakeFront(end == std::string_view::npos ? rest_.size() : end);
  }

  /// A quoted string, its marks and escapes included; the cursor stands on the opening mark. Where nothing closes it,
  /// the rest is gone and the result is empty.
  std::string_view TakeQuotedString() noexcept {
    for (std::size_t at = 1; at < rest_.size(); ++at) {
      const auto byte = static_cast<unsigned char>(rest_[at]);
      if (byte == '"') {
        return TakeFront(at + 1);
      }
      if (byte == '\\') {
        ++at;
      }
    }
    rest_ = {};
    return {};
  }

  /// A token, or a quoted string as TakeQuotedString() has it.
  std::string_view TakeTokenOrQuotedString() noexcept {
    return Next() == '"' ? TakeQuotedString() : TakeToken();
  }

  /// To the next one of these characters, or the end. Quotation marks mean nothing to it.
  void SkipTo(char c) noexcept {
    const auto at = rest_.find(c);
    rest_.remove_prefix(at == std::string_view::npos ? rest_.size() : at);
  }

 private:
  std::string_view TakeFront(std::size_t length) noexcept {
    const auto front = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return front;
  }

  std::string_view rest_;
};

/// What a token or a quoted string stands for: without marks and escapes.
inline std::string Unquoted(std::string_view text) {
  if (text.size() < 2 || text.front() != '"') {
    return std::string(text);
  }
  text = text.substr(1, text.size() - 2);
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 1 < text.size()) {
      ++at;
    }
    plain += text[at];
  }
  return plain;
}

}  // namespace weft
