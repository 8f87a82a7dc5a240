#include "host/tools/module_report.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <limits>
#include <optional>
#include <system_error>
#include <thread>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"

namespace weft::host::tools {

namespace {

using Clock = std::chrono::steady_clock;

std::system_error SystemError(const char* what) {
  return std::system_error(errno, std::generic_category(), what);
}

/// Null where it is not known before there is an instance.
Json Flag(const std::optional<HandlerTraits>& traits, bool HandlerTraits::*flag) {
  return traits ? Json((*traits).*flag) : Json(nullptr);
}

/// What is known of a module before it is loaded.
Json Unloaded(const handling::ModuleFile& file) {
  return {{"name", file.name},          {"file", file.path.string()}, {"error", nullptr},
          {"contractVersion", nullptr}, {"compilerAbi", nullptr},     {"buildType", nullptr},
          {"links", Json::array()},     {"classes", Json::array()}};
}

Json Describe(const handling::ModuleFile& file) {
  const auto module = handling::LoadModule(file);
  auto json = Unloaded(file);
  if (module.contract_version != 0) {
    json["contractVersion"] = module.contract_version;
  }
  if (!module.compiler_abi.empty()) {
    json["compilerAbi"] = module.compiler_abi;
    json["buildType"] = module.build_type;
  }
  json["links"] = module.libraries;
  if (module.error.empty()) {
    json["classes"] = DescribeClasses(*module.classes);
  } else {
    json["error"] = module.error;
  }
  return json;
}

/// The process that loads one module; it is left without any destructor, a module's may do anything.
[[noreturn]] void LoadAndTell(const handling::ModuleFile& file, int pipe, pid_t parent) noexcept {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(options::kExitOk);
  }
  // What a module prints is not part of the list.
  dup2(STDERR_FILENO, STDOUT_FILENO);
  try {
    const auto text = Dump(Describe(file));
    std::size_t told = 0;
    while (told < text.size()) {
      const auto count = write(pipe, text.data() + told, text.size() - told);
      if (count < 0 && errno != EINTR) {
        _exit(options::kExitInputOutput);
      }
      told += count < 0 ? 0 : static_cast<std::size_t>(count);
    }
  } catch (const std::exception& error) {
    observe::Log(observe::Level::kError, error.what());
    _exit(options::kExitSoftware);
  }
  _exit(options::kExitOk);
}

/// For poll(): negative when there is no deadline.
int MillisecondsUntil(Clock::time_point deadline) {
  if (deadline == Clock::time_point::max()) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, std::numeric_limits<int>::max()));
}

/// What comes until the other end is closed, the child has ended and all that it sent is read, or time is over. A process
/// that the module has left behind may keep the other end open for as long as it likes.
std::string ReadUntil(int pipe, pid_t child, Clock::time_point deadline) {
  // By its number, for <sys/pidfd.h> of glibc 2.36 declares the function for C alone. Where the system has none, the
  // pipe's end alone tells.
  const int ended = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  std::string text;
  std::array<char, 4096> piece;
  for (;;) {
    std::array<pollfd, 2> events{{{pipe, POLLIN, 0}, {ended, POLLIN, 0}}};
    const int ready = poll(events.data(), events.size(), MillisecondsUntil(deadline));
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    const auto count =
        ready > 0 && events[0].revents != 0 ? read(pipe, piece.data(), piece.size()) : 0;
    if (count <= 0) {
      break;
    }
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
  if (ended >= 0) {
    close(ended);
  }
  return text;
}

/// The status (of waitpid(2)) of a child that has ended before the deadline.
std::optional<int> AwaitEnd(pid_t child, Clock::time_point deadline) {
  // It has closed its end of the pipe most likely by ending; only one that did so on purpose is waited for.
  constexpr std::chrono::milliseconds kPause{1};
  for (;;) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) {
      return status;
    }
    if (Clock::now() >= deadline) {
      return std::nullopt;
    }
    std::this_thread::sleep_for(kPause);
  }
}

/// How a process ended, as a part of a sentence.
std::string EndOf(int status) {
  if (WIFSIGNALED(status)) {
    const char* const name = sigabbrev_np(WTERMSIG(status));
    return "it ends the process as it is loaded, by " +
           (name == nullptr ? "signal " + std::to_string(WTERMSIG(status))
                            : std::string("SIG") + name);
  }
  return "it ends the process as it is loaded, with exit code " +
         std::to_string(WEXITSTATUS(status));
}

}  // namespace

Json DescribeClasses(const handling::HandlerRegistry& classes) {
  Json list = Json::array();
  for (const auto& name : classes.ClassNames()) {
    const auto& handler_class = *classes.Find(name);
    const auto traits = handler_class.Traits();
    list.push_back({{"name", name},
                    {"lifetime", handling::ToString(handler_class.LifetimeOfInstances())},
                    {"async", Flag(traits, &HandlerTraits::is_async)},
                    {"bufferless", Flag(traits, &HandlerTraits::is_bufferless)},
                    {"resettable", Flag(traits, &HandlerTraits::is_resettable)}});
  }
  return list;
}

std::string Dump(const Json& json, int indentation) {
  return json.dump(indentation, ' ', false, Json::error_handler_t::replace);
}

Json DescribeModule(const handling::ModuleFile& file, std::chrono::milliseconds load_timeout) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw SystemError("pipe");
  }
  const auto deadline = load_timeout > std::chrono::milliseconds(0) ? Clock::now() + load_timeout
                                                                    : Clock::time_point::max();
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) {
    const auto error = SystemError("fork");
    close(ends[0]);
    close(ends[1]);
    throw error;
  }
  if (child == 0) {
    close(ends[0]);
    LoadAndTell(file, ends[1], parent);
  }
  close(ends[1]);
  const auto text = ReadUntil(ends[0], child, deadline);
  close(ends[0]);
  const auto status = AwaitEnd(child, deadline);
  if (!status) {
    kill(child, SIGKILL);
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  auto json = Json::parse(text, nullptr, false);
  if (status == 0 && json.is_object()) {
    return json;
  }
  json = Unloaded(file);
  json["error"] = "module '" + file.name + "' (" + file.path.string() + ") cannot be used: " +
                  (status ? EndOf(*status)
                          : "it takes more than " + options::FormatDuration(load_timeout) +
                                " to load (--start-timeout)");
  return json;
}

}  // namespace weft::host::tools
