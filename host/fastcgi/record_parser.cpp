#include "host/fastcgi/record_parser.hpp"

#include <algorithm>
#include <cstring>

namespace weft::host::fastcgi {

bool RecordParser::Feed(std::string_view bytes, IVisitor& visitor) {
  while (!bytes.empty()) {
    if (content_left_ != 0) {
      const auto piece = bytes.substr(0, content_left_);
      bytes.remove_prefix(piece.size());
      content_left_ -= piece.size();
      if (!visitor.OnContent(piece) || (content_left_ == 0 && !visitor.OnRecordEnd())) {
        return false;
      }
      continue;
    }
    if (padding_left_ != 0) {
      const auto skipped = std::min(padding_left_, bytes.size());
      bytes.remove_prefix(skipped);
      padding_left_ -= skipped;
      continue;
    }
    const auto taken = std::min(kHeaderBytes - header_used_, bytes.size());
    std::memcpy(header_ + header_used_, bytes.data(), taken);
    header_used_ += taken;
    bytes.remove_prefix(taken);
    // The first byte alone tells what is no FastCGI at all: garbage is not waited for.
    if (header_[0] != static_cast<char>(kVersion)) {
      return false;
    }
    if (header_used_ < kHeaderBytes) {
      return true;
    }
    const auto header = DecodeHeader(header_);
    header_used_ = 0;
    ++records_read_;
    content_left_ = header.content_length;
    padding_left_ = header.padding_length;
    if (!visitor.OnRecordStart(header) || (content_left_ == 0 && !visitor.OnRecordEnd())) {
      return false;
    }
  }
  return true;
}

}  // namespace weft::host::fastcgi
