#include <weft/byte_range.hpp>

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <system_error>
#include <utility>

#include <weft/http_headers.hpp>
#include "handlers/contract/field_cursor.hpp"
#include "handlers/contract/percent_encoding.hpp"

namespace weft {

namespace {

constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();

/// The header of a part: its boundary of 32 characters, a Content-Type of usual length, a Content-Range, and the ends of
/// lines. Two ranges that are nearer than this cost less as one.
constexpr std::uint64_t kPartHeaderBytes = 128;

/// Absent where there are no digits. More than 64 bits hold is the most they hold: no content is that long.
std::optional<std::uint64_t> NumberOf(std::string_view digits) noexcept {
  if (digits.empty()) {
    return std::nullopt;
  }
  std::uint64_t number = 0;
  for (const char c : digits) {
    const auto digit = static_cast<std::uint64_t>(c - '0');
    number = number > (kMost - digit) / 10 ? kMost : number * 10 + digit;
  }
  return number;
}

/// Overlapping and near ones become one, at the place of the first.
std::vector<ByteRange> Coalesced(const std::vector<ByteRange>& ranges) {
  struct Placed {
    ByteRange range;
    std::size_t place;
  };
  std::vector<Placed> placed;
  placed.reserve(ranges.size());
  for (const auto& range : ranges) {
    placed.push_back({range, placed.size()});
  }
  std::sort(placed.begin(), placed.end(),
            [](const Placed& a, const Placed& b) { return a.range.first < b.range.first; });
  std::vector<Placed> merged;
  for (const auto& next : placed) {
    // No overflow: a last byte is less than a length.
    if (!merged.empty() && next.range.first <= merged.back().range.last + 1 + kPartHeaderBytes) {
      auto& before = merged.back();
      before.range.last = std::max(before.range.last, next.range.last);
      before.place = std::min(before.place, next.place);
    } else {
      merged.push_back(next);
    }
  }
  std::sort(merged.begin(), merged.end(),
            [](const Placed& a, const Placed& b) { return a.place < b.place; });
  std::vector<ByteRange> result;
  result.reserve(merged.size());
  for (const auto& one : merged) {
    result.push_back(one.range);
  }
  return result;
}

std::string RandomBoundary() {
  std::array<unsigned char, 16> bits{};
  for (std::size_t filled = 0; filled < bits.size();) {
    const auto count = getrandom(bits.data() + filled, bits.size() - filled, 0);
    if (count > 0) {
      filled += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "getrandom");
    }
  }
  std::string text;
  for (const auto byte : bits) {
    text += detail::kSmallDigits[byte >> 4];
    text += detail::kSmallDigits[byte & 15];
  }
  return text;
}

}  // namespace

RangeSelection SelectRanges(std::string_view range_field, std::uint64_t length,
                            std::size_t max_ranges) {
  constexpr std::string_view kUnit = "bytes=";
  // A last byte plus what Coalesced() adds must be a number.
  length = std::min(length, kMost / 2);
  if (!EqualsIgnoreCase(range_field.substr(0, kUnit.size()), kUnit)) {
    return {};
  }
  FieldCursor cursor(range_field.substr(kUnit.size()));
  std::vector<ByteRange> ranges;
  std::size_t count = 0;
  bool has_empty_suffix = false;
  for (;;) {
    cursor.SkipBlanks();
    if (cursor.Take(',')) {
      continue;  // an empty member
    }
    if (cursor.AtEnd()) {
      break;
    }
    if (++count > max_ranges) {
      return {};
    }
    const auto first = NumberOf(cursor.TakeDigits());
    if (!cursor.Take('-')) {
      return {};
    }
    const auto last = NumberOf(cursor.TakeDigits());
    cursor.SkipBlanks();
    if ((!first && !last) || (first && last && *last < *first) ||
        (!cursor.AtEnd() && cursor.Next() != ',')) {
      return {};
    }
    if (!first) {
      const auto suffix = std::min(*last, length);
      if (suffix > 0) {
        ranges.push_back({length - suffix, length - 1});
      } else if (*last > 0) {
        has_empty_suffix = true;
      }
    } else if (*first < length) {
      ranges.push_back({*first, last ? std::min(*last, length - 1) : length - 1});
    }
  }
  if (count == 0) {
    return {};
  }
  if (ranges.empty()) {
    // The last bytes of an empty content are there, all none of them; no Content-Range can say so.
    return {has_empty_suffix ? RangeSelection::Kind::kWhole : RangeSelection::Kind::kUnsatisfiable,
            {}};
  }
  return {RangeSelection::Kind::kParts, ranges.size() == 1 ? std::move(ranges) : Coalesced(ranges)};
}

std::string ContentRangeOf(const ByteRange& range, std::uint64_t length) {
  return "bytes " + std::to_string(range.first) + "-" + std::to_string(range.last) + "/" +
         std::to_string(length);
}

std::string UnsatisfiedContentRange(std::uint64_t length) {
  return "bytes */" + std::to_string(length);
}

MultipartByteRanges::MultipartByteRanges(std::string content_type, std::uint64_t length)
    : MultipartByteRanges(std::move(content_type), length, RandomBoundary()) {}

MultipartByteRanges::MultipartByteRanges(std::string content_type, std::uint64_t length,
                                         std::string boundary)
    : content_type_(std::move(content_type)), length_(length), boundary_(std::move(boundary)) {}

std::string MultipartByteRanges::ContentType() const {
  return "multipart/byteranges; boundary=" + boundary_;
}

std::string MultipartByteRanges::PartHeader(std::size_t index, const ByteRange& range) const {
  std::string text = index == 0 ? "--" : "\r\n--";
  text.append(boundary_).append("\r\n");
  if (!content_type_.empty()) {
    text.append("Content-Type: ").append(content_type_).append("\r\n");
  }
  return text.append("Content-Range: ").append(ContentRangeOf(range, length_)).append("\r\n\r\n");
}

std::string MultipartByteRanges::End() const { return "\r\n--" + boundary_ + "--\r\n"; }

std::uint64_t MultipartByteRanges::ContentLength(const std::vector<ByteRange>& ranges) const {
  std::uint64_t length = End().size();
  for (std::size_t index = 0; index < ranges.size(); ++index) {
    length += PartHeader(index, ranges[index]).size() + ranges[index].size();
  }
  return length;
}

ContentSelection SelectContent(std::string_view method, const RequestConditions& conditions,
                               std::optional<std::string_view> range, const Validators& current,
                               std::uint64_t length, std::size_t max_ranges,
                               std::chrono::system_clock::time_point now) {
  switch (EvaluatePreconditions(method, conditions, current, now)) {
    case PreconditionResult::kNotModified:
      return {304};
    case PreconditionResult::kFailed:
      return {412};
    case PreconditionResult::kHolds:
      break;
  }
  // Ranges are of GET alone (section 14.2).
  if (!range || max_ranges == 0 || method != "GET" || !IfRangeHolds(conditions, current, now)) {
    return {200};
  }
  auto selection = SelectRanges(*range, length, max_ranges);
  switch (selection.kind) {
    case RangeSelection::Kind::kUnsatisfiable:
      return {416};
    case RangeSelection::Kind::kParts:
      return {206, std::move(selection.ranges)};
    case RangeSelection::Kind::kWhole:
      break;
  }
  return {200};
}

}  // namespace weft
