#pragma once

#include <string>

namespace weft::host::tools {

/// The command `weft stacks`: asks the worker process `pid` for the stacks of its requests (worker::StackServer), and prints
/// its answer to standard output. Returns the exit code: 69 when it does not answer within some seconds, or is no worker; 77
/// when this user may not ask.
[[nodiscard]] int Stacks(const std::string& pid);

}  // namespace weft::host::tools
