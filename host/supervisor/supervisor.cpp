#include "host/supervisor/supervisor.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <limits>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "host/observe/log.hpp"
#include "host/options/values.hpp"
#include "host/supervisor/http_answers.hpp"
#include "host/supervisor/supervision.hpp"
#include "host/supervisor/worker_exit.hpp"

namespace weft::host::supervisor {
namespace {

using options::LogLevel;

constexpr std::array kHandledSignals{SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};

std::system_error SystemError(const char* what) {
  return std::system_error(errno, std::system_category(), what);
}

std::vector<observe::ListenQueues::Socket> QueuesOf(const ListeningSockets& sockets) {
  std::vector<observe::ListenQueues::Socket> queues;
  for (const Listener& listener : sockets.listeners) {
    queues.push_back({listener.Descriptor(), listener.Address()});
  }
  return queues;
}

/// A generation that has taken over shall not end for them.
std::unique_ptr<observe::TraceRing> TracesOf(const options::Settings& settings, std::size_t workers,
                                             const LogLine& log) {
  if (settings.trace == 0) return nullptr;
  try {
    return std::make_unique<observe::TraceRing>(workers, settings.trace, settings.trace_bytes);
  } catch (const std::system_error& error) {
    log(LogLevel::kError, std::string("no traces of requests are kept (--trace): ") + error.what());
    return nullptr;
  }
}

void SetDisposition(int signal, void (*disposition)(int)) {
  struct sigaction action {};
  action.sa_handler = disposition;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

Supervisor::Supervisor(const options::Settings& settings, ListeningSockets sockets,
                       const WorkerMain& worker_main, const LogLine& log,
                       const NewMappings& new_mappings, Generations generations)
    : settings_(settings),
      worker_main_(worker_main),
      log_(log),
      new_mappings_(new_mappings),
      generations_(std::move(generations)),
      root_(generations_.taken_over ? generations_.taken_over->root : settings.chroot),
      drain_timeout_(settings.DrainTimeout(sockets.spawned)),
      spawned_(sockets.spawned),
      figures_(FiguresOf(generations_.taken_over,
                         std::max<std::size_t>(1, settings.WorkerCount(sockets.spawned)), log)),
      traces_(TracesOf(settings, figures_->Room(), log)),
      log_level_(std::move(generations_.log_level)),
      sockets_(std::move(sockets)),
      queues_(QueuesOf(sockets_)),
      service_manager_(spawned_, log_, ServiceOf(generations_.taken_over)),
      crash_reporter_(settings.crash_dir, generations_.be_worker, [this] { CloseDescriptors(); }),
      places_(std::max<std::size_t>(1, settings.WorkerCount(spawned_))),
      scaling_(Scaling::Bounds::Of(settings, places_.size())),
      parked_(settings.process_model == options::ProcessModel::kOnDemand ? ParkedConnections::Room()
                                                                         : 0,
              settings.idle_timeout),
      crashes_(settings.max_crashes) {
  queues_.Begin(figures_->Host());
  retiring_.reserve(places_.size());
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
  if (generations_.taken_over) {
    TakeOver(std::move(*generations_.taken_over));
    old_listeners_ = std::move(generations_.not_wanted);
    generations_.taken_over.reset();
  }
  WantAtStart();
  auto& host = figures_->Host();
  host.supervisor.Set(static_cast<std::uint64_t>(own_pid_));
  host.since_ms.Set(static_cast<std::uint64_t>(
      std::chrono::duration_cast<milliseconds>(since_.time_since_epoch()).count()));
  host.generation.Set(generation_);
  // A channel and a pipe of each worker.
  events_.reserve(1 + 4 * places_.size() + 2 * old_.size() + Trial::kMaxEvents +
                  (1 + metrics_.size()) * ControlSocket::kMaxEvents + 1 +
                  sockets_.listeners.size() + parked_.FreeRoom());
}

Supervisor::~Supervisor() {
  // Only an exception finds workers here; they must not outlive the process that answers for them.
  SendToAll(SIGKILL);
  ForEachProcess([](const Place& place) { ::waitpid(place.pid, nullptr, 0); });
}

int Supervisor::Run() {
  TakeOverSignals();
  OpenWatchLock();
  OpenPassing();
  places_.front().start_at = Clock::now();
  Reap();  // of those that were taken over one may have ended on the way
  while (true) {
    if (stage_ == Stage::kRunning) {
      BeginDueReload();
      BecomeNextWhenIdle();
      ReplaceRetiring();
      RecycleDue();
      Scale();
      ReturnParked();
      StartDueWorkers();
      KillLateStarters();
      KillCutOff();
      if (trial_) trial_->KillIfLate(Clock::now());
      KillLateLeavers();
    } else if (!AnyAlive() && !crash_reporter_.IsAtWork()) {
      return exit_code_;
    }
    TellFigures();
    TellServiceManager();
    WaitForEvents();
    KillWhenOverdue();
  }
}

// --- The loop -----------------------------------------------------------------------------------

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

void Supervisor::OpenPassing() {
  // One pair for all generations: a connection waits there for whichever worker takes it first.
  if (passing_in_.IsOpen()) return;
  std::array<int, 2> ends{};
  constexpr int kKind = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (::socketpair(AF_UNIX, kKind, 0, ends.data()) != 0) throw SystemError("socketpair");
  passing_in_ = FileDescriptor(ends[0]);
  passing_out_ = FileDescriptor(ends[1]);
}

int Supervisor::PollTimeout(Clock::time_point now) const {
  Clock::time_point next = std::min(kill_at_, service_manager_.NextCall());
  if (control_) next = std::min(next, control_->NextDeadline(now));
  for (const ControlSocket& metrics : metrics_) next = std::min(next, metrics.NextDeadline(now));
  // Nobody waits in the queues of a host that nobody uses.
  if (stage_ == Stage::kRunning && figures_->HasConnections()) {
    next = std::min(next, queues_seen_ + kQueueInterval);
  }
  ForEachProcess([&next](const Place& place) {
    if (place.output) next = std::min(next, place.output->NextDeadline());
  });
  if (stage_ == Stage::kRunning) {
    ForEachProcess([&next](const Place& place) { next = std::min(next, place.kill_cut_off_at); });
  }
  for (const Place& place : old_) next = std::min(next, place.kill_at);
  if (trial_) next = std::min(next, trial_->Deadline());
  if (passed_) next = std::min(next, become_next_until_);
  if (stage_ == Stage::kRunning) {
    next = std::min({next, NextLookAtLoad(), NextRecycling()});
    if (WaitsForDemand()) next = std::min(next, parked_.NextDeadline());
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
  const std::size_t of_old = events_.size();
  for (const Place& place : old_) {
    events_.push_back({.fd = place.channel.Number(), .events = POLLIN, .revents = 0});
  }
  const std::size_t of_trial = events_.size();
  if (trial_) trial_->AppendEvents(events_);
  const std::size_t of_control = events_.size();
  if (control_) control_->AppendEvents(events_, now);
  std::size_t of_metrics = events_.size();
  for (const ControlSocket& metrics : metrics_) metrics.AppendEvents(events_, now);
  const std::size_t of_output = events_.size();
  ForEachProcess([this](const Place& place) {
    const int pipe = place.output ? place.output->Descriptor() : -1;
    events_.push_back({.fd = pipe, .events = POLLIN, .revents = 0});
  });
  const std::size_t of_demand = events_.size();
  AppendDemandEvents();
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
  for (std::size_t i = 0; i < old_.size(); ++i) {
    if (events_[of_old + i].revents != 0) ReadMessages(old_[i]);
  }
  if (trial_) trial_->Handle(std::span(events_).subspan(of_trial, Trial::kMaxEvents));
  HandleDemand(std::span(events_).subspan(of_demand));
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
  } else if (signal == SIGUSR2 && stage_ == Stage::kRunning) {
    log_(LogLevel::kInfo, who + ": reloading");
    RequestReload();
  } else if (signal == SIGUSR1 && !spawned_) {
    observe::ReopenLog();
    SendToAll(SIGUSR1);
    log_(LogLevel::kInfo, who + ": the files of the logs are opened anew");
  } else {
    log_(LogLevel::kInfo, who + ": ignored");
  }
}

/// Collects our own children one by one: a wait for any child could take another's, once the
/// process has some. But there may be some that nobody else would collect.
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
  for (std::size_t i = old_.size(); i-- > 0;) collect_if_ended(old_[i]);
  if (int status = 0; trial_ && ::waitpid(trial_->Process(), &status, WNOHANG) > 0) {
    OnTrialEnd(status);
  }
  crash_reporter_.Reap();
  if (!has_unknown_children_) return;
  siginfo_t ended{};
  while (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid > 0) {
    Collect(std::exchange(ended.si_pid, 0));
  }
}

/// Of a child that has ended; 0: none has.
void Supervisor::Collect(pid_t pid) {
  if (pid <= 0) return;
  Place* found = nullptr;  // none: has_unknown_children_
  ForEachProcess([&](Place& place) {
    if (place.pid == pid) found = &place;
  });
  if (found != nullptr) ReadMessages(*found);
  if (found != nullptr && found->output) found->output->End();
  if (trial_ && trial_->Process() == pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    OnTrialEnd(status);
    return;
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (found == nullptr) return;
  if (const auto old = std::find_if(old_.begin(), old_.end(),
                                    [pid](const Place& place) { return place.pid == pid; });
      old != old_.end()) {
    Place ended = std::move(*old);
    old_.erase(old);
    OnOldEnd(ended, status);
    return;
  }
  const auto retired = std::find_if(retiring_.begin(), retiring_.end(),
                                    [pid](const Place& place) { return place.pid == pid; });
  if (retired == retiring_.end()) {
    OnDeath(*found, status);
  } else {
    OnRetired(*retired, status);
    retiring_.erase(retired);
  }
}

// --- Stopping -----------------------------------------------------------------------------------

void Supervisor::Stop(Stage stage) {
  if (stage_ == Stage::kRunning) {
    for (Place& place : places_) place.since = SystemClock::now();
    if (trial_) trial_->Kill();
    passed_.reset();
    if (control_) control_->AcceptAgain();
    for (ControlSocket& metrics : metrics_) metrics.AcceptAgain();
    old_listeners_.clear();
    parked_.Close();
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
  bool any = trial_.has_value();
  ForEachProcess([&any](const Place&) { any = true; });
  return any;
}

bool Supervisor::Lives(pid_t pid) const {
  bool lives = false;
  ForEachProcess([&lives, pid](const Place& place) { lives = lives || place.pid == pid; });
  return lives;
}

int Supervise(const options::Settings& settings, ListeningSockets sockets,
              const WorkerMain& worker_main, const LogLine& log, const NewMappings& new_mappings,
              Generations generations) {
  return Supervisor(settings, std::move(sockets), worker_main, log, new_mappings,
                    std::move(generations))
      .Run();
}

}  // namespace weft::host::supervisor
