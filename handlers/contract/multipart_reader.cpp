#include <weft/multipart_reader.hpp>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#include <weft/cause.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_request.hpp>
#include "handlers/contract/field_cursor.hpp"
#include "handlers/contract/field_text.hpp"
#include "handlers/contract/file_name.hpp"

namespace weft {

namespace {

/// What is read at once, and searched. Larger ones were not faster.
constexpr std::size_t kBufferBytes = 128 * 1024;
/// RFC 2046, section 5.1.1.
constexpr std::size_t kMaxBoundary = 70;
/// memmem() searches for a delimiter of this length and longer at some GB/s, whatever stands in the message. For shorter
/// ones there are messages that make it thirty times slower than to look at each line's end.
constexpr std::size_t kShortDelimiter = 16;
constexpr std::string_view kLineEnd = "\r\n";

[[noreturn]] void Malformed(const std::string& detail) {
  throw HttpException(400, "The multipart body is malformed.", "the multipart body: " + detail)
      .WithCause(cause::kMultipartMalformed);
}

/// A value of Content-Disposition's parameters as browsers and curl send it. `\"` and `\\` are escapes; another
/// backslash is one, for old browsers send paths of Windows.
std::string UnquotedParameter(std::string_view text) {
  if (text.empty() || text.front() != '"') {
    return std::string(text);
  }
  text = text.substr(1, text.size() - 2);
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == '"' || text[at + 1] == '\\')) {
      ++at;
    }
    plain += text[at];
  }
  return plain;
}

/// Of HTML's "escape a multipart/form-data name": what it writes for quotation marks and line ends, and nothing else, for
/// it leaves `%` as it is.
std::string UnescapedName(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto escape = text.substr(at, 3);
    char c = text[at];
    if (escape == "%22") {
      c = '"';
    } else if (EqualsIgnoreCase(escape, "%0D")) {
      c = '\r';
    } else if (EqualsIgnoreCase(escape, "%0A")) {
      c = '\n';
    }
    at += c == text[at] ? 0 : 2;
    plain += c;
  }
  return plain;
}

/// The boundary of a Content-Type.
std::string BoundaryOf(std::string_view content_type) {
  FieldCursor cursor(content_type);
  cursor.SkipBlanks();
  const auto type = cursor.TakeToken();
  const bool has_slash = cursor.Take('/');
  if (!EqualsIgnoreCase(type, "multipart") || !has_slash || cursor.TakeToken().empty()) {
    throw HttpException(
        415, "A multipart body is wanted.",
        "the Content-Type '" + std::string(content_type.substr(0, 200)) + "' is not multipart")
        .WithCause(cause::kContentTypeUnsupported);
  }
  std::optional<std::string> boundary;
  for (;;) {
    cursor.SkipBlanks();
    if (cursor.AtEnd()) {
      break;
    }
    if (!cursor.Take(';')) {
      Malformed("its Content-Type has something behind a parameter");
    }
    cursor.SkipBlanks();
    const auto name = cursor.TakeToken();
    if (name.empty() && (cursor.AtEnd() || cursor.Next() == ';')) {
      continue;
    }
    if (name.empty() || !cursor.Take('=')) {
      Malformed("its Content-Type has a malformed parameter");
    }
    const auto value = cursor.TakeTokenOrQuotedString();
    if (value.empty()) {
      Malformed("its Content-Type has a parameter without a value");
    }
    if (EqualsIgnoreCase(name, "boundary")) {
      if (boundary) {
        Malformed("its Content-Type names two boundaries");
      }
      boundary = Unquoted(value);
    }
  }
  if (!boundary || boundary->empty()) {
    Malformed("its Content-Type names no boundary");
  }
  if (boundary->size() > kMaxBoundary) {
    Malformed("its boundary has " + std::to_string(boundary->size()) + " characters, more than " +
              std::to_string(kMaxBoundary));
  }
  const auto is_allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("'()+_,-./:=? ").find(c) != std::string_view::npos;
  };
  if (!std::all_of(boundary->begin(), boundary->end(), is_allowed) || boundary->back() == ' ') {
    Malformed("its boundary has a character that RFC 2046 does not allow there");
  }
  return *std::move(boundary);
}

}  // namespace

class MultipartReader::Parser {
 public:
  Parser(IInputStream* source, std::string_view message, std::string_view content_type,
         const MultipartLimits& limits)
      : source_(source),
        limits_(limits),
        delimiter_("\r\n--" + BoundaryOf(content_type)),
        data_(message.data()),
        end_(message.size()) {
    if (source_ != nullptr) {
      // Room for a part's header and the delimiters around it.
      capacity_ = std::max(kBufferBytes, limits.max_part_header_bytes + kBufferBytes / 2);
      buffer_ = std::make_unique_for_overwrite<char[]>(capacity_);
      data_ = buffer_.get();
      end_ = 0;
    }
  }

  bool ReadNextPart() {
    headers_.Clear();
    name_.reset();
    file_name_.reset();
    raw_file_name_.reset();
    if (state_ == State::kEnd) {
      return false;
    }
    auto delimiter_bytes = delimiter_.size();
    if (state_ == State::kStart) {
      delimiter_bytes = FindFirstDelimiter();
    } else {
      while (!ReadPiece().empty()) {
      }
    }
    begin_ += delimiter_bytes;
    Want(2);
    if (Unread().substr(0, 2) == "--") {
      begin_ += 2;
      EndMessage();
      return false;
    }
    SkipPadding();
    if (Unread().substr(0, 2) != kLineEnd) {
      Malformed("something stands behind a delimiter, in its line");
    }
    if (parts_ == limits_.max_parts) {
      throw HttpException(400, "The multipart body has too many parts.",
                          "the multipart body has more than " + std::to_string(limits_.max_parts) +
                              " parts (--max-fields, --max-files)")
          .WithCause(cause::kTooManyFields);
    }
    ++parts_;
    ReadHeaders();
    state_ = State::kPart;
    return true;
  }

  std::string_view ReadPiece() {
    if (state_ != State::kPart) {
      return {};
    }
    for (;;) {
      const auto unread = Unread();
      const auto at = FindDelimiter(unread);
      if (at == 0) {
        state_ = State::kDelimiter;
        return {};
      }
      // What could begin a delimiter waits for the rest of it.
      const auto kept = delimiter_.size() - 1;
      const auto count =
          at != std::string_view::npos ? at : unread.size() - std::min(kept, unread.size());
      if (count != 0) {
        begin_ += count;
        return unread.substr(0, count);
      }
      if (!Fill()) {
        Malformed("it ends before its last delimiter");
      }
    }
  }

  std::size_t Read(std::span<char> buffer) {
    if (buffer.empty()) {
      return 0;
    }
    if (piece_left_ == 0) {
      piece_left_ = ReadPiece().size();
    }
    const auto count = std::min(buffer.size(), piece_left_);
    std::memcpy(buffer.data(), data_ + begin_ - piece_left_, count);
    piece_left_ -= count;
    return count;
  }

  /// As ReadPiece(), and what a Read() has left first.
  std::string_view ReadRest() {
    if (piece_left_ != 0) {
      const std::string_view left(data_ + begin_ - piece_left_, piece_left_);
      piece_left_ = 0;
      return left;
    }
    return ReadPiece();
  }

  void DropPiece() noexcept { piece_left_ = 0; }
  std::uint64_t Offset() const noexcept { return base_ + begin_ - piece_left_; }
  const HttpHeaders& Headers() const noexcept { return headers_; }
  const std::optional<std::string>& Name() const noexcept { return name_; }
  const std::optional<std::string>& FileName() const noexcept { return file_name_; }
  const std::optional<std::string>& RawFileName() const noexcept { return raw_file_name_; }

 private:
  enum class State { kStart, kPart, kDelimiter, kEnd };

  std::string_view Unread() const noexcept { return {data_ + begin_, end_ - begin_}; }

  std::size_t FindDelimiter(std::string_view text) const noexcept {
    const char* at = text.data();
    const char* const end = at + text.size();
    if (delimiter_.size() >= kShortDelimiter) {
      at = text.empty() ? nullptr
                        : static_cast<const char*>(
                              memmem(at, text.size(), delimiter_.data(), delimiter_.size()));
    } else {
      for (; at != end && (at = FindByte(at, end, '\r')) != nullptr; ++at) {
        if (static_cast<std::size_t>(end - at) >= delimiter_.size() &&
            std::memcmp(at, delimiter_.data(), delimiter_.size()) == 0) {
          break;
        }
      }
    }
    return at == nullptr || at == end ? std::string_view::npos
                                      : static_cast<std::size_t>(at - text.data());
  }

  static const char* FindByte(const char* begin, const char* end, char byte) noexcept {
    return static_cast<const char*>(
        std::memchr(begin, byte, static_cast<std::size_t>(end - begin)));
  }

  /// Gets more bytes; what is unread stays. False: there are none.
  bool Fill() {
    if (source_ == nullptr || source_ended_) {
      return false;
    }
    if (begin_ != 0) {
      std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
      base_ += begin_;
      end_ -= begin_;
      begin_ = 0;
    }
    const auto count = source_->Read({buffer_.get() + end_, capacity_ - end_});
    source_ended_ = count == 0;
    end_ += count;
    return count != 0;
  }

  /// Has so many bytes unread, or all that there are.
  void Want(std::size_t bytes) {
    while (end_ - begin_ < bytes && Fill()) {
    }
  }

  /// How many bytes it takes, from begin_ on.
  std::size_t FindFirstDelimiter() {
    // It may stand at the very beginning, without a line end before it.
    const auto first = std::string_view(delimiter_).substr(kLineEnd.size());
    if (StandsHere(first)) {
      return first.size();
    }
    if (!PassToDelimiter()) {
      Malformed("it has no delimiter");
    }
    return delimiter_.size();
  }

  /// Waits for no more than what decides it.
  bool StandsHere(std::string_view text) {
    for (;;) {
      const auto front = Unread().substr(0, text.size());
      if (front != text.substr(0, front.size())) {
        return false;
      }
      if (front.size() == text.size()) {
        return true;
      }
      if (!Fill()) {
        return false;
      }
    }
  }

  /// False: there is none, and the end was reached.
  bool PassToDelimiter() {
    for (;;) {
      const auto at = FindDelimiter(Unread());
      if (at != std::string_view::npos) {
        begin_ += at;
        return true;
      }
      begin_ = end_ - std::min(delimiter_.size() - 1, end_ - begin_);
      if (!Fill()) {
        return false;
      }
    }
  }

  /// Blanks behind a delimiter, which some gateways once added.
  void SkipPadding() {
    std::size_t count = 0;
    for (Want(2); !Unread().empty() && (Unread()[0] == ' ' || Unread()[0] == '\t'); Want(2)) {
      ++begin_;
      if (++count > limits_.max_part_header_bytes) {
        TooLongHeader();
      }
    }
  }

  void EndMessage() {
    SkipPadding();
    if (!Unread().empty() && Unread().substr(0, 2) != kLineEnd) {
      Malformed("something stands behind its last delimiter, in its line");
    }
    // RFC 2046 has what follows ignored. A part in there would be lost on us, and seen by others.
    if (PassToDelimiter()) {
      Malformed("a delimiter stands behind the last one");
    }
    begin_ = end_;
    state_ = State::kEnd;
  }

  [[noreturn]] void TooLongHeader() const {
    throw HttpException(400, "A part of the multipart body has too long a header.",
                        "a part's header has more than " +
                            std::to_string(limits_.max_part_header_bytes) +
                            " bytes (--max-part-header-bytes)")
        .WithCause(cause::kPartHeaderTooLarge);
  }

  /// From the line end of the delimiter's line on.
  void ReadHeaders() {
    constexpr std::string_view kHeaderEnd = "\r\n\r\n";
    std::size_t searched = 0;
    std::size_t at = 0;
    while ((at = Unread().find(kHeaderEnd, searched)) == std::string_view::npos) {
      if (end_ - begin_ > limits_.max_part_header_bytes + kHeaderEnd.size()) {
        TooLongHeader();
      }
      searched = end_ - begin_ - std::min(kHeaderEnd.size() - 1, end_ - begin_);
      if (!Fill()) {
        Malformed("it ends in a part's header");
      }
    }
    // The line end before it is not its own, the last of the two behind it is not either.
    if (at > limits_.max_part_header_bytes) {
      TooLongHeader();
    }
    auto block = Unread().substr(0, at);
    while (!block.empty()) {
      block.remove_prefix(kLineEnd.size());
      const auto line = block.substr(0, block.find(kLineEnd));
      ReadHeader(line);
      block.remove_prefix(line.size());
    }
    begin_ += at + kLineEnd.size();
    // A part may have no body at all, not even an empty one: the header's last line end is the delimiter's then.
    if (!StandsHere(delimiter_)) {
      begin_ += kLineEnd.size();
    }
    ReadDisposition();
  }

  void ReadHeader(std::string_view line) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) {
      Malformed("a part's header has a line without a colon");
    }
    try {
      headers_.Append(line.substr(0, colon), detail::Trim(line.substr(colon + 1)));
    } catch (const std::invalid_argument& error) {
      Malformed(std::string("a part's header: ") + error.what());
    }
  }

  void ReadDisposition() {
    const std::string* disposition = nullptr;
    for (const auto& [name, value] : headers_) {
      if (EqualsIgnoreCase(name, "Content-Disposition")) {
        if (disposition != nullptr) {
          Malformed("a part has two Content-Disposition fields");
        }
        disposition = &value;
      }
    }
    if (disposition == nullptr) {
      return;
    }
    FieldCursor cursor(*disposition);
    const auto type = cursor.TakeToken();
    if (type.empty()) {
      Malformed("a part's Content-Disposition has no type");
    }
    std::vector<std::string_view> names;
    for (;;) {
      cursor.SkipBlanks();
      if (cursor.AtEnd()) {
        break;
      }
      if (!cursor.Take(';')) {
        Malformed("a part's Content-Disposition has something behind a parameter");
      }
      cursor.SkipBlanks();
      if (cursor.AtEnd()) {
        break;
      }
      ReadDispositionParameter(cursor, names);
    }
    if (!EqualsIgnoreCase(type, "form-data")) {
      name_.reset();
    }
  }

  void ReadDispositionParameter(FieldCursor& cursor, std::vector<std::string_view>& names) {
    const auto name = cursor.TakeToken();
    if (name.empty() || !cursor.Take('=')) {
      Malformed("a part's Content-Disposition has a malformed parameter");
    }
    const auto value = cursor.TakeTokenOrQuotedString();
    if (value.empty()) {
      Malformed("a part's Content-Disposition has a parameter without a value");
    }
    constexpr std::size_t kMaxParameters = 16;
    const auto is_same = [&](auto other) { return EqualsIgnoreCase(name, other); };
    if (names.size() == kMaxParameters || std::any_of(names.begin(), names.end(), is_same)) {
      Malformed("a part's Content-Disposition has a parameter twice, or too many");
    }
    names.push_back(name);
    if (is_same("name")) {
      name_ = UnescapedName(UnquotedParameter(value));
    } else if (is_same("filename")) {
      // RFC 7578, section 4.2: filename* is not to be used. It is passed over.
      raw_file_name_ = UnquotedParameter(value);
      file_name_ = detail::SafeFileName(UnescapedName(*raw_file_name_));
    }
  }

  IInputStream* source_;
  const MultipartLimits limits_;
  const std::string delimiter_;
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  const char* data_;
  std::size_t begin_ = 0;  // what is unread of data_
  std::size_t end_;
  std::uint64_t base_ = 0;      // how much of the message stood before data_
  std::size_t piece_left_ = 0;  // before begin_, of what Read() was given
  std::size_t parts_ = 0;
  State state_ = State::kStart;
  bool source_ended_ = false;
  HttpHeaders headers_;
  std::optional<std::string> name_;
  std::optional<std::string> file_name_;
  std::optional<std::string> raw_file_name_;
};

MultipartReader::MultipartReader(HttpRequest& request)
    : MultipartReader(request.GetBufferlessInputStream(), request.ContentType(),
                      request.MultipartBounds()) {}

MultipartReader::MultipartReader(IInputStream& source, std::string_view content_type,
                                 const MultipartLimits& limits)
    : parser_(std::make_unique<Parser>(&source, std::string_view(), content_type, limits)) {}

MultipartReader::MultipartReader(std::string_view message, std::string_view content_type,
                                 const MultipartLimits& limits)
    : parser_(std::make_unique<Parser>(nullptr, message, content_type, limits)) {}

MultipartReader::MultipartReader(MultipartReader&&) noexcept = default;
MultipartReader& MultipartReader::operator=(MultipartReader&&) noexcept = default;
MultipartReader::~MultipartReader() = default;

bool MultipartReader::ReadNextPart() {
  parser_->DropPiece();
  return parser_->ReadNextPart();
}

const HttpHeaders& MultipartReader::Headers() const noexcept { return parser_->Headers(); }
std::optional<std::string_view> MultipartReader::Name() const noexcept { return parser_->Name(); }
std::optional<std::string_view> MultipartReader::FileName() const noexcept {
  return parser_->FileName();
}
std::optional<std::string_view> MultipartReader::RawFileName() const noexcept {
  return parser_->RawFileName();
}
std::string_view MultipartReader::ContentType() const noexcept {
  return parser_->Headers().Find("Content-Type").value_or(std::string_view());
}
std::size_t MultipartReader::Read(std::span<char> buffer) { return parser_->Read(buffer); }
std::string_view MultipartReader::ReadPiece() { return parser_->ReadRest(); }
std::uint64_t MultipartReader::Offset() const noexcept { return parser_->Offset(); }

}  // namespace weft
