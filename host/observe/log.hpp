#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/line_writer.hpp"
#include "host/options/settings.hpp"
#include "mappings/problem.hpp"

namespace weft::host::observe {

using Level = options::LogLevel;

/// Writes to standard error as it is. What nobody takes within `patience` is dropped. Async-signal-safe.
void WriteToStandardError(std::string_view text, std::chrono::milliseconds patience = {}) noexcept;

/// Writes problems to standard error, a line each and without the log's head, for editors and terminals
/// recognise `file:line:column:`. Waits for a slow reader for up to 2 s; who does not read then never will, and
/// must not keep the process from its end. Throws std::bad_alloc.
void WriteProblems(const std::vector<mappings::Problem>& problems);

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

/// `2026-11-22T20:24:51.123Z`: RFC 3339, in UTC.
std::string Timestamp(
    std::chrono::system_clock::time_point time = std::chrono::system_clock::now());

/// `text` with control characters escaped, so that it stays one line, and no terminal obeys it.
std::string EscapedControls(std::string_view text);

/// `text` with control characters, quotes and backslashes escaped as in JSON, so that it stays one line and
/// one quoted value.
std::string Escaped(std::string_view text);

}  // namespace weft::host::observe
