#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "host/options/access_format.hpp"
#include "mappings/problem.hpp"

namespace weft {
class HttpRequest;
class HttpResponse;
}  // namespace weft

namespace weft::host::observe {

/// How a request ended, beside its status.
enum class Outcome : std::uint8_t {
  kCompleted,  ///< its handler, or what makes it, was called, and the whole answer was handed to the web server's
  ///< connection
  kAborted,  ///< it failed after the header block had left, or its handler ended it: the answer was cut
  kClientGone,  ///< the client left; status 499
  kFinished,    ///< as kCompleted, and its handler works on: HttpResponse::Finish()
  kRefused,     ///< no handler was called: malformed, not mapped, or over a limit
};

/// What is known of a request when it is over. There is exactly one for each request.
struct RequestRecord {
  std::uint64_t id = 0;    ///< of this worker, counted from 1
  std::string request_id;  ///< HttpContext::RequestId(); empty where there were no parameters
  std::string remote_address;
  std::string method;
  std::string raw_url;
  int status = 0;
  std::uint64_t body_bytes_sent = 0;
  std::chrono::nanoseconds duration{0};
  std::string entry;  ///< `verb path` of the mapping entry; empty where none was found
  std::string type;   ///< its type
  /// Where the entry stands; null where none was found. Lifetime: while the record is written.
  const mappings::SourceLocation* entry_where = nullptr;
  /// Why the answer is what it is, machine-readable: `mapped` where its handler gave it and told nothing else; a
  /// name of <weft/cause.hpp> or of the mappings; what an HttpException says. Static storage.
  std::string_view cause;
  /// What its handler gave to AppendToLog().
  std::string log_text{};
  Outcome outcome = Outcome::kCompleted;
  // For formats that ask for more.
  /// Null: there were no parameters, or the handler may change it still. Lifetime of both: while it is written.
  const HttpRequest* request = nullptr;
  const HttpResponse* response = nullptr;
  std::uint64_t header_bytes_sent = 0;
  std::uint64_t body_bytes_received = 0;
  /// Until its handler was called, of `duration`; negative: it was not.
  std::chrono::nanoseconds queue_time{-1};
};

std::string_view ToString(Outcome outcome) noexcept;

/// The line of the access log in that format, without its end: one line, whatever a peer sent.
std::string FormatAccessLine(const options::AccessFormat& format, const RequestRecord& record);

/// The line of the access log: `key=value` pairs, values that a peer sent quoted and escaped.
std::string FormatAccessLine(const RequestRecord& record);

}  // namespace weft::host::observe
