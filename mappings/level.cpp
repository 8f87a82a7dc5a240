#include "mappings/level.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>
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

/// The keys that an object may have, and those that stand elsewhere.
struct Vocabulary {
  struct Refused {
    std::string_view name;
    std::string_view advice;
  };

  std::string_view owner;  // as a sentence names the object
  std::span<const std::string_view> names;
  std::span<const Refused> refused;
};

// What a location may say, and then what a file may say besides.
constexpr std::array<std::string_view, 8> kFileNames = {
    "httpRuntime", "httpHandlers", "defaultDocuments", "redirectToFolder",
    "sections",    "$schema",      "application",      "locations"};
constexpr Vocabulary kFile = {"a mapping file", kFileNames, {}};

constexpr std::array<Vocabulary::Refused, 2> kLocationRefused = {{
    {"application", "Put it into the mapping.json of that folder."},
    {"locations", "Write the whole path into the outer key."},
}};
constexpr Vocabulary kLocation = {"a location", std::span(kFileNames).first<5>(), kLocationRefused};

constexpr std::array<std::string_view, 8> kRuntimeNames = {
    "executionTimeoutSeconds", "maxRequestBytes", "maxUrlBytes", "maxQueryStringBytes",
    "responseBufferBytes",     "maxRequests",     "stackBytes",  "slowLogThresholdMs"};
constexpr Vocabulary kRuntime = {"\"httpRuntime\"", kRuntimeNames, {}};

constexpr std::array<std::string_view, 3> kDirectiveNames = {"add", "remove", "clear"};
constexpr Vocabulary kDirective = {"a directive", kDirectiveNames, {}};

constexpr std::array<std::string_view, 9> kAddNames = {"verb",         "path",        "type",
                                                       "validate",     "name",        "lock",
                                                       "resourceType", "maxRequests", "stackBytes"};
constexpr Vocabulary kAdd = {"\"add\"", kAddNames, {}};

// In the order of ResourceType.
constexpr std::array<std::string_view, 4> kResourceTypes = {"unspecified", "file", "directory",
                                                            "either"};

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

/// The first that looks like a percent-encoded byte of a URL; empty: none.
std::string_view PercentEscape(std::string_view pattern) {
  for (std::size_t at = pattern.find('%'); at != std::string_view::npos;
       at = pattern.find('%', at + 1)) {
    if (at + 2 < pattern.size() && HexValue(pattern[at + 1]) && HexValue(pattern[at + 2])) {
      return pattern.substr(at, 3);
    }
  }
  return {};
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
    level.block.where.file = locator_.At(0).file;
    level.block.source =
        std::make_shared<const LevelSource>(LevelSource{level.block.where.file, {}});
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
                                 : Quoted(member.key) + " does not stand in " +
                                       std::string(vocabulary.owner) + ". " +
                                       std::string(refused->advice));
  }

  void ReadFile(const JsonValue& root, Level& level) {
    if (!Is(JsonKind::kObject, root, "A mapping file")) {
      return;
    }
    const auto members = Members(root, kFile);
    ReadBlock(members, level.block);
    if (const JsonValue* schema = members[5]) {
      Is(JsonKind::kString, *schema, "\"$schema\"");
    }
    if (const JsonValue* application = members[6];
        application != nullptr && Is(JsonKind::kBoolean, *application, "\"application\"")) {
      level.application = application->boolean;
      level.application_where = locator_.At(application->key_offset);
    }
    if (const JsonValue* locations = members[7]) {
      ReadLocations(*locations, level.locations);
    }
  }

  // The members in the order of kLocation.
  void ReadBlock(const std::vector<const JsonValue*>& members, Block& block) {
    if (members[0] != nullptr) {
      ReadRuntime(*members[0], block.settings.runtime);
    }
    if (members[1] != nullptr) {
      ReadHandlers(*members[1], block.directives);
    }
    if (members[2] != nullptr) {
      ReadDefaultDocuments(*members[2], block.settings);
    }
    if (members[3] != nullptr && Is(JsonKind::kBoolean, *members[3], Quoted(kFileNames[3]))) {
      block.settings.redirect_to_folder = {members[3]->boolean, Where(*members[3])};
    }
    if (members[4] != nullptr) {
      block.settings.sections = ReadSections(*members[4]);
    }
  }

  [[nodiscard]] std::shared_ptr<const SourceLocation> Where(const JsonValue& member) const {
    return std::make_shared<const SourceLocation>(locator_.At(member.key_offset));
  }

  void ReadLocations(const JsonValue& value, std::vector<Location>& locations) {
    if (!Is(JsonKind::kObject, value, "\"locations\"")) {
      return;
    }
    NameMap<SourceLocation> seen;
    for (const JsonValue* member : document_->Children(value)) {
      Location location;
      const bool path_is_good = ReadLocationPath(*member, location.segments);
      if (!Is(JsonKind::kObject, *member, "A location")) {
        continue;
      }
      location.block.where = locator_.At(member->key_offset);
      location.block.source =
          std::make_shared<const LevelSource>(LevelSource{location.block.where.file, member->key});
      ReadBlock(Members(*member, kLocation), location.block);
      const auto [first, is_new] = seen.try_emplace(member->key, location.block.where);
      if (!is_new) {
        Error(member->key_offset, "The location " + Quoted(member->key) + " stands at " +
                                      first->second.ToString() +
                                      " already: letter case does not count. Merge the two.");
      } else if (path_is_good) {
        locations.push_back(std::move(location));
      }
    }
  }

  bool ReadLocationPath(const JsonValue& member, std::vector<std::string>& segments) {
    const std::string& path = member.key;
    if (path.find_first_of("\\?:*\"<>|") != std::string::npos ||
        std::ranges::any_of(path, IsControlCharacter)) {
      Error(member.key_offset,
            "The location " + Quoted(path) +
                " holds a character that no location may: one of \\ ? : * \" < > | or a control "
                "character. It is a path, not a pattern.");
      return false;
    }
    for (std::size_t begin = 0; begin <= path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const std::string segment = path.substr(begin, end - begin);
      if (segment.find_first_not_of(" \t.") == std::string::npos) {
        Error(
            member.key_offset,
            "The location " + Quoted(path) +
                " is no path below the file's folder, such as \"admin\" or \"admin/new.ashx\": it "
                "has no part that is empty, blank or dots. What is for the folder itself stands "
                "beside \"locations\".");
        return false;
      }
      segments.push_back(segment);
      begin = end + 1;
    }
    return true;
  }

  void ReadDefaultDocuments(const JsonValue& value, SettingOverrides& settings) {
    if (!Is(JsonKind::kArray, value, Quoted(kFileNames[2]))) {
      return;
    }
    std::vector<std::string> names;
    bool good = true;
    for (const JsonValue* element : document_->Children(value)) {
      if (!Is(JsonKind::kString, *element, "A default document")) {
        good = false;
        continue;
      }
      const std::string& name = element->text;
      if (name.empty() || name.find_first_of("/\\") != std::string::npos || name.starts_with('.') ||
          std::ranges::any_of(name, IsControlCharacter)) {
        Error(element->offset, Quoted(name) +
                                   " is no name of a default document. Write the name of a file in "
                                   "the folder, such as \"index.html\".");
        good = false;
        continue;
      }
      names.push_back(name);
    }
    if (names.size() > kMaxDefaultDocuments) {
      Error(value.key_offset, "There are more than " + std::to_string(kMaxDefaultDocuments) +
                                  " default documents. Each one is looked for on the disk; delete "
                                  "some.");
      good = false;
    }
    if (!good) {
      return;
    }
    settings.default_documents = {std::move(names), Where(value)};
  }

  /// Null: there are none.
  std::shared_ptr<const std::vector<ConfigSection>> ReadSections(const JsonValue& value) {
    if (!Is(JsonKind::kObject, value, Quoted(kFileNames[4]))) {
      return nullptr;
    }
    std::vector<ConfigSection> sections;
    for (const JsonValue* member : document_->Children(value)) {
      if (member->key.empty() || CodePoints(member->key) > kMaxSectionNameLength ||
          std::ranges::any_of(member->key, IsControlCharacter)) {
        Error(member->key_offset, "The name of a section must have 1 to " +
                                      std::to_string(kMaxSectionNameLength) +
                                      " characters, none of them a control character.");
        continue;
      }
      sections.push_back({member->key,
                          member->kind == JsonKind::kNull ? "" : document_->TextOf(*member),
                          locator_.At(member->key_offset)});
    }
    if (sections.empty()) {
      return nullptr;
    }
    return std::make_shared<const std::vector<ConfigSection>>(std::move(sections));
  }

  void ReadRuntime(const JsonValue& value, Runtime& runtime) {
    if (!Is(JsonKind::kObject, value, "\"httpRuntime\"")) {
      return;
    }
    const auto members = Members(value, kRuntime);
    const auto read = [&](std::size_t i, std::string_view unit, std::uint64_t min,
                          std::uint64_t max, auto& setting) {
      if (const auto number = ReadNumber(members[i], kRuntimeNames[i], unit, min, max)) {
        setting.value.emplace(*number);
        setting.where = Where(*members[i]);
      }
    };
    read(0, "seconds", 1, kMaxExecutionTimeoutSeconds, runtime.execution_timeout);
    read(1, "bytes", 0, kMaxRequestBytesLimit, runtime.max_request_bytes);
    read(2, "bytes", 1, kMaxBytesSetting, runtime.max_url_bytes);
    read(3, "bytes", 0, kMaxBytesSetting, runtime.max_query_string_bytes);
    read(4, "bytes", 0, kMaxBytesSetting, runtime.response_buffer_bytes);
    read(5, "requests", 1, kMaxRequestsSetting, runtime.max_requests);
    read(6, "bytes", kMinStackBytes, kMaxStackBytes, runtime.stack_bytes);
    read(7, "milliseconds", 0, kMaxSlowLogThresholdMs, runtime.slow_log_threshold);
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
        directives.emplace_back(ClearDirective{locator_.At(child->key_offset)});
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
    const bool lock_is_good =
        members[5] == nullptr || Is(JsonKind::kBoolean, *members[5], Quoted(kAddNames[5]));
    const std::optional<ResourceType> resource_type = ReadResourceType(members[6]);
    const auto max_requests =
        ReadNumber(members[7], kAddNames[7], "requests", 1, kMaxRequestsSetting);
    const auto stack_bytes =
        ReadNumber(members[8], kAddNames[8], "bytes", kMinStackBytes, kMaxStackBytes);
    const bool numbers_are_good =
        (members[7] == nullptr || max_requests) && (members[8] == nullptr || stack_bytes);
    if (!type_name || !verb_is_good || !path_is_good || !validate_is_good || !name_is_good ||
        !lock_is_good || !resource_type || !numbers_are_good) {
      return;
    }
    auto entry = std::make_unique<Entry>(verb->text, path->text);
    entry->name = members[4] != nullptr ? members[4]->text : "";
    entry->type_text = type->text;
    entry->type = *type_name;
    entry->validate = members[3] == nullptr || members[3]->boolean;
    entry->locked = members[5] != nullptr && members[5]->boolean;
    entry->resource_type = *resource_type;
    entry->max_requests = max_requests;
    if (stack_bytes) {
      entry->stack_bytes = stack_bytes;
      entry->stack_bytes_where = locator_.At(members[8]->key_offset);
    }
    entry->refuses_method =
        type_name->class_name == kMethodNotAllowedClass && type_name->module.empty();
    entry->where = locator_.At(value.key_offset);
    entry->type_where = locator_.At(type->offset);
    directives.emplace_back(AddDirective{EntryKey(verb->text, path->text), std::move(entry)});
  }

  std::optional<ResourceType> ReadResourceType(const JsonValue* value) {
    if (value == nullptr) {
      return ResourceType::kUnspecified;
    }
    if (!Is(JsonKind::kString, *value, Quoted(kAddNames[6]))) {
      return std::nullopt;
    }
    const auto known = std::ranges::find(kResourceTypes, value->text);
    if (known == kResourceTypes.end()) {
      Error(value->offset, Quoted(kAddNames[6]) + " is " + Quoted(value->text) +
                               ", but must be one of " + Listed(kResourceTypes) + ".");
      return std::nullopt;
    }
    return static_cast<ResourceType>(known - kResourceTypes.begin());
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
    bool good = true;
    bool has_empty = false;
    for (const std::string_view method : SplitAtCommas(list)) {
      if (method.empty()) {
        has_empty = true;
        continue;
      }
      if (!IsMethodPattern(method) || method.size() > Glob::kMaxPatternBytes) {
        Error(verb.offset, Quoted(method) +
                               " is no request method. Write methods such as GET, separated by "
                               "commas.");
        good = false;
        continue;
      }
      if (std::ranges::any_of(method, IsLowerCaseLetter)) {
        Warn(verb.offset, Quoted(method) +
                              " has small letters. Letter case counts in methods, and the usual "
                              "ones are in capitals.");
      }
    }
    if (has_empty) {
      Error(verb.offset, "The verb list " + Quoted(verb.text) +
                             " has a comma with no method beside it. Delete the comma.");
      good = false;
    }
    return good;
  }

  bool CheckPath(const JsonValue& path) {
    if (path.text.find('\0') != std::string::npos || path.text.find('\\') != std::string::npos) {
      Error(path.offset, "The path " + Quoted(path.text) +
                             " holds a backslash or a NUL, which no path has. Folders are "
                             "separated by /.");
      return false;
    }
    bool first = true;
    bool has_empty = false;
    bool has_other = false;
    for (const std::string_view alternative : SplitAtCommas(path.text)) {
      (alternative.empty() ? has_empty : has_other) = true;
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
      if (const auto escape = PercentEscape(alternative); !escape.empty()) {
        Warn(path.offset, "The pattern " + Quoted(alternative) + " has " + Quoted(escape) +
                              " in it: paths are percent-decoded before they are compared. Write "
                              "the character itself.");
      }
      first = false;
    }
    if (has_empty && has_other) {  // with nothing else it is meant
      Warn(path.offset, "The path " + Quoted(path.text) +
                            " has a comma with no pattern beside it, which stands for all paths "
                            "that end in /. Delete the comma, unless these are meant.");
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
