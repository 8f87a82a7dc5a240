#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/http_headers.hpp>
#include <weft/http_response_settings.hpp>

namespace weft::detail {

/// Compresses one body, piece by piece.
///
/// What it costs does not grow with the body: less than 1 MiB. Threads: one at a time.
class ContentEncoder {
 public:
  enum class Then {
    kGoOn,   ///< it may keep bytes back
    kFlush,  ///< what was given so far can be read by the client
    kFinish  ///< nothing comes any more
  };
  virtual ~ContentEncoder() = default;
  /// Appends to `to` what comes of `bytes`. Throws std::bad_alloc, and std::runtime_error where the library fails.
  virtual void Encode(std::string_view bytes, Then then, std::string& to) = 0;
};

std::unique_ptr<ContentEncoder> MakeContentEncoder(ContentCoding coding);

/// As Accept-Encoding and Content-Encoding have it.
std::string_view NameOf(ContentCoding coding) noexcept;

/// What of `offered`, the most wanted by the host first, the client wants most (RFC 9110, section 12.5.3); nothing: the body
/// as it is, which is also what a client gets that accepts nothing at all.
std::optional<ContentCoding> ChooseCoding(std::optional<std::string_view> accept_encoding,
                                          const std::vector<ContentCoding>& offered);

/// Whether bodies of this media type become much smaller.
bool IsCompressible(std::string_view content_type) noexcept;

}  // namespace weft::detail
