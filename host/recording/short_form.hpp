#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include <weft/http_headers.hpp>
#include "host/recording/recording.hpp"

namespace weft::host::recording {

/// The parameters that a web server makes of a request by a client on its own machine: nginx's
/// `fastcgi_params`, without those that name the machine's files (DOCUMENT_ROOT, SCRIPT_FILENAME), and the
/// headers. SCRIPT_NAME is the whole path; the mapping splits off what is path info.
///
/// `target`: path and query as a client sends them. `body_bytes`: absent where there is no body; a
/// Content-Length of `headers` stands as it is.
///
/// Throws std::invalid_argument, with a sentence, for a path that cannot be decoded.
Params MakeParams(std::string_view method, std::string_view target, const HttpHeaders& headers,
                  std::optional<std::size_t> body_bytes);

}  // namespace weft::host::recording
