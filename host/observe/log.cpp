#include "host/observe/log.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "host/observe/rate_limit.hpp"
#include "host/observe/write_piece.hpp"

namespace weft::host::observe {

namespace {

using Clock = std::chrono::steady_clock;

std::atomic<Level> g_own_level{Level::kInfo};
/// Of this process, or of the host (ShareLogLevel()).
std::atomic<std::atomic<Level>*> g_level{&g_own_level};
std::atomic<LineWriter*> g_writer{nullptr};
std::atomic<int> g_standard_error{STDERR_FILENO};
std::atomic<DescribeWork> g_describe_work{nullptr};
std::atomic<ILogListener*> g_listener{nullptr};

/// After the last event of a kind that was dropped, if none of the kind passes.
constexpr std::chrono::seconds kTellDroppedAfter{1};

/// Set before the process has threads.
struct SetUp {
  options::LogFormat format = options::LogFormat::kText;
  options::LogTarget target;
  std::string_view process;
  std::optional<LineSink> sink;  ///< of the file, or journald, for who writes in place
};
SetUp g_set_up;
RateLimit g_limit;
/// Holds who writes in place; what follows is his.
std::mutex g_in_place;
std::uint64_t g_lost_in_place = 0;
/// The file was renamed while a LogThread wrote, or before this process was forked.
std::atomic<bool> g_sink_is_stale{false};
/// Whether the last that standard error took was not the end of a line.
std::atomic<bool> g_line_is_cut{false};

/// Writes until the text ends, or time does; returns what is left.
std::string_view WriteUntil(Clock::time_point until, int descriptor,
                            std::string_view text) noexcept {
  while (!text.empty()) {
    const auto count = WritePiece(descriptor, text);
    if (count < 0) {
      break;
    }
    text.remove_prefix(static_cast<std::size_t>(count));
    if (count == 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      pollfd writable{descriptor, POLLOUT, 0};
      if (left <= 0 || poll(&writable, 1, static_cast<int>(left)) == 0) {
        break;
      }
    }
  }
  return text;
}

std::string_view NameOf(Level level) noexcept {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "unknown";
}

/// Of syslog(3), as journald takes it.
char PriorityOf(Level level) noexcept {
  switch (level) {
    case Level::kDebug:
      return '7';
    case Level::kInfo:
      return '6';
    case Level::kWarning:
      return '4';
    case Level::kError:
      return '3';
  }
  return '6';
}

void AppendEscaped(std::string& to, std::string_view text, bool quotes) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are controls too, two bytes each: a terminal obeys them.
    const bool c1 = code == 0xc2 && i + 1 < text.size() &&
                    static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                    static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) {
      code = static_cast<unsigned char>(text[++i]);
    }
    if (code < 0x20 || code == 0x7f || c1) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", code);
      to += escape.data();
    } else {
      if (quotes && (text[i] == '"' || text[i] == '\\')) {
        to.push_back('\\');
      }
      to.push_back(text[i]);
    }
  }
}

}  // namespace

void WriteToStandardError(std::string_view text, std::chrono::milliseconds patience) noexcept {
  const auto rest = WriteUntil(Clock::now() + patience, STDERR_FILENO, text);
  if (rest.size() < text.size()) {
    g_line_is_cut.store(text[text.size() - rest.size() - 1] != '\n', std::memory_order_relaxed);
  }
}

void WriteProblems(const std::vector<mappings::Problem>& problems) {
  constexpr std::chrono::milliseconds kPatience{2'000};
  std::string lines;
  for (const auto& problem : problems) {
    lines += problem.ToString() + "\n";
  }
  WriteToStandardError(lines, kPatience);
}

std::string Timestamp(std::chrono::system_clock::time_point time) {
  const auto milliseconds =
      std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
  // Most lines are of the same second as the one before.
  struct Second {
    std::time_t of = -1;
    std::array<char, 32> text{};
    std::size_t bytes = 0;
  };
  thread_local Second last;
  if (last.of != seconds) {
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    last.bytes = std::strftime(last.text.data(), last.text.size(), "%Y-%m-%dT%H:%M:%S.", &utc);
    last.of = seconds;
  }
  std::string text(last.text.data(), last.bytes);
  const auto rest = static_cast<int>(milliseconds % 1000);
  text.push_back(static_cast<char>('0' + rest / 100));
  text.push_back(static_cast<char>('0' + rest / 10 % 10));
  text.push_back(static_cast<char>('0' + rest % 10));
  text.push_back('Z');
  return text;
}

std::string EscapedControls(std::string_view text) {
  std::string escaped;
  AppendEscaped(escaped, text, false);
  return escaped;
}

std::string Escaped(std::string_view text) {
  std::string escaped;
  AppendEscaped(escaped, text, true);
  return escaped;
}

void AppendJsonString(std::string& to, std::string_view text) {
  const bool is_plain = std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\';
  });
  if (is_plain) {
    to.append("\"").append(text).append("\"");
    return;
  }
  constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
  to += nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/true, kReplace);
}

void SetLogLevel(Level level) noexcept {
  g_level.load(std::memory_order_relaxed)->store(level, std::memory_order_relaxed);
}

Level LogLevelNow() noexcept {
  // Where it is shared, a handler gone wild may have written there.
  const auto level = g_level.load(std::memory_order_relaxed)->load(std::memory_order_relaxed);
  return std::clamp(level, Level::kDebug, Level::kError);
}

bool LogsAt(Level level) noexcept { return level >= LogLevelNow(); }

int ShareLogLevel(int shared) noexcept {
  constexpr auto kBytes = sizeof(std::atomic<Level>);
  const auto map = [](int descriptor) {
    // Beyond the end of a file memory cannot be read.
    struct stat status {};
    const bool is_whole = descriptor < 0 || (::fstat(descriptor, &status) == 0 &&
                                             status.st_size >= static_cast<off_t>(kBytes));
    const int flags = MAP_SHARED | (descriptor < 0 ? MAP_ANONYMOUS : 0);
    return is_whole ? ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, flags, descriptor, 0)
                    : MAP_FAILED;
  };
  void* page = shared >= 0 ? map(shared) : MAP_FAILED;
  if (shared >= 0 && page == MAP_FAILED) {
    ::close(std::exchange(shared, -1));
  }
  if (shared < 0) {
    shared = ::memfd_create("weft-log-level", MFD_CLOEXEC);
    if (shared >= 0 && ::ftruncate(shared, kBytes) != 0) {
      ::close(std::exchange(shared, -1));
    }
    page = map(shared);
  }
  if (page != MAP_FAILED) {
    g_level.store(new (page) std::atomic<Level>(LogLevelNow()));
  }
  return shared;
}

void SetStandardErrorOfLog(int descriptor) noexcept { g_standard_error.store(descriptor); }
int StandardErrorOfLog() noexcept { return g_standard_error.load(); }
void SetProcessName(std::string_view name) noexcept { g_set_up.process = name; }
void SetLogListener(ILogListener* listener) noexcept { g_listener.store(listener); }
void SetWorkDescription(DescribeWork describe) noexcept { g_describe_work.store(describe); }

void DescribeCurrentWork(WorkDescription& into) noexcept {
  if (const auto describe = g_describe_work.load()) {
    describe(into);
  }
}

namespace {

/// An event as it is written, with the number of its kind that were dropped before it.
class Formatter {
 public:
  Formatter(const LogEvent& event, std::uint64_t dropped) : event_(event), dropped_(dropped) {
    if (event.request.empty() && event.handler.empty() && !event.is_about_no_request) {
      WorkDescription work{.request = request_room_, .handler = handler_room_};
      DescribeCurrentWork(work);
      request_ = {request_room_.data(), work.request_bytes};
      handler_ = {handler_room_.data(), work.handler_bytes};
    } else {
      request_ = event.request;
      handler_ = event.handler;
    }
    process_ = event.pid != 0 ? event.process : g_set_up.process;
    pid_ = event.pid != 0 ? event.pid : ::getpid();
  }

  std::string_view Request() const noexcept { return request_; }

  /// Without the last end of line.
  std::string Format() const {
    return g_set_up.target.kind == options::LogTarget::Kind::kJournald ? Journal() : ForFile();
  }
  std::string ForFile() const {
    return g_set_up.format == options::LogFormat::kJson ? Json() : Text();
  }

 private:
  template <typename F>
  static void ForEachLine(std::string_view lines, F function) {
    for (std::string_view rest = lines; !rest.empty();) {
      const auto end = rest.find('\n');
      function(rest.substr(0, end));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
  }

  std::string Text() const {
    std::string head = Timestamp() + " weft[" + std::to_string(pid_) + "] ";
    head.append(NameOf(event_.level)).append(": ");
    std::string line = head;
    AppendEscaped(line, event_.message, false);
    if (dropped_ != 0) {
      line += "; " + std::to_string(dropped_) + " events like it were dropped before (--log-rate)";
    }
    if (!request_.empty() && event_.message.find(request_) == std::string_view::npos) {
      line += " (request ";
      AppendEscaped(line, request_, false);
      line += ")";
    }
    const auto append = [&](std::string_view more) {
      line.append("\n").append(head);
      if (!event_.event.empty()) {
        line.append(event_.event).append(": ");
      }
      AppendEscaped(line, more, false);
    };
    ForEachLine(event_.details, append);
    ForEachLine(event_.stack, append);
    return line;
  }

  std::string Json() const {
    std::string line = R"({"time":")" + Timestamp() + R"(","level":")";
    line.append(NameOf(event_.level)).append(R"(","pid":)").append(std::to_string(pid_));
    const auto append = [&line](std::string_view name, std::string_view value) {
      if (!value.empty()) {
        line.append(",\"").append(name).append("\":");
        AppendJsonString(line, value);
      }
    };
    append("process", process_);
    append("request", request_);
    append("handler", handler_);
    append("event", event_.event);
    append("message", event_.message.empty() ? " " : event_.message);
    for (const auto& field : event_.fields) {
      if (field.is_json) {
        line.append(",\"").append(field.name).append("\":").append(field.value);
      } else {
        append(field.name, field.value);
      }
    }
    if (dropped_ != 0) {
      line += ",\"dropped\":" + std::to_string(dropped_);
    }
    if (!event_.stack.empty()) {
      line += ",\"stack\":[";
      ForEachLine(event_.stack, [&](std::string_view frame) {
        if (line.back() != '[') {
          line.push_back(',');
        }
        frame.remove_prefix(std::min(frame.find_first_not_of(' '), frame.size()));
        AppendJsonString(line, frame);
      });
      line += "]";
    }
    return line + "}";
  }

  /// Each field on a line of its own: no value has an end of line, as control characters are escaped.
  std::string Journal() const {
    std::string record = "PRIORITY=";
    record.append(1, PriorityOf(event_.level)).append("\nSYSLOG_IDENTIFIER=weft\nSYSLOG_PID=");
    record.append(std::to_string(pid_)).append("\n");
    const auto append = [&record](std::string_view name, std::string_view value) {
      if (!value.empty()) {
        record.append(name).append("=");
        AppendEscaped(record, value, false);
        record.push_back('\n');
      }
    };
    append("MESSAGE", event_.message.empty() ? " " : event_.message);
    append("WEFT_PROCESS", process_);
    append("WEFT_REQUEST_ID", request_);
    append("WEFT_HANDLER", handler_);
    append("WEFT_EVENT", event_.event);
    for (const auto& field : event_.fields) {
      std::string name = "WEFT_" + std::string(field.name);
      std::ranges::transform(name, name.begin(),
                             [](char c) { return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c; });
      append(name, field.value);
    }
    if (dropped_ != 0) {
      append("WEFT_DROPPED", std::to_string(dropped_));
    }
    ForEachLine(event_.details, [&](std::string_view line) { append("WEFT_DETAIL", line); });
    ForEachLine(event_.stack, [&](std::string_view frame) { append("WEFT_STACK", frame); });
    return record;
  }

  const LogEvent& event_;
  const std::uint64_t dropped_;
  std::array<char, 512> request_room_{};
  std::array<char, 256> handler_room_{};
  std::string_view request_;
  std::string_view handler_;
  std::string_view process_;
  pid_t pid_ = 0;
};

std::string DroppedLine(std::uint64_t count, const char* why) {
  const auto message = std::to_string(count) + " lines of the log were dropped: " + why;
  const std::array fields{LogField("dropped", count)};
  return Formatter({.level = Level::kWarning,
                    .message = message,
                    .event = "lines_dropped",
                    .fields = fields,
                    .is_about_no_request = true},
                   0)
      .Format();
}

/// Without waiting for anybody.
void WriteInPlace(std::string line) {
  const std::lock_guard lock(g_in_place);
  line.push_back('\n');
  if (g_lost_in_place != 0) {
    line.insert(0, DroppedLine(g_lost_in_place, "nobody read it") + "\n");
  }
  if (g_sink_is_stale.exchange(false) && g_set_up.sink) {
    g_set_up.sink->Reopen();  // or written to as before
  }
  std::optional<LineSink> standard_error;
  auto& sink = g_set_up.sink ? *g_set_up.sink
                             : standard_error.emplace(LineSink::ToDescriptor(StandardErrorOfLog()));
  if (g_line_is_cut.load(std::memory_order_relaxed) && sink.MayCut()) {
    line.insert(0, 1, '\n');
  }
  std::string_view rest = line;
  while (!rest.empty()) {
    const auto count = sink.Write(rest);
    if (count <= 0) {
      break;
    }
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  if (rest.size() < line.size()) {
    g_lost_in_place = 0;
    g_line_is_cut.store(line[line.size() - rest.size() - 1] != '\n', std::memory_order_relaxed);
  } else {
    ++g_lost_in_place;
  }
}

void WriteEvent(const LogEvent& event, std::uint64_t dropped) {
  const Formatter formatter(event, dropped);
  auto line = formatter.Format();
  if (auto* const listener = g_listener.load(std::memory_order_acquire);
      listener != nullptr && !formatter.Request().empty()) {
    listener->OnEvent(event.level, formatter.Request(), event.message, event.stack);
  }
  if (auto* const writer = g_writer.load(std::memory_order_acquire)) {
    writer->Write(line);
  } else {
    WriteInPlace(std::move(line));
  }
}

/// On the log's thread, when none of their kinds has passed for a while.
void TellDropped() {
  for (const auto& kind : g_limit.TakeUntold()) {
    const auto message =
        std::to_string(kind.count) + " events like this were dropped (--log-rate): " + kind.name;
    const std::array fields{LogField("dropped", kind.count)};
    WriteEvent({.level = kind.level,
                .message = message,
                .event = "events_dropped",
                .fields = fields,
                .is_about_no_request = true},
               0);
  }
}

LineSink OpenLog(const options::LogTarget& target) {
  switch (target.kind) {
    case options::LogTarget::Kind::kFile:
      return LineSink::ToFile(target.path, "the log");
    case options::LogTarget::Kind::kJournald:
      return LineSink::ToJournal(target.path);
    case options::LogTarget::Kind::kStandardError:
      break;
  }
  return LineSink::ToDescriptor(StandardErrorOfLog());
}

/// A file that cannot be opened any more, as its folder was renamed say, keeps nobody from serving.
LineSink OpenForThread() {
  try {
    return OpenLog(g_set_up.target);
  } catch (const std::system_error& error) {
    if (!g_set_up.sink) {
      throw;
    }
    WriteToStandardError(std::string("weft: ") + error.what() +
                         ": its lines go where they went before\n");
    return g_set_up.sink->Duplicate();
  }
}

std::string NameOfLog(const options::LogTarget& target) {
  return target.kind == options::LogTarget::Kind::kStandardError ? "the log"
                                                                 : "the log " + target.path;
}

}  // namespace

void Log(const LogEvent& event, std::source_location where) noexcept {
  if (!LogsAt(event.level)) {
    return;
  }
  try {
    const auto now = RateLimit::Clock::now();
    // What names the kind: the event, or how its first line began.
    const auto name = event.event.empty() ? event.message.substr(0, 120) : event.event;
    const auto dropped = g_limit.Pass({.file = where.file_name(),
                                       .line = where.line(),
                                       .event = event.event.empty() ? nullptr : event.event.data()},
                                      event.level, name, now);
    if (dropped) {
      WriteEvent(event, *dropped);
    } else if (auto* const writer = g_writer.load(std::memory_order_acquire)) {
      writer->SetTimer(now + kTellDroppedAfter);
    }
  } catch (...) {
    // A line that cannot be made is no reason to fail what it tells of.
  }
}

void Log(Level level, std::string_view text, std::source_location where) noexcept {
  Log(LogEvent{.level = level, .message = text}, where);
}

void LogAll(const LogEvent& event) noexcept {
  try {
    if (LogsAt(event.level)) {
      WriteEvent(event, 0);
    }
  } catch (...) {
    // As above.
  }
}

std::string FormatEvent(const LogEvent& event) { return Formatter(event, 0).ForFile(); }

void LogProblems(const std::vector<mappings::Problem>& problems) {
  if (g_set_up.format == options::LogFormat::kText && !g_set_up.sink) {
    constexpr std::chrono::milliseconds kPatience{2'000};
    std::string lines;
    for (const auto& problem : problems) {
      lines += problem.ToString() + "\n";
    }
    const auto until = Clock::now() + kPatience;
    WriteUntil(until, StandardErrorOfLog(), lines);
    return;
  }
  for (const auto& problem : problems) {
    const bool is_error = problem.severity == mappings::Problem::Severity::kError;
    const auto message = problem.ToString();
    const std::array fields{LogField("file", problem.where.file),
                            LogField("line", problem.where.line),
                            LogField("column", problem.where.column)};
    LogAll({.level = is_error ? Level::kError : Level::kWarning,
            .message = message,
            .event = "mapping_problem",
            .fields = fields});
  }
}

void LogWarnings(const std::vector<std::string>& warnings) noexcept {
  for (const std::string& warning : warnings) Log(Level::kWarning, warning);
}

void LogTextOfOther(std::string_view lines, std::string_view event) {
  if (g_set_up.format == options::LogFormat::kText && !g_set_up.sink) {
    WriteUntil(Clock::now(), StandardErrorOfLog(), lines);
    return;
  }
  while (!lines.empty()) {
    const auto end = std::min(lines.find('\n'), lines.size());
    auto line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    // What has no head is of a library, or a problem of a file.
    auto level = Level::kWarning;
    for (const auto known : {Level::kDebug, Level::kInfo, Level::kWarning, Level::kError}) {
      const auto head = "] " + std::string(NameOf(known)) + ": ";
      if (const auto at = line.find(head);
          at != std::string_view::npos && at == line.find(']') && line.find(" weft[") < at) {
        level = known;
        line.remove_prefix(at + head.size());
        break;
      }
    }
    LogAll({.level = level, .message = line, .event = event});
  }
}

void SetUpLog(const options::Settings& settings) {
  g_set_up.format = settings.log_format;
  g_set_up.target = settings.log;
  g_set_up.sink.reset();
  if (settings.log.kind != options::LogTarget::Kind::kStandardError) {
    g_set_up.sink.emplace(OpenLog(settings.log));
  }
  g_limit.Set(settings.log_rate, settings.log_burst);
}

void CheckLog(const options::Settings& settings) {
  if (settings.log.kind == options::LogTarget::Kind::kFile) {
    LineSink::CheckFile(settings.log.path, "the log");
  }
}

void ReopenLog() noexcept {
  if (auto* const writer = g_writer.load(std::memory_order_acquire)) {
    g_sink_is_stale.store(true);
    writer->Reopen();
    return;
  }
  const std::lock_guard lock(g_in_place);
  if (g_set_up.sink && !g_set_up.sink->Reopen()) {
    WriteToStandardError(
        "weft: the log's file cannot be opened anew: its lines go where they went before\n");
  }
}

LogThread::LogThread()
    : writer_(
          OpenForThread(),
          {.name = NameOfLog(g_set_up.target),
           .tell_dropped =
               [](std::uint64_t dropped) { return DroppedLine(dropped, "nobody read it"); },
           .on_timer = &TellDropped,
           .is_last_resort = g_set_up.target.kind == options::LogTarget::Kind::kStandardError}) {
  g_sink_is_stale.store(true);
  g_writer.store(&writer_, std::memory_order_release);
}

LogThread::~LogThread() { g_writer.store(nullptr, std::memory_order_release); }

}  // namespace weft::host::observe
