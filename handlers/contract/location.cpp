#include "handlers/contract/location.hpp"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <stdexcept>

#include <weft/http_headers.hpp>
#include <weft/http_utility.hpp>
#include "handlers/contract/field_text.hpp"

namespace weft {

namespace {

/// Where the path begins, behind scheme and host if there are any.
std::size_t PathBegin(std::string_view url) {
  const auto slashes = url.find("//");
  if (slashes == std::string_view::npos ||
      url.substr(0, slashes).find_first_of("/?#") != std::string_view::npos ||
      (slashes != 0 && url[slashes - 1] != ':')) {
    return 0;
  }
  return std::min(url.find_first_of("/?#", slashes + 2), url.size());
}

}  // namespace

std::string LocationOf(std::string_view url) {
  if (std::any_of(url.begin(), url.end(), detail::IsControl)) {
    throw std::invalid_argument("a URL to redirect to holds a control character");
  }
  const auto encoded = HttpUtility::UrlPathEncode(url);
  const auto path = PathBegin(encoded);
  std::string location = encoded.substr(0, path);
  bool in_fragment = false;
  for (const char c : std::string_view(encoded).substr(path)) {
    // Delimiters that may stand in no path, query or fragment, and that browsers let through.
    if (c == '[') {
      location += "%5b";
    } else if (c == ']') {
      location += "%5d";
    } else if (c == '#' && in_fragment) {
      location += "%23";
    } else {
      location += c;
      in_fragment = in_fragment || c == '#';
    }
  }
  if (!boost::urls::parse_uri_reference(location)) {
    throw std::invalid_argument("'" + std::string(url) + "' is no URL to redirect to");
  }
  return location;
}

bool MayBeLinked(std::string_view location) {
  const auto reference = boost::urls::parse_uri_reference(location);
  return reference && (!reference->has_scheme() || EqualsIgnoreCase(reference->scheme(), "http") ||
                       EqualsIgnoreCase(reference->scheme(), "https"));
}

}  // namespace weft
