#include "host/supervisor/status.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "host/observe/log.hpp"
#include "host/observe/problem_json.hpp"
#include "host/options/values.hpp"
#include "host/options/version.hpp"

namespace weft::host::supervisor {
namespace {

using Json = nlohmann::ordered_json;

std::string Line(const Json& json) {
  // Names of files are any bytes.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json TimeToJson(const std::optional<std::chrono::system_clock::time_point>& time) {
  return time ? Json(observe::Timestamp(*time)) : Json(nullptr);
}

std::string_view NameOf(HostStatus::Stage stage) {
  switch (stage) {
    case HostStatus::Stage::kRunning:
      return "running";
    case HostStatus::Stage::kDraining:
      return "draining";
    case HostStatus::Stage::kStopping:
      return "stopping";
  }
  return {};
}

std::string_view NameOf(WorkerStatus::State state) {
  switch (state) {
    case WorkerStatus::State::kVacant:
      return "vacant";
    case WorkerStatus::State::kWaiting:
      return "waiting";
    case WorkerStatus::State::kStarting:
      return "starting";
    case WorkerStatus::State::kReady:
      return "ready";
    case WorkerStatus::State::kRetiring:
      return "retiring";
    case WorkerStatus::State::kEnding:
      return "ending";
    case WorkerStatus::State::kEnded:
      return "ended";
  }
  return {};
}

std::string_view NameOf(MappingsState::Outcome outcome) {
  switch (outcome) {
    case MappingsState::Outcome::kNone:
      return "none";
    case MappingsState::Outcome::kLoaded:
      return "loaded";
    case MappingsState::Outcome::kRefused:
      return "refused";
  }
  return {};
}

std::string_view NameOf(ReloadState::Outcome outcome) {
  switch (outcome) {
    case ReloadState::Outcome::kNone:
      return "none";
    case ReloadState::Outcome::kRunning:
      return "running";
    case ReloadState::Outcome::kDone:
      return "done";
    case ReloadState::Outcome::kRefused:
      return "refused";
  }
  return {};
}

Json ReloadStateToJson(const ReloadState& reload) {
  return {{"number", reload.number},
          {"outcome", NameOf(reload.outcome)},
          {"at", TimeToJson(reload.at)},
          {"queued", reload.is_queued},
          {"reasons", reload.reasons}};
}

Json EndToJson(const WorkerEnd& end) {
  Json signal;
  if (WIFSIGNALED(end.status)) {
    const char* const name = ::sigabbrev_np(WTERMSIG(end.status));
    signal = name == nullptr ? std::to_string(WTERMSIG(end.status)) : std::string("SIG") + name;
  }
  return {{"pid", end.pid},
          {"at", TimeToJson(end.at)},
          {"exitCode", WIFEXITED(end.status) ? Json(WEXITSTATUS(end.status)) : Json(nullptr)},
          {"signal", std::move(signal)},
          {"reason", end.reason}};
}

Json StacksToJson(const worker::Figures& figures) {
  Json json = Json::array();
  for (const auto& stacks : figures.stacks) {
    json.push_back({{"stackBytes", stacks.stack_bytes},
                    {"usableBytes", stacks.usable_bytes},
                    {"fibers", stacks.fibers},
                    {"mostUsedBytes", stacks.most_used_bytes}});
  }
  return json;
}

Json StallsToJson(const worker::Figures& figures) {
  return {{"count", figures.stalls}, {"longestMs", figures.longest_stall.count()}};
}

Json WorkerToJson(const WorkerStatus& worker) {
  return {
      {"pid", worker.pid ? Json(*worker.pid) : Json(nullptr)},
      {"state", NameOf(worker.state)},
      {"generation", worker.generation},
      {"since", TimeToJson(worker.since)},
      {"leavesFor", worker.goes ? Json(NameOf(*worker.goes)) : Json(nullptr)},
      {"starts", worker.starts},
      {"newestMappings", worker.newest_mappings ? Json(*worker.newest_mappings) : Json(nullptr)},
      {"stacks", worker.figures ? StacksToJson(*worker.figures) : Json(nullptr)},
      {"stalls", worker.figures ? StallsToJson(*worker.figures) : Json(nullptr)},
      {"lastEnd", worker.last_end ? EndToJson(*worker.last_end) : Json(nullptr)}};
}

/// What the worker counts itself.
Json CountedToJson(const WorkerStatus& worker, const observe::HostReport& report) {
  const auto& workers = report.figures.workers;
  const auto counted = std::find_if(workers.begin(), workers.end(),
                                    [&](const auto& other) { return worker.pid == other.pid; });
  if (counted == workers.end()) return {{"figures", nullptr}};
  return {{"figures", observe::FiguresToJson(counted->figures)}};
}

Json MappingsToJson(const mappings::MappingSources& sources, const MappingsState& state) {
  Json json = {
      {"directory", sources.directory.empty() ? Json(nullptr) : Json(sources.directory.string())},
      {"documentRoots", Json::array()},
      {"tables", state.Tables()},
      {"servingSince", TimeToJson(state.ServingSince())},
      {"outcome", NameOf(state.LastOutcome())},
      {"at", TimeToJson(state.At())},
      {"reportedBy", state.Reporter() > 0 ? Json(state.Reporter()) : Json(nullptr)},
      {"problemCount", state.ProblemCount()},
      {"problems", Json::array()}};
  for (const mappings::DocumentRoot& root : sources.document_roots) {
    json["documentRoots"].push_back({{"host", root.host}, {"directory", root.directory.string()}});
  }
  for (const mappings::Problem& problem : state.Problems()) {
    json["problems"].push_back(observe::ToJson(problem));
  }
  return json;
}

}  // namespace

std::string_view NameOf(WhyLeaves why) {
  switch (why) {
    case WhyLeaves::kRequests:
      return "requests";
    case WhyLeaves::kAge:
      return "age";
    case WhyLeaves::kMemory:
      return "memory";
    case WhyLeaves::kNotNeeded:
      return "not_needed";
  }
  return {};
}

std::string ToJson(const HostStatus& status) {
  Json json = {{"version", options::Version()},
               {"pid", status.pid},
               {"since", TimeToJson(status.since)},
               {"stage", NameOf(status.stage)},
               {"generation", status.generation},
               {"reload", ReloadStateToJson(status.reload)},
               {"processModel", options::FormatProcessModel(status.model)},
               {"listen", status.listen},
               {"mappings", MappingsToJson(status.sources, *status.mappings)},
               {"workers", Json::array()}};
  for (const WorkerStatus& worker : status.workers) {
    json["workers"].push_back(WorkerToJson(worker));
    if (status.report != nullptr) {
      json["workers"].back().update(CountedToJson(worker, *status.report));
    }
  }
  if (status.report != nullptr) {
    json["ready"] = status.report->IsReady();
    json["figures"] = observe::FiguresToJson(*status.report);
  }
  return Line(json);
}

std::string LogLevelToJson(options::LogLevel level) {
  return Line(Json::object({{"logLevel", options::FormatLogLevel(level)}}));
}

std::string ReloadToJson(std::uint64_t number) { return Line(Json::object({{"reload", number}})); }

std::string ErrorToJson(std::string_view sentence) {
  return Line(Json::object({{"error", sentence}}));
}

}  // namespace weft::host::supervisor
