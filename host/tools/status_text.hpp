#pragma once

#include <optional>
#include <string>

#include "host/tools/module_report.hpp"

namespace weft::host::tools {

/// The status of a host (supervisor/status.hpp) for people, in lines. Members that are not known are passed over.
/// Nothing: it is not of that form, for another version made it perhaps.
[[nodiscard]] std::optional<std::string> StatusText(const Json& status);

}  // namespace weft::host::tools
