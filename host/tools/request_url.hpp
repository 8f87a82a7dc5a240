#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weft::host::tools {

/// A URL as a web server passes it on.
struct RequestUrl {
  std::string host;   ///< As in a Host header, with the port; empty: none was given.
  std::string path;   ///< Percent-decoded once.
  std::string query;  ///< As it stands, without its question mark.
};

/// Reads `http://host:port/path?query`, also with https, or `/path?query`; a fragment is cut off. Nothing for any other
/// text, and for a broken percent-escape in the path.
[[nodiscard]] std::optional<RequestUrl> ParseRequestUrl(std::string_view text);

}  // namespace weft::host::tools
