#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mappings/level.hpp"
#include "mappings/loader.hpp"
#include "mappings/problem.hpp"

namespace weft::mappings {

/// What was found on the disk: the sites' folders, parents before children.
struct FoundFolder {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  std::filesystem::path path;
  std::filesystem::path real_path;  // without symbolic links
  std::string name;
  std::size_t parent = kNone;  // a site's root has none
  std::size_t depth = 0;
  std::optional<Level> level;
  bool needed = false;  // it or a folder below it has a mapping file
};

struct Found {
  std::optional<Level> machine;
  std::vector<FoundFolder> folders;
};
/// Reads all files below a directory, in the order of their names; an empty one holds nothing. Adds what is wrong
/// to `problems`.
[[nodiscard]] Found FindFiles(const std::filesystem::path& directory, const LoadLimits& limits,
                              std::vector<Problem>& problems);

}  // namespace weft::mappings
