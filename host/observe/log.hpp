#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
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
/// The same for a host: where its log is text on standard error; else an event of the log each.
void LogProblems(const std::vector<mappings::Problem>& problems);
/// A warning each. Throws nothing.
void LogWarnings(const std::vector<std::string>& warnings) noexcept;
/// Whole lines that another process of Weft has written whose log is text on its standard error: as they are, where this one's is
/// so; else an event of the log each, with the level that the line has. Throws std::bad_alloc.
void LogTextOfOther(std::string_view lines, std::string_view event);

/// A member that an event has beside those that all have.
struct LogField {
  LogField(std::string_view field_name, std::string text)
      : name(field_name), value(std::move(text)) {}
  LogField(std::string_view field_name, std::string_view text) : name(field_name), value(text) {}
  LogField(std::string_view field_name, const char* text) : name(field_name), value(text) {}
  template <std::integral Number>
  LogField(std::string_view field_name, Number number)
      : name(field_name), value(std::to_string(number)), is_json(true) {}
  /// `json`: a value as it is to stand there.
  static LogField Json(std::string_view field_name, std::string json) {
    LogField field(field_name, std::move(json));
    field.is_json = true;
    return field;
  }

  std::string_view name;  ///< lower case words joined by underscores
  std::string value;
  bool is_json = false;  ///< it stands as it is; else it is text
};

/// One event. Everything lives as long as the call that logs it.
struct LogEvent {
  Level level = Level::kInfo;
  /// Sentences for people. Control characters (what a peer sent may stand in it) are escaped.
  std::string_view message{};
  /// Which kind of event it is, of static storage: for programs, and for the rate limit; empty: the place that logs it tells.
  std::string_view event{};
  /// The request that it belongs to, by HttpContext::RequestId(), and the class that serves it. Empty: those that the calling
  /// thread works for, if any (SetWorkDescription()).
  std::string_view request{};
  std::string_view handler{};
  /// In JSON, and for journald; the message says in text what matters of them.
  std::span<const LogField> fields{};
  /// What is said of it beside the message, a line each: in text, before the stack; in JSON the fields have it.
  std::string_view details{};
  /// A stack as runtime::Symbolise() gives it: a line a frame. One event, and in text a line each.
  std::string_view stack{};
  pid_t pid = 0;                     ///< of the process that it is about; 0: this one
  std::string_view process{};        ///< the same, as SetProcessName() takes it
  bool is_about_no_request = false;  ///< whatever the thread works for
};

/// Writes one event where SetUpLog() says, standard error at first: in text a line of time, program and process, level,
/// message; in JSON an object.
///
/// Threads: any. It does not block: a LogThread writes it, or, without one, what nobody takes now is dropped, and
/// counted in the next that is taken. Events of one kind that are too many (--log-rate) are dropped, and counted in the next
/// of that kind, or, where a LogThread lives, a second later.
void Log(const LogEvent& event,
         std::source_location where = std::source_location::current()) noexcept;
void Log(Level level, std::string_view text,
         std::source_location where = std::source_location::current()) noexcept;
/// The same for who has a bound of his own: no event of his is dropped.
void LogAll(const LogEvent& event) noexcept;

/// The event as the log's file would have it, without its last end of line; as text where the log goes to journald.
std::string FormatEvent(const LogEvent& event);

/// Where events go and how, by --log, --log-format, --log-rate, --log-burst. Throws std::system_error where the file cannot be
/// opened. Before the process has threads, and not while there is a LogThread.
void SetUpLog(const options::Settings& settings);
/// Throws what SetUpLog() would, and opens nothing.
void CheckLog(const options::Settings& settings);
/// Opens the log's file anew, as after it was renamed: no line is lost or cut. Without a LogThread at once, else soon. Threads:
/// those of which SetUpLog() may be called, or any while there is a LogThread.
void ReopenLog() noexcept;

/// What standard error is to the log: `descriptor`, which stays open, in place of descriptor 2, which handlers write to.
void SetStandardErrorOfLog(int descriptor) noexcept;
int StandardErrorOfLog() noexcept;

/// What this process is: "supervisor", "worker 2"; empty: nothing is said. Of static storage.
void SetProcessName(std::string_view name) noexcept;

/// Says what the calling thread works for: writes the request's id and the handler's class into the rooms, cut where they do not fit,
/// and sets the bytes, 0 where there is none. Async-signal-safe.
struct WorkDescription {
  std::span<char> request;
  std::span<char> handler;
  std::size_t request_bytes = 0;
  std::size_t handler_bytes = 0;
};
using DescribeWork = void (*)(WorkDescription& into) noexcept;
/// Null: nobody knows. Threads: any.
void SetWorkDescription(DescribeWork describe) noexcept;
/// What the calling thread works for. Threads: any.
void DescribeCurrentWork(WorkDescription& into) noexcept;

/// Is told what is logged of requests.
///
/// Threads: any, several at once.
class ILogListener {
 public:
  virtual ~ILogListener() = default;
  /// `request`: its HttpContext::RequestId(), never empty; `text` as it came, without its escapes.
  virtual void OnEvent(Level level, std::string_view request, std::string_view text,
                       std::string_view stack) noexcept = 0;
};
/// Null: nobody is told. It must outlive all that logs, or be taken back where nothing does. Must log nothing itself.
void SetLogListener(ILogListener* listener) noexcept;

/// The least level that is logged; kInfo at first.
void SetLogLevel(Level level) noexcept;
Level LogLevelNow() noexcept;
bool LogsAt(Level level) noexcept;
/// From now on the level is one for this process and those that it forks: who sets it sets it for all. Where there is no
/// memory for that, each keeps its own. Before the process has threads.
///
/// `shared`: what another program has returned from here and left open, whose processes then have this one's level as well; -1:
/// there is none. Returns the descriptor of what they share, which is the caller's, and closed when a program is executed; -1: it
/// has none.
int ShareLogLevel(int shared = -1) noexcept;

/// While it lives, lines are written by a thread of its own. A worker has one; the supervisor, which must not
/// have threads when it forks, has none. One at a time in a process.
class LogThread {
 public:
  /// Opens the log's file for itself; where it cannot, it writes where SetUpLog() found it. Throws std::system_error.
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

/// Appends `text` as a JSON string, quotes included, in ASCII; what is no UTF-8 becomes U+FFFD.
void AppendJsonString(std::string& to, std::string_view text);

}  // namespace weft::host::observe
