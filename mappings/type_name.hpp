#pragma once

#include <string>
#include <string_view>
#include <variant>

namespace weft::mappings {

/// A class that serves requests, and the module that holds it.
struct TypeName {
  std::string class_name;  ///< With its namespaces: `shop::ReportHandler`. Letter case counts.
  std::string module;      ///< A file name without `.so`; empty: the class is built in.

  friend bool operator==(const TypeName&, const TypeName&) = default;
};

/// What is wrong with a type text, as a sentence.
struct TypeNameFault {
  std::string sentence;
};

/// Reads `Class, module` or `Class`. Blanks around either are ignored.
///
/// A module is a bare file name of letters, digits, `_`, `-`, `.` and `+`, so that no type text can
/// name a file outside the folder of modules.
[[nodiscard]] std::variant<TypeName, TypeNameFault> ParseTypeName(std::string_view text);

}  // namespace weft::mappings
