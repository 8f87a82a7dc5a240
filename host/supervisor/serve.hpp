#pragma once

#include "host/options/settings.hpp"

namespace weft::host::supervisor {

/// The command `weft serve`, from checked options to the exit code (options/exit_code.hpp): checks
/// the mappings, opens the sockets, and runs the workers, or the one worker in this very process.
///
/// A stop that is asked for before anybody serves is obeyed all the same, with 0; no file of a socket
/// is left then.
///
/// On `settings.control` the supervisor answers (ControlSocket); without a supervisor that is a wrong configuration (78).
///
/// Every problem is a line on standard error.
/// Takes over the process's signals and never gives them back.
/// Threads: call while there is only one. Throws nothing but std::bad_alloc.
[[nodiscard]] int Serve(const options::Settings& settings);

}  // namespace weft::host::supervisor
