#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mappings/path_pattern.hpp"
#include "mappings/problem.hpp"
#include "mappings/type_name.hpp"
#include "mappings/verb_list.hpp"

namespace weft::mappings {

/// What must exist at a path for an entry to apply.
enum class ResourceType {
  kUnspecified,  ///< The disk is not asked.
  kFile,
  kDirectory,
  kEither,
};

/// One `add` of a mapping file: the requests it is for, and the type that serves them.
struct Entry {
  /// `verb_text` and `path_text` are within the limits of VerbList and PathPattern.
  Entry(std::string verb_text, std::string path_text)
      : verb(std::move(verb_text)), path(std::move(path_text)), verbs(verb), pattern(path) {}

  /// The same entry for an application: its `~/` stands for `application_root`.
  Entry(const Entry& other, std::string_view application_root) : Entry(other) {
    pattern = PathPattern(path, application_root);
  }

  std::string name;       ///< For logs; empty when the file gives none.
  std::string verb;       ///< As written.
  std::string path;       ///< As written.
  std::string type_text;  ///< As written.
  TypeName type;
  std::size_t type_index = 0;  ///< Into MappingTable::Types().
  /// Whether the type is resolved when the table is built; otherwise at its first use.
  bool validate = true;
  /// No level below the one that it is from may remove, replace or clear it.
  bool locked = false;
  ResourceType resource_type = ResourceType::kUnspecified;
  /// Requests of it that a worker serves at once; absent: no bound of its own.
  std::optional<std::uint64_t> max_requests{};
  /// The least stack of an async handler, in place of what its folder has (Runtime::stack_bytes).
  std::optional<std::uint64_t> stack_bytes;
  SourceLocation stack_bytes_where;  ///< Where that stands.
  /// The type is weft::HttpMethodNotAllowedHandler: the entry stands for all verbs not served.
  bool refuses_method = false;
  SourceLocation where;       ///< The `add` itself.
  SourceLocation type_where;  ///< The type text.

  VerbList verbs;
  PathPattern pattern;

 private:
  Entry(const Entry&) = default;
};

}  // namespace weft::mappings
