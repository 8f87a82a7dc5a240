#pragma once

#include <optional>

#include "host/options/parse.hpp"
#include "host/supervisor/handover.hpp"

namespace weft::host::supervisor {

/// The command `weft serve`, from options that are parsed to the exit code (options/exit_code.hpp): changes the root, opens the
/// log, which gets the warnings of `parsed`, checks the mappings, opens the sockets, and runs the workers, or the one worker in
/// this very process.
///
/// A stop that is asked for before anybody serves is obeyed all the same, with 0; no file of a socket
/// is left then.
///
/// On --control the supervisor answers (ControlSocket); without a supervisor that is a wrong configuration (78).
///
/// `invocation`: what this process was started with, for a reload. `taken_over`: what the supervisor has left that this
/// process was before; then the workers of before serve on until the new ones do.
///
/// Every problem is a line on standard error.
/// Takes over the process's signals and never gives them back.
/// Threads: call while there is only one. Throws nothing.
[[nodiscard]] int Serve(const options::ParseResult& parsed, const Invocation& invocation,
                        std::optional<Handover> taken_over);

}  // namespace weft::host::supervisor
