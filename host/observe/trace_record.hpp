#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/observe/request_record.hpp"

namespace weft::host::observe {

/// What a request has come to, in this order; each ends what it was at before.
enum class TraceStep : std::uint8_t {
  kParsed,    ///< its parameters were read
  kAdmitted,  ///< within the bounds
  kMapped,    ///< its entry was found
  kLeased,    ///< and a handler
  kBodyRead,  ///< the body is there, where the handler wants it whole
  kCalled,    ///< the handler was, after it had waited for a thread, if it needs one
  kReturned,  ///< and has returned, or failed
  kEnded,     ///< the answer was handed over
  kNumber,
};
inline constexpr auto kTraceSteps = static_cast<std::size_t>(TraceStep::kNumber);

/// What a request's trace keeps, without its secrets.
struct TraceRecord {
  using Field = std::pair<std::string, std::string>;

  struct Line {
    std::uint8_t level = 0;  ///< as options::LogLevel
    std::chrono::nanoseconds at{0};
    std::string text{};
  };

  std::chrono::system_clock::time_point began{};
  std::chrono::nanoseconds duration{0};
  pid_t worker = 0;
  int status = 0;
  Outcome outcome = Outcome::kCompleted;
  std::uint64_t id = 0;  ///< of its worker
  std::uint64_t header_bytes_sent = 0;
  std::uint64_t body_bytes_sent = 0;
  std::uint64_t body_bytes_received = 0;
  /// Since it began; negative: it did not come to that.
  std::array<std::chrono::nanoseconds, kTraceSteps> steps = NoSteps();
  std::chrono::nanoseconds answered{-1};     ///< the header block was sent
  std::chrono::nanoseconds reading_body{0};  ///< waits for the body, in all
  std::chrono::nanoseconds writing{0};       ///< and for the web server to take what is sent
  std::uint64_t mappings = 0;  ///< of the table that it was mapped by (Tracer::SetMappings())
  std::string request_id{};
  std::string client{};
  std::string method{};
  std::string url{};
  std::string entry{};
  std::string entry_where{};  ///< `file:line:column`
  std::string type{};
  std::string cause{};
  std::string error{};  ///< what it failed with
  std::string log_text{};
  // What it was mapped by; see mappings::RequestTarget.
  std::string host{};
  std::string script_path{};
  std::string path_info{};
  std::string query{};
  std::string site_folder{};  ///< where `/` is on the disk; empty: nowhere
  std::vector<Line> lines{};
  std::vector<Field> response_fields{};
  std::vector<Field> parameters{};
  // Those that there was no room for.
  std::uint64_t lines_omitted = 0;
  std::uint64_t response_fields_omitted = 0;
  std::uint64_t parameters_omitted = 0;

  static constexpr std::array<std::chrono::nanoseconds, kTraceSteps> NoSteps() noexcept {
    std::array<std::chrono::nanoseconds, kTraceSteps> steps{};
    steps.fill(std::chrono::nanoseconds(-1));
    return steps;
  }
};

/// The least that a record needs.
inline constexpr std::size_t kLeastTraceBytes = 4096;

/// Its bytes, `max_bytes` at most: long texts are cut, and what comes last of a list is left out and counted. Throws std::bad_alloc.
[[nodiscard]] std::string Encode(const TraceRecord& record, std::size_t max_bytes);
/// Nothing where the bytes are not what Encode() makes, whatever they are. Throws std::bad_alloc.
[[nodiscard]] std::optional<TraceRecord> DecodeTrace(std::string_view bytes);

}  // namespace weft::host::observe
