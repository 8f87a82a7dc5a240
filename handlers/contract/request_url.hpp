#pragma once

#include <string>
#include <string_view>

#include <weft/server_variables.hpp>

namespace weft {

/// HttpRequest::Url(). `forwarded_host` is well-formed, or empty; `path` is for servers that send no REQUEST_URI.
std::string RequestUrl(const ServerVariableCollection& variables, std::string_view scheme,
                       std::string_view forwarded_host, std::string_view path);

}  // namespace weft
