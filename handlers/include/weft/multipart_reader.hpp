#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <weft/export.hpp>
#include <weft/http_headers.hpp>
#include <weft/input_stream.hpp>

namespace weft {

class HttpRequest;

/// Bounds of a multipart message.
struct MultipartLimits {
  /// Bytes of the header fields of one part. 16 KiB, as in ASP.NET Core; browsers need some hundred.
  std::size_t max_part_header_bytes = 16 * 1024;
  /// Parts of one message. As many as fields and files may be (`--max-fields`, `--max-files`).
  std::size_t max_parts = 2000;
};

/// Reads a multipart message (RFC 2046, section 5.1), as forms with files are (RFC 7578), part by part and as it
/// arrives: no more of it is in memory than a buffer of 128 KiB, however large a part is.
///
///     weft::MultipartReader reader(request);
///     while (reader.ReadNextPart()) {
///       while (const auto count = reader.Read(buffer)) { ... }
///     }
///
/// What is not well-formed is 400 (cause `multipart_malformed`), where the reader comes to it: a message that ends before
/// its last delimiter, a delimiter with anything else in its line, one behind the last one, line ends that are not CRLF, header
/// fields that are folded, malformed or too long (`part_header_too_large`), two Content-Disposition fields or two parameters of
/// one name in it.
///
/// Threads: one at a time. Lifetime: texts that it returns live until the next ReadNextPart().
/// Throws: HttpException, and what the source throws. After that it is of no use.
class WEFT_API MultipartReader {
 public:
  /// Of a request's body as it arrives: HttpRequest::GetBufferlessInputStream(), its Content-Type, and the host's bounds.
  explicit MultipartReader(HttpRequest& request);
  /// `source` must outlive the reader. `content_type` holds the boundary: throws HttpException(415) (cause
  /// `content_type_unsupported`) when it is not multipart/..., and HttpException(400) for a boundary that is missing, longer
  /// than 70 characters, or has others than RFC 2046 allows.
  MultipartReader(IInputStream& source, std::string_view content_type,
                  const MultipartLimits& limits = {});
  /// Of a message that is in memory; nothing is copied.
  MultipartReader(std::string_view message, std::string_view content_type,
                  const MultipartLimits& limits = {});
  MultipartReader(MultipartReader&&) noexcept;
  MultipartReader& operator=(MultipartReader&&) noexcept;
  ~MultipartReader();

  /// Goes to the next part; passes over what was not read of this one. False: there is none, and the source was read to
  /// its end. Throws HttpException(400) (cause `too_many_fields`) beyond MultipartLimits::max_parts.
  [[nodiscard]] bool ReadNextPart();

  /// The header fields of this part.
  const HttpHeaders& Headers() const noexcept;
  /// The name of a form's control; absent where Content-Disposition names none, or is not form-data.
  std::optional<std::string_view> Name() const noexcept;
  /// The file's name, as HttpPostedFile::FileName() has it; absent where the part is no file.
  std::optional<std::string_view> FileName() const noexcept;
  /// The same as it was sent.
  std::optional<std::string_view> RawFileName() const noexcept;
  /// The part's Content-Type field, or empty.
  std::string_view ContentType() const noexcept;

  /// Copies at most `buffer.size()` bytes of this part; 0 is its end.
  std::size_t Read(std::span<char> buffer);
  /// The next bytes of this part without a copy; empty: its end. Lifetime: until the next call of any member that reads.
  std::string_view ReadPiece();
  /// How many bytes of the message stand before what is read next.
  std::uint64_t Offset() const noexcept;

 private:
  class Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace weft
