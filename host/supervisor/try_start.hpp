#pragma once

#include <optional>

#include "host/options/parse.hpp"
#include "host/supervisor/handover.hpp"

namespace weft::host::supervisor {

/// The command `weft trial`: does what `weft serve` does with these options, and a worker with the rights that it will have,
/// until that would be ready, stops the modules, and returns the exit code (options/exit_code.hpp). Every problem is a line on standard error.
///
/// `running`: the host that wants to know, and gets a verdict, with the sockets that it does not have yet; nothing:
/// started by hand, and no socket is opened.
///
/// Threads: call while there is only one. Throws nothing.
[[nodiscard]] int TryStart(const options::ParseResult& parsed,
                           const std::optional<Handover>& running);

}  // namespace weft::host::supervisor
