#include "handlers/builtin/web_handler_directive.hpp"

#include <algorithm>
#include <optional>

#include <weft/http_headers.hpp>

namespace weft::builtin {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kForm = "<%@ WebHandler Class=\"Class, module\" %>";

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::size_t At() const { return at_; }
  [[noreturn]] void Fail(const std::string& what) const { FailAt(at_, what); }
  [[noreturn]] void FailAt(std::size_t at, const std::string& what) const {
    const auto line =
        1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    throw DirectiveError("line " + std::to_string(line) + ": " + what + "; the form is " +
                         std::string(kForm));
  }

  void SkipBlanks() { at_ = std::min(text_.find_first_not_of(kBlanks, at_), text_.size()); }
  bool AtEnd() const { return at_ == text_.size(); }
  bool Take(std::string_view token) {
    if (text_.substr(at_, token.size()) != token) {
      return false;
    }
    at_ += token.size();
    return true;
  }

  /// A word character, then word characters or colons.
  std::string_view TakeName() {
    const auto is_word = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    };
    const auto begin = at_;
    while (at_ < text_.size() && (is_word(text_[at_]) || (at_ > begin && text_[at_] == ':'))) {
      ++at_;
    }
    return text_.substr(begin, at_ - begin);
  }

  std::string_view TakeValue() {
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
      const auto end = text_.find(text_[at_], at_ + 1);
      if (end == std::string_view::npos) {
        Fail("a quoted value does not end");
      }
      const auto value = text_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
      return value;
    }
    const auto end = std::min(text_.find_first_of(" \t\r\n\"'%>", at_), text_.size());
    const auto value = text_.substr(at_, end - at_);
    at_ = end;
    return value;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::string ParseWebHandlerDirective(std::string_view text) {
  Reader reader(text);
  static_cast<void>(reader.Take("\xEF\xBB\xBF"));
  reader.SkipBlanks();
  if (!reader.Take("<%")) {
    reader.Fail("the file does not begin with a directive");
  }
  reader.SkipBlanks();
  if (!reader.Take("@")) {
    reader.Fail("`<%` is not followed by `@`");
  }
  std::optional<std::string> type;
  std::optional<std::string> language;
  bool first = true;
  for (;; first = false) {
    reader.SkipBlanks();
    if (reader.Take("%>")) {
      break;
    }
    const auto name_at = reader.At();
    const auto name = reader.TakeName();
    if (name.empty()) {
      reader.Fail("the directive does not end with `%>`");
    }
    reader.SkipBlanks();
    if (!reader.Take("=")) {
      if (!first || !EqualsIgnoreCase(name, "WebHandler")) {
        reader.FailAt(name_at, "'" + std::string(name) + "' is no directive that is known");
      }
      continue;
    }
    reader.SkipBlanks();
    const std::string value(reader.TakeValue());
    if (EqualsIgnoreCase(name, "Class")) {
      if (type) {
        reader.Fail("Class is given twice");
      }
      type = value;
    } else if (EqualsIgnoreCase(name, "Language")) {
      if (language) {
        reader.Fail("Language is given twice");
      }
      if (!EqualsIgnoreCase(value, "C++")) {
        reader.Fail("Language is '" + value + "', and can only be C++");
      }
      language = value;
    } else if (!EqualsIgnoreCase(name, "CodeBehind") && !EqualsIgnoreCase(name, "Description")) {
      reader.FailAt(name_at, "'" + std::string(name) + "' is no attribute of WebHandler");
    }
  }
  if (!type || type->empty()) {
    reader.Fail("Class is missing or empty");
  }
  reader.SkipBlanks();
  if (!reader.AtEnd()) {
    reader.Fail("something follows the directive; handlers are compiled into modules, not here");
  }
  return *type;
}

}  // namespace weft::builtin
