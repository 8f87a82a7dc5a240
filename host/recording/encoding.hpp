#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weft::host::recording {

/// Whether a JSON string can hold the text.
[[nodiscard]] bool IsUtf8(std::string_view text);

/// Whether people can read the bytes: UTF-8 without control characters other than tabs and the ends of lines.
[[nodiscard]] bool IsReadable(std::string_view bytes);

/// RFC 4648, section 4.
[[nodiscard]] std::string EncodeBase64(std::string_view bytes);

/// Undoes it; absent where the text is no base64, or has no padding.
[[nodiscard]] std::optional<std::string> DecodeBase64(std::string text);

}  // namespace weft::host::recording
