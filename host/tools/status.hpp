#pragma once

#include <string>
#include <vector>

#include "host/options/settings.hpp"

namespace weft::host::tools {

/// The command `weft status`: asks the supervisor that listens on `settings.control`, and prints its answer to standard
/// output, as a text (StatusText()) or as it came. Returns the exit code: 69 when nobody answers within some seconds,
/// 77 when this user may not ask.
[[nodiscard]] int Status(const options::Settings& settings);

/// The command `weft log-level [LEVEL]`: has the host whose supervisor listens on `settings.control` log from that level on, and
/// prints the level that it has. Returns the exit code, as Status(); 64 where the argument is no level.
[[nodiscard]] int SetLogLevel(const options::Settings& settings,
                              const std::vector<std::string>& arguments);

}  // namespace weft::host::tools
