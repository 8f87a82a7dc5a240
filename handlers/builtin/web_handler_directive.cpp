#include "handlers/builtin/web_handler_directive.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>
#include <optional>
#include <vector>

#include <weft/http_headers.hpp>

namespace weft::builtin {

namespace {

constexpr std::string_view kBlanks = " \t\r\n\f\v";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kForm = "; the form is <%@ WebHandler Class=\"Class, module\" %>";
constexpr std::string_view kWhereSourceGoes =
    ": nothing is compiled here; compile it into a module, NAME.so in a folder of --modules, and "
    "write Class=\"Class, NAME\"";

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string Quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

/// A part of the file, and where it begins.
struct Part {
  std::string_view text;
  std::size_t at = 0;
};

/// A name, maybe with a value.
struct Item {
  Part name;
  std::optional<Part> value;
};

struct Directive {
  std::size_t at = 0;
  std::optional<Part> name;
  std::vector<Item> attributes;
};

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) { static_cast<void>(Take(kByteOrderMark)); }

  DirectivePlace PlaceOf(std::size_t at) const {
    const auto before = text_.substr(0, at);
    const auto newline = before.rfind('\n');
    auto line = before.substr(newline == std::string_view::npos ? 0 : newline + 1);
    if (newline == std::string_view::npos && line.starts_with(kByteOrderMark)) {
      line.remove_prefix(kByteOrderMark.size());
    }
    const auto is_first_byte = [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    };
    return {static_cast<std::size_t>(1 + std::count(before.begin(), before.end(), '\n')),
            static_cast<std::size_t>(1 + std::count_if(line.begin(), line.end(), is_first_byte))};
  }
  [[noreturn]] void Fail(std::size_t at, const std::string& sentence) const {
    throw DirectiveError(PlaceOf(at), sentence);
  }

  /// The next directive, behind whatever text stands before it.
  std::optional<Directive> TakeDirective() {
    for (auto at = text_.find("<%", at_); at != std::string_view::npos;
         at = text_.find("<%", at + 1)) {
      const auto sign = text_.find_first_not_of(kBlanks, at + 2);
      if (sign != std::string_view::npos && text_[sign] == '@') {
        at_ = sign + 1;
        return TakeItems(at);
      }
    }
    return {};
  }

  /// Where the first sign but a blank follows.
  std::optional<std::size_t> FindMore() const {
    const auto at = text_.find_first_not_of(kBlanks, at_);
    return at == std::string_view::npos ? std::nullopt : std::optional(at);
  }

 private:
  Directive TakeItems(std::size_t begin) {
    Directive directive{begin, {}, {}};
    for (;;) {
      SkipBlanks();
      if (Take("%>")) {
        return directive;
      }
      const auto name = TakeName();
      if (name.text.empty()) {
        Fail(at_, "the directive does not end with `%>`, or an attribute has no name");
      }
      SkipBlanks();
      if (Take("=")) {
        SkipBlanks();
        directive.attributes.push_back({name, TakeValue()});
      } else if (!directive.name) {
        directive.name = name;
      } else {
        directive.attributes.push_back({name, {}});
      }
    }
  }

  void SkipBlanks() { at_ = std::min(text_.find_first_not_of(kBlanks, at_), text_.size()); }

  bool Take(std::string_view token) {
    if (text_.substr(at_, token.size()) != token) {
      return false;
    }
    at_ += token.size();
    return true;
  }

  Part TakeName() {
    const auto begin = at_;
    while (at_ < text_.size() && (IsWord(text_[at_]) || (at_ > begin && text_[at_] == ':'))) {
      ++at_;
    }
    return {text_.substr(begin, at_ - begin), begin};
  }

  Part TakeValue() {
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
      const auto begin = at_ + 1;
      const auto end = text_.find(text_[at_], begin);
      if (end == std::string_view::npos) {
        Fail(at_, "a quoted value does not end");
      }
      at_ = end + 1;
      return {text_.substr(begin, end - begin), begin};
    }
    const auto begin = at_;
    at_ = std::min(text_.find_first_of(" \t\r\n\f\v\"'%>", at_), text_.size());
    return {text_.substr(begin, at_ - begin), begin};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// Passes each attribute's number among `names`, and its value, to `take`; refuses what is not among them, and what
/// comes twice.
template <std::size_t N, typename Take>
void TakeAttributes(const Reader& reader, const Directive& directive,
                    std::string_view directive_name, const std::array<std::string_view, N>& names,
                    Take take) {
  std::bitset<N> seen;
  for (const auto& [name, value] : directive.attributes) {
    const auto found = std::find_if(names.begin(), names.end(), [&given = name](auto known) {
      return EqualsIgnoreCase(given.text, known);
    });
    if (found == names.end()) {
      reader.Fail(name.at,
                  Quoted(name.text) + " is no attribute of " + std::string(directive_name));
    }
    if (!value) {
      reader.Fail(name.at, std::string(*found) + " has no value");
    }
    const auto number = static_cast<std::size_t>(found - names.begin());
    if (seen[number]) {
      reader.Fail(name.at, std::string(*found) + " is given twice");
    }
    seen.set(number);
    take(number, *value);
  }
}

WebHandlerDirective ReadWebHandler(const Reader& reader, const Directive& directive) {
  enum : std::size_t { kClass, kLanguage, kDebug, kWarningLevel };
  constexpr std::array<std::string_view, 7> kNames{
      "Class", "Language", "Debug", "WarningLevel", "CodeBehind", "Description", "CompilerOptions"};
  WebHandlerDirective result;
  TakeAttributes(reader, directive, "WebHandler", kNames, [&](std::size_t name, const Part& value) {
    if (name == kClass) {
      result = {std::string(value.text), reader.PlaceOf(value.at)};
    } else if (name == kLanguage && !EqualsIgnoreCase(value.text, "C++")) {
      reader.Fail(value.at, "Language is " + Quoted(value.text) + ", and can only be C++");
    } else if (name == kDebug && !EqualsIgnoreCase(value.text, "true") &&
               !EqualsIgnoreCase(value.text, "false")) {
      reader.Fail(value.at, "Debug is " + Quoted(value.text) + ", and can only be true or false");
    } else if (name == kWarningLevel) {
      unsigned level = 0;
      const auto* const end = value.text.data() + value.text.size();
      const auto [parsed, error] = std::from_chars(value.text.data(), end, level);
      if (error != std::errc() || parsed != end) {
        reader.Fail(value.at,
                    "WarningLevel is " + Quoted(value.text) + ", and can only be a number");
      }
    }
  });
  if (result.type.find_first_not_of(kBlanks) == std::string::npos) {
    reader.Fail(directive.at, "Class is missing or empty" + std::string(kForm));
  }
  return result;
}

void CheckAssembly(const Reader& reader, const Directive& directive) {
  enum : std::size_t { kName, kSrc };
  constexpr std::array<std::string_view, 2> kNames{"Name", "Src"};
  bool has_name = false;
  std::optional<std::size_t> source;
  TakeAttributes(reader, directive, "Assembly", kNames, [&](std::size_t name, const Part& value) {
    if (value.text.empty()) {
      reader.Fail(value.at, std::string(kNames[name]) + " is empty");
    }
    has_name = has_name || name == kName;
    source = name == kSrc ? std::optional(value.at) : source;
  });
  if (has_name == source.has_value()) {
    reader.Fail(directive.at, "Assembly has either Name or Src");
  }
  if (source) {
    reader.Fail(*source, "Assembly Src names source code" + std::string(kWhereSourceGoes));
  }
}

}  // namespace

std::string DirectivePlace::ToString() const {
  return std::to_string(line) + ":" + std::to_string(column);
}

DirectiveError::DirectiveError(const DirectivePlace& place, const std::string& sentence)
    : std::runtime_error(place.ToString() + ": " + sentence), place_(place) {}

std::string_view DirectiveError::Sentence() const noexcept {
  const std::string_view text(what());
  return text.substr(text.find(": ") + 2);
}

WebHandlerDirective ParseWebHandlerDirective(std::string_view text) {
  Reader reader(text);
  std::optional<WebHandlerDirective> web_handler;
  while (const auto directive = reader.TakeDirective()) {
    if (!directive->name || EqualsIgnoreCase(directive->name->text, "WebHandler")) {
      if (web_handler) {
        reader.Fail(directive->at, "this is the second WebHandler directive, and a file has one");
      }
      web_handler = ReadWebHandler(reader, *directive);
    } else if (EqualsIgnoreCase(directive->name->text, "Assembly")) {
      CheckAssembly(reader, *directive);
    } else {
      reader.Fail(directive->name->at,
                  Quoted(directive->name->text) + " is no directive that is known");
    }
  }
  if (!web_handler) {
    throw DirectiveError({}, "the file has no WebHandler directive" + std::string(kForm));
  }
  if (const auto source = reader.FindMore()) {
    reader.Fail(*source, "source code follows the directive" + std::string(kWhereSourceGoes));
  }
  return *std::move(web_handler);
}

}  // namespace weft::builtin
