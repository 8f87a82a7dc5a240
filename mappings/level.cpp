#include "mappings/level.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include <weft/http_headers.hpp>
#include "mappings/ascii.hpp"
#include "mappings/json_document.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

constexpr std::string_view kMethodNotAllowedClass = "weft::HttpMethodNotAllowedHandler";

/// The keys that an object may have, and those that a later version will know.
struct Vocabulary {
  struct Refused {
    std::string_view name;
    std::string_view advice;
  };

  std::string_view owner;  // as a sentence names the object
  std::span<const std::string_view> names;
  std::span<const Refused> refused;
};

constexpr std::array<std::string_view, 3> kFileNames = {"$schema", "httpRuntime", "httpHandlers"};
constexpr std::array<Vocabulary::Refused, 2> kFileRefused = {{
    {"application", "Every site is one application with the root \"/\"; delete the key."},
    {"locations", "Put its directives into a mapping.json in that folder."},
}};
constexpr Vocabulary kFile = {"a mapping file", kFileNames, kFileRefused};

constexpr std::array<std::string_view, 2> kRuntimeNames = {"executionTimeoutSeconds",
                                                           "maxRequestBytes"};
constexpr Vocabulary kRuntime = {"\"httpRuntime\"", kRuntimeNames, {}};

constexpr std::array<std::string_view, 3> kDirectiveNames = {"add", "remove", "clear"};
constexpr Vocabulary kDirective = {"a directive", kDirectiveNames, {}};

constexpr std::array<std::string_view, 5> kAddNames = {"verb", "path", "type", "validate", "name"};
constexpr std::array<Vocabulary::Refused, 1> kAddRefused = {{
    {"lock", "Delete the key; lower levels may change this entry."},
}};
constexpr Vocabulary kAdd = {"\"add\"", kAddNames, kAddRefused};

constexpr std::array<std::string_view, 2> kRemoveNames = {"verb", "path"};
constexpr Vocabulary kRemove = {"\"remove\"", kRemoveNames, {}};

constexpr Vocabulary kClear = {"\"clear\"", {}, {}};

constexpr std::string_view kVerbAdvice =
    "Name the methods it is for, such as \"GET,HEAD\", or \"*\" for all.";
constexpr std::string_view kPathAdvice = "Name the paths it is for, such as \"*.report\".";
constexpr std::string_view kTypeAdvice = "Name the class that serves them, as \"Class, module\".";
constexpr std::string_view kRemoveAdvice = "Repeat the text of the entry to remove.";

/// Whether it is a method (RFC 9110, section 9.1: a token), wildcards allowed.
bool IsMethodPattern(std::string_view text) {
  std::string method(text);
  std::ranges::replace(method, '?', '*');  // a token may hold the one, not the other
  return IsToken(method);
}

bool IsLowerCaseLetter(char c) { return c >= 'a' && c <= 'z'; }

bool IsControlCharacter(char c) {
  return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7F;
}

std::size_t CodePoints(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

bool HasDotSegment(std::string_view path) {
  for (std::size_t begin = 0;;) {
    const std::size_t slash = path.find('/', begin);
    const std::string_view segment = path.substr(begin, slash - begin);
    if (segment == "." || segment == "..") {
      return true;
    }
    if (slash == std::string_view::npos) {
      return false;
    }
    begin = slash + 1;
  }
}

// `30`, and also `3e1` and `30.0`: JSON has one type of numbers, and JSON Schema calls all three
// integers.
std::optional<std::uint64_t> WholeNumber(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  if (const auto [rest, error] = std::from_chars(text.data(), end, number);
      error == std::errc() && rest == end) {
    return number;
  }
  double real = 0;
  if (const auto [rest, error] = std::from_chars(text.data(), end, real);
      error == std::errc() && rest == end && real >= 0 && real == std::floor(real) &&
      real <= static_cast<double>(kMaxRequestBytesLimit)) {
    return static_cast<std::uint64_t>(real);
  }
  return std::nullopt;
}

class LevelReader {
 public:
  LevelReader(const TextLocator& locator, std::vector<Problem>& problems)
      : locator_(locator), problems_(problems) {}

  [[nodiscard]] Level Read(std::string_view text) {
    const std::size_t problems_before = problems_.size();
    const std::optional<JsonDocument> document = JsonDocument::Parse(text, locator_, problems_);
    Level level;
    if (document) {
      document_ = &*document;
      ReadFile(document->Root(), level);
    }
    level.complete = std::none_of(
        problems_.begin() + static_cast<std::ptrdiff_t>(problems_before), problems_.end(),
        [](const Problem& problem) { return problem.severity == Problem::Severity::kError; });
    return level;
  }

 private:
  void Error(std::size_t offset, std::string sentence) {
    problems_.push_back({locator_.At(offset), Problem::Severity::kError, std::move(sentence)});
  }

  void Warn(std::size_t offset, std::string sentence) {
    problems_.push_back({locator_.At(offset), Problem::Severity::kWarning, std::move(sentence)});
  }

  bool Is(JsonKind kind, const JsonValue& value, const std::string& what) {
    if (value.kind == kind) {
      return true;
    }
    Error(value.offset, what + " must be " + std::string(KindName(kind)) + ", but is " +
                            std::string(KindName(value.kind)) + ".");
    return false;
  }

  // The members of an object in the order of the vocabulary's names, null where one is absent.
  std::vector<const JsonValue*> Members(const JsonValue& object, const Vocabulary& vocabulary) {
    std::vector<const JsonValue*> members(vocabulary.names.size());
    for (const JsonValue* member : document_->Children(object)) {
      const auto known = std::ranges::find(vocabulary.names, member->key);
      if (known == vocabulary.names.end()) {
        ReportUnknown(*member, vocabulary);
      } else {
        members[static_cast<std::size_t>(known - vocabulary.names.begin())] = member;
      }
    }
    return members;
  }

  void ReportUnknown(const JsonValue& member, const Vocabulary& vocabulary) {
    const auto refused =
        std::ranges::find(vocabulary.refused, member.key, &Vocabulary::Refused::name);
    Error(member.key_offset, refused == vocabulary.refused.end()
                                 ? UnknownKey(member.key, vocabulary.owner, vocabulary.names)
                                 : Quoted(member.key) + " is not supported by this version. " +
                                       std::string(refused->advice));
  }

  void ReadFile(const JsonValue& root, Level& level) {
    if (!Is(JsonKind::kObject, root, "A mapping file")) {
      return;
    }
    const auto members = Members(root, kFile);
    if (const JsonValue* schema = members[0]) {
      Is(JsonKind::kString, *schema, "\"$schema\"");
    }
    if (const JsonValue* runtime = members[1]) {
      ReadRuntime(*runtime, level.runtime);
    }
    if (const JsonValue* handlers = members[2]) {
      ReadHandlers(*handlers, level.directives);
    }
  }

  void ReadRuntime(const JsonValue& value, RuntimeOverrides& runtime) {
    if (!Is(JsonKind::kObject, value, "\"httpRuntime\"")) {
      return;
    }
    const auto members = Members(value, kRuntime);
    if (const auto seconds =
            ReadNumber(members[0], kRuntimeNames[0], "seconds", 1, kMaxExecutionTimeoutSeconds)) {
      runtime.execution_timeout = std::chrono::seconds(*seconds);
    }
    runtime.max_request_bytes =
        ReadNumber(members[1], kRuntimeNames[1], "bytes", 0, kMaxRequestBytesLimit);
  }

  std::optional<std::uint64_t> ReadNumber(const JsonValue* value, std::string_view name,
                                          std::string_view unit, std::uint64_t min,
                                          std::uint64_t max) {
    if (value == nullptr || !Is(JsonKind::kNumber, *value, Quoted(name))) {
      return std::nullopt;
    }
    const std::optional<std::uint64_t> number = WholeNumber(value->text);
    if (number && *number >= min && *number <= max) {
      return number;
    }
    Error(value->offset, Quoted(name) + " is " + value->text.substr(0, kQuotedBytes) +
                             ", but must be a whole number of " + std::string(unit) + " from " +
                             std::to_string(min) + " to " + std::to_string(max) + ".");
    return std::nullopt;
  }

  void ReadHandlers(const JsonValue& value, std::vector<Directive>& directives) {
    if (!Is(JsonKind::kArray, value, "\"httpHandlers\"")) {
      return;
    }
    for (const JsonValue* element : document_->Children(value)) {
      if (Is(JsonKind::kObject, *element, "A directive")) {
        ReadDirective(*element, directives);
      }
    }
  }

  void ReadDirective(const JsonValue& object, std::vector<Directive>& directives) {
    const auto children = document_->Children(object);
    if (children.empty()) {
      Error(object.offset, "This directive is empty. Write one of " + Listed(kDirectiveNames) +
                               " into it, or delete it.");
      return;
    }
    const auto members = Members(object, kDirective);
    const JsonValue* first = nullptr;
    for (const JsonValue* child : children) {
      if (std::ranges::find(members, child) == members.end()) {
        continue;
      }
      if (first != nullptr) {
        Error(child->key_offset, Quoted(child->key) + " stands in one object with " +
                                     Quoted(first->key) +
                                     ". Give every directive an object of its own, in the order "
                                     "they are to take effect.");
      }
      first = first == nullptr ? child : first;
      if (!Is(JsonKind::kObject, *child, Quoted(child->key))) {
        continue;
      }
      if (child == members[0]) {
        ReadAdd(*child, directives);
      } else if (child == members[1]) {
        ReadRemove(*child, directives);
      } else {
        Members(*child, kClear);
        directives.emplace_back(ClearDirective{});
      }
    }
  }

  // A member that must be there and say something. `owner` is the directive that it belongs to.
  const JsonValue* RequiredText(const JsonValue& owner, const JsonValue* member,
                                std::string_view name, std::string_view advice) {
    if (member == nullptr) {
      Error(owner.key_offset,
            Quoted(owner.key) + " has no " + Quoted(name) + ". " + std::string(advice));
      return nullptr;
    }
    if (!Is(JsonKind::kString, *member, Quoted(name))) {
      return nullptr;
    }
    if (member->text.find_first_not_of(" \t") == std::string::npos) {
      Error(member->offset, Quoted(name) + " is empty. " + std::string(advice));
      return nullptr;
    }
    return member;
  }

  void ReadAdd(const JsonValue& value, std::vector<Directive>& directives) {
    const auto members = Members(value, kAdd);
    const JsonValue* verb = RequiredText(value, members[0], kAddNames[0], kVerbAdvice);
    const JsonValue* path = RequiredText(value, members[1], kAddNames[1], kPathAdvice);
    const JsonValue* type = RequiredText(value, members[2], kAddNames[2], kTypeAdvice);
    const std::optional<TypeName> type_name = ReadType(type);
    const bool verb_is_good = verb != nullptr && CheckVerb(*verb);
    const bool path_is_good = path != nullptr && CheckPath(*path);
    const bool validate_is_good =
        members[3] == nullptr || Is(JsonKind::kBoolean, *members[3], Quoted(kAddNames[3]));
    const bool name_is_good = members[4] == nullptr || CheckName(*members[4]);
    if (!type_name || !verb_is_good || !path_is_good || !validate_is_good || !name_is_good) {
      return;
    }
    auto entry = std::make_unique<Entry>(verb->text, path->text);
    entry->name = members[4] != nullptr ? members[4]->text : "";
    entry->type_text = type->text;
    entry->type = *type_name;
    entry->validate = members[3] == nullptr || members[3]->boolean;
    entry->refuses_method =
        type_name->class_name == kMethodNotAllowedClass && type_name->module.empty();
    entry->where = locator_.At(value.key_offset);
    entry->type_where = locator_.At(type->offset);
    directives.emplace_back(AddDirective{EntryKey(verb->text, path->text), std::move(entry)});
  }

  void ReadRemove(const JsonValue& value, std::vector<Directive>& directives) {
    const auto members = Members(value, kRemove);
    const JsonValue* verb = RequiredText(value, members[0], kRemoveNames[0], kRemoveAdvice);
    const JsonValue* path = RequiredText(value, members[1], kRemoveNames[1], kRemoveAdvice);
    if (verb != nullptr && path != nullptr) {
      directives.emplace_back(RemoveDirective{EntryKey(verb->text, path->text), verb->text,
                                              path->text, locator_.At(value.key_offset)});
    }
  }

  std::optional<TypeName> ReadType(const JsonValue* type) {
    if (type == nullptr) {
      return std::nullopt;
    }
    std::variant<TypeName, TypeNameFault> parsed = ParseTypeName(type->text);
    if (const auto* fault = std::get_if<TypeNameFault>(&parsed)) {
      Error(type->offset, fault->sentence);
      return std::nullopt;
    }
    return std::get<TypeName>(std::move(parsed));
  }

  bool CheckVerb(const JsonValue& verb) {
    const std::string list = WithoutBlanks(verb.text);
    for (const std::string_view method : SplitAtCommas(list)) {
      if (method.empty()) {
        Error(verb.offset, "The verb list " + Quoted(verb.text) +
                               " has a comma with no method beside it. Delete the comma.");
        return false;
      }
      if (!IsMethodPattern(method) || method.size() > Glob::kMaxPatternBytes) {
        Error(verb.offset, Quoted(method) +
                               " is no request method. Write methods such as GET, separated by "
                               "commas.");
        return false;
      }
      if (std::ranges::any_of(method, IsLowerCaseLetter)) {
        Warn(verb.offset, Quoted(method) +
                              " has small letters. Letter case counts in methods, and the usual "
                              "ones are in capitals.");
      }
    }
    return true;
  }

  bool CheckPath(const JsonValue& path) {
    if (path.text.find('\0') != std::string::npos || path.text.find('\\') != std::string::npos) {
      Error(path.offset, "The path " + Quoted(path.text) +
                             " holds a backslash or a NUL, which no path has. Folders are "
                             "separated by /.");
      return false;
    }
    bool first = true;
    for (const std::string_view alternative : SplitAtCommas(path.text)) {
      if (alternative.size() > PathPattern::kMaxAlternativeBytes) {
        Error(path.offset, "The path has an alternative of more than " +
                               std::to_string(PathPattern::kMaxAlternativeBytes) +
                               " bytes. Shorten it.");
        return false;
      }
      if (!first && alternative.starts_with(' ')) {
        Warn(path.offset, "A blank follows a comma in the path " + Quoted(path.text) +
                              ". It is part of the pattern; delete it unless file names begin "
                              "with one.");
      }
      if (alternative.find("//") != std::string_view::npos || HasDotSegment(alternative)) {
        Warn(path.offset, "The pattern " + Quoted(alternative) +
                              " matches nothing: paths are compared without //, . and .. in "
                              "them.");
      }
      first = false;
    }
    return true;
  }

  bool CheckName(const JsonValue& name) {
    if (!Is(JsonKind::kString, name, Quoted(kAddNames[4]))) {
      return false;
    }
    if (name.text.empty() || CodePoints(name.text) > kMaxEntryNameLength ||
        std::ranges::any_of(name.text, IsControlCharacter)) {
      Error(name.offset, "\"name\" must have 1 to " + std::to_string(kMaxEntryNameLength) +
                             " characters, none of them a control character.");
      return false;
    }
    return true;
  }

  const TextLocator& locator_;
  std::vector<Problem>& problems_;
  const JsonDocument* document_ = nullptr;
};

}  // namespace

std::string EntryKey(std::string_view verb, std::string_view path) {
  // The separator keeps "GET" + "S/a" apart from "GETS" + "/a".
  return LowerCase(verb) + '\n' + LowerCase(path);
}

Level ReadLevel(std::string_view text, std::string file, std::vector<Problem>& problems) {
  const TextLocator locator(text, std::move(file));
  return LevelReader(locator, problems).Read(text);
}

}  // namespace weft::mappings
