#include "host/fastcgi/params.hpp"

#include <cstring>
#include <string_view>

namespace weft::host::fastcgi {

ServerVariableCollection ReadParams(const char* const* parameters) {
  std::size_t count = 0;
  std::size_t bytes = 0;
  if (*parameters != nullptr) {
    ++parameters;  // FCGI_ROLE
  }
  for (const char* const* at = parameters; *at != nullptr; ++at) {
    ++count;
    bytes += std::strlen(*at);
  }
  ServerVariableCollection variables(count, bytes);
  for (; *parameters != nullptr; ++parameters) {
    const std::string_view text(*parameters);
    const auto equals = text.find('=');
    const auto name = text.substr(0, equals);
    if (equals == std::string_view::npos || name == "HTTP_PROXY") {
      continue;
    }
    variables.Add(name, text.substr(equals + 1));
  }
  return variables;
}

}  // namespace weft::host::fastcgi
