#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <weft/detail/regular_file.hpp>

namespace weft::builtin {

/// Whether symbolic links are followed on the way from a site's root to a file; on the way to the root they always are.
enum class FollowLinks : std::uint8_t {
  kOff,         ///< a path with a link in it names no file
  kWithinRoot,  ///< those that lead to somewhere below the root
  kOn,          ///< wherever they lead
};

/// A file of a site: where it is sought, and by which path from there.
struct SitePath {
  std::string root;      ///< absolute, without a slash at its end; empty: `/`
  std::string relative;  ///< without a slash at its begin

  std::string Path() const { return root + "/" + relative; }
};

/// Splits the path of a file on the disk: its root is `document_root`, if that is above it, and else what is left of it
/// without the segments that it has in common with `file_path`, the path of the URL, from the end. (A web server may have
/// an alias for a folder elsewhere.)
SitePath SplitSitePath(std::string_view physical_path, std::string_view document_root,
                       std::string_view file_path);

/// Opens a file. With kWithinRoot and kOff it is the system that refuses to leave the root, while it looks for the
/// file: there is no moment in which somebody could put a link in its way. Nothing is opened that is outside.
///
/// Throws as detail::RegularFile, and HttpException(404) with the cause `file_link_refused` for a link that is not
/// followed. Blocks as the disk does, and waits for no other end of a FIFO.
detail::RegularFile OpenSiteFile(const SitePath& path, FollowLinks follow_links);

namespace detail_for_tests {
/// Makes OpenSiteFile() do without openat2(), as on a Linux before 5.6 or below an old container's filter.
void DisableOpenat2(bool disable) noexcept;
}  // namespace detail_for_tests

}  // namespace weft::builtin
