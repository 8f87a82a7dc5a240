#include "host/tools/request_url.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "mappings/ascii.hpp"

namespace weft::host::tools {
namespace {

std::optional<std::string> PercentDecoded(std::string_view text) {
  std::string decoded;
  for (; !text.empty(); text.remove_prefix(1)) {
    if (text.front() != '%') {
      decoded += text.front();
      continue;
    }
    const auto high = text.size() > 2 ? mappings::HexValue(text[1]) : std::nullopt;
    const auto low = text.size() > 2 ? mappings::HexValue(text[2]) : std::nullopt;
    if (!high || !low) {
      return std::nullopt;
    }
    decoded += static_cast<char>(*high * 16 + *low);
    text.remove_prefix(2);
  }
  return decoded;
}

}  // namespace

std::optional<RequestUrl> ParseRequestUrl(std::string_view text) {
  RequestUrl url;
  text = text.substr(0, text.find('#'));
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!mappings::EqualsIgnoringCase(text.substr(0, scheme.size()), scheme)) {
      continue;
    }
    text.remove_prefix(scheme.size());
    const std::size_t end = std::min(text.find_first_of("/?"), text.size());
    std::string_view authority = text.substr(0, end);
    authority.remove_prefix(authority.rfind('@') + 1);  // npos + 1 is 0
    if (authority.empty()) {
      return std::nullopt;
    }
    url.host = authority;
    text.remove_prefix(end);
    break;
  }
  if (const std::size_t mark = text.find('?'); mark != std::string_view::npos) {
    url.query = text.substr(mark + 1);
    text = text.substr(0, mark);
  }
  if (text.empty() && !url.host.empty()) {
    text = "/";
  }
  auto path = PercentDecoded(text);
  if (!text.starts_with('/') || !path) {
    return std::nullopt;
  }
  url.path = std::move(*path);
  return url;
}

}  // namespace weft::host::tools
