#pragma once

#include <string>
#include <vector>

#include "host/options/settings.hpp"

namespace weft::host::tools {

/// The command `weft new handler NAME`: writes the project of a handler, and to standard output what to do next. Returns the
/// exit code (options/exit_code.hpp). `arguments`: what to make, and its name.
///
/// The folder is there whole or not at all, and nothing that is there before is touched: it is written beside its place under
/// another name, and renamed. Blocks on files.
[[nodiscard]] int New(const options::Settings& settings, const std::vector<std::string>& arguments);

}  // namespace weft::host::tools
