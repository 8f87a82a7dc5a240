#pragma once

#include "host/options/settings.hpp"

namespace weft::host::tools {

/// The command `weft status`: asks the supervisor that listens on `settings.control`, and prints its answer to standard
/// output, as a text (StatusText()) or as it came. Returns the exit code: 69 when nobody answers within some seconds,
/// 77 when this user may not ask.
[[nodiscard]] int Status(const options::Settings& settings);

}  // namespace weft::host::tools
