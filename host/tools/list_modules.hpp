#pragma once

#include "host/options/settings.hpp"

namespace weft::host::tools {

/// The command `weft modules`: loads each module of the folders of `settings` and prints, to standard output, its
/// classes and what it was built against, or the sentence why it cannot be used. Returns the exit code
/// (options/exit_code.hpp): 78 when a module or a folder cannot be used.
///
/// Each module is loaded in a process of its own, so that one that ends the process as it is loaded, or does not
/// come to an end, is told like any other.
/// Threads: call while there is only one. Throws std::system_error where the system refuses a process or a pipe.
[[nodiscard]] int ListModules(const options::Settings& settings);

}  // namespace weft::host::tools
