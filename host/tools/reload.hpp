#pragma once

#include "host/options/settings.hpp"

namespace weft::host::tools {

/// The command `weft reload`: asks the supervisor that listens on `settings.control` for a new generation, waits for
/// `settings.reload_timeout` at most, and prints what came of it. Returns the exit code: 0 when the new generation serves,
/// 1 when the old one stays, 75 when the time is over; else as Status().
[[nodiscard]] int Reload(const options::Settings& settings);

}  // namespace weft::host::tools
