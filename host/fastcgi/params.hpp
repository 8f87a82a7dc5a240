#pragma once

#include <cstddef>

#include <weft/server_variables.hpp>

namespace weft::host::fastcgi {

/// Copies libfcgi's parameters, a null-terminated array of `NAME=VALUE`, in their order. Left out are the role
/// that libfcgi puts first, and HTTP_PROXY: it would be the client's, and libraries take it for the
/// environment's (httpoxy, CVE-2016-5385 and its sisters). `bytes` is an upper bound of all names and values.
ServerVariableCollection ReadParams(const char* const* parameters, std::size_t bytes);

}  // namespace weft::host::fastcgi
