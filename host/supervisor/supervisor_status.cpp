#include <chrono>
#include <exception>
#include <string>
#include <string_view>

#include "host/observe/host_report.hpp"
#include "host/observe/log.hpp"
#include "host/options/values.hpp"
#include "host/options/version.hpp"
#include "host/supervisor/status.hpp"
#include "host/supervisor/supervision.hpp"

namespace weft::host::supervisor {
namespace {

using options::LogLevel;

/// The request for the level of the log; with a level behind it, to set it.
constexpr std::string_view kLogLevel = "log-level";

}  // namespace

/// In the shared memory, for metrics and for the workers' own status handlers.
void Supervisor::TellFigures() {
  auto& host = figures_->Host();
  const auto stage = stage_ == Stage::kRunning    ? (HasServed() ? observe::HostStage::kServing
                                                                 : observe::HostStage::kStarting)
                     : stage_ == Stage::kDraining ? observe::HostStage::kDraining
                                                  : observe::HostStage::kStopping;
  host.stage.Set(static_cast<std::uint64_t>(stage));
  host.worker_places.Set(Wanted());
  host.waits_for_demand.Set(WaitsForDemand() ? 1 : 0);
  host.mapping_tables.Set(tables_before_ + mappings_state_.Tables());
  host.mapping_problems.Set(mappings_state_.ProblemCount());
  ForEachProcess([&](const Place& place) {
    figures_->SetStage(place.part, stage_ != Stage::kRunning || place.leaves
                                       ? observe::WorkerStage::kEnding
                                   : place.retires   ? observe::WorkerStage::kRetiring
                                   : place.was_ready ? observe::WorkerStage::kReady
                                                     : observe::WorkerStage::kStarting);
  });
  if (const auto now = Clock::now(); now - queues_seen_ >= kQueueInterval) LookAtQueues(now);
}

void Supervisor::LookAtQueues(Clock::time_point now) {
  queues_seen_ = now;
  // Those who wait now are refused by the system.
  if (stage_ == Stage::kRunning) queues_.Look(figures_->Host());
}

std::string Supervisor::Answer(std::string_view request) {
  constexpr std::string_view kRequests =
      "send a line with the word status, metrics, log-level or reload";
  if (request == "status") {
    const observe::HostReport report = Report();
    HostStatus status = Status();
    status.report = &report;
    return ToJson(status);
  }
  if (request == "metrics") return observe::ReportToOpenMetrics(Report());
  if (request == "reload") {
    if (stage_ != Stage::kRunning) return ErrorToJson("the host stops: start it again");
    RequestReload();
    return ReloadToJson(reload_.number + 1);
  }
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
  return observe::ReadReport(*figures_, options::Version(), now);
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
                    .mappings = &mappings_state_,
                    .generation = generation_,
                    .reload = reload_,
                    .model = settings_.process_model};
  for (const Listener& listener : sockets_.listeners) status.listen.push_back(listener.Address());
  for (const Place& place : places_) status.workers.push_back(StatusOf(place));
  for (const Place& place : retiring_) status.workers.push_back(StatusOf(place));
  for (const Place& place : old_) status.workers.push_back(StatusOf(place));
  return status;
}

void Supervisor::TellServiceManager() noexcept {
  if (!service_manager_.IsThere()) return;
  const Clock::time_point now = Clock::now();
  service_manager_.Beat(now);
  // Without mapping files no worker has anything to report of a reload of theirs.
  const bool reads_mappings = !settings_.Mappings().Empty() && (reload_wanted_ || asked_ > 0);
  const bool is_reloaded = reload_.outcome == ReloadState::Outcome::kRunning;
  using Told = ServiceManager::Stage;
  try {
    service_manager_.Tell(stage_ != Stage::kRunning       ? Told::kStopping
                          : !HasServed()                  ? Told::kStarting
                          : reads_mappings || is_reloaded ? Told::kReloading
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
  status.generation = place.pid < 0 ? generation_ : place.generation;
  if (place.pid < 0) {
    status.state = stops ? State::kEnded : place.wanted ? State::kWaiting : State::kVacant;
    return status;
  }
  status.pid = place.pid;
  status.state = stops || place.leaves ? State::kEnding
                 : place.retires       ? State::kRetiring
                 : place.was_ready     ? State::kReady
                                       : State::kStarting;
  status.goes = place.goes;
  status.figures = place.figures;
  if (status.state == State::kReady && place.generation == generation_)
    status.newest_mappings = place.mappings == mappings_;
  return status;
}

}  // namespace weft::host::supervisor
