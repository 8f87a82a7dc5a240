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
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/supervisor/listener.hpp"
#include "host/supervisor/privileges.hpp"
#include "host/supervisor/service_manager.hpp"
#include "host/supervisor/spawner.hpp"
#include "host/supervisor/start_checks.hpp"
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

/// The table that a worker has found sound, types included: if the files are still those. If not, it stays
/// null, for a worker will report of the others too.
Mappings FoundSound(const Settings& settings, std::uint64_t fingerprint) try {
  mappings::Fingerprinter fingerprinter(settings.Mappings());
  mappings::LoadResult loaded = mappings::Load(settings.Mappings());
  return fingerprinter.Take() == fingerprint ? std::move(loaded.table) : nullptr;
} catch (const std::bad_alloc&) {
  return nullptr;
}

void LogStart(const Settings& settings, const ListeningSockets& sockets, std::size_t workers) {
  const bool is_static = settings.process_model == options::ProcessModel::kStatic;
  std::string line = "listening on ";
  for (const Listener& listener : sockets.listeners) {
    if (&listener != &sockets.listeners.front()) line += ", ";
    line += listener.Address();
  }
  if (workers == 0) {
    line += ", serving in this process";
  } else {
    line += (is_static ? ", " : ", up to ") + std::to_string(workers) +
            (workers == 1 ? " worker" : " workers");
  }
  if (!is_static) {
    line += " (" + std::string(options::FormatProcessModel(settings.process_model)) + ")";
  }
  if (!settings.control.empty()) line += ", status on " + settings.control;
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

/// Keeps what is handed over open for the program that is executed meanwhile.
class KeptOpen {
 public:
  explicit KeptOpen(const Handover& handover) : handover_(handover) {
    SetCloseOnExec(handover_, false);
  }
  KeptOpen(const KeptOpen&) = delete;
  KeptOpen& operator=(const KeptOpen&) = delete;
  ~KeptOpen() { SetCloseOnExec(handover_, true); }

 private:
  const Handover& handover_;
};

Generations GenerationsOf(const Invocation& invocation) {
  Generations generations;
  generations.become_trial = [invocation](const Handover& handover) {
    const FileDescriptor state = TextInMemory(Encode(handover));
    return Execute(invocation, "trial", state.Number());
  };
  generations.take_over = [invocation](const Handover& handover) {
    const FileDescriptor state = TextInMemory(Encode(handover));
    const KeptOpen kept(handover);
    return Execute(invocation, {}, state.Number());
  };
  generations.file_identity = [invocation] { return invocation.FileIdentity(); };
  generations.output = [](std::string_view lines) { observe::LogTextOfOther(lines, "trial"); };
  return generations;
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

/// Whom workers are to be: of a host that is reloaded, as was tried.
std::optional<Identity> IdentityOf(const Settings& settings,
                                   const std::optional<Handover>& taken_over) {
  return taken_over ? taken_over->identity : FindIdentity(settings);
}

/// Of a host that serves already: what is wrong by now that was sound when it was tried does not end it.
Mappings MappingsOfTakeover(const Settings& settings, const std::optional<Identity>& identity) {
  try {
    return SoundMappings(settings, identity);
  } catch (const PrivilegeError& error) {
    observe::Log(LogLevel::kError, error.what());
    return nullptr;
  }
}

/// False: the host ends, as it would have if it had been told in time.
bool IsStillWanted(const Settings& settings, const ListeningSockets& sockets) {
  if (EndWithSpawner(settings, sockets)) return true;
  observe::Log(LogLevel::kWarning,
               "the socket's file is gone: who has started this host has ended "
               "meanwhile, and it ends as well");
  return false;
}

/// False: the log cannot be opened, which is said, and the host does not start.
bool OpenLog(const Settings& settings, bool serves_already) {
  try {
    observe::SetUpLog(settings);
  } catch (const std::system_error& error) {
    observe::Log(LogLevel::kError, std::string(error.what()) + ": name another file with --log");
    // A host that serves already goes on, and its log is where it is at first; SIGUSR1 does not bring the file back.
    if (!serves_already) return false;
    Settings plain = settings;
    plain.log = {};
    observe::SetUpLog(plain);
  }
  return true;
}

int ServeChecked(const Settings& settings, const Invocation& invocation,
                 std::optional<Handover>&& taken_over) {
  if (!taken_over && !(SocketsAreApart(settings) && CrashFolderIsSound(settings))) {
    return options::kExitConfiguration;
  }
  const std::optional<Identity> identity = IdentityOf(settings, taken_over);
  // Before the sockets: a server that cannot serve must not accept. Of a host that does already all of that was tried.
  Mappings mappings =
      taken_over ? MappingsOfTakeover(settings, identity) : SoundMappings(settings, identity);
  if (!taken_over && (!mappings || !HasWhoAnswers(settings, /*spawned=*/false))) {
    return options::kExitConfiguration;
  }
  std::vector<Listener> known;
  if (taken_over) {
    for (const PassedSocket& socket : taken_over->sockets) known.push_back(ToListener(socket));
  }
  ListeningSockets sockets = OpenSockets(settings, known);
  // Nobody answers there any more.
  std::erase_if(known,
                [](const Listener& listener) { return listener.Source().starts_with("--"); });
  if (taken_over) sockets.spawned = taken_over->spawned;
  // What the sockets tell of who has started this process.
  if (!taken_over && !HasWhoAnswers(settings, sockets.spawned)) return options::kExitConfiguration;
  const std::size_t workers = settings.WorkerCount(sockets.spawned);
  if (const auto option = settings.NeedsSupervisor(); workers == 0 && !option.empty()) {
    observe::Log(LogLevel::kError,
                 std::string(option) +
                     ": a process that a web server has started serves itself, and "
                     "has nobody who could do that: give --workers 1 or more");
    return options::kExitUsage;
  }
  LogStart(settings, sockets, workers);

  if (workers > 0) {
    if (!IsStillWanted(settings, sockets)) return options::kExitOk;
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
    Generations generations = GenerationsOf(invocation);
    generations.log_level =
        FileDescriptor(observe::ShareLogLevel(taken_over ? taken_over->log_level : -1));
    generations.be_worker = [&settings, &identity, spawned = sockets.spawned] {
      GiveUpPrivileges(settings, identity, spawned);
    };
    generations.taken_over = std::move(taken_over);
    generations.not_wanted = std::move(known);
    return Supervise(settings, std::move(sockets), worker_main, log, new_mappings,
                     std::move(generations));
  }
  mappings.reset();
  // Shared: the thread that reads mapping files may outlive the worker.
  const auto service_manager = std::make_shared<ServiceManager>(
      sockets.spawned, [](LogLevel level, std::string_view line) { observe::Log(level, line); });
  const std::chrono::milliseconds stop_within = settings.DrainTimeout(sockets.spawned) + kFarewell;
  GiveUpPrivileges(settings, identity, sockets.spawned);
  if (!IsStillWanted(settings, sockets)) return options::kExitOk;
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

int Serve(const options::ParseResult& parsed, const Invocation& invocation,
          std::optional<Handover> taken_over) {
  const Settings& settings = *parsed.settings;
  try {
    // A host that serves already is inside.
    if (!taken_over) ChangeRoot(settings);
    if (!OpenLog(settings, taken_over.has_value())) return options::kExitConfiguration;
    observe::LogWarnings(parsed.warnings);
    // Before there is a socket: a signal that ended the process once the sockets are open would leave their files.
    worker::BlockSignals();
    return ServeChecked(settings, invocation, std::move(taken_over));
  } catch (const std::exception&) {
    return TellFailure("cannot serve");
  }
}

}  // namespace weft::host::supervisor
