#include "host/supervisor/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include "host/observe/host_report.hpp"
#include "host/observe/listen_queue.hpp"
#include "host/observe/log.hpp"
#include "host/observe/scoreboard.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/options/version.hpp"
#include "host/supervisor/control_socket.hpp"
#include "host/supervisor/file_descriptor.hpp"
#include "host/supervisor/http_answers.hpp"
#include "host/supervisor/mappings_state.hpp"
#include "host/supervisor/restart_delay.hpp"
#include "host/supervisor/service_manager.hpp"
#include "host/supervisor/status.hpp"
#include "host/supervisor/worker_exit.hpp"
#include "host/supervisor/worker_output.hpp"
#include "host/worker/mapping_reload.hpp"
#include "host/worker/message.hpp"

namespace weft::host::supervisor {
namespace {

using options::LogLevel;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using SystemClock = std::chrono::system_clock;

/// What a worker gets beyond the drain time (and after SIGINT, which leaves no drain time). It then
/// cancels what is left, gives that a second to clean up, and ends by itself even if some handler
/// does not; a kill before that would take its last words and the requests' records.
constexpr milliseconds kKillGrace{2'000};

/// Messages that are read in a round, of a worker that does not stop sending. More than its socket holds, so that all
/// is read that a dead one has left.
constexpr int kMaxMessages = 1'024;

/// A place may have a worker that retires beside the one that has replaced it.
constexpr std::size_t kPartsOfPlace = 2;

/// The queues of the listening sockets are looked at so often at most, when there is something else to do, and whenever
/// somebody asks.
constexpr milliseconds kQueueInterval{1'000};

std::vector<observe::ListenQueues::Socket> QueuesOf(const ListeningSockets& sockets) {
  std::vector<observe::ListenQueues::Socket> queues;
  for (const Listener& listener : sockets.listeners) {
    queues.push_back({listener.Descriptor(), listener.Address()});
  }
  return queues;
}
/// The request for the level of the log; with a level behind it, to set it.
constexpr std::string_view kLogLevel = "log-level";

constexpr std::array kHandledSignals{SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
constexpr std::array kIgnoredByWorkers{SIGHUP, SIGUSR1, SIGUSR2};

std::system_error SystemError(const char* what) {
  return std::system_error(errno, std::system_category(), what);
}

void SetDisposition(int signal, void (*disposition)(int)) {
  struct sigaction action {};
  action.sa_handler = disposition;
  ::sigaction(signal, &action, nullptr);
}

/// One place for a worker: the process that fills it, or the moment when it is filled again.
struct Place {
  pid_t pid = -1;  ///< -1: empty
  Clock::time_point started;
  FileDescriptor channel;  ///< its messages (worker/message.hpp), as long as it can send any
  bool was_ready = false;
  bool took_too_long = false;              ///< to be ready: it was killed
  std::unique_ptr<WorkerOutput> output{};  ///< what it writes; null: nobody reads it
  std::string loading;         ///< the module that it loads, if it told, until it is ready
  std::uint64_t mappings = 0;  ///< those that it serves with, or began with (Supervisor::mappings_)
  RestartDelay delay;
  std::optional<Clock::time_point> start_at;
  observe::Scoreboard::Part part;  ///< where it counts what it does
  bool retires = false;            ///< it takes no requests any more, by its own word
  /// There were too many that retire, and it was told to end, or waits for another that was.
  bool told_to_hurry = false;

  // For the status.
  std::size_t starts = 0;
  SystemClock::time_point since = SystemClock::now();  ///< the last change of what it does
  std::optional<WorkerEnd> last_end;
  std::optional<worker::Figures> figures;  ///< of the worker that is there, as it told last
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
  void OpenWatchLock();
  void StartDueWorkers();
  void Start(Place& place);
  [[noreturn]] void BecomeWorker(const std::string& name, FileDescriptor channel,
                                 FileDescriptor output, observe::Scoreboard::Part part) noexcept;

  [[nodiscard]] Clock::time_point StartDeadline(const Place& place) const;
  void KillLateStarters();

  void TellFigures();
  void LookAtQueues(Clock::time_point now);

  void WaitForEvents();
  [[nodiscard]] int PollTimeout(Clock::time_point now) const;
  void ReadSignals();
  void OnSignal(int signal, pid_t sender);
  void ReadMessages(Place& place) noexcept;
  void OnReady(Place& place);
  void ReplaceRetiring();
  template <typename F>
  void ForEachProcess(F function);
  template <typename F>
  void ForEachProcess(F function) const;
  void OnReport(Place& place, worker::ReloadReport report);
  static void HaveAdopted(const Place& place);
  void AskForReload();
  void Reap();
  void Collect(pid_t pid);
  void OnDeath(Place& place, int status);
  void OnRetired(Place& place, int status);
  void GiveUp(int exit_code, const std::string& line);

  void Stop(Stage stage);
  void KillWhenOverdue();
  void SendToAll(int signal) const;
  [[nodiscard]] bool AnyAlive() const;
  [[nodiscard]] bool Lives(pid_t pid) const;

  [[nodiscard]] std::string Answer(std::string_view request);
  [[nodiscard]] std::string SetLevel(std::string_view name) const;
  [[nodiscard]] observe::HostReport Report();
  [[nodiscard]] HostStatus Status() const;
  void TellServiceManager() noexcept;
  [[nodiscard]] WorkerStatus StatusOf(const Place& place) const;

  const options::Settings& settings_;
  const WorkerMain& worker_main_;
  const LogLine& log_;
  const NewMappings& new_mappings_;
  const milliseconds drain_timeout_;
  const bool spawned_;
  const pid_t own_pid_ = ::getpid();

  const SystemClock::time_point since_ = SystemClock::now();

  observe::Scoreboard figures_;
  ListeningSockets sockets_;
  observe::ListenQueues queues_;
  Clock::time_point queues_seen_{};
  std::optional<ControlSocket> control_;
  std::vector<ControlSocket> metrics_;
  ServiceManager service_manager_{spawned_, log_};
  std::vector<Place> places_;
  /// Workers that retire, and have been replaced; no more than there are places. They never move but when one has ended.
  std::vector<Place> retiring_;
  FileDescriptor signals_;
  FileDescriptor watch_lock_;     ///< for the workers
  std::uint64_t mappings_ = 0;    ///< The fingerprint of the last new ones; 0: those of the start.
  MappingsState mappings_state_;  ///< for the status
  bool reload_wanted_ = false;    ///< and no worker is ready
  pid_t asked_ = -1;              ///< The worker that is to reload; -1: none.
  std::vector<pollfd>
      events_;  ///< has room for all that there are, so that a round needs no memory
  std::vector<char> packet_ = std::vector<char>(worker::kMaxMessageBytes);
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
      figures_(kPartsOfPlace * std::max<std::size_t>(1, settings.WorkerCount(sockets.spawned))),
      sockets_(std::move(sockets)),
      queues_(QueuesOf(sockets_)),
      places_(std::max<std::size_t>(1, settings.WorkerCount(spawned_))) {
  auto& host = figures_.Host();
  host.supervisor.Set(static_cast<std::uint64_t>(own_pid_));
  host.since_ms.Set(static_cast<std::uint64_t>(
      std::chrono::duration_cast<milliseconds>(since_.time_since_epoch()).count()));
  host.worker_places.Set(places_.size());
  retiring_.reserve(places_.size());
  events_.reserve(1 + 4 * places_.size() +
                  (1 + sockets_.metrics.size()) * ControlSocket::kMaxEvents);
  if (sockets_.control) {
    control_.emplace(std::move(*sockets_.control),
                     [this](std::string_view request) { return Answer(request); });
    sockets_.control.reset();
  }
  metrics_.reserve(sockets_.metrics.size());
  for (Listener& listener : sockets_.metrics) {
    metrics_.emplace_back(
        std::move(listener),
        [this](std::string_view head) { return AnswerHttp(head, [this] { return Report(); }); },
        kHttpFraming);
  }
  sockets_.metrics.clear();
}

Supervisor::~Supervisor() {
  // Only an exception finds workers here; they must not outlive the process that answers for them.
  SendToAll(SIGKILL);
  ForEachProcess([](const Place& place) { ::waitpid(place.pid, nullptr, 0); });
}

/// In the shared memory, for metrics and for the workers' own status handlers.
void Supervisor::TellFigures() {
  auto& host = figures_.Host();
  const auto stage = stage_ == Stage::kRunning    ? (any_was_ready_ ? observe::HostStage::kServing
                                                                    : observe::HostStage::kStarting)
                     : stage_ == Stage::kDraining ? observe::HostStage::kDraining
                                                  : observe::HostStage::kStopping;
  host.stage.Set(static_cast<std::uint64_t>(stage));
  host.mapping_tables.Set(mappings_state_.Tables());
  host.mapping_problems.Set(mappings_state_.ProblemCount());
  ForEachProcess([&](const Place& place) {
    figures_.SetStage(place.part, stage_ != Stage::kRunning ? observe::WorkerStage::kEnding
                                  : place.retires           ? observe::WorkerStage::kRetiring
                                  : place.was_ready         ? observe::WorkerStage::kReady
                                                            : observe::WorkerStage::kStarting);
  });
  if (const auto now = Clock::now(); now - queues_seen_ >= kQueueInterval) LookAtQueues(now);
}

void Supervisor::LookAtQueues(Clock::time_point now) {
  queues_seen_ = now;
  // Those who wait now are refused by the system.
  if (stage_ == Stage::kRunning) queues_.Look(figures_.Host());
}

/// Calls `function` with each place that a process fills, and each that retires.
template <typename F>
void Supervisor::ForEachProcess(F function) {
  for (std::vector<Place>* const places : {&places_, &retiring_}) {
    for (Place& place : *places) {
      if (place.pid > 0) function(place);
    }
  }
}

template <typename F>
void Supervisor::ForEachProcess(F function) const {
  for (const std::vector<Place>* const places : {&places_, &retiring_}) {
    for (const Place& place : *places) {
      if (place.pid > 0) function(place);
    }
  }
}

int Supervisor::Run() {
  TakeOverSignals();
  OpenWatchLock();
  places_.front().start_at = Clock::now();
  while (true) {
    if (stage_ == Stage::kRunning) {
      ReplaceRetiring();
      StartDueWorkers();
      KillLateStarters();
    } else if (!AnyAlive()) {
      return exit_code_;
    }
    TellFigures();
    TellServiceManager();
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

void Supervisor::OpenWatchLock() {
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
  // One each: who sends is beyond doubt, and none can crowd out the others' messages.
  constexpr int kKind = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (::socketpair(AF_UNIX, kKind, 0, ends.data()) != 0) throw SystemError("socketpair");
  FileDescriptor own_end(ends[0]);
  FileDescriptor workers_end(ends[1]);
  std::array<int, 2> pipe_ends{-1, -1};
  if (::pipe2(pipe_ends.data(), O_CLOEXEC) != 0) throw SystemError("pipe2");
  FileDescriptor output(pipe_ends[0]);
  FileDescriptor workers_output(pipe_ends[1]);
  // The worker's end waits, as who writes to standard error expects.
  ::fcntl(output.Number(), F_SETFL, O_NONBLOCK);
  const std::string name = "worker " + std::to_string(1 + (&place - places_.data()));
  std::fflush(nullptr);  // what is buffered would be written by the child once more
  const observe::Scoreboard::Part part = figures_.Take();
  const pid_t pid = ::fork();
  if (pid < 0) {
    const int error = errno;
    figures_.GiveBack(part);
    throw std::system_error(error, std::system_category(), "fork");
  }
  if (pid == 0) {
    own_end.Close();
    output.Close();
    BecomeWorker(name, std::move(workers_end), std::move(workers_output), part);
  }
  place.part = part;
  figures_.SetProcess(part, pid, 0);
  figures_.Host().worker_starts.Add();
  place.output = std::make_unique<WorkerOutput>(std::move(output), pid, name, settings_.log_rate,
                                                settings_.log_burst);
  place.pid = pid;
  place.started = Clock::now();
  place.channel = std::move(own_end);
  place.was_ready = false;
  place.took_too_long = false;
  place.loading.clear();
  place.since = SystemClock::now();
  ++place.starts;
  place.mappings = mappings_;
}

/// Never returns, so that nothing of the supervisor's runs twice. Ends by _exit(): handlers'
/// modules may have static objects, whose destructors must not meet threads that still run.
void Supervisor::BecomeWorker(const std::string& name, FileDescriptor channel,
                              FileDescriptor output, observe::Scoreboard::Part part) noexcept {
  int exit_code = options::kExitSoftware;
  try {
    observe::SetProcessName(name);
    observe::CaptureOutput(output.Release());
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != own_pid_) ::_exit(options::kExitOk);  // died before it could be noticed
    if (spawned_) ::setpgid(0, 0);
    for (const int signal : kIgnoredByWorkers) SetDisposition(signal, SIG_IGN);
    ::pthread_sigmask(SIG_SETMASK, &inherited_mask_, nullptr);

    worker::WorkerStart start{.settings = settings_,
                              .supervisor = channel.Release(),
                              .spawned = spawned_,
                              .watch_lock = watch_lock_.Release(),
                              .figures = &figures_,
                              .part = part};
    figures_.KeepOnly(part);
    control_.reset();
    metrics_.clear();
    for (Listener& listener : sockets_.listeners) {
      start.listening_sockets.push_back(listener.ReleaseDescriptor());
    }
    sockets_.listeners.clear();
    places_.clear();
    retiring_.clear();
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
                               " (--start-timeout)" + AsItLoads(place.loading) + ": killing it");
    ::kill(place.pid, SIGKILL);
  }
}

// --- Running ------------------------------------------------------------------------------------

int Supervisor::PollTimeout(Clock::time_point now) const {
  Clock::time_point next = std::min(kill_at_, service_manager_.NextCall());
  if (control_) next = std::min(next, control_->NextDeadline(now));
  for (const ControlSocket& metrics : metrics_) next = std::min(next, metrics.NextDeadline(now));
  // Nobody waits in the queues of a host that nobody uses.
  if (stage_ == Stage::kRunning && figures_.HasConnections()) {
    next = std::min(next, queues_seen_ + kQueueInterval);
  }
  ForEachProcess([&next](const Place& place) {
    if (place.output) next = std::min(next, place.output->NextDeadline());
  });
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
  const Clock::time_point now = Clock::now();
  events_.clear();
  events_.push_back({.fd = signals_.Number(), .events = POLLIN, .revents = 0});
  for (const Place& place : places_) {
    // A negative number (no channel) is what poll() passes over.
    events_.push_back({.fd = place.channel.Number(), .events = POLLIN, .revents = 0});
  }
  for (const Place& place : retiring_) {
    events_.push_back({.fd = place.channel.Number(), .events = POLLIN, .revents = 0});
  }
  const std::size_t of_control = events_.size();
  if (control_) control_->AppendEvents(events_, now);
  std::size_t of_metrics = events_.size();
  for (const ControlSocket& metrics : metrics_) metrics.AppendEvents(events_, now);
  const std::size_t of_output = events_.size();
  ForEachProcess([this](const Place& place) {
    const int pipe = place.output ? place.output->Descriptor() : -1;
    events_.push_back({.fd = pipe, .events = POLLIN, .revents = 0});
  });
  if (::poll(events_.data(), events_.size(), PollTimeout(now)) < 0) {
    if (errno == EINTR) return;
    throw SystemError("poll");
  }
  // As they were appended: nothing has ended since.
  std::size_t next_output = of_output;
  ForEachProcess([&](Place& place) {
    if (events_[next_output++].revents != 0) place.output->Read();
    if (place.output) place.output->TellDropped(Clock::now());
  });
  // Messages first: of a worker that became ready and died, both are known by now.
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (events_[1 + i].revents != 0) ReadMessages(places_[i]);
  }
  for (std::size_t i = 0; i < retiring_.size(); ++i) {
    if (events_[1 + places_.size() + i].revents != 0) ReadMessages(retiring_[i]);
  }
  if (events_.front().revents != 0) ReadSignals();
  // Last: it tells of all this.
  const std::span all(events_);
  if (control_) {
    control_->Handle(all.subspan(of_control, of_metrics - of_control), Clock::now());
  }
  for (ControlSocket& metrics : metrics_) {
    const std::size_t count = metrics.Events();
    metrics.Handle(all.subspan(of_metrics, count), Clock::now());
    of_metrics += count;
  }
}

/// A worker runs its handlers' code: nothing that comes from it is trusted, and what cannot be read is passed over.
void Supervisor::ReadMessages(Place& place) noexcept {
  for (int i = 0; i < kMaxMessages && place.channel.IsOpen(); ++i) {
    const ssize_t count =
        ::recv(place.channel.Number(), packet_.data(), packet_.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      // It died, or has closed its end: if it was not ready, its death counts as early.
      place.channel.Close();
      return;
    }
    const auto size = static_cast<std::size_t>(count);
    if (size > packet_.size()) continue;  // cut
    try {
      std::optional<worker::Message> message =
          worker::Decode(std::string_view(packet_.data(), size));
      if (!message) continue;
      if (auto* const report = std::get_if<worker::ReloadReport>(&*message)) {
        OnReport(place, std::move(*report));
      } else if (auto* const loading = std::get_if<worker::Loading>(&*message)) {
        place.loading = std::move(loading->module);
      } else if (std::holds_alternative<worker::Retiring>(*message)) {
        if (place.was_ready && !std::exchange(place.retires, true))
          place.since = SystemClock::now();
      } else if (auto* const figures = std::get_if<worker::Figures>(&*message)) {
        place.figures = std::move(*figures);
      } else {
        OnReady(place);
      }
    } catch (const std::exception&) {
      // No memory. The worker serves all the same, and the next message may be read.
    }
  }
}

void Supervisor::OnReady(Place& place) {
  if (place.was_ready) return;
  place.was_ready = true;
  place.since = SystemClock::now();
  mappings_state_.OnServing(place.since);
  if (reload_wanted_) AskForReload();
  // A new one may have begun before it could be told.
  if (place.mappings != mappings_) HaveAdopted(place);
  if (!std::exchange(any_was_ready_, true) && stage_ == Stage::kRunning) {
    for (Place& other : places_) {
      if (other.pid < 0) other.start_at = Clock::now();
    }
  }
  log_(LogLevel::kInfo, "worker " + std::to_string(place.pid) + " is ready");
}

/// Has others begin in the places of workers that retire. These end by themselves, each when the last request has ended that
/// it holds; as many of them as there are places may do so at once. Beyond that the first of them has the drain time,
/// and a place waits.
void Supervisor::ReplaceRetiring() {
  for (Place& place : places_) {
    if (place.pid < 0 || !place.retires) continue;
    if (retiring_.size() == places_.size()) {
      const auto first = std::find_if(retiring_.begin(), retiring_.end(),
                                      [](const Place& other) { return !other.told_to_hurry; });
      if (!std::exchange(place.told_to_hurry, true) && first != retiring_.end()) {
        first->told_to_hurry = true;
        log_(LogLevel::kWarning, "worker " + std::to_string(place.pid) + " retires, and " +
                                     std::to_string(retiring_.size()) +
                                     " others do so still: worker " + std::to_string(first->pid) +
                                     " has " + options::FormatDuration(drain_timeout_) + " to end");
        ::kill(first->pid, SIGTERM);
      }
      continue;
    }
    const auto lived = std::chrono::duration_cast<milliseconds>(Clock::now() - place.started);
    Place next;
    next.starts = place.starts;
    next.last_end = place.last_end;
    next.delay = place.delay;
    const milliseconds delay = next.delay.AfterDeath(/*was_ready=*/true, lived);
    next.start_at = Clock::now() + delay;
    log_(LogLevel::kWarning,
         "worker " + std::to_string(place.pid) +
             " retires, a handler of it is stuck: starting another" +
             (delay == milliseconds::zero() ? "" : " in " + options::FormatDuration(delay)));
    if (place.pid == asked_) {
      asked_ = -1;
      AskForReload();
    }
    place.told_to_hurry = false;
    figures_.Host().workers_replaced.Add();
    retiring_.push_back(std::exchange(place, std::move(next)));
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
    if (observe::LogLevelNow() != settings_.log_level) {
      observe::SetLogLevel(settings_.log_level);
      log_(LogLevel::kInfo, "the log level is " + options::FormatLogLevel(settings_.log_level) +
                                " again, as --log-level says");
    }
    log_(LogLevel::kInfo, who + ": the mapping files are read anew");
    AskForReload();
    TellServiceManager();  // before it can be over
  } else if (signal == SIGUSR1 && !spawned_) {
    observe::ReopenLog();
    SendToAll(SIGUSR1);
    log_(LogLevel::kInfo, who + ": the files of the logs are opened anew");
  } else {
    log_(LogLevel::kInfo, who + ": ignored");
  }
}

void Supervisor::OnReport(Place& place, worker::ReloadReport report) {
  const bool is_reload = report.cause == worker::ReloadReport::Cause::kReload;
  const bool was_asked = is_reload && place.pid == asked_;
  if (was_asked) asked_ = -1;
  if (stage_ != Stage::kRunning) return;
  const std::uint64_t fingerprint = report.fingerprint;
  // Else it has adopted those, or has begun with what the others have, or will have soon.
  const bool is_new_table = is_reload && report.accepted && (fingerprint != mappings_ || was_asked);
  if (is_reload && report.accepted) place.mappings = fingerprint;
  if (is_reload && !report.accepted) figures_.Host().mapping_refusals.Add();
  if (is_new_table) figures_.Host().mapping_reloads.Add();
  mappings_state_.OnReport(std::move(report), {.worker = place.pid,
                                               .is_new_table = is_new_table,
                                               .reporter_lives = Lives(mappings_state_.Reporter()),
                                               .now = Clock::now(),
                                               .time = SystemClock::now()});
  if (!is_new_table) return;
  mappings_ = fingerprint;
  for (const Place& other : places_) {
    if (other.pid > 0 && other.pid != place.pid && !other.retires) HaveAdopted(other);
  }
  // After them: it takes its time, and they need none of it.
  if (new_mappings_) new_mappings_(fingerprint);
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
    return place.pid > 0 && place.was_ready && !place.retires;
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
  const auto collect_if_ended = [this](const Place& place) {
    siginfo_t ended{};
    // Left to be collected, so that its number stays its own while its last words are read.
    if (place.pid > 0 &&
        ::waitid(P_PID, static_cast<id_t>(place.pid), &ended, WEXITED | WNOHANG | WNOWAIT) == 0) {
      Collect(ended.si_pid);
    }
  };
  std::for_each(places_.begin(), places_.end(), collect_if_ended);
  // From the last on: one that has ended goes.
  for (std::size_t i = retiring_.size(); i-- > 0;) collect_if_ended(retiring_[i]);
  if (own_pid_ != 1) return;
  siginfo_t ended{};
  while (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid > 0) {
    Collect(std::exchange(ended.si_pid, 0));
  }
}

/// Of a child that has ended; 0: none has.
void Supervisor::Collect(pid_t pid) {
  if (pid <= 0) return;
  Place* found = nullptr;  // none: an orphan that process 1 inherited
  ForEachProcess([&](Place& place) {
    if (place.pid == pid) found = &place;
  });
  if (found != nullptr) ReadMessages(*found);
  if (found != nullptr && found->output) found->output->End();
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (found == nullptr) return;
  const auto retired = std::find_if(retiring_.begin(), retiring_.end(),
                                    [pid](const Place& place) { return place.pid == pid; });
  if (retired == retiring_.end()) {
    OnDeath(*found, status);
  } else {
    OnRetired(*retired, status);
    retiring_.erase(retired);
  }
}

/// Of a worker whose place was filled anew before.
void Supervisor::OnRetired(Place& place, int status) {
  figures_.GiveBack(std::exchange(place.part, std::nullopt));
  const auto lived = std::chrono::duration_cast<milliseconds>(Clock::now() - place.started);
  const WorkerExit exit{.status = status, .was_ready = true, .lived = lived};
  log_(exit.Code() == 0 ? LogLevel::kInfo : LogLevel::kError,
       "worker " + std::to_string(place.pid) + ", which retired, " + ToString(exit) +
           (exit.Code() == 0 || !place.output ? "" : place.output->LastWords()));
}

void Supervisor::OnDeath(Place& place, int status) {
  place.retires = false;
  place.told_to_hurry = false;
  const pid_t pid = std::exchange(place.pid, -1);
  place.channel.Close();
  place.figures.reset();
  figures_.GiveBack(std::exchange(place.part, std::nullopt));

  const auto lived = std::chrono::duration_cast<milliseconds>(Clock::now() - place.started);
  const WorkerExit exit{.status = status,
                        .was_ready = place.was_ready,
                        .lived = lived,
                        .took_too_long = place.took_too_long,
                        .loading = place.loading};
  if (stage_ == Stage::kRunning) figures_.Host().worker_ends.Add(NameOf(exit));
  std::string reason = ToString(exit);
  std::string line = "worker " + std::to_string(pid) + " " + reason;
  place.since = SystemClock::now();
  place.last_end = {.pid = pid, .at = place.since, .status = status, .reason = std::move(reason)};

  if (stage_ != Stage::kRunning) {
    log_(LogLevel::kInfo, line);
    return;
  }
  if (!any_was_ready_) {
    if (exit.Code() == options::kExitConfiguration) {
      GiveUp(exit.Code(), line + ": stopping, the configuration is wrong");
      return;
    }
    if (++failed_starts_ >= settings_.max_start_failures) {
      GiveUp(ExitCodeAfterFailedStarts(exit),
             line + ": giving up, no worker was ever ready (--max-start-failures " +
                 std::to_string(settings_.max_start_failures) +
                 "): " + AdviceAfterFailedStarts(exit, settings_.ModuleFolders()) +
                 (place.output ? place.output->LastWords() : ""));
      return;
    }
  }
  const milliseconds delay = place.delay.AfterDeath(place.was_ready, lived);
  place.start_at = Clock::now() + delay;
  line += delay == milliseconds::zero() ? ": starting another"
                                        : ": starting another in " + options::FormatDuration(delay);
  if (exit.Code() != 0 && place.output) line += place.output->LastWords();
  log_(exit.Code() == 0 && place.was_ready ? LogLevel::kInfo : LogLevel::kError, line);
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
  if (stage_ == Stage::kRunning) {
    for (Place& place : places_) place.since = SystemClock::now();
  }
  stage_ = stage;
  sockets_.listeners.clear();
  const bool is_graceful = stage == Stage::kDraining;
  SendToAll(is_graceful ? SIGTERM : SIGINT);
  kill_at_ = Clock::now() + (is_graceful ? drain_timeout_ : milliseconds::zero()) + kKillGrace;
  TellServiceManager();
}

void Supervisor::KillWhenOverdue() {
  if (stage_ == Stage::kRunning || Clock::now() < kill_at_) return;
  ForEachProcess([this](const Place& place) {
    log_(LogLevel::kWarning,
         "worker " + std::to_string(place.pid) + " did not end in time: killing it");
  });
  SendToAll(SIGKILL);
  stage_ = Stage::kKilling;
  kill_at_ = Clock::time_point::max();
}

void Supervisor::SendToAll(int signal) const {
  // The number cannot be another process's: it stays taken until waitpid() has returned it.
  ForEachProcess([signal](const Place& place) { ::kill(place.pid, signal); });
}

bool Supervisor::AnyAlive() const {
  bool any = false;
  ForEachProcess([&any](const Place&) { any = true; });
  return any;
}

bool Supervisor::Lives(pid_t pid) const {
  bool lives = false;
  ForEachProcess([&lives, pid](const Place& place) { lives = lives || place.pid == pid; });
  return lives;
}

// --- The status ---------------------------------------------------------------------------------

std::string Supervisor::Answer(std::string_view request) {
  constexpr std::string_view kRequests = "send a line with the word status, metrics or log-level";
  if (request == "status") {
    const observe::HostReport report = Report();
    HostStatus status = Status();
    status.report = &report;
    return ToJson(status);
  }
  if (request == "metrics") return observe::ReportToOpenMetrics(Report());
  if (request == kLogLevel) return LogLevelToJson(observe::LogLevelNow());
  if (request.starts_with(kLogLevel) && request.substr(kLogLevel.size()).starts_with(' ')) {
    return SetLevel(request.substr(kLogLevel.size() + 1));
  }
  if (request.size() > ControlSocket::kMaxRequestBytes) {
    return ErrorToJson("the request has more than " +
                       std::to_string(ControlSocket::kMaxRequestBytes) +
                       " bytes: " + std::string(kRequests));
  }
  return ErrorToJson("unknown request " + options::Quoted(request) + ": " + std::string(kRequests));
}

observe::HostReport Supervisor::Report() {
  const auto now = Clock::now();
  LookAtQueues(now);  // first: what follows does not look again then
  TellFigures();
  return observe::ReadReport(figures_, options::Version(), now);
}

/// Of all processes: they share it.
std::string Supervisor::SetLevel(std::string_view name) const {
  try {
    const LogLevel level = options::ParseLogLevel(name);
    const LogLevel before = observe::LogLevelNow();
    // Told at whichever of the two shows it.
    const auto line = "the log level is " + options::FormatLogLevel(level) +
                      " from now on, it was " + options::FormatLogLevel(before) +
                      ": asked for on --control";
    if (level > before) log_(LogLevel::kInfo, line);
    observe::SetLogLevel(level);
    if (level <= before) log_(LogLevel::kInfo, line);
    return LogLevelToJson(level);
  } catch (const options::BadValue& bad) {
    return ErrorToJson(bad.what());
  }
}

HostStatus Supervisor::Status() const {
  HostStatus status{.pid = own_pid_,
                    .since = since_,
                    .stage = stage_ == Stage::kRunning    ? HostStatus::Stage::kRunning
                             : stage_ == Stage::kDraining ? HostStatus::Stage::kDraining
                                                          : HostStatus::Stage::kStopping,
                    .sources = settings_.Mappings(),
                    .mappings = &mappings_state_};
  for (const Listener& listener : sockets_.listeners) status.listen.push_back(listener.Address());
  for (const Place& place : places_) status.workers.push_back(StatusOf(place));
  for (const Place& place : retiring_) status.workers.push_back(StatusOf(place));
  return status;
}

void Supervisor::TellServiceManager() noexcept {
  if (!service_manager_.IsThere()) return;
  const Clock::time_point now = Clock::now();
  service_manager_.Beat(now);
  // Without mapping files no worker has anything to report of a reload.
  const bool reloads = !settings_.Mappings().Empty() && (reload_wanted_ || asked_ > 0);
  using Told = ServiceManager::Stage;
  try {
    service_manager_.Tell(stage_ != Stage::kRunning ? Told::kStopping
                          : !any_was_ready_         ? Told::kStarting
                          : reloads                 ? Told::kReloading
                                                    : Told::kServing,
                          ServiceStatusText(Status()), drain_timeout_ + 2 * kKillGrace);
  } catch (const std::exception&) {
    // No memory: the next round tells it.
  }
}

WorkerStatus Supervisor::StatusOf(const Place& place) const {
  using State = WorkerStatus::State;
  const bool stops = stage_ != Stage::kRunning;
  WorkerStatus status{.since = place.since, .starts = place.starts, .last_end = place.last_end};
  if (place.pid < 0) {
    status.state = stops ? State::kEnded : State::kWaiting;
    return status;
  }
  status.pid = place.pid;
  status.state = stops             ? State::kEnding
                 : place.retires   ? State::kRetiring
                 : place.was_ready ? State::kReady
                                   : State::kStarting;
  status.figures = place.figures;
  if (status.state == State::kReady) status.newest_mappings = place.mappings == mappings_;
  return status;
}

}  // namespace

int Supervise(const options::Settings& settings, ListeningSockets sockets,
              const WorkerMain& worker_main, const LogLine& log, const NewMappings& new_mappings) {
  return Supervisor(settings, std::move(sockets), worker_main, log, new_mappings).Run();
}

}  // namespace weft::host::supervisor
