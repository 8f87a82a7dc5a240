#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "host/fastcgi/protocol.hpp"

namespace weft::host::fastcgi {

/// Cuts a byte stream into records, however it arrives: content is passed on as it comes, so that a record
/// need not be kept whole.
class RecordParser {
 public:
  class IVisitor {
   public:
    virtual ~IVisitor() = default;
    /// A header has come. False stops the parser: nothing more is wanted of this stream.
    virtual bool OnRecordStart(const RecordHeader& header) = 0;
    /// A piece of its content, never empty. False stops the parser.
    virtual bool OnContent(std::string_view bytes) = 0;
    /// All of its content has come (its padding perhaps not yet). False stops the parser.
    virtual bool OnRecordEnd() = 0;
  };

  /// Feeds the next bytes of the stream. False: the visitor stopped the parser, or the bytes are no record of
  /// version 1; the stream has lost its framing and is of no more use.
  [[nodiscard]] bool Feed(std::string_view bytes, IVisitor& visitor);

  /// True between records.
  bool AtBoundary() const noexcept {
    return header_used_ == 0 && content_left_ == 0 && padding_left_ == 0;
  }
  /// Records whose header has come so far: tells one half record from the next.
  std::uint64_t RecordsRead() const noexcept { return records_read_; }

 private:
  std::uint64_t records_read_ = 0;
  char header_[kHeaderBytes];
  std::size_t header_used_ = 0;
  std::size_t content_left_ = 0;
  std::size_t padding_left_ = 0;
};

}  // namespace weft::host::fastcgi
