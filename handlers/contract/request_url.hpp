#pragma once

#include <string>
#include <string_view>

#include <weft/server_variables.hpp>

namespace weft {

/// HttpRequest::Url(). `forwarded_host` is well-formed, or empty; `raw_url` is HttpRequest::RawUrl().
std::string RequestUrl(const ServerVariableCollection& variables, std::string_view scheme,
                       std::string_view forwarded_host, std::string_view raw_url);

/// HttpRequest::RawUrl() where the web server sends no REQUEST_URI: of the decoded path and the query.
std::string RawUrlOf(std::string_view path, std::string_view query);

}  // namespace weft
