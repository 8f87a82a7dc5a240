#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "host/options/values.hpp"
#include "host/supervisor/supervision.hpp"
#include "host/supervisor/worker_exit.hpp"
#include "host/worker/worker.hpp"

namespace weft::host::supervisor {
namespace {

using options::LogLevel;
using Outcome = ReloadState::Outcome;

/// For clients of the control socket that have been accepted: an answer takes microseconds.
constexpr std::chrono::milliseconds kControlPatience{1'000};

/// A place may have two workers that retire or have been told to leave, beside the one that has replaced them, and another that is
/// about to.
constexpr std::size_t kPartsOfPlace = 4;
/// A later generation may have more places, and the memory cannot grow: its workers have it as it was when they were started. A part
/// that nobody uses takes addresses, and no memory.
constexpr std::size_t kLeastParts = 64;

}  // namespace

/// Those of before, where there are such; else new ones.
std::unique_ptr<observe::Scoreboard> Supervisor::FiguresOf(
    const std::optional<Handover>& taken_over, std::size_t places, const LogLine& log) {
  if (taken_over && taken_over->figures >= 0) {
    try {
      auto figures = observe::Scoreboard::Adopt(taken_over->figures);
      if (figures->Room() < 2 * places) {
        log(LogLevel::kWarning, "the host's figures have room for " +
                                    std::to_string(figures->Room()) +
                                    " workers at once: those beyond are not counted until the host "
                                    "is restarted");
      }
      return figures;
    } catch (const std::exception& error) {
      ::close(taken_over->figures);
      log(LogLevel::kWarning,
          "what was counted so far cannot be taken over, and counting begins "
          "anew: " +
              std::string(error.what()));
    }
  }
  if (taken_over && taken_over->figures < 0) {
    log(LogLevel::kWarning,
        "what was counted so far could not be handed over, and counting begins "
        "anew: raise the limit of file sizes (ulimit -f)");
  }
  return std::make_unique<observe::Scoreboard>(std::max(kPartsOfPlace * places, kLeastParts));
}

// --- Before: a trial ----------------------------------------------------------------------------

/// One at a time, and one more that waits. Whoever asks while one waits gets that one.
void Supervisor::RequestReload() {
  if (std::exchange(reload_.is_queued, true)) return;
  if (trial_ || passed_ || reload_.outcome == Outcome::kRunning) {
    log_(LogLevel::kInfo, "another reload is going on: this one waits for its end");
  } else if (OldServe() && reload_.outcome == Outcome::kDone) {
    log_(LogLevel::kInfo, "the generation before has not ended yet: the reload waits for its end");
  }
}

void Supervisor::BeginDueReload() {
  // While the last one takes over, or its old generation drains, there would soon be any number of them.
  const bool is_possible = reload_.is_queued && !trial_ && !passed_ &&
                           reload_.outcome != Outcome::kRunning &&
                           (!OldServe() || reload_.outcome == Outcome::kRefused) && HasServed();
  if (!is_possible) return;
  reload_ = {.number = reload_.number + 1,
             .outcome = Outcome::kRunning,
             .at = SystemClock::now(),
             .reasons = {},
             .is_queued = false};
  if (!generations_.become_trial) {
    Refuse({"this process cannot execute itself anew"});
    return;
  }
  try {
    tried_file_ = generations_.file_identity ? generations_.file_identity() : "";
    trial_.emplace(
        Trial::Options{
            .timeout = settings_.start_timeout, .own_group = spawned_, .signals = inherited_mask_},
        [this](int channel) {
          Handover handover = MakeHandover();
          handover.trial_channel = channel;
          return generations_.become_trial(handover);
        },
        generations_.output);
    log_(LogLevel::kInfo, "reload " + std::to_string(reload_.number) + ": process " +
                              std::to_string(trial_->Process()) + " tries out a new generation");
  } catch (const std::exception& error) {  // no process, no memory
    trial_.reset();
    Refuse({"the new generation cannot be tried: " + std::string(error.what())});
  }
}

void Supervisor::OnTrialEnd(int status) {
  std::optional<Trial::Passed> passed = trial_->OnEnd(status);
  std::vector<std::string> reasons = trial_->Reasons();
  trial_.reset();
  if (stage_ != Stage::kRunning) return;
  if (!passed) {
    Refuse(std::move(reasons));
    return;
  }
  if (generations_.file_identity && generations_.file_identity() != tried_file_) {
    Refuse({"the program's file was replaced while it was tried: reload again"});
    return;
  }
  passed_ = std::move(passed);
  become_next_until_ = Clock::now() + kControlPatience;
  if (control_) control_->AcceptNoMore();
  for (ControlSocket& metrics : metrics_) metrics.AcceptNoMore();
}

/// The old generation stays.
void Supervisor::Refuse(std::vector<std::string> reasons) {
  log_(LogLevel::kError, "the host was not reloaded: " + reasons.front());
  figures_->Host().reload_refusals.Add();
  reload_.outcome = Outcome::kRefused;
  reload_.at = SystemClock::now();
  reload_.reasons = std::move(reasons);
  failed_starts_ = 0;
}

// --- The step: this process becomes the new program ---------------------------------------------

void Supervisor::BecomeNextWhenIdle() {
  if (!passed_) return;
  const bool is_idle = !crash_reporter_.IsAtWork() && (!control_ || control_->IsIdle()) &&
                       std::all_of(metrics_.begin(), metrics_.end(),
                                   [](const ControlSocket& metrics) { return metrics.IsIdle(); });
  if (!is_idle && Clock::now() < become_next_until_) return;
  std::string problem;
  try {
    // What was dropped is counted in this program alone.
    ForEachProcess([](const Place& place) {
      if (place.output) place.output->TellDropped(Clock::time_point::max());
    });
    Handover handover = MakeHandover();
    for (const Listener& listener : passed_->sockets) {
      handover.sockets.push_back(ToPassed(listener));
    }
    handover.config = passed_->config;
    handover.identity = passed_->identity;
    log_(LogLevel::kInfo, "reload " + std::to_string(reload_.number) +
                              ": the new generation can start: it takes over");
    crash_reporter_.BeginAll();
    problem = std::system_category().message(generations_.take_over(handover));
  } catch (const std::exception& error) {  // no memory, no descriptor
    problem = error.what();
  }
  // Nothing has happened. The new sockets go, with their files.
  passed_.reset();
  if (control_) control_->AcceptAgain();
  for (ControlSocket& metrics : metrics_) metrics.AcceptAgain();
  Refuse({"the program cannot be executed any more: " + problem});
}

Handover Supervisor::MakeHandover() const {
  Handover handover{
      .generation = generation_,
      .since = since_,
      .spawned = spawned_,
      .passing_in = passing_in_.Number(),
      .passing_out = passing_out_.Number(),
      .reload = reload_,
      .figures = figures_->Descriptor(),
      .log_level = log_level_.Number(),
      .service = {.variables = service_manager_.Variables(), .told = service_manager_.Told()},
      .root = root_};
  for (const Listener& listener : sockets_.listeners) {
    handover.sockets.push_back(ToPassed(listener));
  }
  for (const Listener& listener : old_listeners_) handover.sockets.push_back(ToPassed(listener));
  if (control_) handover.sockets.push_back(ToPassed(control_->Socket()));
  for (const ControlSocket& metrics : metrics_) {
    handover.sockets.push_back(ToPassed(metrics.Socket()));
  }
  ForEachProcess([&](const Place& place) {
    handover.workers.push_back(
        {.kept = place,
         .channel = place.channel.Number(),
         .output = place.output ? place.output->Descriptor() : -1,
         .written = place.output ? place.output->Now() : WorkerOutput::State{}});
    if (place.generation == generation_) {
      handover.workers.back().kept.drain_timeout = drain_timeout_;
    }
  });
  handover.parked = parked_.Descriptors();
  for (const Place& place : places_) {
    handover.places.push_back({.starts = place.starts, .last_end = place.last_end});
  }
  return handover;
}

/// Its variables are in the environment of who has them from it; what the program before has told stays told.
ServiceStage Supervisor::ServiceOf(const std::optional<Handover>& taken_over) {
  if (!taken_over) return ServiceStage::kStarting;
  for (const std::string& variable : taken_over->service.variables) {
    const auto equals = variable.find('=');
    if (equals == std::string::npos) continue;
    ::setenv(variable.substr(0, equals).c_str(), variable.c_str() + equals + 1, /*overwrite=*/1);
  }
  return taken_over->service.told;
}

/// What the program before this one has left.
void Supervisor::TakeOver(Handover&& handover) {
  since_ = handover.since;
  generation_ = handover.generation + 1;
  passing_in_ = FileDescriptor(handover.passing_in);
  passing_out_ = FileDescriptor(handover.passing_out);
  reload_ = std::move(handover.reload);
  const bool are_counted = handover.figures >= 0 && figures_->Descriptor() == handover.figures;
  if (are_counted) tables_before_ = figures_->Host().mapping_tables.Value();
  for (PassedWorker& worker : handover.workers) {
    Place place;
    static_cast<KeptWorker&>(place) = std::move(worker.kept);
    place.channel = FileDescriptor(worker.channel);
    if (!are_counted) place.part.reset();
    if (worker.output >= 0) {
      place.output = std::make_unique<WorkerOutput>(FileDescriptor(worker.output), place.pid,
                                                    std::move(worker.written), settings_.log_rate,
                                                    settings_.log_burst);
    }
    old_.push_back(std::move(place));
  }
  parked_.Adopt(handover.parked, Clock::now());
  for (std::size_t i = 0; i < std::min(places_.size(), handover.places.size()); ++i) {
    places_[i].starts = handover.places[i].starts;
    places_[i].last_end = std::move(handover.places[i].last_end);
  }
}

// --- After: the old generation leaves -----------------------------------------------------------

/// For each worker of this generation that is ready one of those of before may go; all, when all are.
void Supervisor::RelieveOld() {
  if (stage_ != Stage::kRunning) return;
  const auto ready = static_cast<std::size_t>(std::count_if(
      places_.begin(), places_.end(),
      [](const Place& place) { return place.pid > 0 && place.was_ready && !place.retires; }));
  const bool are_all = ready == Wanted();
  auto leaving = static_cast<std::size_t>(
      std::count_if(old_.begin(), old_.end(), [](const Place& place) { return place.leaves; }));
  for (Place& place : old_) {
    if (place.leaves || (!are_all && leaving >= ready)) continue;
    HaveLeft(place);
    ++leaving;
  }
  if (!are_all) return;
  // After the workers were told, who take what waits there.
  old_listeners_.clear();
  if (told_of_generation_ == generation_) return;
  told_of_generation_ = generation_;
  log_(LogLevel::kInfo, "generation " + std::to_string(generation_) + " serves");
  if (trial_ || passed_) return;  // the outcome is that of another reload
  figures_->Host().reloads.Add();
  reload_.outcome = Outcome::kDone;
  reload_.at = SystemClock::now();
  reload_.reasons.clear();
}

void Supervisor::HaveLeft(Place& place) {
  place.leaves = true;
  place.since = SystemClock::now();
  place.kill_at = Clock::now() + place.drain_timeout + kKillGrace;
  sigval order{};
  order.sival_int = static_cast<int>(worker::StopOrder::kPassOn);
  ::sigqueue(place.pid, SIGTERM, order);
}

void Supervisor::KillLateLeavers() {
  const Clock::time_point now = Clock::now();
  for (Place& place : old_) {
    if (now < place.kill_at) continue;
    place.kill_at = Clock::time_point::max();
    log_(LogLevel::kWarning, "worker " + std::to_string(place.pid) + " of generation " +
                                 std::to_string(place.generation) +
                                 " did not end in time: killing it");
    ::kill(place.pid, SIGKILL);
  }
}

void Supervisor::OnOldEnd(Place& place, int status) {
  const auto lived = std::chrono::duration_cast<milliseconds>(Clock::now() - place.started);
  const WorkerExit exit{.status = status,
                        .was_ready = place.was_ready,
                        .lived = lived,
                        .took_too_long = place.took_too_long,
                        .loading = place.loading};
  const bool was_killed =
      place.was_cut_off || (place.leaves && place.kill_at == Clock::time_point::max());
  const CrashReport report =
      ReportOf(place, place.pid, exit, was_killed ? Killer::kSupervisor : Killer::kOthers);
  figures_->GiveBack(std::exchange(place.part, std::nullopt));
  const bool is_unasked = stage_ == Stage::kRunning && !place.leaves && !place.retires;
  if (is_unasked) figures_->Host().worker_ends.Add(CauseName(report));
  const bool is_well = exit.Code() == 0 && (place.leaves || place.retires);
  log_(is_well ? LogLevel::kInfo : LogLevel::kError,
       "worker " + std::to_string(place.pid) + " of generation " +
           std::to_string(place.generation) + " " + ToString(exit) +
           (place.leaves || place.retires ? "" : ": the new generation will be in its place") +
           (exit.Code() == 0 || !place.output ? "" : place.output->LastWords()));
  if (exit.Code() < 0 && !report.killed_by_us) TellCrash(report);
  if (is_unasked && exit.Code() != 0) {
    static_cast<void>(
        IsTooManyCrashes("worker " + std::to_string(place.pid) + " " + ToString(exit)));
  }
}

/// Of mapping files, which those who still serve with them shall all have.
void Supervisor::OnOldReport(const Place& place, const worker::ReloadReport& report) {
  if (report.cause != worker::ReloadReport::Cause::kReload || !report.accepted) return;
  if (adopted_by_old_ == report.fingerprint) return;
  adopted_by_old_ = report.fingerprint;
  for (const Place& other : old_) {
    if (other.pid != place.pid && other.was_ready && !other.leaves && !other.retires) {
      HaveAdopted(other);
    }
  }
}

}  // namespace weft::host::supervisor
