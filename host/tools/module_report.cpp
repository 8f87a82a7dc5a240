#include "host/tools/module_report.hpp"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <optional>
#include <system_error>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"

namespace weft::host::tools {

namespace {

/// What a module may take to load. Its initialisers are to be quick: a worker does not accept before they end.
constexpr unsigned kLoadSeconds = 30;

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
[[noreturn]] void LoadAndTell(const handling::ModuleFile& file, int pipe) noexcept {
  // What a module prints is not part of the list.
  dup2(STDERR_FILENO, STDOUT_FILENO);
  // Whatever who started the command has made of it.
  signal(SIGALRM, SIG_DFL);
  sigset_t alarm_alone;
  sigemptyset(&alarm_alone);
  sigaddset(&alarm_alone, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &alarm_alone, nullptr);
  alarm(kLoadSeconds);
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

std::string ReadToEnd(int pipe) {
  std::string text;
  std::array<char, 4096> piece;
  for (;;) {
    const auto count = read(pipe, piece.data(), piece.size());
    if (count == 0 || (count < 0 && errno != EINTR)) {
      return text;
    }
    text.append(piece.data(), count < 0 ? 0 : static_cast<std::size_t>(count));
  }
}

/// How a process ended, as a part of a sentence.
std::string EndOf(int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
    return "it took more than " + std::to_string(kLoadSeconds) + " s to load";
  }
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

Json DescribeModule(const handling::ModuleFile& file) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw SystemError("pipe");
  }
  const pid_t child = fork();
  if (child < 0) {
    const auto error = SystemError("fork");
    close(ends[0]);
    close(ends[1]);
    throw error;
  }
  if (child == 0) {
    close(ends[0]);
    LoadAndTell(file, ends[1]);
  }
  close(ends[1]);
  const auto text = ReadToEnd(ends[0]);
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  auto json = Json::parse(text, nullptr, false);
  if (status == 0 && json.is_object()) {
    return json;
  }
  json = Unloaded(file);
  json["error"] =
      "module '" + file.name + "' (" + file.path.string() + ") cannot be used: " + EndOf(status);
  return json;
}

}  // namespace weft::host::tools
