#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/conditional_request.hpp>
#include <weft/export.hpp>

namespace weft {

/// Bytes of a content, from its first one, 0; both ends belong to it.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  std::uint64_t size() const noexcept { return last - first + 1; }
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

/// What a Range field asks for of a content of a known length.
struct RangeSelection {
  enum class Kind : std::uint8_t {
    kWhole,          ///< 200: the field counts for nothing
    kParts,          ///< 206: `ranges`, at least one
    kUnsatisfiable,  ///< 416: none of what it asks for is there
  };
  Kind kind = Kind::kWhole;
  /// Disjoint, in the order in which the client named them, each with no part of another within what its own header
  /// would cost to send.
  std::vector<ByteRange> ranges{};

  friend bool operator==(const RangeSelection&, const RangeSelection&) = default;
};

/// So many ranges of one field are taken, unless the host says otherwise (`--max-ranges`).
inline constexpr std::size_t kDefaultMaxRanges = 100;

/// Reads a Range field (RFC 9110, section 14.2) for a content of `length` bytes.
///
/// It counts for nothing where its unit is not `bytes`, where it is malformed anywhere, and where it has more than
/// `max_ranges` ranges: the whole content costs the host less than to sort out such a field. Numbers of any size are
/// understood. Ranges that overlap, and those that are nearer to each other than the header of a part is long, become one, at
/// the place of the first of them (section 15.3.7.2); so at most `length` bytes are sent, and headers. Linear in the field;
/// the memory is that of `max_ranges` ranges.
WEFT_API RangeSelection SelectRanges(std::string_view range_field, std::uint64_t length,
                                     std::size_t max_ranges = kDefaultMaxRanges);

/// `bytes 0-99/1234`: Content-Range of a part (RFC 9110, section 14.4).
WEFT_API std::string ContentRangeOf(const ByteRange& range, std::uint64_t length);
/// `bytes */1234`: Content-Range of 416.
WEFT_API std::string UnsatisfiedContentRange(std::uint64_t length);

/// The content of an answer with several parts (RFC 9110, section 14.6): for each range its PartHeader() and its bytes, and
/// then End().
class WEFT_API MultipartByteRanges {
 public:
  /// `content_type`: of the whole content; empty where it has none. The boundary is random, so that nobody can write a file that
  /// pretends to hold the end of a part.
  MultipartByteRanges(std::string content_type, std::uint64_t length);
  /// For tests: with this boundary.
  MultipartByteRanges(std::string content_type, std::uint64_t length, std::string boundary);

  /// The answer's Content-Type.
  std::string ContentType() const;
  /// The answer's Content-Length.
  std::uint64_t ContentLength(const std::vector<ByteRange>& ranges) const;
  /// What stands before a part's bytes. `index`: of the part, from 0.
  std::string PartHeader(std::size_t index, const ByteRange& range) const;
  std::string End() const;

 private:
  std::string content_type_;
  std::uint64_t length_;
  std::string boundary_;
};

/// How a request for a content of known length is to be answered.
struct ContentSelection {
  int status = 200;  ///< 200, 206, 304, 412 or 416
  /// Of 206. One: the answer has a Content-Range; several: it is a MultipartByteRanges.
  std::vector<ByteRange> ranges{};
};

/// Decides it: the conditions first, then, for GET, Range with If-Range (RFC 9110, section 13.2.2). `range`: the field;
/// absent where the request has none.
WEFT_API ContentSelection
SelectContent(std::string_view method, const RequestConditions& conditions,
              std::optional<std::string_view> range, const Validators& current,
              std::uint64_t length, std::size_t max_ranges = kDefaultMaxRanges,
              std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

}  // namespace weft
