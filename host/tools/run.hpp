#pragma once

#include "host/options/parse.hpp"

namespace weft::host::tools {

/// Runs a command that stands beside the host, all but `weft serve` and `weft trial`, and returns its exit code
/// (options/exit_code.hpp).
///
/// Threads and exceptions: those of the command.
[[nodiscard]] int Run(const options::ParseResult& parsed);

}  // namespace weft::host::tools
