#include "host/supervisor/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/supervisor/file_descriptor.hpp"
#include "host/supervisor/restart_delay.hpp"
#include "host/worker/mapping_reload.hpp"

namespace weft::host::supervisor {
namespace {

using options::LogLevel;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// What a worker gets beyond the drain time (and after SIGINT, which leaves no drain time). It then
/// cancels what is left, gives that a second to clean up, and ends by itself even if some handler
/// does not; a kill before that would take its last words and the requests' records.
constexpr milliseconds kKillGrace{2'000};

constexpr std::array kHandledSignals{SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
constexpr std::array kIgnoredByWorkers{SIGHUP, SIGUSR1, SIGUSR2};

std::system_error SystemError(const char* what) {
  return std::system_error(errno, std::system_category(), what);
}

std::string SignalName(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  return name == nullptr ? "signal " + std::to_string(signal) : std::string("SIG") + name;
}

void SetDisposition(int signal, void (*disposition)(int)) {
  struct sigaction action {};
  action.sa_handler = disposition;
  ::sigaction(signal, &action, nullptr);
}

/// How a worker ended: its status (of waitpid(2)), and whether it was killed for taking too long to start.
struct End {
  int status = 0;
  bool took_too_long = false;

  /// The kernel does so when memory runs out.
  [[nodiscard]] bool WasKilledByOthers() const {
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !took_too_long;
  }
};

/// The exit code of a host whose workers ended so, each before it was ready.
int ExitCodeAfterFailedStarts(const End& end) {
  const int status = end.status;
  if (WIFEXITED(status) && (WEXITSTATUS(status) == options::kExitSystem ||
                            WEXITSTATUS(status) == options::kExitNoPermission)) {
    return WEXITSTATUS(status);
  }
  return end.WasKilledByOthers() ? options::kExitSystem : options::kExitSoftware;
}

/// What to do about it.
std::string AdviceAfterFailedStarts(const End& end,
                                    const std::vector<std::filesystem::path>& modules) {
  const int status = end.status;
  if (end.WasKilledByOthers()) {
    return "the kernel did so most likely, for want of memory (dmesg tells): grant it more";
  }
  switch (WIFEXITED(status) ? WEXITSTATUS(status) : -1) {
    case options::kExitSystem:
    case options::kExitNoPermission:
      return "grant what its own lines above say that it lacks";
    case options::kExitSoftware:
      return "its own lines above say why: report it";
    default:
      if (modules.empty()) return "its own lines above, if there are any, say why: report it";
      std::string folders;
      for (const std::filesystem::path& folder : modules) {
        folders += (folders.empty() ? "" : ", ") + folder.string();
      }
      return "a module of " + folders + " most likely " +
             (end.took_too_long ? "does not come to an end" : "ends the process") +
             " as it is loaded: replace it, or take it away; "
             "--log-level debug names each before it is loaded";
  }
}

/// One place for a worker: the process that fills it, or the moment when it is filled again.
struct Place {
  pid_t pid = -1;  ///< -1: empty
  Clock::time_point started;
  FileDescriptor ready_pipe;  ///< open until the worker said that it is ready, or cannot any more
  bool was_ready = false;
  bool took_too_long = false;  ///< to be ready: it was killed
  std::uint64_t mappings = 0;  ///< those that it inherited (Supervisor::mappings_)
  RestartDelay delay;
  std::optional<Clock::time_point> start_at;
};

class Supervisor {
 public:
  Supervisor(const options::Settings& settings, ListeningSockets sockets,
             const WorkerMain& worker_main, const LogLine& log, const NewMappings& new_mappings);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  int Run();

 private:
  enum class Stage { kRunning, kDraining, kHurrying, kKilling };

  void TakeOverSignals();
  void OpenReports();
  void StartDueWorkers();
  void Start(Place& place);
  [[noreturn]] void BecomeWorker(FileDescriptor ready_pipe) noexcept;

  [[nodiscard]] Clock::time_point StartDeadline(const Place& place) const;
  void KillLateStarters();

  void WaitForEvents();
  [[nodiscard]] int PollTimeout() const;
  void ReadSignals();
  void OnSignal(int signal, pid_t sender);
  void ReadReadyPipe(Place& place);
  void ReadReports();
  void OnReport(const worker::ReloadReport& report);
  static void HaveAdopted(const Place& place);
  void AskForReload();
  void Reap();
  void OnDeath(pid_t pid, int status);
  void GiveUp(int exit_code, const std::string& line);

  void Stop(Stage stage);
  void KillWhenOverdue();
  void SendToAll(int signal) const;
  [[nodiscard]] bool AnyAlive() const;

  const options::Settings& settings_;
  const WorkerMain& worker_main_;
  const LogLine& log_;
  const NewMappings& new_mappings_;
  const milliseconds drain_timeout_;
  const bool spawned_;
  const pid_t own_pid_ = ::getpid();

  ListeningSockets sockets_;
  std::vector<Place> places_;
  FileDescriptor signals_;
  FileDescriptor reports_;         ///< ReloadReports of all workers
  FileDescriptor reports_writer_;  ///< for the workers
  FileDescriptor watch_lock_;      ///< for the workers
  std::uint64_t mappings_ = 0;     ///< The fingerprint of the last new ones; 0: those of the start.
  bool reload_wanted_ = false;     ///< and no worker is ready
  pid_t asked_ = -1;               ///< The worker that is to reload; -1: none.
  sigset_t inherited_mask_{};
  bool any_was_ready_ = false;
  std::size_t failed_starts_ = 0;  ///< as long as none was ready
  Stage stage_ = Stage::kRunning;
  Clock::time_point kill_at_ = Clock::time_point::max();
  int exit_code_ = options::kExitOk;
};

Supervisor::Supervisor(const options::Settings& settings, ListeningSockets sockets,
                       const WorkerMain& worker_main, const LogLine& log,
                       const NewMappings& new_mappings)
    : settings_(settings),
      worker_main_(worker_main),
      log_(log),
      new_mappings_(new_mappings),
      drain_timeout_(settings.DrainTimeout(sockets.spawned)),
      spawned_(sockets.spawned),
      sockets_(std::move(sockets)),
      places_(std::max<std::size_t>(1, settings.WorkerCount(spawned_))) {}

Supervisor::~Supervisor() {
  // Only an exception finds workers here; they must not outlive the process that answers for them.
  SendToAll(SIGKILL);
  for (const Place& place : places_) {
    if (place.pid > 0) ::waitpid(place.pid, nullptr, 0);
  }
}

int Supervisor::Run() {
  TakeOverSignals();
  OpenReports();
  places_.front().start_at = Clock::now();
  while (true) {
    if (stage_ == Stage::kRunning) {
      StartDueWorkers();
      KillLateStarters();
    } else if (!AnyAlive()) {
      return exit_code_;
    }
    WaitForEvents();
    KillWhenOverdue();
  }
}

// --- Starting -----------------------------------------------------------------------------------

void Supervisor::TakeOverSignals() {
  sigset_t handled;
  ::sigemptyset(&handled);
  for (const int signal : kHandledSignals) {
    ::sigaddset(&handled, signal);
    // Not left at "ignore", which a shell sets for its background jobs: an ignored SIGCHLD would
    // reap the workers behind our back.
    SetDisposition(signal, SIG_DFL);
  }
  SetDisposition(SIGPIPE, SIG_IGN);  // a log reader that went away must not end the host
  ::pthread_sigmask(SIG_BLOCK, &handled,
                    &inherited_mask_);  // fails for a wrong first argument only
  // A spawner may leave signals blocked; the worker needs those that we send it.
  for (const int signal : kHandledSignals) ::sigdelset(&inherited_mask_, signal);
  signals_ = FileDescriptor(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.IsOpen()) throw SystemError("signalfd");
}

void Supervisor::OpenReports() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) throw SystemError("pipe2");
  reports_ = FileDescriptor(ends[0]);
  reports_writer_ = FileDescriptor(ends[1]);
  // Without it every worker looks for changes.
  watch_lock_ = FileDescriptor(::memfd_create("weft-watch", MFD_CLOEXEC));
}

void Supervisor::StartDueWorkers() {
  const Clock::time_point now = Clock::now();
  for (Place& place : places_) {
    if (!place.start_at || *place.start_at > now) continue;
    place.start_at.reset();
    try {
      Start(place);
    } catch (const std::system_error& error) {
      if (!any_was_ready_) throw;  // cannot begin: say so, rather than look as if it ran
      const milliseconds delay = place.delay.AfterDeath(/*was_ready=*/false, milliseconds::zero());
      place.start_at = now + delay;
      log_(LogLevel::kError, "cannot start a worker: " + std::string(error.what()) +
                                 "; trying again in " + options::FormatDuration(delay));
    }
  }
}

void Supervisor::Start(Place& place) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) throw SystemError("pipe2");
  FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  std::fflush(nullptr);  // what is buffered would be written by the child once more
  const pid_t pid = ::fork();
  if (pid < 0) throw SystemError("fork");
  if (pid == 0) {
    read_end.Close();
    BecomeWorker(std::move(write_end));
  }
  place.pid = pid;
  place.started = Clock::now();
  place.ready_pipe = std::move(read_end);
  place.was_ready = false;
  place.took_too_long = false;
  place.mappings = mappings_;
}

/// Never returns, so that nothing of the supervisor's runs twice. Ends by _exit(): handlers'
/// modules may have static objects, whose destructors must not meet threads that still run.
void Supervisor::BecomeWorker(FileDescriptor ready_pipe) noexcept {
  int exit_code = options::kExitSoftware;
  try {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != own_pid_) ::_exit(options::kExitOk);  // died before it could be noticed
    if (spawned_) ::setpgid(0, 0);
    for (const int signal : kIgnoredByWorkers) SetDisposition(signal, SIG_IGN);
    ::pthread_sigmask(SIG_SETMASK, &inherited_mask_, nullptr);

    worker::WorkerStart start{.settings = settings_,
                              .ready_descriptor = ready_pipe.Release(),
                              .spawned = spawned_,
                              .report_descriptor = reports_writer_.Release(),
                              .watch_lock = watch_lock_.Release()};
    reports_.Close();
    for (Listener& listener : sockets_.listeners) {
      start.listening_sockets.push_back(listener.ReleaseDescriptor());
    }
    sockets_.listeners.clear();
    places_.clear();
    signals_.Close();
    exit_code = worker_main_(std::move(start));
  } catch (const std::exception& error) {
    log_(LogLevel::kError,
         "worker " + std::to_string(::getpid()) + " ends by an exception: " + error.what());
  } catch (...) {
    log_(LogLevel::kError,
         "worker " + std::to_string(::getpid()) + " ends by an exception of an unknown type");
  }
  std::fflush(nullptr);
  ::_exit(exit_code);
}

/// When the worker is killed unless it is ready; max(): never.
Clock::time_point Supervisor::StartDeadline(const Place& place) const {
  const bool is_starting = place.pid > 0 && !place.was_ready && !place.took_too_long;
  return is_starting && settings_.start_timeout > milliseconds::zero()
             ? place.started + settings_.start_timeout
             : Clock::time_point::max();
}

void Supervisor::KillLateStarters() {
  const Clock::time_point now = Clock::now();
  for (Place& place : places_) {
    if (now < StartDeadline(place)) continue;
    place.took_too_long = true;
    log_(LogLevel::kError, "worker " + std::to_string(place.pid) + " was not ready within " +
                               options::FormatDuration(settings_.start_timeout) +
                               " (--start-timeout): killing it");
    ::kill(place.pid, SIGKILL);
  }
}

// --- Running ------------------------------------------------------------------------------------

int Supervisor::PollTimeout() const {
  Clock::time_point next = kill_at_;
  if (stage_ == Stage::kRunning) {
    for (const Place& place : places_) {
      if (place.start_at) next = std::min(next, *place.start_at);
      next = std::min(next, StartDeadline(place));
    }
  }
  if (next == Clock::time_point::max()) return -1;
  // Rounded up: rounded down it would wake too early and spin through the last millisecond.
  const auto left = std::chrono::ceil<milliseconds>(next - Clock::now()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, std::numeric_limits<int>::max()));
}

void Supervisor::WaitForEvents() {
  std::vector<pollfd> events{{.fd = signals_.Number(), .events = POLLIN, .revents = 0},
                             {.fd = reports_.Number(), .events = POLLIN, .revents = 0}};
  const std::size_t pipes = events.size();
  for (const Place& place : places_) {
    // A negative number (no pipe) is what poll() passes over.
    events.push_back({.fd = place.ready_pipe.Number(), .events = POLLIN, .revents = 0});
  }
  if (::poll(events.data(), events.size(), PollTimeout()) < 0) {
    if (errno == EINTR) return;
    throw SystemError("poll");
  }
  // Pipes first: of a worker that became ready and died, both are known by now.
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (events[pipes + i].revents != 0) ReadReadyPipe(places_[i]);
  }
  if (events[1].revents != 0) ReadReports();
  if (events.front().revents != 0) ReadSignals();
}

void Supervisor::ReadReadyPipe(Place& place) {
  char byte = 0;
  const ssize_t count = ::read(place.ready_pipe.Number(), &byte, 1);
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;  // poll() tells again
  place.ready_pipe.Close();
  if (count != 1) return;  // it died, or closed the pipe silently: the next death counts as early
  place.was_ready = true;
  log_(LogLevel::kInfo, "worker " + std::to_string(place.pid) + " is ready");
  if (reload_wanted_) AskForReload();
  // A new one may have begun before it could be told.
  if (place.mappings != mappings_) HaveAdopted(place);
  if (std::exchange(any_was_ready_, true) || stage_ != Stage::kRunning) return;
  for (Place& other : places_) {
    if (other.pid < 0) other.start_at = Clock::now();
  }
}

void Supervisor::ReadSignals() {
  signalfd_siginfo info{};
  while (::read(signals_.Number(), &info, sizeof(info)) == ssize_t{sizeof(info)}) {
    OnSignal(static_cast<int>(info.ssi_signo), static_cast<pid_t>(info.ssi_pid));
  }
}

void Supervisor::OnSignal(int signal, pid_t sender) {
  if (signal == SIGCHLD) {
    Reap();
    return;
  }
  const std::string who = SignalName(signal) + " from process " + std::to_string(sender);
  const bool asks_for_end =
      signal == SIGTERM || signal == SIGQUIT || (signal == SIGUSR1 && spawned_);
  if (asks_for_end && stage_ == Stage::kRunning) {
    log_(LogLevel::kInfo, who + ": stopping, running requests have " +
                              options::FormatDuration(drain_timeout_) + " to end");
    Stop(Stage::kDraining);
  } else if (((asks_for_end && stage_ == Stage::kDraining) || signal == SIGINT) && !spawned_ &&
             stage_ < Stage::kHurrying) {
    log_(LogLevel::kInfo, who + ": stopping at once");
    Stop(Stage::kHurrying);
  } else if (signal == SIGHUP && stage_ == Stage::kRunning) {
    log_(LogLevel::kInfo, who + ": the mapping files are read anew");
    AskForReload();
  } else {
    log_(LogLevel::kInfo, who + ": ignored");
  }
}

void Supervisor::ReadReports() {
  worker::ReloadReport report;
  // Each was written whole, and so is read whole.
  while (::read(reports_.Number(), &report, sizeof(report)) == ssize_t{sizeof(report)}) {
    OnReport(report);
  }
}

void Supervisor::OnReport(const worker::ReloadReport& report) {
  const bool was_asked = report.process == asked_;
  if (was_asked) asked_ = -1;
  if (report.accepted == 0 || stage_ != Stage::kRunning) return;
  if (report.fingerprint == mappings_ && !was_asked) return;  // it has adopted them
  mappings_ = report.fingerprint;
  if (new_mappings_) new_mappings_(report.fingerprint);
  for (const Place& place : places_) {
    if (place.pid > 0 && place.pid != report.process) HaveAdopted(place);
  }
}

void Supervisor::HaveAdopted(const Place& place) {
  sigval order{};
  order.sival_int = static_cast<int>(worker::ReloadOrder::kAdopt);
  ::sigqueue(place.pid, SIGHUP, order);
}

/// Of a worker that is ready, or else of the first that will be: one that starts reads the files, but perhaps it
/// has done so already.
void Supervisor::AskForReload() {
  const auto ready = std::find_if(places_.begin(), places_.end(), [](const Place& place) {
    return place.pid > 0 && place.was_ready;
  });
  reload_wanted_ = ready == places_.end();
  if (reload_wanted_) return;
  asked_ = ready->pid;
  ::kill(asked_, SIGHUP);
}

/// Collects our own children one by one: a wait for any child could take another's, once the
/// process has some. As process 1 of a container it also inherits orphans of the workers, which
/// nobody else would collect.
void Supervisor::Reap() {
  int status = 0;
  for (const Place& place : places_) {
    const pid_t pid = place.pid;
    if (pid > 0 && ::waitpid(pid, &status, WNOHANG) == pid) OnDeath(pid, status);
  }
  if (own_pid_ != 1) return;
  while (true) {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    OnDeath(pid, status);
  }
}

void Supervisor::OnDeath(pid_t pid, int status) {
  const auto found = std::find_if(places_.begin(), places_.end(),
                                  [pid](const Place& place) { return place.pid == pid; });
  if (found == places_.end()) return;  // an orphan that process 1 inherited
  Place& place = *found;
  if (place.ready_pipe.IsOpen()) ReadReadyPipe(place);
  place.ready_pipe.Close();
  place.pid = -1;

  const bool was_killed = WIFSIGNALED(status);
  const int exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  std::string line = "worker " + std::to_string(pid);
  if (was_killed) {
    line += " was ended by " + SignalName(WTERMSIG(status));
    if (WCOREDUMP(status)) line += " (core dumped)";
  } else {
    line += " exited with code " + std::to_string(exit_code);
  }
  const auto lived = std::chrono::duration_cast<milliseconds>(Clock::now() - place.started);
  line += place.was_ready ? " after " + options::FormatDuration(lived) : " before it was ready";

  if (stage_ != Stage::kRunning) {
    log_(LogLevel::kInfo, line);
    return;
  }
  if (!any_was_ready_) {
    if (exit_code == options::kExitConfiguration) {
      GiveUp(exit_code, line + ": stopping, the configuration is wrong");
      return;
    }
    if (++failed_starts_ >= settings_.max_start_failures) {
      const End end{.status = status, .took_too_long = place.took_too_long};
      GiveUp(ExitCodeAfterFailedStarts(end),
             line + ": giving up, no worker was ever ready (--max-start-failures " +
                 std::to_string(settings_.max_start_failures) +
                 "): " + AdviceAfterFailedStarts(end, settings_.ModuleFolders()));
      return;
    }
  }
  const milliseconds delay = place.delay.AfterDeath(place.was_ready, lived);
  place.start_at = Clock::now() + delay;
  line += delay == milliseconds::zero() ? ": starting another"
                                        : ": starting another in " + options::FormatDuration(delay);
  log_(exit_code == 0 && place.was_ready ? LogLevel::kInfo : LogLevel::kError, line);
  if (pid == asked_) {
    asked_ = -1;
    AskForReload();
  }
}

void Supervisor::GiveUp(int exit_code, const std::string& line) {
  log_(LogLevel::kError, line);
  exit_code_ = exit_code;
  Stop(Stage::kDraining);
}

// --- Stopping -----------------------------------------------------------------------------------

void Supervisor::Stop(Stage stage) {
  stage_ = stage;
  sockets_.listeners.clear();
  const bool is_graceful = stage == Stage::kDraining;
  SendToAll(is_graceful ? SIGTERM : SIGINT);
  kill_at_ = Clock::now() + (is_graceful ? drain_timeout_ : milliseconds::zero()) + kKillGrace;
}

void Supervisor::KillWhenOverdue() {
  if (stage_ == Stage::kRunning || Clock::now() < kill_at_) return;
  for (const Place& place : places_) {
    if (place.pid < 0) continue;
    log_(LogLevel::kWarning,
         "worker " + std::to_string(place.pid) + " did not end in time: killing it");
  }
  SendToAll(SIGKILL);
  stage_ = Stage::kKilling;
  kill_at_ = Clock::time_point::max();
}

void Supervisor::SendToAll(int signal) const {
  for (const Place& place : places_) {
    // The number cannot be another process's: it stays taken until waitpid() has returned it.
    if (place.pid > 0) ::kill(place.pid, signal);
  }
}

bool Supervisor::AnyAlive() const {
  return std::any_of(places_.begin(), places_.end(),
                     [](const Place& place) { return place.pid > 0; });
}

}  // namespace

int Supervise(const options::Settings& settings, ListeningSockets sockets,
              const WorkerMain& worker_main, const LogLine& log, const NewMappings& new_mappings) {
  return Supervisor(settings, std::move(sockets), worker_main, log, new_mappings).Run();
}

}  // namespace weft::host::supervisor
