#include "host/supervisor/crash_reporter.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "host/observe/log.hpp"
#include "host/supervisor/file_descriptor.hpp"

namespace weft::host::supervisor {
namespace {

using Clock = std::chrono::steady_clock;

/// To name the functions of a stack. Measured: 0.1 s for a module of 100 MB; a file system may not answer.
constexpr std::chrono::seconds kNamingTime{3};
/// For all; then the report is lost, as the log does not take it.
constexpr unsigned kReportSeconds = 8;
/// What names may come to; the longest of C++ are cut.
constexpr std::size_t kMaxNameBytes = 1'024;
constexpr std::size_t kMaxNamesBytes = 256 * 1'024;

/// `3f2a 1f shop::Report::ProcessRequest(weft::HttpContext&)`, a line for each frame.
std::string Encode(const std::vector<NamedFrame>& frames) {
  std::string lines;
  for (const NamedFrame& frame : frames) {
    std::array<char, 48> numbers{};
    auto end = std::to_chars(numbers.data(), numbers.data() + 20, frame.address, 16).ptr;
    *end++ = ' ';
    end = std::to_chars(end, end + 20, frame.offset, 16).ptr;
    *end++ = ' ';
    lines.append(numbers.data(), end);
    for (const char c : frame.function.substr(0, kMaxNameBytes)) lines += c == '\n' ? ' ' : c;
    lines += '\n';
  }
  return lines;
}

/// False: it is none.
bool TakeHexadecimal(std::string_view& line, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number, 16);
  const auto used = static_cast<std::size_t>(end - line.data());
  if (error != std::errc() || used >= line.size()) return false;
  line.remove_prefix(used + 1);
  return true;
}

/// From a process that may have been taken over by what it reads: what is no answer changes nothing.
void Decode(std::string_view lines, std::vector<NamedFrame>& frames) {
  for (NamedFrame& frame : frames) {
    const auto end = lines.find('\n');
    if (end == std::string_view::npos) return;
    auto line = lines.substr(0, end);
    lines.remove_prefix(end + 1);
    NamedFrame named = frame;
    if (!TakeHexadecimal(line, named.address) || !TakeHexadecimal(line, named.offset)) return;
    named.function = line.substr(0, kMaxNameBytes);
    frame = std::move(named);
  }
}

/// What to do about a report that could not be written.
std::string_view Advice(const std::error_code& error) {
  switch (error.value()) {
    case EACCES:
    case EPERM:
      return "give the supervisor's user the right to write there";
    case ENOSPC:
    case EDQUOT:
      return "make room there, or name another folder";
    case EFBIG:
      return "raise the limit of file sizes (ulimit -f)";
    case EMFILE:
      return "raise the limit of open files (ulimit -n)";
    case ENOENT:
    case ENOTDIR:
      return "make this folder, or name another";
    default:
      return "mend this, or name another folder";
  }
}

std::string ReadUntil(Clock::time_point until, int descriptor) {
  std::string text;
  std::array<char, 16'384> piece;
  while (text.size() < kMaxNamesBytes) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd readable{descriptor, POLLIN, 0};
    if (left <= 0) break;
    const int ready = ::poll(&readable, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    const auto count = ::read(descriptor, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
  return text;
}

}  // namespace

CrashReporter::CrashReporter(std::string folder, std::function<void()> be_worker,
                             std::function<void()> close)
    : folder_(std::move(folder)), be_worker_(std::move(be_worker)), close_(std::move(close)) {
  processes_.reserve(kMaxAtOnce + kMaxWaiting);
}

void CrashReporter::Tell(const CrashReport& report) noexcept {
  if (processes_.size() < kMaxAtOnce) {
    Begin(report);
  } else if (waiting_.size() < kMaxWaiting) {
    try {
      waiting_.push_back(report);
    } catch (const std::bad_alloc&) {
      // The supervisor's line has the signal.
    }
  } else {
    TellInShort(report);
  }
}

void CrashReporter::Begin(const CrashReport& report) noexcept {
  const pid_t pid = ::fork();
  if (pid > 0) {
    processes_.push_back(pid);  // it has room
    return;
  }
  if (pid < 0) {
    TellInShort(report);
    if (waiting_.empty()) TellOfShort();
    return;
  }
  try {
    close_();
    ::alarm(kReportSeconds);
    Write(report, NamedElsewhere(report));
  } catch (...) {
    // No memory to tell of it; the supervisor's line has the signal.
  }
  ::_exit(0);
}

/// Not with a file: its folder may not answer, and the supervisor is not to wait for it.
void CrashReporter::TellInShort(const CrashReport& report) noexcept {
  ++in_short_;
  try {
    LogCrash(report, FramesWithoutNames(report.facts), {});
  } catch (...) {
    // As above.
  }
}

void CrashReporter::TellOfShort() noexcept {
  if (in_short_ == 0) return;
  try {
    const std::string count = in_short_ == 1
                                  ? "1 report of a crash has"
                                  : std::to_string(in_short_) + " reports of crashes have";
    observe::LogAll({.level = observe::Level::kWarning,
                     .message = count + " no names of functions" +
                                (folder_.empty() ? "" : ", and no file in --crash-dir") +
                                ": too many workers crashed at once, or the system had no process "
                                "for it",
                     .event = "worker_crash_short",
                     .is_about_no_request = true});
    in_short_ = 0;
  } catch (const std::bad_alloc&) {
    // Later.
  }
}

void CrashReporter::Reap() noexcept {
  std::erase_if(processes_, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
  while (!waiting_.empty() && processes_.size() < kMaxAtOnce) {
    Begin(waiting_.front());
    waiting_.pop_front();
  }
  if (waiting_.empty()) TellOfShort();
}

void CrashReporter::BeginAll() noexcept {
  for (; !waiting_.empty(); waiting_.pop_front()) {
    // Some of an attempt that came to nothing may be at work still.
    if (processes_.size() < processes_.capacity()) {
      Begin(waiting_.front());
    } else {
      TellInShort(waiting_.front());
    }
  }
  TellOfShort();
}

void CrashReporter::Finish() noexcept {
  BeginAll();
  for (const pid_t pid : processes_) {
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  processes_.clear();
}

void CrashReporter::Write(const CrashReport& report, const std::vector<NamedFrame>& frames) const {
  std::string file;
  std::string problem;
  if (!folder_.empty()) {
    try {
      file = WriteCrashFile(folder_, report, ToJson(report, frames));
    } catch (const std::system_error& error) {
      problem =
          "--crash-dir: the report of a crash cannot be written: " + std::string(error.what()) +
          ": " + std::string(Advice(error.code()));
    }
  }
  LogCrash(report, frames, file);
  if (!problem.empty()) {
    observe::LogAll({.level = observe::Level::kError,
                     .message = problem,
                     .event = "worker_crash_file",
                     .is_about_no_request = true});
  }
}

std::vector<NamedFrame> CrashReporter::NamedElsewhere(const CrashReport& report) const {
  auto frames = FramesWithoutNames(report.facts);
  std::array<int, 2> ends{-1, -1};
  if (frames.empty() || ::pipe2(ends.data(), O_CLOEXEC) != 0) return frames;
  FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(static_cast<unsigned>(kNamingTime.count()));
    try {
      if (be_worker_) be_worker_();
      const auto lines = Encode(NameFrames(report.facts));
      for (std::string_view rest = lines; !rest.empty();) {
        const auto written = ::write(writing.Number(), rest.data(), rest.size());
        if (written <= 0) break;
        rest.remove_prefix(static_cast<std::size_t>(written));
      }
    } catch (...) {
      // Then they have no names.
    }
    ::_exit(0);
  }
  writing.Close();
  if (pid < 0) return frames;
  Decode(ReadUntil(Clock::now() + kNamingTime, reading.Number()), frames);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return frames;
}

}  // namespace weft::host::supervisor
