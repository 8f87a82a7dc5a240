#include "mappings/host_name.hpp"

#include <algorithm>

#include "mappings/ascii.hpp"

namespace weft::mappings {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsLetter(char c) { return ToLower(c) >= 'a' && ToLower(c) <= 'z'; }

bool IsAddressCharacter(char c) {
  return IsDigit(c) || (ToLower(c) >= 'a' && ToLower(c) <= 'f') || c == ':' || c == '.';
}

}  // namespace

std::string_view HostName(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  // Only the last colon can begin a port, and only when no other colon or bracket says that the
  // text is an address.
  if (colon != std::string_view::npos && std::ranges::all_of(host.substr(colon + 1), IsDigit)) {
    const std::string_view name = host.substr(0, colon);
    if (name.ends_with(']') || name.find(':') == std::string_view::npos) {
      host = name;
    }
  }
  if (host.size() > 1 && host.ends_with('.')) {
    host.remove_suffix(1);
  }
  return host;
}

bool IsHostName(std::string_view name) {
  if (name.starts_with('[') && name.ends_with(']') && name.size() > 2) {
    return std::ranges::all_of(name.substr(1, name.size() - 2), IsAddressCharacter);
  }
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return IsDigit(c) || IsLetter(c) || c == '-' || c == '_' || c == '.';
  });
}

}  // namespace weft::mappings
