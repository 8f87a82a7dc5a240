#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/http_headers.hpp>

/// Recorded requests: a file holds one request and its answer, and is sent through the pipeline again.
namespace weft::host::recording {

/// The parameters of a request (RFC 3875, section 4.1) in their order, duplicates kept.
using Params = std::vector<std::pair<std::string, std::string>>;

/// What a recording says of the answer.
struct ExpectedResponse {
  int status = 0;
  HttpHeaders headers;              ///< Others may be there too.
  std::optional<std::string> body;  ///< Absent: any.
};

/// One request, and what it was answered.
struct Recording {
  Params params;
  std::string body;
  std::optional<ExpectedResponse> response;
};

/// What a replayed request is answered.
struct Answer {
  int status = 0;  ///< 0: no header block came.
  HttpHeaders headers;
  std::string body;
  bool cut =
      false;  ///< It ended before its end: the handler failed after the header block had left.
};

}  // namespace weft::host::recording
