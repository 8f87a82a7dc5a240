#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "host/tools/handler_types.hpp"
#include "mappings/mapping_table.hpp"
#include "mappings/problem.hpp"

namespace weft::host::tools {

/// What is looked at below a document root at most.
struct WalkLimits {
  /// Of all kinds, for each of which its name is looked up: some seconds.
  std::size_t files = 1'000'000;
  /// This bounds what symbolic links can multiply.
  std::size_t folders = 100'000;
};

/// Tells what is wrong with the files below `root` that the factory for files that name a class serves at their own
/// path, by any method, on the site of `host`: with their directives, and the classes that these name.
///
/// Hidden folders are passed over. Symbolic links are followed, but not into a folder that the link lies in. What
/// cannot be listed or read, and where a limit was reached, is a warning.
///
/// Blocks on files. Throws as DescribeModule().
void CheckWebHandlerFiles(const mappings::MappingTable& table, const std::string& host,
                          const std::filesystem::path& root, HandlerTypes& types,
                          std::vector<mappings::Problem>& problems, const WalkLimits& limits = {});

}  // namespace weft::host::tools
