#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weft::mappings {

/// Why a path is no path of ours.
enum class PathFault {
  kNone,
  kNotAbsolute,  ///< It does not begin with `/`.
  kNul,
  kBackslash,
  kAboveRoot,  ///< A `..` has nothing left to leave.
};

struct NormalisedPath {
  PathFault fault = PathFault::kNone;
  /// The normal form; absent when the path was normal already, or is faulty.
  std::optional<std::string> changed;
};

/// Gives a path its one normal form: runs of slashes become one, `.` and `..` segments are
/// resolved.
///
/// The path is percent-decoded, once: a `%2e` still in it is four characters, not a dot. A final
/// `.` or `..` leaves the slash behind: `/a/b/..` is `/a/`. Segments of three dots or more are
/// names.
///
/// Cost: linear, and no allocation for a path that is normal.
[[nodiscard]] NormalisedPath NormalisePath(std::string_view path);

}  // namespace weft::mappings
