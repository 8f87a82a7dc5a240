#pragma once

#include <string>
#include <vector>

#include "host/options/settings.hpp"

namespace weft::host::tools {

/// The command `weft recording import|export FILE...`: writes the recordings of a HAR file, or a HAR file of recordings.
/// Returns the exit code (options/exit_code.hpp). `arguments`: which of the two, and the files.
///
/// Names of written files, or the HAR, go to standard output; what is left out or wrong, and what is masked, to standard error.
/// Nothing that is there before is touched, unless --force says so, and nothing is written where one thing is there. Blocks on
/// files.
[[nodiscard]] int Recordings(const options::Settings& settings,
                             const std::vector<std::string>& arguments);

}  // namespace weft::host::tools
