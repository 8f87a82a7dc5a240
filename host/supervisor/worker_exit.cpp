#include "host/supervisor/worker_exit.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"

namespace weft::host::supervisor {

int WorkerExit::Code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

bool WorkerExit::WasKilledByOthers() const {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !took_too_long;
}

std::string SignalName(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name == nullptr ? "signal " + std::to_string(signal) : std::string("SIG") + name;
}

std::string NameOf(const WorkerExit& exit) {
  if (exit.took_too_long) return "start_timeout";
  if (!WIFSIGNALED(exit.status)) return "exit_" + std::to_string(exit.Code());
  std::string name = SignalName(WTERMSIG(exit.status));
  std::ranges::replace(name, ' ', '_');
  return name;
}

std::string AsItLoads(std::string_view module) {
  return module.empty() ? std::string() : ", as it loaded the module " + std::string(module);
}

std::string ToString(const WorkerExit& exit) {
  std::string text;
  if (WIFSIGNALED(exit.status)) {
    text = "was ended by " + SignalName(WTERMSIG(exit.status));
    if (WCOREDUMP(exit.status)) text += " (core dumped)";
  } else {
    text = "exited with code " + std::to_string(exit.Code());
  }
  return text + (exit.was_ready ? " after " + options::FormatDuration(exit.lived)
                                : " before it was ready" + AsItLoads(exit.loading));
}

int ExitCodeAfterFailedStarts(const WorkerExit& exit) {
  if (exit.Code() == options::kExitSystem || exit.Code() == options::kExitNoPermission) {
    return exit.Code();
  }
  return exit.WasKilledByOthers() ? options::kExitSystem : options::kExitSoftware;
}

std::string AdviceAfterFailedStarts(const WorkerExit& exit,
                                    const std::vector<std::filesystem::path>& modules) {
  if (exit.WasKilledByOthers()) {
    return "the kernel did so most likely, for want of memory (dmesg tells): grant it more";
  }
  switch (exit.Code()) {
    case options::kExitSystem:
    case options::kExitNoPermission:
      return "grant what its own lines above say that it lacks";
    case options::kExitSoftware:
      return "its own lines above say why: report it";
    default:
      break;
  }
  if (!exit.loading.empty()) return "replace this module, or take it away";
  if (exit.took_too_long) {
    return "no module was being loaded: the mapping files most likely lie on a file system that "
           "does not answer";
  }
  if (modules.empty()) return "its own lines above, if there are any, say why: report it";
  std::string folders;
  for (const std::filesystem::path& folder : modules) {
    folders += (folders.empty() ? "" : ", ") + folder.string();
  }
  return "a module of " + folders +
         " most likely ends the process as it is loaded: replace it, or take it away; "
         "--log-level debug names each before it is loaded";
}

}  // namespace weft::host::supervisor
