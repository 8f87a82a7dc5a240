#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <weft/http_headers.hpp>
#include "host/recording/recording.hpp"

namespace weft::host::recording {

/// What a client asks for, of the text "GET /hello.ashx?x=1" or "GET https://example.org/hello.ashx".
/// Lifetime: views the text.
struct RequestLine {
  std::string_view method;
  std::string_view scheme;     ///< "http" or "https"; empty: not said.
  std::string_view authority;  ///< Host, and port where there is one; empty where the scheme is.
  std::string_view target;     ///< Path and query as a client sends them.
};

/// Absent where it is no method in capitals, one blank, and a path or a URL. Whether the path can be decoded is not
/// looked at.
[[nodiscard]] std::optional<RequestLine> ParseRequestLine(std::string_view text);

/// The parameters that a web server makes of a request by a client on its own machine: nginx's
/// `fastcgi_params`, without those that name the machine's files (DOCUMENT_ROOT, SCRIPT_FILENAME), and the
/// headers. SCRIPT_NAME is the whole path; the mapping splits off what is path info. With a scheme and an authority,
/// they are that server's.
///
/// `body_bytes`: absent where there is no body; a Content-Length of `headers` stands as it is, and so does a Host.
///
/// Throws std::invalid_argument, with a sentence, for a path that cannot be decoded.
Params MakeParams(const RequestLine& line, const HttpHeaders& headers,
                  std::optional<std::size_t> body_bytes);

/// The header that a parameter is made of: "Accept-Encoding" of "HTTP_ACCEPT_ENCODING"; empty where there is none.
[[nodiscard]] std::string FieldName(std::string_view variable);

/// A request from which MakeParams() makes given parameters.
struct ShortForm {
  std::string request;
  HttpHeaders headers;
  bool has_body = false;  ///< It has one, be it empty.
};

/// Absent where no request makes exactly these: they are another web server's, say.
[[nodiscard]] std::optional<ShortForm> FindShortForm(const Recording& recording);

}  // namespace weft::host::recording
