#include "host/supervisor/crash_report.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <system_error>
#include <utility>

#include "host/observe/log.hpp"
#include "host/options/values.hpp"
#include "host/options/version.hpp"
#include "host/runtime/symbol_table.hpp"
#include "host/worker/stack_text.hpp"

namespace weft::host::supervisor {
namespace {

using observe::CrashAccess;
using observe::CrashFacts;
using observe::CrashRole;
using observe::CrashStep;
using observe::RequestState;
using Json = nlohmann::ordered_json;

/// Below it nothing is mapped (vm.mmap_min_addr): a null pointer, or a member of what it points to.
constexpr std::uint64_t kNullPage = 65'536;

int SignalOf(const CrashReport& report) {
  return WIFSIGNALED(report.exit.status) ? WTERMSIG(report.exit.status) : 0;
}

/// The worker has written down this very end.
bool HasRecord(const CrashReport& report) {
  return report.facts.step != CrashStep::kNothing && report.facts.signal == SignalOf(report);
}

bool IsOutOfMemory(const CrashFacts& facts) {
  return facts.exception_type == "St9bad_alloc" ||
         facts.exception_type == "St20bad_array_new_length";
}

std::string_view AccessWord(CrashAccess access) {
  switch (access) {
    case CrashAccess::kRead:
      return "read";
    case CrashAccess::kWrite:
      return "written";
    case CrashAccess::kExecute:
      return "called";
    case CrashAccess::kUnknown:
      return "used";
  }
  return "used";
}

std::string SegmentationFault(const CrashFacts& facts) {
  const auto address = runtime::Hexadecimal(facts.address);
  const std::string access(AccessWord(facts.access));
  if (facts.code == SI_KERNEL) return "an address that no memory can have was used";
  if (facts.address < kNullPage)
    return "a null pointer was " + access + " (address " + address + ")";
  if (facts.code == SEGV_ACCERR) {
    return "memory at " + address + " was " + access + " that may not be";
  }
  return "memory at " + address + " was " + access +
         " where there is none: a pointer to what is gone, or beyond the end, or no pointer";
}

std::string AbortCause(const CrashFacts& facts) {
  if (facts.has_terminated && IsOutOfMemory(facts)) {
    return "out of memory: nobody caught " + runtime::Demangled(facts.exception_type.c_str());
  }
  if (facts.has_terminated && !facts.exception_type.empty()) {
    return "nobody caught an exception: " + runtime::Demangled(facts.exception_type.c_str()) +
           (facts.exception_text.empty() ? "" : ": " + facts.exception_text);
  }
  if (facts.has_terminated) {
    return "std::terminate() was called without an exception: a pure virtual function was called, "
           "a "
           "std::thread was destroyed that was not joined, or the like";
  }
  if (!facts.message.empty()) {
    auto message = facts.message;
    while (!message.empty() && (message.back() == '\n' || message.back() == ' '))
      message.pop_back();
    return message;
  }
  return "abort() was called";
}

/// What the worker's own record says; without one, what the signal does.
std::string SignalCause(const CrashReport& report, int signal) {
  const CrashFacts& facts = report.facts;
  const bool has_record = HasRecord(report);
  if (has_record && !facts.overflow.empty()) {
    return "stack overflow in " + facts.overflow + "; a larger " + facts.advice;
  }
  if (has_record && facts.code <= 0 && facts.sender != report.pid && facts.sender != 0) {
    return "process " + std::to_string(facts.sender) + " of user " +
           std::to_string(facts.sender_user) + " has sent it";
  }
  switch (signal) {
    case SIGSEGV:
      return has_record && facts.code > 0 ? SegmentationFault(facts) : "";
    case SIGBUS:
      return has_record && facts.code == BUS_ADRALN
                 ? "memory was used at an address that is not aligned"
                 : "memory could not be read: a mapped file that was cut, or a disk that failed";
    case SIGFPE:
      return has_record && facts.code == FPE_INTDIV ? "a whole number was divided by 0"
                                                    : "an arithmetic operation that has no result";
    case SIGILL:
      return "an instruction that the processor does not have: __builtin_trap(), the end of a "
             "function that returns nothing, or damaged code";
    case SIGTRAP:
      return "a breakpoint that no debugger took";
    case SIGSYS:
      return has_record && facts.code > 0
                 ? "a filter forbids the system call " + std::to_string(facts.system_call)
                 : "a filter forbids a system call";
    case SIGABRT:
      return has_record || facts.has_terminated ? AbortCause(facts) : "";
    case SIGKILL:
      if (report.killed_by_us) return "the supervisor has killed it";
      return report.has_memory_run_out
                 ? "the kernel has killed it for want of memory"
                 : "killed from outside, by an operator or the kernel (dmesg tells)";
    case SIGXCPU:
      return "it has used up its processor time (--limit cpu)";
    default:
      return "";
  }
}

std::string_view NameOf(CrashRole role) {
  switch (role) {
    case CrashRole::kOther:
      return "another thread";
    case CrashRole::kReactor:
      return "the reactor";
    case CrashRole::kFiber:
      return "a fiber";
    case CrashRole::kPool:
      return "a thread of the pool";
  }
  return {};
}

std::string_view NameOf(RequestState state) {
  switch (state) {
    case RequestState::kReceivingParams:
      return "receivingParams";
    case RequestState::kReadingBody:
      return "readingBody";
    case RequestState::kOnFiber:
      return "onFiber";
    case RequestState::kOnThread:
      return "onThread";
    case RequestState::kWriting:
      return "writing";
    case RequestState::kFinished:
      return "finished";
  }
  return {};
}

std::string_view WordsOf(RequestState state) {
  switch (state) {
    case RequestState::kReceivingParams:
      return "receiving parameters";
    case RequestState::kReadingBody:
      return "reading the body";
    case RequestState::kOnFiber:
      return "on a fiber";
    case RequestState::kOnThread:
      return "on a thread";
    case RequestState::kWriting:
      return "writing";
    case RequestState::kFinished:
      return "at work after the answer";
  }
  return {};
}

long long Milliseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

std::string RequestLine(const CrashFacts::Request& request) {
  std::string line = "  request " + request.id + " " + request.method + " " + request.path;
  if (!request.handler.empty()) line += ": " + request.handler;
  if (!request.entry.empty()) line += " (" + request.entry + ")";
  line.append(", ").append(WordsOf(request.state));
  if (request.age.count() >= 0)
    line += ", for " + std::to_string(Milliseconds(request.age)) + " ms";
  if (request.has_crashed) line += ": at work for it the worker crashed";
  // Or what a stranger asks for would look like lines of the report.
  std::ranges::replace(line, '\n', ' ');
  return line + "\n";
}

Json ToJson(const CrashFacts::Request& request) {
  Json json = {{"id", request.id}, {"method", request.method}, {"path", request.path}};
  if (!request.entry.empty()) json["entry"] = request.entry;
  if (!request.handler.empty()) json["handler"] = request.handler;
  json["state"] = NameOf(request.state);
  if (request.age.count() >= 0) json["ageMs"] = Milliseconds(request.age);
  json["crashed"] = request.has_crashed;
  return json;
}

/// In ASCII: names may be any bytes.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string FrameLine(std::size_t number, const NamedFrame& frame) {
  std::string line = "  #" + std::to_string(number) + " ";
  if (!frame.function.empty()) {
    line += frame.function + "+" + runtime::Hexadecimal(frame.offset) + " ";
  }
  const auto address = runtime::Hexadecimal(frame.address);
  return line + (frame.module.empty() ? address : "(" + frame.module + "+" + address + ")") + "\n";
}

std::string StackText(const CrashReport& report, const std::vector<NamedFrame>& frames) {
  std::string text;
  const std::size_t left_out = report.facts.frames_left_out;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const bool is_outer = i >= observe::CrashEvidence::kInnerFrames && left_out != 0;
    if (is_outer && i == observe::CrashEvidence::kInnerFrames) {
      text += "  ... " + std::to_string(left_out) + " frames\n";
    }
    text += FrameLine(i + (is_outer ? left_out : 0), frames[i]);
  }
  return text;
}

/// What gives the lines of the source, of the modules that the innermost frames lie in.
std::string Addr2Line(const std::vector<NamedFrame>& frames) {
  constexpr std::size_t kMostFrames = 12;
  constexpr std::size_t kMostModules = 3;
  std::vector<std::pair<std::string, std::string>> modules;
  for (std::size_t i = 0; i < std::min(frames.size(), kMostFrames); ++i) {
    const NamedFrame& frame = frames[i];
    if (frame.function.empty() || frame.module.empty()) continue;
    auto found =
        std::ranges::find(modules, frame.module, &std::pair<std::string, std::string>::first);
    if (found == modules.end()) {
      if (modules.size() == kMostModules) continue;
      found = modules.insert(modules.end(), {frame.module, ""});
    }
    // Of a call, not of where it returns to.
    found->second += " " + runtime::Hexadecimal(frame.address - (i == 0 ? 0 : 1));
  }
  std::string text;
  for (const auto& [module, addresses] : modules) {
    text += "  addr2line -Cfipe " + module + addresses + "\n";
  }
  return text;
}

std::string WhyNoStack(const CrashReport& report) {
  const int signal = SignalOf(report);
  if (signal == 0) return "";
  if (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
      signal == SIGABRT || signal == SIGSYS || signal == SIGTRAP) {
    return "  no stack was written down: a module has taken the signal's handler away, or the "
           "stack of a thread of its "
           "own was over\n";
  }
  return "";
}

/// In other words than the supervisor's own line about it has.
std::string EndWords(const CrashReport& report) {
  const int signal = SignalOf(report);
  const WorkerExit& exit = report.exit;
  return (signal != 0 ? SignalName(signal) : "exit code " + std::to_string(exit.Code())) +
         (exit.was_ready ? " after " + options::FormatDuration(exit.lived)
                         : " before it was ready" + AsItLoads(exit.loading));
}

constexpr std::string_view kFilePrefix = "weft-crash-";
constexpr std::string_view kFileSuffix = ".json";
constexpr std::string_view kUnfinished = ".new";  ///< behind the suffix, until it is whole

/// Reports beyond kMaxCrashFiles, and what is not whole and never will be. What cannot be looked at or removed stays.
void RemoveOldFiles(const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  const auto now = fs::file_time_type::clock::now();
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    // Whatever else has such a name is not ours.
    if (at->symlink_status(ignored).type() != fs::file_type::regular) continue;
    auto name = at->path().filename().string();
    const bool is_whole = !name.ends_with(kUnfinished);
    if (!is_whole) name.resize(name.size() - kUnfinished.size());
    if (!name.starts_with(kFilePrefix) || !name.ends_with(kFileSuffix)) continue;
    if (is_whole) {
      files.push_back(at->path());
    } else if (const auto written = at->last_write_time(ignored);
               !ignored && now - written > kLeftOverAfter) {
      ::unlink(at->path().c_str());
    }
  }
  std::ranges::sort(files);
  for (std::size_t i = 0; i + kMaxCrashFiles < files.size(); ++i) ::unlink(files[i].c_str());
}

const CrashFacts::Request* Culprit(const CrashFacts& facts) {
  return !facts.requests.empty() && facts.requests.front().has_crashed ? &facts.requests.front()
                                                                       : nullptr;
}

std::string HeldWords(const CrashFacts& facts) {
  const auto count = facts.requests.size() + facts.requests_not_named;
  return count == 0   ? "it held no request"
         : count == 1 ? "it held 1 request"
                      : "it held " + std::to_string(count) + " requests";
}

}  // namespace

bool IsWorthAReport(const CrashReport& report) {
  const int signal = SignalOf(report);
  // What a worker is told to end by ends one at once that has not begun.
  const bool is_request = signal == SIGTERM || signal == SIGINT || signal == SIGQUIT;
  // Nor is there more to tell of one that the supervisor itself has killed, which says why.
  return (signal != 0 && !is_request && !report.killed_by_us) || !report.facts.requests.empty();
}

std::string CauseName(const CrashReport& report) {
  const int signal = SignalOf(report);
  if (signal == SIGKILL && !report.killed_by_us && report.has_memory_run_out) return "oom_kill";
  if (HasRecord(report) && !report.facts.overflow.empty()) return "stack_overflow";
  if (signal == SIGABRT && report.facts.has_terminated) {
    if (IsOutOfMemory(report.facts)) return "out_of_memory";
    if (!report.facts.exception_type.empty()) return "uncaught_exception";
  }
  return NameOf(report.exit);
}

std::string CauseSentence(const CrashReport& report) {
  const int signal = SignalOf(report);
  if (signal != 0) return SignalCause(report, signal);
  return report.facts.requests.empty() ? "" : "a handler has called exit(), or the like";
}

std::vector<NamedFrame> FramesWithoutNames(const observe::CrashFacts& facts) {
  std::vector<NamedFrame> frames;
  for (const CrashFacts::Frame& frame : facts.frames) {
    frames.push_back(
        {.module = frame.module, .address = frame.module.empty() ? frame.address : frame.offset});
  }
  return frames;
}

std::vector<NamedFrame> NameFrames(const observe::CrashFacts& facts) {
  std::vector<NamedFrame> frames = FramesWithoutNames(facts);
  std::map<std::string, runtime::SymbolTable> tables;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    NamedFrame& frame = frames[i];
    // Not [vdso], and not what was replaced or removed since, which has " (deleted)" behind it.
    if (!frame.module.starts_with('/') || frame.module.ends_with(" (deleted)")) continue;
    const auto& table =
        tables.try_emplace(frame.module, frame.module.c_str(), runtime::SymbolTable::Which::kAny)
            .first->second;
    const auto address = table.AddressOf(frame.address);
    if (!address) continue;
    frame.address = *address;
    // A return address may be that of the next function already, behind a call that does not return.
    const auto looked_up = *address - (i == 0 ? 0 : 1);
    if (const auto* const function = table.Find(looked_up)) {
      frame.function = runtime::Demangled(function->second.c_str());
      frame.offset = *address - table.StartOf(looked_up);
    }
  }
  return frames;
}

void LogCrash(const CrashReport& report, const std::vector<NamedFrame>& frames,
              const std::string& file) {
  const CrashFacts& facts = report.facts;
  const bool has_record = HasRecord(report);
  const std::string cause = CauseSentence(report);
  const CrashFacts::Request* const culprit = Culprit(facts);
  std::string message = "crash of worker " + std::to_string(report.pid) + ": " + EndWords(report);
  if (!cause.empty()) message += ": " + cause;
  if (has_record) {
    message += "; on thread " + std::to_string(facts.thread) + " (" + facts.thread_name + "), " +
               std::string(NameOf(facts.role));
    if (!facts.work.empty()) message += ", at work for " + facts.work;
  }
  message += "; " + HeldWords(facts);
  if (!report.last_words.empty()) message += "; its last words: " + report.last_words;
  if (!file.empty()) message += "; the whole report is in " + file;

  std::string details;
  Json held = Json::array();
  for (std::size_t i = 0; i < std::min(facts.requests.size(), kMaxRequestsInLog); ++i) {
    details += RequestLine(facts.requests[i]);
    held.push_back(ToJson(facts.requests[i]));
  }
  const auto more = facts.requests.size() - held.size() + facts.requests_not_named;
  if (more != 0) details += "  and " + std::to_string(more) + " requests more\n";
  const std::string stack = worker::WithoutCallers(StackText(report, frames));
  details += frames.empty() ? WhyNoStack(report) : Addr2Line(frames);

  std::vector<observe::LogField> fields;
  fields.emplace_back("cause", CauseName(report));
  fields.emplace_back("explanation", cause);
  if (const int signal = SignalOf(report); signal != 0) {
    fields.emplace_back("signal", SignalName(signal));
  } else {
    fields.emplace_back("exit_code", report.exit.Code());
  }
  if (has_record) {
    fields.emplace_back("thread", facts.thread);
    fields.emplace_back("work", facts.work);
    if (facts.code > 0) {
      fields.emplace_back("address", runtime::Hexadecimal(facts.address));
    }
  }
  if (facts.has_terminated && !facts.exception_type.empty()) {
    fields.emplace_back("exception", runtime::Demangled(facts.exception_type.c_str()));
    fields.emplace_back("exception_text", facts.exception_text);
  }
  fields.push_back(observe::LogField::Json("held_requests", Dump(held)));
  fields.emplace_back("held_requests_more", more);
  fields.emplace_back("file", file);
  observe::LogAll({.level = observe::Level::kError,
                   .message = message,
                   .event = "worker_crash",
                   .request = culprit == nullptr ? std::string_view() : culprit->id,
                   .handler = culprit == nullptr ? std::string_view() : culprit->handler,
                   .fields = fields,
                   .details = details,
                   .stack = stack,
                   .pid = report.pid,
                   .process = report.process,
                   .is_about_no_request = true});
}

std::string ToJson(const CrashReport& report, const std::vector<NamedFrame>& frames) {
  const CrashFacts& facts = report.facts;
  const int signal = SignalOf(report);
  Json json = {{"weftCrash", 1},
               {"version", options::Version()},
               {"at", observe::Timestamp(report.at)},
               {"pid", report.pid},
               {"process", report.process},
               {"generation", report.generation},
               {"end", ToString(report.exit)},
               {"cause", CauseName(report)},
               {"explanation", CauseSentence(report)},
               {"signal", signal == 0 ? Json(nullptr) : Json(SignalName(signal))},
               {"exitCode", signal == 0 ? Json(report.exit.Code()) : Json(nullptr)},
               {"coreDumped", WIFSIGNALED(report.exit.status) && WCOREDUMP(report.exit.status)},
               {"livedMs", report.exit.lived.count()},
               {"wasReady", report.exit.was_ready}};
  if (!report.exit.loading.empty()) json["loading"] = report.exit.loading;
  if (HasRecord(report)) {
    json["fault"] = {{"code", facts.code},         {"address", runtime::Hexadecimal(facts.address)},
                     {"thread", facts.thread},     {"threadName", facts.thread_name},
                     {"role", NameOf(facts.role)}, {"work", facts.work}};
    if (facts.code <= 0) json["fault"]["sender"] = facts.sender;
    if (!facts.message.empty()) json["fault"]["message"] = facts.message;
  }
  if (facts.has_terminated) {
    json["exception"] = {{"type", runtime::Demangled(facts.exception_type.c_str())},
                         {"text", facts.exception_text}};
  }
  json["heldRequests"] = Json::array();
  for (const auto& request : facts.requests) json["heldRequests"].push_back(ToJson(request));
  json["heldRequestsNotNamed"] = facts.requests_not_named;
  json["stack"] = Json::array();
  for (const NamedFrame& frame : frames) {
    Json line = Json::object();
    if (!frame.function.empty()) {
      line["function"] = frame.function;
      line["offset"] = runtime::Hexadecimal(frame.offset);
    }
    if (!frame.module.empty()) line["module"] = frame.module;
    line["address"] = runtime::Hexadecimal(frame.address);
    json["stack"].push_back(std::move(line));
  }
  json["framesLeftOut"] = facts.frames_left_out;
  if (!report.last_words.empty()) json["lastWords"] = report.last_words;
  return Dump(json) + "\n";
}

std::string WriteCrashFile(const std::string& folder, const CrashReport& report,
                           const std::string& json) {
  // Their order by name is that by time.
  std::string time = observe::Timestamp(report.at);
  std::erase_if(time, [](char c) { return c == ':' || c == '-'; });
  const std::filesystem::path directory(folder);
  const auto path = directory / (std::string(kFilePrefix) + time + "-" +
                                 std::to_string(report.pid) + std::string(kFileSuffix));
  const auto temporary = path.string() + std::string(kUnfinished);
  const int descriptor =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), temporary);
  std::string_view rest = json;
  int error = 0;
  while (!rest.empty() && error == 0) {
    const auto written = ::write(descriptor, rest.data(), rest.size());
    if (written < 0) {
      error = errno == EINTR ? 0 : errno;
    } else {
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  if (::close(descriptor) != 0 && error == 0) error = errno;
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    throw std::system_error(error, std::generic_category(), path.string());
  }
  RemoveOldFiles(directory);
  return path.string();
}

}  // namespace weft::host::supervisor
