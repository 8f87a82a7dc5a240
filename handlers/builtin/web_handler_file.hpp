#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <weft/detail/regular_file.hpp>
#include "handlers/builtin/web_handler_directive.hpp"

namespace weft::builtin {

/// A directive takes a line; what is larger than this is no `.ashx` file.
inline constexpr std::size_t kMaxWebHandlerFileBytes = std::size_t{64} * 1024;

/// A `.ashx` file, or one of another extension that is mapped to the same factory, as it was read.
struct WebHandlerFile {
  detail::FileVersion version;
  bool is_unchanged = false;  ///< It is of the version that was known, and nothing else was read.
  WebHandlerDirective directive;
  std::optional<DirectiveError> error;  ///< Why there is no directive; absent: there is one.
};

/// Reads a file that names a class. `known` is the version that need not be read again.
///
/// Blocks as the file system does. Throws as RegularFile.
[[nodiscard]] WebHandlerFile ReadWebHandlerFile(
    const std::string& path, const std::optional<detail::FileVersion>& known = {});

}  // namespace weft::builtin
