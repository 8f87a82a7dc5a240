#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include <weft/export.hpp>

namespace weft {

/// How a content is compressed (RFC 9110, section 8.4.1; RFC 7932, RFC 8878).
enum class ContentCoding { kBrotli, kZstd, kGzip };

/// As Accept-Encoding and Content-Encoding have it: `br`, `zstd`, `gzip`. Lifetime: static storage.
WEFT_API std::string_view NameOf(ContentCoding coding) noexcept;

/// What NameOf() makes; absent for any other text.
WEFT_API std::optional<ContentCoding> ContentCodingOf(std::string_view name) noexcept;

/// What a client takes of `offered`, the most wanted first, by the weights of its Accept-Encoding (RFC 9110, section 12.5.3)
/// and, of one weight, in the order in which they are offered. Not what it wants less than the content as it is. Empty where
/// it sent no such field, or takes none of them: it gets the content as it is then, also where it accepts nothing at all.
WEFT_API std::vector<ContentCoding> AcceptedCodings(std::optional<std::string_view> accept_encoding,
                                                    const std::vector<ContentCoding>& offered);

}  // namespace weft
