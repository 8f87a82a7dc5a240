#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <vector>

#include "mappings/mapping_table.hpp"
#include "mappings/problem.hpp"
#include "mappings/type_name.hpp"

namespace weft::mappings {

/// What the loader reads at most.
struct LoadLimits {
  /// The largest file: some ten thousand entries. What is larger is another file under this name,
  /// and reading it would only fill memory.
  std::size_t file_bytes = 1'048'576;
  /// The most folders of all sites together, which bounds what symbolic links can multiply. It is
  /// ten folders each for ten thousand sites.
  std::size_t folders = 100'000;
};

struct LoadResult {
  std::shared_ptr<const MappingTable> table;  ///< Null when any problem is an error.
  std::vector<Problem> problems;              ///< In the order of file, line and column.
};

/// A type text that an entry in force has.
struct TypeMention {
  TypeName type;
  bool validate = true;
  SourceLocation where;
};

struct CheckResult {
  std::vector<Problem> problems;  ///< In the order of file, line and column.
  std::vector<TypeMention>
      types;  ///< Of the entries in force in any folder, the built-in ones aside.
};

/// Builds the table from the mapping files below `directory`; from the built-in defaults alone when
/// that is empty.
///
/// `directory` may hold `machine.json`, and a folder for each site, named by its host name, and
/// `default` for all other hosts. A site's folders mirror its URL space; each may hold a
/// `mapping.json`. Letter case of folder names does not matter. Symbolic links are followed.
/// Folders whose names begin with two dots are passed over, as are hidden ones beside the sites:
/// such are the work of version control and of Kubernetes volumes.
///
/// All problems of all files are found in one run; after a syntax error the rest of that file is
/// not read.
///
/// Threads: any, once at a time for a directory that nobody changes meanwhile; it blocks on files.
[[nodiscard]] LoadResult Load(const std::filesystem::path& directory,
                              const LoadLimits& limits = {});

/// Reads the same files, and tells besides what Load() does of all that is probably not what was meant, and that costs
/// too much to find out at every start: TellUnreachable() and TellRepeatedNames(). Types are told of also where
/// there are errors.
///
/// Threads: as Load().
[[nodiscard]] CheckResult Check(const std::filesystem::path& directory,
                                const LoadLimits& limits = {});

/// Puts problems in the order of file, line and column, and drops those that are told twice.
void SortProblems(std::vector<Problem>& problems);

}  // namespace weft::mappings
