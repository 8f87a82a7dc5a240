#pragma once

#include <memory>
#include <vector>

#include "mappings/mapping_table.hpp"
#include "mappings/problem.hpp"
#include "mappings/sources.hpp"
#include "mappings/type_name.hpp"

namespace weft::mappings {

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

/// Builds the table from the mapping files of `sources`; from the built-in defaults alone where those are empty.
///
/// `directory` may hold `machine.json`, and a folder for each site, named by its host name, and
/// `default` for all other hosts. A site's folders mirror its URL space; each may hold a
/// `mapping.json`. Letter case of folder names does not matter. Symbolic links are followed.
/// Folders whose names begin with two dots are passed over, as are hidden ones beside the sites:
/// such are the work of version control and of Kubernetes volumes.
///
/// The folders of a site's document root may hold a `mapping.json` too: each is one level after that of the mirrored
/// folder. A host with a document root is a site of its own, whether `directory` has a folder for it or not. These trees
/// are full of other things. Hidden folders are passed over, and those of one name but for letter case where only
/// one has mapping files; a link back to a folder it lies in is not followed, and of a folder that may not be listed
/// the mapping file alone is read: both are warned of.
///
/// All problems of all files are found in one run; after a syntax error the rest of that file is
/// not read.
///
/// Threads: any, once at a time for folders that nobody changes meanwhile; it blocks on files.
[[nodiscard]] LoadResult Load(const MappingSources& sources, const LoadLimits& limits = {});

/// Reads the same files, and tells besides what Load() does of all that is probably not what was meant, and that costs
/// too much to find out at every start: TellUnreachable() and TellRepeatedNames(). Types are told of also where
/// there are errors.
///
/// Threads: as Load().
[[nodiscard]] CheckResult Check(const MappingSources& sources, const LoadLimits& limits = {});

/// Puts problems in the order of file, line and column, and drops those that are told twice.
void SortProblems(std::vector<Problem>& problems);

}  // namespace weft::mappings
