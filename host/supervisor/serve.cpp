#include "host/supervisor/serve.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "host/observe/access_log.hpp"
#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/supervisor/listener.hpp"
#include "host/supervisor/privileges.hpp"
#include "host/supervisor/service_manager.hpp"
#include "host/supervisor/supervisor.hpp"
#include "host/worker/worker.hpp"
#include "mappings/fingerprint.hpp"
#include "mappings/loader.hpp"
#include "mappings/mapping_table.hpp"

namespace weft::host::supervisor {
namespace {

using options::LogLevel;
using options::Settings;

using Mappings = std::shared_ptr<const mappings::MappingTable>;

/// Prints the problems. Null: there is no table.
Mappings CheckedMappings(const Settings& settings) {
  mappings::LoadResult loaded = mappings::Load(settings.Mappings());
  observe::LogProblems(loaded.problems);
  return std::move(loaded.table);
}

/// The table that a worker has found sound, types included: if the files are still those. If not, it stays
/// null, for a worker will report of the others too.
Mappings FoundSound(const Settings& settings, std::uint64_t fingerprint) try {
  mappings::Fingerprinter fingerprinter(settings.Mappings());
  mappings::LoadResult loaded = mappings::Load(settings.Mappings());
  return fingerprinter.Take() == fingerprint ? std::move(loaded.table) : nullptr;
} catch (const std::bad_alloc&) {
  return nullptr;
}

void LogStart(const ListeningSockets& sockets, std::size_t workers, const std::string& control) {
  std::string line = "listening on ";
  for (const Listener& listener : sockets.listeners) {
    if (&listener != &sockets.listeners.front()) line += ", ";
    line += listener.Address();
  }
  if (workers == 0) {
    line += ", serving in this process";
  } else {
    line += ", " + std::to_string(workers) + (workers == 1 ? " worker" : " workers");
  }
  if (!control.empty()) line += ", status on " + control;
  for (const Listener& listener : sockets.metrics) line += ", metrics on " + listener.Address();
  observe::Log(LogLevel::kInfo, line);
}

/// Removes the sockets' files of a host that serves in its first process, once: at the stop, at the end, or when a
/// module or a handler ends the process by exit(), which does not come back here.
///
/// One at a time in a process. Threads: Remove() from any, as exit() may be called on any.
class SocketFiles {
 public:
  explicit SocketFiles(ListeningSockets& sockets) {
    process_ = ::getpid();
    sockets_ = &sockets;
    if (std::atexit(&AtExit) != 0) throw std::bad_alloc();  // all that it needs is memory
  }
  SocketFiles(const SocketFiles&) = delete;
  SocketFiles& operator=(const SocketFiles&) = delete;
  ~SocketFiles() { Remove(); }

  static void Remove() noexcept {
    if (ListeningSockets* const sockets = sockets_.exchange(nullptr)) sockets->listeners.clear();
  }

 private:
  static void AtExit() {
    // Unset at the end; a child that a module has forked may have an end of its own.
    if (sockets_.load() == nullptr || process_ != ::getpid()) return;
    observe::Log(LogLevel::kError,
                 "a module or a handler ends the process by exit(): mend it, or take it away; "
                 "--log-level debug names each module before it is loaded");
    Remove();
  }

  inline static std::atomic<ListeningSockets*> sockets_{nullptr};
  inline static pid_t process_ = -1;
};

bool AccessLogIsSound(const Settings& settings) {
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

/// Opened second, one would be found taken: by this process itself.
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

/// What a worker without a supervisor may take to end beyond its drain time.
constexpr std::chrono::milliseconds kFarewell{4'000};

void Tell(ServiceManager& manager, ServiceManager::Stage stage,
          std::chrono::milliseconds stop_within = {}) noexcept {
  using Stage = ServiceManager::Stage;
  try {
    manager.Tell(stage,
                 stage == Stage::kStopping    ? "ending"
                 : stage == Stage::kReloading ? "reading the mapping files anew"
                                              : "serving in one process",
                 stop_within);
  } catch (const std::bad_alloc&) {
    // It is told less.
  }
}

/// Nothing where nobody wants to know: then nothing wakes for it either.
worker::WorkerStart::Progress ProgressFor(const std::shared_ptr<ServiceManager>& manager) {
  using Stage = ServiceManager::Stage;
  if (!manager->IsThere()) return {};
  const auto asked = std::make_shared<std::atomic<bool>>(false);
  return {.ready = [manager] { Tell(*manager, Stage::kServing); },
          .reloading =
              [manager, asked] {
                asked->store(true);
                Tell(*manager, Stage::kReloading);
              },
          .reloaded =
              [manager, asked] {
                if (asked->exchange(false)) Tell(*manager, Stage::kServing);
              },
          .alive =
              [manager] {
                manager->Beat(ServiceManager::Clock::now());
                return manager->NextCall();
              }};
}

int ServeChecked(const Settings& settings) {
  if (!SocketsAreApart(settings)) return options::kExitConfiguration;
  const std::optional<Identity> identity = FindIdentity(settings);
  // Before the sockets: a server that cannot serve must not accept.
  Mappings mappings;
  {
    const ActingAs as_handlers(identity);
    mappings = CheckedMappings(settings);
    if (!mappings || !AccessLogIsSound(settings)) return options::kExitConfiguration;
  }
  ListeningSockets sockets = OpenListeners(settings);
  const std::size_t workers = settings.WorkerCount(sockets.spawned);
  if (!settings.control.empty()) {
    if (workers == 0) {
      observe::Log(LogLevel::kError,
                   "--control needs a supervisor to answer on it, and there is none: give "
                   "--workers 1 or more, or leave --control out");
      return options::kExitConfiguration;
    }
    sockets.control.emplace(OpenControl(settings.control));
  }
  if (settings.metrics_listen) {
    if (workers == 0) {
      observe::Log(LogLevel::kError,
                   "--metrics-listen needs a supervisor to answer on it, and there is none: give "
                   "--workers 1 or more, or leave --metrics-listen out");
      return options::kExitConfiguration;
    }
    sockets.metrics = OpenMetrics(settings);
  }
  LogStart(sockets, workers, settings.control);

  if (workers > 0) {
    // A worker that replaces another inherits the last sound mappings by fork(), lest wrong files keep it from
    // serving.
    const WorkerMain worker_main = [&, supervisor = ::getpid()](worker::WorkerStart start) {
      try {
        GiveUpPrivileges(settings, identity, start.spawned);
      } catch (const PrivilegeError& error) {
        observe::Log(LogLevel::kError, error.what());
        return error.ExitCode();
      }
      // The system forgets it where the identity changes.
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      if (::getppid() != supervisor) return options::kExitOk;
      start.last_mappings = mappings;
      return worker::RunWorker(start);
    };
    const NewMappings new_mappings = [&settings, &mappings](std::uint64_t fingerprint) {
      if (Mappings sound = FoundSound(settings, fingerprint)) mappings = std::move(sound);
    };
    // Few enough by themselves: each is about a worker's life, and those have delays.
    const LogLine log = [](LogLevel level, std::string_view line) {
      observe::LogAll({.level = level, .message = line});
    };
    observe::SetProcessName("supervisor");
    observe::ShareLogLevel();
    return Supervise(settings, std::move(sockets), worker_main, log, new_mappings);
  }
  mappings.reset();
  // Shared: the thread that reads mapping files may outlive the worker.
  const auto service_manager = std::make_shared<ServiceManager>(
      sockets.spawned, [](LogLevel level, std::string_view line) { observe::Log(level, line); });
  const std::chrono::milliseconds stop_within = settings.DrainTimeout(sockets.spawned) + kFarewell;
  GiveUpPrivileges(settings, identity, sockets.spawned);
  const SocketFiles files(sockets);
  std::vector<int> descriptors;
  std::vector<std::string> addresses;
  for (Listener& listener : sockets.listeners) {
    addresses.push_back(listener.Address());
    descriptors.push_back(listener.ReleaseDescriptor());
  }
  observe::SetProcessName("worker");
  return worker::RunWorker({.settings = settings,
                            .listening_sockets = std::move(descriptors),
                            .addresses = std::move(addresses),
                            .spawned = sockets.spawned,
                            .on_stop =
                                [&] {
                                  SocketFiles::Remove();
                                  Tell(*service_manager, ServiceManager::Stage::kStopping,
                                       stop_within);
                                },
                            .progress = ProgressFor(service_manager)});
}

}  // namespace

int Serve(const Settings& settings) {
  // First of all: a signal that ended the process once the sockets are open would leave their files.
  worker::BlockSignals();
  try {
    return ServeChecked(settings);
  } catch (const ListenError& error) {
    observe::Log(LogLevel::kError, error.what());
    return error.ExitCode();
  } catch (const PrivilegeError& error) {
    observe::Log(LogLevel::kError, error.what());
    return error.ExitCode();
  } catch (const std::system_error& error) {
    observe::Log(LogLevel::kError, std::string("cannot serve: ") + error.what());
    return options::ExitCodeFor(error.code());
  } catch (const std::bad_alloc&) {
    observe::Log(LogLevel::kError, "cannot serve: there is no memory: free some, or grant more");
    return options::kExitSystem;
  } catch (const std::exception& error) {
    observe::Log(LogLevel::kError, std::string("cannot serve, a fault of Weft: ") + error.what());
    return options::kExitSoftware;
  }
}

}  // namespace weft::host::supervisor
