#pragma once

#include <string>

namespace weft::mappings {

/// A place in a mapping file.
///
/// Units: line and column count from 1; the column counts UTF-8 code points, as editors do. A line
/// of 0 means the file or folder as a whole.
struct SourceLocation {
  std::string file;  ///< As the loader opened it; empty: the built-in defaults.
  int line = 0;
  int column = 0;

  /// `file:line:column`, or the file alone when there is no line.
  [[nodiscard]] std::string ToString() const;

  friend bool operator==(const SourceLocation&, const SourceLocation&) = default;
};

/// One thing wrong with the mapping files.
struct Problem {
  enum class Severity {
    kError,    ///< No table is built.
    kWarning,  ///< The table is built; something in it is probably not what was meant.
  };

  SourceLocation where;
  Severity severity = Severity::kError;
  std::string sentence;  ///< What is wrong, and what to do about it.

  /// `file:line:column: error: sentence`, the form that editors and terminals make clickable.
  [[nodiscard]] std::string ToString() const;
};

}  // namespace weft::mappings
