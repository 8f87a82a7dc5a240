#include "host/tools/handler_project.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <sstream>
#include <utility>

#include "host/options/values.hpp"
#include "host/options/version.hpp"
#include "host/tools/templates.hpp"

namespace weft::host::tools {
namespace {

using options::Quoted;

/// ISO C++20, [lex.key] and [lex.digraph].
constexpr auto kKeywords = std::to_array<std::string_view>({"alignas",
                                                            "alignof",
                                                            "and",
                                                            "and_eq",
                                                            "asm",
                                                            "auto",
                                                            "bitand",
                                                            "bitor",
                                                            "bool",
                                                            "break",
                                                            "case",
                                                            "catch",
                                                            "char",
                                                            "char8_t",
                                                            "char16_t",
                                                            "char32_t",
                                                            "class",
                                                            "compl",
                                                            "concept",
                                                            "const",
                                                            "consteval",
                                                            "constexpr",
                                                            "constinit",
                                                            "const_cast",
                                                            "continue",
                                                            "co_await",
                                                            "co_return",
                                                            "co_yield",
                                                            "decltype",
                                                            "default",
                                                            "delete",
                                                            "do",
                                                            "double",
                                                            "dynamic_cast",
                                                            "else",
                                                            "enum",
                                                            "explicit",
                                                            "export",
                                                            "extern",
                                                            "false",
                                                            "float",
                                                            "for",
                                                            "friend",
                                                            "goto",
                                                            "if",
                                                            "inline",
                                                            "int",
                                                            "long",
                                                            "mutable",
                                                            "namespace",
                                                            "new",
                                                            "noexcept",
                                                            "not",
                                                            "not_eq",
                                                            "nullptr",
                                                            "operator",
                                                            "or",
                                                            "or_eq",
                                                            "private",
                                                            "protected",
                                                            "public",
                                                            "register",
                                                            "requires",
                                                            "return",
                                                            "short",
                                                            "signed",
                                                            "sizeof",
                                                            "static",
                                                            "static_assert",
                                                            "static_cast",
                                                            "struct",
                                                            "switch",
                                                            "template",
                                                            "this",
                                                            "thread_local",
                                                            "throw",
                                                            "true",
                                                            "try",
                                                            "typedef",
                                                            "typeid",
                                                            "typename",
                                                            "union",
                                                            "unsigned",
                                                            "using",
                                                            "virtual",
                                                            "void",
                                                            "volatile",
                                                            "wchar_t",
                                                            "while",
                                                            "xor",
                                                            "xor_eq",
                                                            "reinterpret_cast"});

/// Names at global scope that the project's own sources have, or include.
constexpr auto kTaken =
    std::to_array<std::string_view>({"doctest", "in_memory", "main", "std", "weft"});

/// Macros that are no words of C++, wherever they stand.
constexpr auto kMacros = std::to_array<std::string_view>(
    {"EOF", "NULL", "assert", "errno", "linux", "stderr", "stdin", "stdout", "unix", "CAPTURE",
     "CHECK", "FAIL", "INFO", "MESSAGE", "REQUIRE", "SUBCASE", "WARN"});

/// Targets that CMake, CTest and CPack keep for themselves, and those of the generators.
constexpr auto kTargets = std::to_array<std::string_view>(
    {"all", "clean", "continuous", "depend", "doctest", "edit_cache", "experimental", "help",
     "install", "nightly", "package", "package_source", "rebuild_cache", "test", "weft"});

constexpr std::string_view kHowTo =
    "write it like OrderList, shop::OrderList or 'shop::OrderList, "
    "shop'";

template <typename List>
bool Has(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsWordCharacter(char c) { return IsLower(c) || IsUpper(c) || IsDigit(c) || c == '_'; }

std::string_view Trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

void CheckIdentifier(std::string_view word, std::string_view whole, bool is_outermost) {
  const auto refuse = [whole](const std::string& why) {
    throw BadHandlerName(Quoted(whole) + " is no name of a class: " + why + "; " +
                         std::string(kHowTo));
  };
  if (word.empty()) refuse("a name is missing");
  if (!std::all_of(word.begin(), word.end(), IsWordCharacter)) {
    refuse(Quoted(word) + " has other characters than letters, digits and _");
  }
  if (IsDigit(word.front())) refuse(Quoted(word) + " begins with a digit");
  if (Has(kKeywords, word)) refuse(Quoted(word) + " is a word of C++");
  if (word.find("__") != std::string_view::npos || word.front() == '_') {
    refuse("C++ keeps names that begin with _, or hold __, for itself");
  }
  if (Has(kMacros, word) || word.starts_with("WEFT_") || word.starts_with("DOCTEST_")) {
    refuse(Quoted(word) + " is a macro");
  }
  if (is_outermost && Has(kTaken, word)) refuse(Quoted(word) + " is taken");
}

/// OrderList as order_list, HTTPProbe as http_probe.
std::string SnakeCase(std::string_view name) {
  std::string snake;
  for (std::size_t at = 0; at < name.size(); ++at) {
    const char c = name[at];
    if (!IsUpper(c)) {
      snake += c;
      continue;
    }
    const bool begins_word =
        at > 0 && name[at - 1] != '_' &&
        (!IsUpper(name[at - 1]) || (at + 1 < name.size() && IsLower(name[at + 1])));
    if (begins_word) snake += '_';
    snake += static_cast<char>(c - 'A' + 'a');
  }
  return snake;
}

void CheckModule(std::string_view module, std::string_view whole, bool is_said) {
  const auto is_allowed = [](char c) { return IsWordCharacter(c) || c == '-'; };
  if (module.empty() || !std::all_of(module.begin(), module.end(), is_allowed) ||
      module.front() == '-') {
    throw BadHandlerName(
        Quoted(module) + " in " + Quoted(whole) +
        " is no name of a module, which has letters, digits, _ and -: " + std::string(kHowTo));
  }
  if (Has(kTargets, module)) {
    throw BadHandlerName(Quoted(whole) + ": a module cannot be called " + Quoted(module) +
                         ", for CMake or the host has something of that name: " +
                         (is_said ? "choose another behind the comma"
                                  : "write " + Quoted(std::string(whole) + ", NAME")));
  }
}

/// `text` with its placeholders filled in. A line that is an empty one alone goes, with the blank line before it.
std::string Filled(std::string_view text, const std::map<std::string, std::string>& values) {
  std::string filled;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size() - 1);
    std::string line(text.substr(0, end + 1));
    text.remove_prefix(end + 1);
    bool is_dropped = false;
    for (const auto& [name, value] : values) {
      const std::string placeholder = "@" + name + "@";
      is_dropped = is_dropped || (value.empty() && line == placeholder + "\n");
      for (std::size_t at = 0; (at = line.find(placeholder, at)) != std::string::npos;
           at += value.size()) {
        line.replace(at, placeholder.size(), value);
      }
    }
    if (!is_dropped) {
      filled += line;
    } else if (filled.ends_with("\n\n")) {
      filled.pop_back();
    }
  }
  return filled;
}

}  // namespace

HandlerName ParseHandlerName(std::string_view text) {
  const auto comma = text.find(',');
  HandlerName name;
  name.qualified = Trimmed(text.substr(0, comma));
  std::string_view rest = name.qualified;
  for (bool is_outermost = true;; is_outermost = false) {
    const auto colons = rest.find("::");
    CheckIdentifier(rest.substr(0, colons), text, is_outermost);
    if (colons == std::string_view::npos) break;
    rest.remove_prefix(colons + 2);
  }
  name.class_name = rest;
  name.scope = name.qualified.substr(0, name.qualified.size() - rest.size());
  if (!name.scope.empty()) name.scope.resize(name.scope.size() - 2);
  name.file = SnakeCase(name.class_name);
  const bool is_said = comma != std::string_view::npos;
  name.module = is_said ? std::string(Trimmed(text.substr(comma + 1))) : name.file;
  CheckModule(name.module, text, is_said);
  return name;
}

std::vector<ProjectFile> MakeHandlerProject(const HandlerName& name, HandlerKind kind) {
  const std::string version(options::Version());
  const bool has_scope = !name.scope.empty();
  const std::map<std::string, std::string> values = {
      {"class", name.qualified},
      {"name", name.class_name},
      {"module", name.module},
      {"file", name.file},
      {"version", version.substr(0, version.rfind('.'))},
      {"namespace_begin", has_scope ? "namespace " + name.scope + " {" : ""},
      {"namespace_end", has_scope ? "}  // namespace " + name.scope : ""}};
  std::vector<ProjectFile> files;
  for (const TemplateFile& file : HandlerTemplates()) {
    const auto slash = file.path.find('/');
    const auto set = file.path.substr(0, slash);
    if (set != "common" && set != (kind == HandlerKind::kAsync ? "async" : "plain")) continue;
    files.push_back({Filled(file.path.substr(slash + 1), values), Filled(file.text, values)});
  }
  return files;
}

}  // namespace weft::host::tools
