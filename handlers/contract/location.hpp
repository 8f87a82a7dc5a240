#pragma once

#include <string>
#include <string_view>

namespace weft {

/// The URL reference as a Location field may have it (RFC 9110, section 10.2.2), percent-encoded where it must be. Throws
/// std::invalid_argument for a control character, and for what is none after that.
std::string LocationOf(std::string_view url);

/// Whether a page may link to it: it is relative, or of http or https. A link to `javascript:` would run as the site's own.
bool MayBeLinked(std::string_view location);

}  // namespace weft
