#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weft {

/// Where a Content-Type field names its charset.
struct CharsetParameter {
  std::size_t begin = 0;  ///< of `; charset=...`; npos: there is none
  std::size_t end = 0;
  std::string_view value{};  ///< without quotes

  bool Found() const noexcept { return begin != std::string_view::npos; }
};

CharsetParameter FindCharset(std::string_view content_type);

/// Whether a charset says anything of this media type.
bool IsText(std::string_view content_type) noexcept;

/// Whether bodies of this media type become much smaller when they are compressed.
bool IsCompressible(std::string_view content_type) noexcept;

}  // namespace weft
