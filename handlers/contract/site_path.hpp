#pragma once

#include <string>
#include <string_view>

namespace weft {

/// Whether a decoded path of the site, or one of the disk, names what it seems to: it is absolute, has no empty, `.` or `..`
/// segment but an empty last one, no backslash, and no NUL.
bool IsPlainPath(std::string_view path) noexcept;

/// The path without such segments (RFC 3986, section 5.2.4). Throws HttpException(400) for one that is not absolute, leads above
/// the site's root, or has a backslash or a NUL; its cause is that of a request for such a path.
std::string PlainPath(std::string_view path);

}  // namespace weft
