#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <weft/content_coding.hpp>

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

}  // namespace weft::detail
