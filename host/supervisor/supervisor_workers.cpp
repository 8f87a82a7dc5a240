#include <fcntl.h>
#include <sys/prctl.h>
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
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include "host/observe/log.hpp"
#include "host/observe/output_capture.hpp"
#include "host/options/values.hpp"
#include "host/supervisor/supervision.hpp"
#include "host/supervisor/worker_exit.hpp"
#include "host/worker/mapping_reload.hpp"

namespace weft::host::supervisor {
namespace {

using options::LogLevel;

/// Messages that are read in a round, of a worker that does not stop sending. More than its socket holds, so that all
/// is read that a dead one has left.
constexpr int kMaxMessages = 1'024;

constexpr std::array kIgnoredByWorkers{SIGHUP, SIGUSR1, SIGUSR2};

std::system_error SystemError(const char* what) {
  return std::system_error(errno, std::system_category(), what);
}

}  // namespace

// --- Starting -----------------------------------------------------------------------------------

void Supervisor::StartDueWorkers() {
  const Clock::time_point now = Clock::now();
  for (Place& place : places_) {
    if (!place.start_at || *place.start_at > now) continue;
    place.start_at.reset();
    try {
      Start(place);
    } catch (const std::system_error& error) {
      if (!HasServed()) throw;  // cannot begin: say so, rather than look as if it ran
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
  const observe::Scoreboard::Part part = figures_->Take();
  const pid_t pid = ::fork();
  if (pid < 0) {
    const int error = errno;
    figures_->GiveBack(part);
    throw std::system_error(error, std::system_category(), "fork");
  }
  if (pid == 0) {
    own_end.Close();
    output.Close();
    BecomeWorker(name, std::move(workers_end), std::move(workers_output), part);
  }
  place.part = part;
  figures_->SetProcess(part, pid, generation_);
  figures_->Host().worker_starts.Add();
  place.output = std::make_unique<WorkerOutput>(std::move(output), pid, name, settings_.log_rate,
                                                settings_.log_burst);
  place.pid = pid;
  place.generation = generation_;
  place.started = Clock::now();
  place.channel = std::move(own_end);
  place.was_ready = false;
  place.took_too_long = false;
  place.kill_cut_off_at = Clock::time_point::max();
  place.was_cut_off = false;
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
    for (const int signal : kIgnoredByWorkers) ::signal(signal, SIG_IGN);
    ::pthread_sigmask(SIG_SETMASK, &inherited_mask_, nullptr);

    worker::WorkerStart start{.settings = settings_,
                              .supervisor = channel.Release(),
                              .spawned = spawned_,
                              .watch_lock = watch_lock_.Release(),
                              .figures = figures_.get(),
                              .part = part,
                              .traces = traces_.get()};
    start.passed_in = passing_in_.Release();
    start.passed_out = passing_out_.Release();
    figures_->KeepOnly(part);
    if (traces_) traces_->KeepOnly(part);
    log_level_.Close();
    if (trial_) trial_->CloseDescriptors();
    passed_.reset();
    control_.reset();
    metrics_.clear();
    for (Listener& listener : sockets_.listeners) {
      start.listening_sockets.push_back(listener.ReleaseDescriptor());
    }
    sockets_.listeners.clear();
    places_.clear();
    retiring_.clear();
    parked_.Close();
    old_.clear();
    old_listeners_.clear();
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
Supervisor::Clock::time_point Supervisor::StartDeadline(const Place& place) const {
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

/// A handler that has closed all descriptors has closed the reactor's: its worker serves nobody any more, and turns in circles.
void Supervisor::KillCutOff() {
  const Clock::time_point now = Clock::now();
  ForEachProcess([&](Place& place) {
    if (now < place.kill_cut_off_at) return;
    place.kill_cut_off_at = Clock::time_point::max();
    place.was_cut_off = true;
    log_(LogLevel::kError,
         "worker " + std::to_string(place.pid) +
             " has closed its channel to the supervisor, and goes on: a handler or a module closes "
             "descriptors that are not its own: killing it");
    ::kill(place.pid, SIGKILL);
  });
}

// --- Running ------------------------------------------------------------------------------------

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
      place.kill_cut_off_at = Clock::now() + kKillGrace;
      return;
    }
    const auto size = static_cast<std::size_t>(count);
    if (size > packet_.size()) continue;  // cut
    try {
      std::optional<worker::Message> message =
          worker::Decode(std::string_view(packet_.data(), size));
      if (!message) continue;
      if (auto* const report = std::get_if<worker::ReloadReport>(&*message)) {
        if (place.generation == generation_) {
          OnReport(place, std::move(*report));
        } else {
          OnOldReport(place, *report);
        }
      } else if (auto* const loading = std::get_if<worker::Loading>(&*message)) {
        place.loading = std::move(loading->module);
      } else if (std::holds_alternative<worker::Retiring>(*message)) {
        if (place.was_ready && !std::exchange(place.retires, true))
          place.since = SystemClock::now();
      } else if (auto* const recycle = std::get_if<worker::Recycle>(&*message)) {
        if (place.was_ready && !place.goes) {
          place.goes = recycle->reason == worker::Recycle::Reason::kRequests ? WhyLeaves::kRequests
                                                                             : WhyLeaves::kMemory;
          place.goes_at = recycle->value;
        }
      } else if (auto* const figures = std::get_if<worker::Figures>(&*message)) {
        place.figures = std::move(*figures);
      } else if (place.generation == generation_) {
        OnReady(place);
      } else {
        place.was_ready = true;
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
      if (other.pid < 0 && other.wanted) other.start_at = Clock::now();
    }
  }
  log_(LogLevel::kInfo, "worker " + std::to_string(place.pid) + " is ready");
  SetDue(place);
  RelieveRecycled(place);
  RelieveOld();
}

/// Has others begin in the places of workers that retire. These end by themselves, each when the last request has ended that
/// it holds; as many of them as there are places may do so at once. Beyond that the first of them has the drain time,
/// and a place waits.
void Supervisor::ReplaceRetiring() {
  for (Place& place : places_) {
    if (place.pid < 0 || !place.retires) continue;
    if (retiring_.size() == places_.size()) {
      const auto first = std::find_if(retiring_.begin(), retiring_.end(), [](const Place& other) {
        return other.retires && !other.told_to_hurry;
      });
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
    figures_->Host().workers_replaced.Add();
    retiring_.push_back(std::exchange(place, std::move(next)));
  }
}

/// Of a worker whose place was filled anew before.
void Supervisor::OnRetired(Place& place, int status) {
  const auto lived = std::chrono::duration_cast<milliseconds>(Clock::now() - place.started);
  const WorkerExit exit{.status = status, .was_ready = true, .lived = lived};
  const CrashReport report =
      ReportOf(place, place.pid, exit, place.was_cut_off ? Killer::kSupervisor : Killer::kOthers);
  figures_->GiveBack(std::exchange(place.part, std::nullopt));
  const std::string line = "worker " + std::to_string(std::exchange(place.pid, -1)) +
                           (!place.retires                         ? ", which was to be recycled, "
                            : !place.goes                          ? ", which retired, "
                            : *place.goes == WhyLeaves::kNotNeeded ? ", which was not needed, "
                                                                   : ", which was recycled, ") +
                           ToString(exit);
  if (stage_ == Stage::kRunning && !place.retires) {
    figures_->Host().worker_ends.Add(CauseName(report));
  }
  log_(exit.Code() == 0 ? LogLevel::kInfo : LogLevel::kError,
       line + (exit.Code() == 0 || !place.output ? "" : place.output->LastWords()));
  if (exit.Code() < 0) TellCrash(report);
  if (exit.Code() != 0 && !place.told_to_hurry) static_cast<void>(IsTooManyCrashes(line));
}

CrashReport Supervisor::ReportOf(const Place& place, pid_t pid, const WorkerExit& exit,
                                 Killer killer) {
  CrashReport report{.pid = pid,
                     .process = place.output ? place.output->Process() : std::string(),
                     .generation = place.generation,
                     .at = SystemClock::now(),
                     .exit = exit,
                     .killed_by_us = killer == Killer::kSupervisor || stage_ == Stage::kKilling};
  if (WIFSIGNALED(exit.status) && WTERMSIG(exit.status) == SIGKILL) {
    report.has_memory_run_out = memory_kills_.HaveRisen();
  }
  if (const auto* const evidence = figures_->EvidenceOf(place.part)) {
    report.facts = observe::ReadEvidence(*evidence, Clock::now());
  }
  if (place.output) report.last_words = place.output->LastLines();
  return report;
}

void Supervisor::TellCrash(const CrashReport& report) {
  if (IsWorthAReport(report)) crash_reporter_.Tell(report);
}

void Supervisor::CloseDescriptors() noexcept {
  if (trial_) trial_->CloseDescriptors();
  control_.reset();
  metrics_.clear();
  sockets_.listeners.clear();
  old_listeners_.clear();
  places_.clear();
  retiring_.clear();
  old_.clear();
  parked_.Close();
  for (FileDescriptor* const open : {&signals_, &watch_lock_, &passing_in_, &passing_out_}) {
    open->Close();
  }
}

void Supervisor::OnDeath(Place& place, int status) {
  place.retires = false;
  place.goes.reset();
  place.due.reset();
  place.told_to_hurry = false;
  const pid_t pid = std::exchange(place.pid, -1);
  place.channel.Close();
  place.figures.reset();

  const auto lived = std::chrono::duration_cast<milliseconds>(Clock::now() - place.started);
  const WorkerExit exit{.status = status,
                        .was_ready = place.was_ready,
                        .lived = lived,
                        .took_too_long = place.took_too_long,
                        .loading = place.loading};
  const CrashReport report =
      ReportOf(place, pid, exit,
               place.took_too_long || place.was_cut_off ? Killer::kSupervisor : Killer::kOthers);
  figures_->GiveBack(std::exchange(place.part, std::nullopt));
  if (stage_ == Stage::kRunning) figures_->Host().worker_ends.Add(CauseName(report));
  std::string reason = ToString(exit);
  std::string line = "worker " + std::to_string(pid) + " " + reason;
  if (const std::string cause = CauseSentence(report); !cause.empty()) reason += ": " + cause;
  place.since = SystemClock::now();
  place.last_end = {.pid = pid, .at = place.since, .status = status, .reason = std::move(reason)};

  if (stage_ != Stage::kRunning) {
    log_(LogLevel::kInfo, line);
    // One that was told to hurry leaves requests behind.
    if (exit.Code() < 0 && !report.killed_by_us) TellCrash(report);
    return;
  }
  const bool is_taking_over = reload_.outcome == ReloadState::Outcome::kRunning && !trial_ &&
                              !passed_ && told_of_generation_ != generation_;
  if (is_taking_over && !place.was_ready &&
      (exit.Code() == options::kExitConfiguration ||
       ++failed_starts_ >= settings_.max_start_failures)) {
    Refuse({line + ": its generation is tried again" +
            (OldServe() ? ", and that of before serves on" : "")});
  }
  if (!HasServed()) {
    if (exit.Code() == options::kExitConfiguration) {
      GiveUp(exit.Code(), line + ": stopping, the configuration is wrong");
      return;
    }
    if (++failed_starts_ >= settings_.max_start_failures) {
      // Nobody is served by this host, and its last line is to be the one that says what to do.
      TellCrash(report);
      crash_reporter_.Finish();
      GiveUp(ExitCodeAfterFailedStarts(exit),
             line + ": giving up, no worker was ever ready (--max-start-failures " +
                 std::to_string(settings_.max_start_failures) +
                 "): " + AdviceAfterFailedStarts(exit, settings_.ModuleFolders()) +
                 (place.output ? place.output->LastWords() : ""));
      return;
    }
  }
  if (exit.Code() != 0 && HasServed() && IsTooManyCrashes(line)) {
    TellCrash(report);
    return;
  }
  const milliseconds delay = place.delay.AfterDeath(place.was_ready, lived);
  place.start_at = Clock::now() + delay;
  line += delay == milliseconds::zero() ? ": starting another"
                                        : ": starting another in " + options::FormatDuration(delay);
  if (exit.Code() != 0 && place.output) line += place.output->LastWords();
  log_(exit.Code() == 0 && place.was_ready ? LogLevel::kInfo : LogLevel::kError, line);
  TellCrash(report);
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

// --- The mappings -------------------------------------------------------------------------------

void Supervisor::OnReport(Place& place, worker::ReloadReport report) {
  const bool is_reload = report.cause == worker::ReloadReport::Cause::kReload;
  const bool was_asked = is_reload && place.pid == asked_;
  if (was_asked) asked_ = -1;
  if (stage_ != Stage::kRunning) return;
  const std::uint64_t fingerprint = report.fingerprint;
  // Else it has adopted those, or has begun with what the others have, or will have soon.
  const bool is_new_table = is_reload && report.accepted && (fingerprint != mappings_ || was_asked);
  if (is_reload && report.accepted) place.mappings = fingerprint;
  if (is_reload && !report.accepted) figures_->Host().mapping_refusals.Add();
  if (is_new_table) figures_->Host().mapping_reloads.Add();
  mappings_state_.OnReport(std::move(report), {.worker = place.pid,
                                               .is_new_table = is_new_table,
                                               .reporter_lives = Lives(mappings_state_.Reporter()),
                                               .now = Clock::now(),
                                               .time = SystemClock::now()});
  if (!is_new_table) return;
  mappings_ = fingerprint;
  ForEachProcess([&](const Place& other) {
    if (other.generation == generation_ && other.pid != place.pid && !other.retires) {
      HaveAdopted(other);
    }
  });
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
  if (reload_wanted_) {
    // Else nobody would say whether they are sound until somebody asks for something.
    if (WaitsForDemand()) OnDemand("mapping files are to be read");
    return;
  }
  asked_ = ready->pid;
  ::kill(asked_, SIGHUP);
}

}  // namespace weft::host::supervisor
