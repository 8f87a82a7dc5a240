#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "mappings/path_pattern.hpp"
#include "mappings/problem.hpp"
#include "mappings/type_name.hpp"
#include "mappings/verb_list.hpp"

namespace weft::mappings {

/// One `add` of a mapping file: the requests it is for, and the type that serves them.
struct Entry {
  /// `verb_text` and `path_text` are within the limits of VerbList and PathPattern.
  Entry(std::string verb_text, std::string path_text)
      : verb(std::move(verb_text)), path(std::move(path_text)), verbs(verb), pattern(path) {}

  std::string name;       ///< For logs; empty when the file gives none.
  std::string verb;       ///< As written.
  std::string path;       ///< As written.
  std::string type_text;  ///< As written.
  TypeName type;
  std::size_t type_index = 0;  ///< Into MappingTable::Types().
  /// Whether the type is resolved when the table is built; otherwise at its first use.
  bool validate = true;
  /// The type is weft::HttpMethodNotAllowedHandler: the entry stands for all verbs not served.
  bool refuses_method = false;
  SourceLocation where;       ///< The `add` itself.
  SourceLocation type_where;  ///< The type text.

  VerbList verbs;
  PathPattern pattern;
};

/// What `httpRuntime` of one file sets; the rest is inherited.
struct RuntimeOverrides {
  std::optional<std::chrono::seconds> execution_timeout;
  std::optional<std::uint64_t> max_request_bytes;
};

/// The `httpRuntime` in force for a folder.
struct Runtime {
  std::chrono::seconds execution_timeout{0};
  std::optional<std::uint64_t> max_request_bytes;  ///< Absent: the host's own limit.

  friend bool operator==(const Runtime&, const Runtime&) = default;
};

}  // namespace weft::mappings
