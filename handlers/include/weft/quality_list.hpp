#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weft/export.hpp>

namespace weft {

/// An item of a field that lists what a client prefers (RFC 9110, section 12.5).
struct QualityValue {
  /// As it was sent, without its weight and blanks: `text/html;level=1`, `en-GB`, `*`.
  std::string value;
  /// Its weight, 0 to 1 (RFC 9110, section 12.4.2); 1 where none was sent. 0 means: not acceptable.
  double quality = 1;

  friend bool operator==(const QualityValue&, const QualityValue&) = default;
};

/// What the items of such a field are.
enum class QualityListKind : std::uint8_t {
  kMediaRanges,     ///< Accept: `text/html;level=1`, `text/*`, `*/*`
  kLanguageRanges,  ///< Accept-Language: `en-GB`, `*` (RFC 4647, section 2.1)
  kTokens,          ///< Accept-Encoding, Accept-Charset: `gzip`, `*`
};

/// At most so many items of one list are looked at.
inline constexpr std::size_t kMaxQualityValues = 256;

/// Parses such a field. The most wanted items come first, those of one weight in the order in which they were
/// sent; those that are not acceptable (weight 0) come last.
///
/// Items that are malformed are passed over, and everything from a quotation mark on that nothing closes: such a
/// field is advice, not worth an error. So are items beyond kMaxQualityValues.
WEFT_API std::vector<QualityValue> ParseQualityList(std::string_view text, QualityListKind kind);

}  // namespace weft
