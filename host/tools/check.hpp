#pragma once

#include "host/options/settings.hpp"

namespace weft::host::tools {

/// The command `weft check`: reads the mapping files of `settings` and prints, to standard output, everything that is
/// wrong with them, or probably not what was meant (mappings::Check()), the types that cannot be used, and, where a
/// document root is given and the mappings are sound, what is wrong with its files that name a class
/// (CheckWebHandlerFiles()). Returns the exit code: 1 when anything is an error.
///
/// Threads: call while there is only one. Throws std::system_error where the system refuses a process or a pipe.
[[nodiscard]] int Check(const options::Settings& settings);

}  // namespace weft::host::tools
