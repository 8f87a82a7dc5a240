#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/ascii.hpp"
#include "mappings/level.hpp"
#include "mappings/problem.hpp"
#include "mappings/sources.hpp"

namespace weft::mappings {

/// A folder that may hold a mapping file.
struct FoundFolder {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  std::string path;
  std::string real_path;  ///< Without symbolic links.
  std::string name;
  std::size_t parent = kNone;  ///< A site's root has none.
  std::size_t depth = 0;
  bool in_document_root = false;
  std::optional<Level> level;
  bool needed = false;  ///< It or a folder below it has a mapping file.
};

/// The roots of a site, by their numbers in Found::folders. It has one of the two at least.
struct FoundSite {
  std::size_t mirrored = FoundFolder::kNone;  ///< Below MappingSources::directory.
  std::size_t document_root = FoundFolder::kNone;
};

/// What was found on the disk.
struct Found {
  std::optional<Level> machine;
  std::vector<FoundFolder>
      folders;  ///< Parents before children, and one folder's children in a row.
  std::map<std::string, FoundSite, LessIgnoringCase> sites;
};

/// Reads all mapping files of `sources`, in the order of their names, and adds what is wrong with them, and with the
/// folders, to `problems`.
///
/// Threads: any; it blocks on files.
[[nodiscard]] Found FindFiles(const MappingSources& sources, const LoadLimits& limits,
                              std::vector<Problem>& problems);

/// Whether `folder` is `path`, or a folder that it lies in; both without symbolic links, and not empty.
[[nodiscard]] bool IsAtOrAbove(std::string_view folder, std::string_view path);

}  // namespace weft::mappings
