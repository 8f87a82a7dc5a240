#include "mappings/type_name.hpp"

#include <algorithm>
#include <optional>

#include "mappings/ascii.hpp"
#include "mappings/path_pattern.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

// One file name, `.so` included, has at most 255 bytes on the file systems of Linux.
constexpr std::size_t kMaxModuleBytes = 252;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool BeginsIdentifier(char c) { return (ToLower(c) >= 'a' && ToLower(c) <= 'z') || c == '_'; }

bool IsIdentifier(std::string_view text) {
  return !text.empty() && BeginsIdentifier(text.front()) &&
         std::ranges::all_of(text, [](char c) { return BeginsIdentifier(c) || IsDigit(c); });
}

bool IsQualifiedName(std::string_view text) {
  for (std::size_t begin = 0;;) {
    const std::size_t colons = text.find("::", begin);
    if (!IsIdentifier(text.substr(begin, colons - begin))) {
      return false;
    }
    if (colons == std::string_view::npos) {
      return true;
    }
    begin = colons + 2;
  }
}

std::string_view Trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

bool IsModuleCharacter(char c) {
  return BeginsIdentifier(c) || IsDigit(c) || c == '-' || c == '.' || c == '+';
}

std::optional<std::string> ModuleFault(std::string_view module) {
  if (module.empty()) {
    return "The type names no module behind its comma. Write \"Class, module\", or only the class "
           "when it is built in.";
  }
  if (module.find('/') != std::string_view::npos || module.find("..") != std::string_view::npos) {
    return "The module " + Quoted(module) +
           " is a path. Give its name alone; modules are loaded from the modules folder only.";
  }
  if (module.ends_with(".so")) {
    return "The module " + Quoted(module) + " is given with its ending. Write " +
           Quoted(module.substr(0, module.size() - 3)) + ".";
  }
  if (module.size() > kMaxModuleBytes) {
    return "The module's name is longer than " + std::to_string(kMaxModuleBytes) + " bytes.";
  }
  if (module.starts_with('.') || module.starts_with('-') ||
      !std::ranges::all_of(module, IsModuleCharacter)) {
    return "The module " + Quoted(module) +
           " is no module name. It begins with a letter, a digit or _, and holds only those and "
           "- . +";
  }
  return std::nullopt;
}

}  // namespace

std::variant<TypeName, TypeNameFault> ParseTypeName(std::string_view text) {
  const std::vector<std::string_view> parts = SplitAtCommas(text);
  if (parts.size() > 2) {
    return TypeNameFault{"The type " + Quoted(text) +
                         " has more than one comma. Write \"Class, module\"."};
  }
  const std::string_view class_name = Trimmed(parts.front());
  if (!IsQualifiedName(class_name)) {
    return TypeNameFault{"The class " + Quoted(class_name) +
                         " is no C++ class name. Write it with its namespaces, as in "
                         "\"shop::ReportHandler, shop\"."};
  }
  if (parts.size() == 1) {
    return TypeName{std::string(class_name), ""};
  }
  const std::string_view module = Trimmed(parts.back());
  if (std::optional<std::string> fault = ModuleFault(module)) {
    return TypeNameFault{std::move(*fault)};
  }
  return TypeName{std::string(class_name), std::string(module)};
}

}  // namespace weft::mappings
