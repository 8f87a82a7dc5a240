#pragma once

#include <string_view>

namespace weft::mappings {

/// The name in a Host header: without the port and without the root's trailing dot.
///
/// An IPv6 address keeps its brackets (`[::1]:8080` is `[::1]`). Whatever is no host name comes
/// back as it is, and is then the name of no site.
///
/// Lifetime: views `host`.
[[nodiscard]] std::string_view HostName(std::string_view host);

/// Whether a request can name a host so: letters, digits, `-`, `_` and `.`, or an IPv6 address in
/// brackets.
[[nodiscard]] bool IsHostName(std::string_view name);

}  // namespace weft::mappings
