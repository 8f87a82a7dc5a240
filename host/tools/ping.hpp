#pragma once

#include "host/options/settings.hpp"

namespace weft::host::tools {

/// The command `weft ping`: asks each of `settings.listen` over FastCGI, and prints a line for each. Without a path it asks
/// GET_VALUES, which every worker answers that takes connections, and for which nothing is mapped and no handler runs; with one, for
/// that URL.
///
/// Returns the exit code: 0 when all have answered; 69 (77: this user may not) when one does not answer within
/// `settings.ping_timeout`; else 1, when one has answered with 500 and more, or not with a whole answer.
[[nodiscard]] int Ping(const options::Settings& settings);

}  // namespace weft::host::tools
