#include "host/observe/log.hpp"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "host/observe/write_piece.hpp"

namespace weft::host::observe {

namespace {

using Clock = std::chrono::steady_clock;

std::atomic<Level> g_level{Level::kInfo};
std::atomic<LineWriter*> g_writer{nullptr};
/// Whether the last that standard error took was not the end of a line.
std::atomic<bool> g_line_is_cut{false};

/// Writes to standard error until the text ends, or time does; returns what is left.
std::string_view WriteUntil(Clock::time_point until, std::string_view text) noexcept {
  while (!text.empty()) {
    const auto count = WritePiece(STDERR_FILENO, text);
    if (count < 0) {
      break;
    }
    text.remove_prefix(static_cast<std::size_t>(count));
    if (count == 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      pollfd writable{STDERR_FILENO, POLLOUT, 0};
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
  const auto rest = WriteUntil(Clock::now() + patience, text);
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
  const auto seconds = std::chrono::system_clock::to_time_t(time);
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 40> text{};
  const auto length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text.data() + length, text.size() - length, ".%03dZ",
                static_cast<int>(milliseconds));
  return text.data();
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

void SetLogLevel(Level level) noexcept { g_level.store(level, std::memory_order_relaxed); }

bool LogsAt(Level level) noexcept { return level >= g_level.load(std::memory_order_relaxed); }

void Log(Level level, std::string_view text) noexcept {
  if (!LogsAt(level)) {
    return;
  }
  try {
    std::string line = Timestamp() + " weft[" + std::to_string(getpid()) + "] ";
    line.append(NameOf(level)).append(": ");
    AppendEscaped(line, text, false);
    if (auto* const writer = g_writer.load(std::memory_order_acquire)) {
      writer->Write(line);
      return;
    }
    line.push_back('\n');
    if (g_line_is_cut.load(std::memory_order_relaxed)) {
      line.insert(0, 1, '\n');
    }
    WriteToStandardError(line);
  } catch (...) {
    // A line that cannot be made is no reason to fail what it tells of.
  }
}

LogThread::LogThread() : writer_(STDERR_FILENO) {
  g_writer.store(&writer_, std::memory_order_release);
}

LogThread::~LogThread() { g_writer.store(nullptr, std::memory_order_release); }

}  // namespace weft::host::observe
