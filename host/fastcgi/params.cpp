#include "host/fastcgi/params.hpp"

#include <string_view>

namespace weft::host::fastcgi {

namespace {

/// A web server sends about 30; the list grows for more.
constexpr std::size_t kUsualCount = 48;

}  // namespace

ServerVariableCollection ReadParams(const char* const* parameters, std::size_t bytes) {
  if (*parameters != nullptr) {
    ++parameters;  // FCGI_ROLE
  }
  ServerVariableCollection variables(kUsualCount, bytes);
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
