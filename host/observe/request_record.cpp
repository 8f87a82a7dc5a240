#include "host/observe/request_record.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>

#include "host/observe/log.hpp"

namespace weft::host::observe {

std::string_view ToString(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::kCompleted:
      return "completed";
    case Outcome::kAborted:
      return "aborted";
    case Outcome::kClientGone:
      return "client-gone";
    case Outcome::kFinished:
      return "finished";
    case Outcome::kRefused:
      return "refused";
  }
  return "unknown";
}

std::string FormatAccessLine(const RequestRecord& record) {
  std::array<char, 32> milliseconds{};
  std::snprintf(milliseconds.data(), milliseconds.size(), "%.3f",
                std::chrono::duration<double, std::milli>(record.duration).count());
  std::string line = "time=" + Timestamp() + " pid=" + std::to_string(getpid()) +
                     " id=" + std::to_string(record.id);
  if (!record.request_id.empty()) {
    line += " request=\"" + Escaped(record.request_id) + '"';
  }
  line += " remote=\"" + Escaped(record.remote_address) + "\" method=\"" + Escaped(record.method) +
          "\" url=\"" + Escaped(record.raw_url) + "\" status=" + std::to_string(record.status) +
          " bytes=" + std::to_string(record.body_bytes_sent) + " ms=" + milliseconds.data();
  if (!record.entry.empty()) {
    line += " entry=\"" + Escaped(record.entry) + "\" type=\"" + Escaped(record.type) + '"';
  }
  if (!record.cause.empty()) {
    line.append(" cause=").append(record.cause);
  }
  line.append(" outcome=").append(ToString(record.outcome));
  if (!record.log_text.empty()) {
    line += " log=\"" + Escaped(record.log_text) + '"';
  }
  return line;
}

}  // namespace weft::host::observe
