#pragma once

#include <string>
#include <vector>

#include "host/options/settings.hpp"

namespace weft::host::tools {

/// The command `weft explain`: prints, to standard output, what becomes of a request and why: the files of its folder's
/// chain, each entry that was tried, the one that was chosen, its class, and the limits in force. Returns the exit code
/// (options/exit_code.hpp).
///
/// `arguments` are a URL, or a method and a URL.
/// Threads: call while there is only one. Throws std::system_error where the system refuses a process or a pipe.
[[nodiscard]] int Explain(const options::Settings& settings,
                          const std::vector<std::string>& arguments);

}  // namespace weft::host::tools
