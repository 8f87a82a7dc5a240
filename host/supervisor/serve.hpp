#pragma once

#include <string>
#include <vector>

#include "host/options/settings.hpp"

namespace weft::host::supervisor {

/// The command `weft serve`, from checked options to the exit code (options/exit_code.hpp): checks
/// the mappings, opens the sockets, and runs the workers, or the one worker in this very process.
///
/// Every problem is a line on standard error. `warnings` are logged first.
/// Threads: call while there is only one. Throws nothing but std::bad_alloc.
[[nodiscard]] int Serve(const options::Settings& settings,
                        const std::vector<std::string>& warnings);

}  // namespace weft::host::supervisor
