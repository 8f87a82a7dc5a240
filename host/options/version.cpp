#include "host/options/version.hpp"

namespace weft::host::options {

std::string_view Version() noexcept { return WEFT_VERSION; }

}  // namespace weft::host::options
