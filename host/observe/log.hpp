#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "host/observe/line_writer.hpp"
#include "host/options/settings.hpp"

namespace weft::host::observe {

using Level = options::LogLevel;

/// Writes to standard error as it is. What nobody takes within `patience` is dropped. Async-signal-safe.
void WriteToStandardError(std::string_view text, std::chrono::milliseconds patience = {}) noexcept;

/// Writes one line to standard error: time, program and process, level, text. Control characters in `text`
/// (what a peer sent may stand in it) are escaped.
///
/// Threads: any. It does not block: a LogThread writes the line, or, without one, what of it nobody takes now
/// is dropped.
void Log(Level level, std::string_view text) noexcept;

/// The least level that is logged; kInfo at first.
void SetLogLevel(Level level) noexcept;
bool LogsAt(Level level) noexcept;

/// While it lives, lines are written by a thread of its own. A worker has one; the supervisor, which must not
/// have threads when it forks, has none.
class LogThread {
 public:
  LogThread();
  LogThread(const LogThread&) = delete;
  LogThread& operator=(const LogThread&) = delete;
  ~LogThread();

  void Flush() noexcept { writer_.Flush(); }

 private:
  LineWriter writer_;
};

/// `2026-11-22T20:24:51.123Z`, now.
std::string Timestamp();

/// `text` with control characters, quotes and backslashes escaped as in JSON, so that it stays one line and
/// one quoted value.
std::string Escaped(std::string_view text);

}  // namespace weft::host::observe
