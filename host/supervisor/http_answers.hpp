#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "host/observe/host_report.hpp"
#include "host/supervisor/control_socket.hpp"

namespace weft::host::supervisor {

/// The head of an HTTP request, for a ControlSocket. 8 KiB: what web servers take; who scrapes metrics sends some hundred bytes.
inline constexpr ControlSocket::Framing kHttpFraming{.end = "\r\n\r\n", .max_bytes = 8'192};

/// The answer to an HTTP request for metrics or health; the connection ends with it. A body of the request is not looked at.
///
/// | target     | answer                                                                              |
/// |------------|-------------------------------------------------------------------------------------|
/// | `/metrics` | OpenMetrics                                                                         |
/// | `/live`    | 200: the supervisor lives                                                           |
/// | `/ready`   | 200: a worker takes requests, and the host does not stop; 503: not, and why         |
///
/// `head`: as kHttpFraming cuts it. Throws std::bad_alloc, and what `report` throws.
[[nodiscard]] std::string AnswerHttp(std::string_view head,
                                     const std::function<observe::HostReport()>& report);

}  // namespace weft::host::supervisor
