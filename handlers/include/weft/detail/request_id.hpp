#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <weft/export.hpp>

namespace weft {

class ServerVariableCollection;

namespace detail {

/// Writes what HttpContext::RequestId() is for these variables and this number, cut where it does not fit, and returns
/// its bytes. Takes no memory and no lock, so that a signal handler may ask. Threads: any.
WEFT_API std::size_t WriteRequestId(const ServerVariableCollection& variables, std::uint64_t number,
                                    std::span<char> into) noexcept;

}  // namespace detail
}  // namespace weft
