#include "mappings/json_document.hpp"

#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kCheckpointBytes = 1024;

// Hands the text to nlohmann's lexer and counts what it took. The lexer takes nothing ahead of the
// token that it reports, except the one byte behind a number.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, std::size_t* consumed) : at_(at), consumed_(consumed) {}

  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*consumed_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const CountingIterator& left, const CountingIterator& right) {
    return left.at_ == right.at_;
  }

 private:
  const char* at_;
  std::size_t* consumed_;
};

// The first offset from `from` on where a token may begin: behind blanks, comments, and the commas
// and colons that the SAX interface has no events for.
std::size_t SkipToToken(std::string_view text, std::size_t from) {
  std::size_t at = from;
  while (at < text.size()) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("//")) {
      at = std::min(text.find_first_of("\r\n", at), text.size());
    } else if (rest.starts_with("/*")) {
      const std::size_t end = text.find("*/", at + 2);
      if (end == std::string_view::npos) {
        return at;
      }
      at = end + 2;
    } else if (std::string_view(" \t\r\n,:").find(rest.front()) != std::string_view::npos) {
      ++at;
    } else {
      break;
    }
  }
  return at;
}

bool EndsWithComma(std::string_view text) {
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return last != std::string_view::npos && text[last] == ',';
}

struct SyntaxError {
  std::size_t offset;
  std::string sentence;
};

// nlohmann's message is "[json.exception...] parse error at line 3, column 9: syntax error while
// parsing object key - unexpected '}'; expected string literal". The part behind "syntax error"
// is good; its position is that of the last byte read, not of the token.
class SyntaxErrorReader {
 public:
  SyntaxErrorReader(std::string_view text, std::size_t token_begin)
      : text_(text), token_begin_(token_begin) {}

  [[nodiscard]] SyntaxError Read(std::size_t bytes_read, std::string_view last_token,
                                 std::string_view message) const {
    constexpr std::string_view kMark = "syntax error ";
    const std::size_t mark = message.find(kMark);
    if (mark == std::string_view::npos) {
      return {token_begin_, "This number is too large for a JSON number."};
    }
    message.remove_prefix(mark + kMark.size());
    const std::size_t dash = message.find(" - ");
    const std::string_view context = message.substr(0, dash);
    std::string_view detail = dash == message.npos ? message : message.substr(dash + 3);
    detail = detail.substr(0, detail.find("; last read: "));
    SyntaxError error;
    error.offset = Offset(bytes_read, last_token, detail);
    error.sentence = "JSON syntax error ";
    error.sentence.append(context).append(": ").append(detail).append(".");
    error.sentence.append(Advice(error.offset, detail));
    return error;
  }

 private:
  [[nodiscard]] std::size_t Offset(std::size_t bytes_read, std::string_view last_token,
                                   std::string_view detail) const {
    const std::size_t last_byte = std::min(bytes_read > 0 ? bytes_read - 1 : 0, text_.size());
    const auto back = [bytes_read](std::size_t length) {
      return bytes_read > length ? bytes_read - length : 0;
    };
    if (detail.starts_with("unexpected end of input")) {
      return text_.size();
    }
    if (detail.starts_with("unexpected true") || detail.starts_with("unexpected null")) {
      return back(4);
    }
    if (detail.starts_with("unexpected false")) {
      return back(5);
    }
    if (detail.starts_with("unexpected string") || detail.starts_with("unexpected number")) {
      return back(last_token.size());
    }
    if (detail.starts_with("invalid literal") || detail.find("missing closing") != detail.npos) {
      return std::min(token_begin_, last_byte);
    }
    return last_byte;
  }

  [[nodiscard]] std::string_view Advice(std::size_t offset, std::string_view detail) const {
    if (detail.starts_with("unexpected end of input")) {
      return SkipToToken(text_, 0) == text_.size()
                 ? " The file holds no value; an empty object is {}."
                 : " A closing brace or bracket is missing.";
    }
    if (detail.starts_with("unexpected '}'") || detail.starts_with("unexpected ']'")) {
      return EndsWithComma(text_.substr(0, offset)) ? " Delete the comma before it." : "";
    }
    if (detail.starts_with("invalid literal")) {
      return " Keys and strings stand in double quotes.";
    }
    if (detail.ends_with("; expected '}'") || detail.ends_with("; expected ']'")) {
      return detail.starts_with("unexpected ':'") ? "" : " A comma is missing before it.";
    }
    if (detail.ends_with("; expected end of input")) {
      return " A file holds one value; delete what stands behind it.";
    }
    return "";
  }

  std::string_view text_;
  std::size_t token_begin_;
};

// Receives nlohmann's events and grows the flat tree.
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  TreeBuilder(std::string_view text, const std::size_t* consumed, const TextLocator& locator,
              std::vector<Problem>& problems, std::size_t max_depth)
      : text_(text),
        consumed_(consumed),
        locator_(locator),
        problems_(problems),
        max_depth_(max_depth),
        token_end_(text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0) {}

  bool null() override {
    Add(JsonKind::kNull);
    return true;
  }

  bool boolean(bool value) override {
    Add(JsonKind::kBoolean).boolean = value;
    return true;
  }

  bool number_integer(number_integer_t /*value*/) override { return Number(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return Number(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return Number();
  }

  bool string(string_t& value) override {
    Add(JsonKind::kString).text = std::move(value);
    return true;
  }

  bool binary(binary_t& /*value*/) override { return false; }  // no event of JSON text

  bool start_object(std::size_t /*elements*/) override { return Open(JsonKind::kObject); }
  bool start_array(std::size_t /*elements*/) override { return Open(JsonKind::kArray); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& value) override {
    key_offset_ = NextToken();
    token_end_ = *consumed_;
    key_ = std::move(value);
    const auto [first, is_new] = open_.back().keys.try_emplace(key_, key_offset_);
    repeated_ = !is_new;
    if (repeated_) {
      const SourceLocation earlier = locator_.At(first->second);
      Report(key_offset_, "The key " + Quoted(key_) +
                              " stands twice in this object, first at line " +
                              std::to_string(earlier.line) + ", column " +
                              std::to_string(earlier.column) + ". Delete one of the two.");
    }
    return true;
  }

  bool parse_error(std::size_t bytes_read, const std::string& last_token,
                   const nlohmann::detail::exception& exception) override {
    SyntaxError error =
        SyntaxErrorReader(text_, NextToken()).Read(bytes_read, last_token, exception.what());
    Report(error.offset, std::move(error.sentence));
    return false;
  }

  [[nodiscard]] std::vector<JsonValue> Take() { return std::move(values_); }

 private:
  struct OpenContainer {
    std::uint32_t value;
    std::uint32_t last_child = JsonValue::kNoValue;
    std::unordered_map<std::string, std::size_t> keys;
  };

  [[nodiscard]] std::size_t NextToken() const { return SkipToToken(text_, token_end_); }

  void Report(std::size_t offset, std::string sentence) {
    problems_.push_back({locator_.At(offset), Problem::Severity::kError, std::move(sentence)});
  }

  JsonValue& Add(JsonKind kind) {
    JsonValue value;
    value.kind = kind;
    value.offset = NextToken();
    value.key_offset = value.offset;
    token_end_ = *consumed_;
    const auto index = static_cast<std::uint32_t>(values_.size());
    if (!open_.empty()) {
      OpenContainer& parent = open_.back();
      const bool in_object = values_[parent.value].kind == JsonKind::kObject;
      if (in_object) {
        value.key = std::exchange(key_, {});
        value.key_offset = key_offset_;
      }
      // Only the first of a repeated key's values is linked into the tree.
      if (!in_object || !repeated_) {
        std::uint32_t& link = parent.last_child == JsonValue::kNoValue
                                  ? values_[parent.value].first_child
                                  : values_[parent.last_child].next_sibling;
        link = index;
        parent.last_child = index;
      }
      repeated_ = false;
    }
    return values_.emplace_back(std::move(value));
  }

  bool Number() {
    JsonValue& number = Add(JsonKind::kNumber);
    const std::size_t end =
        std::min(text_.find_first_not_of("0123456789+-.eE", number.offset), text_.size());
    number.text = text_.substr(number.offset, end - number.offset);
    token_end_ = end;
    return true;
  }

  bool Open(JsonKind kind) {
    if (open_.size() == max_depth_) {
      Report(NextToken(), "This is nested deeper than " + std::to_string(max_depth_) +
                              " levels, which no file needs.");
      return false;
    }
    Add(kind);
    open_.push_back({static_cast<std::uint32_t>(values_.size() - 1), JsonValue::kNoValue, {}});
    return true;
  }

  bool Close() {
    token_end_ = *consumed_;
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::size_t* consumed_;
  const TextLocator& locator_;
  std::vector<Problem>& problems_;
  std::size_t max_depth_;
  std::vector<JsonValue> values_;
  std::vector<OpenContainer> open_;
  std::size_t token_end_;
  std::string key_;
  std::size_t key_offset_ = 0;
  bool repeated_ = false;
};

bool BeginsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }

}  // namespace

TextLocator::TextLocator(std::string_view text, std::string file)
    : text_(text), file_(std::move(file)) {
  Cursor cursor;
  for (std::size_t offset = 0; offset <= text_.size(); offset += kCheckpointBytes) {
    Advance(cursor, offset);
    checkpoints_.push_back(cursor);
  }
}

void TextLocator::Advance(Cursor& cursor, std::size_t offset) const {
  if (cursor.offset == 0 && text_.starts_with(kByteOrderMark)) {
    cursor.offset = std::min(offset, kByteOrderMark.size());
  }
  for (; cursor.offset < offset; ++cursor.offset) {
    if (text_[cursor.offset] == '\n') {
      ++cursor.line;
      cursor.column = 1;
    } else if (BeginsCharacter(text_[cursor.offset])) {
      ++cursor.column;
    }
  }
}

SourceLocation TextLocator::At(std::size_t offset) const {
  const std::size_t target = std::min(offset, text_.size());
  Cursor cursor = checkpoints_[target / kCheckpointBytes];
  Advance(cursor, target);
  return {file_, cursor.line, cursor.column};
}

std::string_view KindName(JsonKind kind) {
  switch (kind) {
    case JsonKind::kNull:
      return "null";
    case JsonKind::kBoolean:
      return "true or false";
    case JsonKind::kNumber:
      return "a number";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kArray:
      return "an array";
    case JsonKind::kObject:
      return "an object";
  }
  return "";
}

std::optional<JsonDocument> JsonDocument::Parse(std::string_view text, const TextLocator& locator,
                                                std::vector<Problem>& problems,
                                                std::size_t max_depth) {
  // To nlohmann's lexer a NUL is the end of the text; what stands behind it would go unread.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    problems.push_back({locator.At(nul), Problem::Severity::kError,
                        "The file holds a NUL byte, so it is no text. Save it as UTF-8."});
    return std::nullopt;
  }
  std::size_t consumed = 0;
  std::size_t unused = 0;
  TreeBuilder builder(text, &consumed, locator, problems, max_depth);
  const bool good = nlohmann::json::sax_parse(CountingIterator(text.data(), &consumed),
                                              CountingIterator(text.data() + text.size(), &unused),
                                              &builder, nlohmann::json::input_format_t::json,
                                              /*strict=*/true, /*ignore_comments=*/true);
  if (!good) {
    return std::nullopt;
  }
  return JsonDocument(builder.Take());
}

std::vector<const JsonValue*> JsonDocument::Children(const JsonValue& parent) const {
  std::vector<const JsonValue*> children;
  for (std::uint32_t child = parent.first_child; child != JsonValue::kNoValue;
       child = values_[child].next_sibling) {
    children.push_back(&values_[child]);
  }
  return children;
}

std::string JsonDocument::TextOf(const JsonValue& value) const {
  std::string text;
  AppendTo(text, value);
  return text;
}

// Goes as deep as the document, which is at most kMaxDepth where who parsed it has not said otherwise.
void JsonDocument::AppendTo(std::string& text, const JsonValue& value) const {
  const auto append_quoted = [&text](const std::string& characters) {
    text += nlohmann::json(characters).dump();
  };
  switch (value.kind) {
    case JsonKind::kNull:
      text += "null";
      return;
    case JsonKind::kBoolean:
      text += value.boolean ? "true" : "false";
      return;
    case JsonKind::kNumber:
      text += value.text;
      return;
    case JsonKind::kString:
      append_quoted(value.text);
      return;
    case JsonKind::kArray:
    case JsonKind::kObject:
      break;
  }
  const bool is_object = value.kind == JsonKind::kObject;
  text += is_object ? '{' : '[';
  const char* separator = "";
  for (const JsonValue* child : Children(value)) {
    text += separator;
    separator = ",";
    if (is_object) {
      append_quoted(child->key);
      text += ':';
    }
    AppendTo(text, *child);
  }
  text += is_object ? '}' : ']';
}

}  // namespace weft::mappings
