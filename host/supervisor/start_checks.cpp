#include "host/supervisor/start_checks.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "host/observe/access_log.hpp"
#include "host/observe/line_sink.hpp"
#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/supervisor/listener.hpp"
#include "mappings/loader.hpp"

namespace weft::host::supervisor {
namespace {

using options::LogLevel;
using options::Settings;

bool LogsAreSound(const Settings& settings) {
  try {
    observe::AccessLog::Check(settings.access_log);
    if (!settings.slow_log.empty()) observe::LineSink::CheckFile(settings.slow_log, "slow log");
    return true;
  } catch (const std::system_error& error) {
    observe::Log(LogLevel::kError, std::string(error.what()) +
                                       ": name another file with --access-log, or --slow-log");
    return false;
  }
}

std::filesystem::path UnixPath(const options::ListenAddress& address) {
  const auto* const unix_address = std::get_if<options::UnixAddress>(&address);
  return unix_address == nullptr ? std::filesystem::path()
                                 : std::filesystem::path(unix_address->path).lexically_normal();
}

}  // namespace

bool SocketsAreApart(const Settings& settings) {
  const std::filesystem::path control = std::filesystem::path(settings.control).lexically_normal();
  const std::filesystem::path metrics =
      settings.metrics_listen ? UnixPath(*settings.metrics_listen) : std::filesystem::path();
  const auto refuse = [](const std::string& one, const char* other) {
    observe::Log(LogLevel::kError,
                 one + " is the path of " + other + ", too: give it one of its own");
    return false;
  };
  for (const options::ListenAddress& address : settings.listen) {
    const std::filesystem::path path = UnixPath(address);
    if (path.empty()) continue;
    if (path == control) return refuse("--control " + settings.control, "--listen");
    if (path == metrics) {
      return refuse("--metrics-listen " + options::ToString(*settings.metrics_listen), "--listen");
    }
  }
  if (!metrics.empty() && metrics == control) {
    return refuse("--metrics-listen " + options::ToString(*settings.metrics_listen), "--control");
  }
  return true;
}

bool LogIsSound(const Settings& settings) {
  try {
    observe::CheckLog(settings);
    return true;
  } catch (const std::system_error& error) {
    observe::Log(LogLevel::kError, std::string(error.what()) + ": name another file with --log");
    return false;
  }
}

bool CrashFolderIsSound(const Settings& settings) {
  const std::string& folder = settings.crash_dir;
  if (folder.empty()) return true;
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(folder, error);
  if (is_folder && ::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) == 0) return true;
  observe::Log(LogLevel::kError,
               "--crash-dir " + folder + ": " +
                   (is_folder ? std::generic_category().message(errno) +
                                    ": let the user write there who starts the host"
                              : std::string("there is no such folder: make it")) +
                   ", or name another folder");
  return false;
}

bool HasWhoAnswers(const Settings& settings, bool spawned) {
  if (settings.WorkerCount(spawned) != 0) return true;
  const char* const option = !settings.control.empty() ? "--control"
                             : settings.metrics_listen ? "--metrics-listen"
                                                       : nullptr;
  if (option == nullptr) return true;
  observe::Log(LogLevel::kError, std::string(option) +
                                     " needs a supervisor to answer on it, and there is none: give "
                                     "--workers 1 or more, or leave " +
                                     option + " out");
  return false;
}

std::shared_ptr<const mappings::MappingTable> SoundMappings(
    const Settings& settings, const std::optional<Identity>& identity) {
  const ActingAs as_handlers(identity);
  mappings::LoadResult loaded = mappings::Load(settings.Mappings());
  observe::LogProblems(loaded.problems);
  return loaded.table && LogsAreSound(settings) ? std::move(loaded.table) : nullptr;
}

int TellFailure(std::string_view what_cannot_be) noexcept {
  const auto tell = [what_cannot_be](std::string_view between, std::string_view reason) {
    try {
      observe::Log(LogLevel::kError, std::string(what_cannot_be).append(between).append(reason));
    } catch (const std::bad_alloc&) {
      observe::Log(LogLevel::kError, reason);
    }
  };
  try {
    throw;
  } catch (const ListenError& error) {
    observe::Log(LogLevel::kError, error.what());
    return error.ExitCode();
  } catch (const PrivilegeError& error) {
    observe::Log(LogLevel::kError, error.what());
    return error.ExitCode();
  } catch (const std::system_error& error) {
    tell(": ", error.what());
    return options::ExitCodeFor(error.code());
  } catch (const std::bad_alloc&) {
    tell(": ", "there is no memory: free some, or grant more");
    return options::kExitSystem;
  } catch (const std::exception& error) {
    tell(", a fault of Weft: ", error.what());
    return options::kExitSoftware;
  }
}

}  // namespace weft::host::supervisor
