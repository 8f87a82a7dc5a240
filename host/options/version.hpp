#pragma once

#include <string_view>

namespace weft::host::options {

/// `0.1.0`, of this build.
[[nodiscard]] std::string_view Version() noexcept;

}  // namespace weft::host::options
