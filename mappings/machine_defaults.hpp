#pragma once

#include <string_view>

namespace weft::mappings {

/// The mapping file above all others, built in: what is served, and what never is, where no file
/// says otherwise. Same format as any mapping file.
[[nodiscard]] std::string_view MachineDefaults();

}  // namespace weft::mappings
