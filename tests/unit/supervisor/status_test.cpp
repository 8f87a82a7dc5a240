#include "host/supervisor/status.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>

namespace weft::host::supervisor {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

constexpr std::chrono::system_clock::time_point kTime{1'795'379'091'123ms};

TEST_CASE("Status: is one object on a line, with every member") {
  MappingsState mappings;
  mappings.OnServing(kTime);
  worker::ReloadReport report;
  report.problem_count = 3;
  report.problems = {{{"a.json", 1, 2}, mappings::Problem::Severity::kError, "Wrong."}};
  mappings.OnReport(report, {.worker = 12, .time = kTime});
  const HostStatus status{
      .pid = 10,
      .since = kTime,
      .stage = HostStatus::Stage::kRunning,
      .listen = {"unix:/run/weft.sock"},
      .sources = {.directory = "/etc/weft", .document_roots = {{"default", "/srv/www"}}},
      .mappings = &mappings,
      .generation = 3,
      .reload = {.number = 5,
                 .outcome = ReloadState::Outcome::kRefused,
                 .at = kTime,
                 .reasons = {"the trial ended", "why"},
                 .is_queued = true},
      .workers = {{.state = WorkerStatus::State::kReady,
                   .pid = 12,
                   .generation = 3,
                   .since = kTime,
                   .starts = 2,
                   .newest_mappings = true,
                   .last_end = WorkerEnd{11, kTime, SIGKILL, "was ended by SIGKILL after 3s"},
                   .figures = worker::Figures{.stacks = {{262'144, 196'352, 31, 45'056}},
                                              .stalls = 2,
                                              .longest_stall = std::chrono::milliseconds(412)}},
                  {.state = WorkerStatus::State::kWaiting,
                   .generation = 3,
                   .since = kTime,
                   .last_end = WorkerEnd{13, kTime, 3 << 8, "exited"}}}};
  const std::string text = ToJson(status);
  CHECK(text.find('\n') == text.size() - 1);
  auto json = Json::parse(text);
  CHECK(json["version"].is_string());
  json.erase("version");
  const auto expected = Json::parse(R"({
    "pid": 10, "since": "2026-11-22T20:24:51.123Z", "stage": "running", "generation": 3,
    "reload": {"number": 5, "outcome": "refused", "at": "2026-11-22T20:24:51.123Z", "queued": true,
               "reasons": ["the trial ended", "why"]},
    "processModel": "static", "listen": ["unix:/run/weft.sock"],
    "mappings": {
      "directory": "/etc/weft",
      "documentRoots": [{"host": "default", "directory": "/srv/www"}], "tables": 1, "servingSince": "2026-11-22T20:24:51.123Z",
      "outcome": "refused", "at": "2026-11-22T20:24:51.123Z", "reportedBy": 12, "problemCount": 3,
      "problems": [
        {"file": "a.json", "line": 1, "column": 2, "severity": "error", "message": "Wrong."}]},
    "workers": [
      {"pid": 12, "state": "ready", "generation": 3, "since": "2026-11-22T20:24:51.123Z", "leavesFor": null, "starts": 2,
       "newestMappings": true,
       "stacks": [{"stackBytes": 262144, "usableBytes": 196352, "fibers": 31, "mostUsedBytes": 45056}],
       "stalls": {"count": 2, "longestMs": 412},
       "lastEnd": {"pid": 11, "at": "2026-11-22T20:24:51.123Z", "exitCode": null,
                   "signal": "SIGKILL", "reason": "was ended by SIGKILL after 3s"}},
      {"pid": null, "state": "waiting", "generation": 3, "since": "2026-11-22T20:24:51.123Z", "leavesFor": null, "starts": 0,
       "newestMappings": null, "stacks": null, "stalls": null,
       "lastEnd": {"pid": 13, "at": "2026-11-22T20:24:51.123Z", "exitCode": 3, "signal": null,
                   "reason": "exited"}}]})");
  CHECK(json.dump(1) == expected.dump(1));
}

TEST_CASE("Status: what there is not is null, and names are any bytes") {
  const MappingsState mappings;
  auto json = Json::parse(ToJson({.mappings = &mappings}));
  CHECK(json["mappings"]["directory"].is_null());
  CHECK(json["mappings"]["documentRoots"].empty());
  CHECK(json["mappings"]["at"].is_null());
  CHECK(json["mappings"]["servingSince"].is_null());
  CHECK(json["mappings"]["reportedBy"].is_null());
  json = Json::parse(ToJson({.sources = {.directory = "/etc/\xff"}, .mappings = &mappings}));
  CHECK(json["mappings"]["directory"] == "/etc/\xef\xbf\xbd");
  CHECK(ReloadToJson(7) == "{\"reload\":7}\n");
  CHECK(ErrorToJson("no \"good\"") == "{\"error\":\"no \\\"good\\\"\"}\n");
}

}  // namespace
}  // namespace weft::host::supervisor
