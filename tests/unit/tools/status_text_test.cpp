#include "host/tools/status_text.hpp"

#include <doctest/doctest.h>

#include <string>

#include "host/observe/host_report.hpp"

namespace weft::host::tools {
namespace {

Json Example() {
  return Json::parse(R"({
    "version": "0.1.0", "pid": 10, "since": "2026-11-22T20:24:51.123Z", "stage": "running",
    "generation": 4, "reload": {"number": 3, "outcome": "done", "at": "2026-11-22T20:24:54.123Z",
                                "queued": false, "reasons": []},
    "listen": ["unix:/run/weft.sock", "tcp:127.0.0.1:9000"],
    "mappings": {
      "directory": "/etc/weft",
      "documentRoots": [{"host": "default", "directory": "/srv/www"}], "tables": 3, "servingSince": "2026-11-22T20:24:52.123Z",
      "outcome": "refused", "at": "2026-11-22T20:24:53.123Z", "reportedBy": 12, "problemCount": 2,
      "problems": [
        {"file": "a.json", "line": 1, "column": 2, "severity": "error", "message": "No \"x\"."},
        {"file": "b.json", "line": 0, "column": 0, "severity": "warning", "message": "Odd."}]},
    "workers": [
      {"pid": 12, "state": "ready", "generation": 4, "since": "2026-11-22T20:24:51.123Z", "starts": 2,
       "newestMappings": true,
       "lastEnd": {"pid": 11, "at": "2026-11-22T20:24:50.123Z", "exitCode": null,
                   "signal": "SIGKILL", "reason": "was ended by SIGKILL after 3s"}},
      {"pid": null, "state": "waiting", "generation": 4, "since": "2026-11-22T20:24:51.123Z", "starts": 0,
       "newestMappings": null, "lastEnd": null}]})");
}

TEST_CASE("StatusText: is a table") {
  CHECK(StatusText(Example()).value_or("") ==
        R"(weft 0.1.0, process 10, running, since 2026-11-22T20:24:51.123Z
listening on unix:/run/weft.sock
listening on tcp:127.0.0.1:9000
generation 4; last reload: done, at 2026-11-22T20:24:54.123Z

mappings: /etc/weft
  beside the pages of default: /srv/www
  table 3 serves since 2026-11-22T20:24:52.123Z
  last reload: refused, at 2026-11-22T20:24:53.123Z, says worker 12; the mappings of before serve on; 2 problems
  a.json:1:2: error: No "x".
  b.json: warning: Odd.

workers:
  pid  state    generation  since                     starts  mappings  last end in its place
  12   ready    4           2026-11-22T20:24:51.123Z  2       newest    11 was ended by SIGKILL after 3s, at 2026-11-22T20:24:50.123Z
  -    waiting  4           2026-11-22T20:24:51.123Z  0       -         -
)");
}

TEST_CASE("StatusText: tells what the host and its workers count") {
  Json status = Example();
  const observe::HostReport nothing;
  status["figures"] = observe::FiguresToJson(nothing);
  status["workers"][0]["generation"] = 3;
  status["workers"][0]["figures"] = observe::FiguresToJson(observe::WorkerReading());
  status["workers"][0]["figures"]["requests"]["inFlight"] = 3;
  status["workers"][0]["figures"]["requests"]["states"]["waitingForThread"] = 2;
  status["workers"][0]["figures"]["requests"]["states"]["writing"] = 1;
  status["workers"][1]["figures"] = nullptr;
  status["figures"]["causes"] = Json::parse(R"([{"cause": "load_shed", "count": 4}])");
  status["figures"]["listenQueues"] = Json::parse(
      R"([{"address": "unix:/a", "waiting": 5, "limit": 128, "most": 17},
          {"address": "tcp:127.0.0.1:9000", "waiting": null, "limit": null, "most": null}])");
  status["figures"]["entries"] = Json::parse(
      R"([{"entry": "a\u001bb", "count": 1200, "serverErrors": 7, "meanMs": 0.5, "p50Ms": 0.25,
           "p90Ms": 12.34, "p99Ms": 123.4},
          {"entry": "quick", "count": 1, "serverErrors": 0, "meanMs": 0.0042, "p50Ms": 0,
           "p90Ms": 0.0999, "p99Ms": 0.1}])");
  const std::string text = StatusText(status).value_or("");
  CHECK(text.find("mappings  connections  ended  in flight                             last end") !=
        std::string::npos);
  CHECK(text.find("0            0      3: 2 waiting for a thread, 1 writing  11 was") !=
        std::string::npos);
  CHECK(text.find("\n  causes: 4 load_shed\n") != std::string::npos);
  CHECK(text.find("\n  5        128    17         unix:/a\n"
                  "  -        -      -          tcp:127.0.0.1:9000\n") != std::string::npos);
  CHECK(text.find("\n  1200      7    0.50 ms  0.25 ms  12.3 ms  123 ms   a\\u001bb\n"
                  "  1         0    4.20 us  0.00 ms  99.9 us  0.10 ms  quick\n") !=
        std::string::npos);
}

TEST_CASE("StatusText: stacks and stalls are those of the workers that have told") {
  Json status = Example();
  status["workers"][0]["stacks"] = Json::parse(
      R"([{"stackBytes": 262144, "usableBytes": 196352, "fibers": 31, "mostUsedBytes": 45056}])");
  status["workers"][0]["stalls"] = {{"count", 2}, {"longestMs", 412}};
  status["workers"][1]["stacks"] = nullptr;
  status["workers"][1]["stalls"] = nullptr;
  const std::string text = StatusText(status).value_or("");
  CHECK(
      text.ends_with("\nstacks and stalls:\n"
                     "  12  31 fibers on stacks of 256K, 44K of 191K used at most; 2 stalls, the "
                     "longest 412 ms\n"));
  status["workers"][0]["stalls"] = {{"count", 0}, {"longestMs", 0}};
  CHECK(StatusText(status).value_or("").ends_with("used at most; no stalls\n"));
}

TEST_CASE("StatusText: says when problems are left out, and what there is not") {
  Json status = Example();
  status["mappings"]["problemCount"] = 300;
  CHECK(StatusText(status)->find("; 300 problems, of which 2 follow, and all are in the log\n") !=
        std::string::npos);
  status["mappings"] = {{"directory", nullptr},
                        {"documentRoots", Json::array()},
                        {"tables", 1},
                        {"servingSince", nullptr},
                        {"outcome", "none"},
                        {"at", nullptr},
                        {"reportedBy", nullptr},
                        {"problemCount", 0},
                        {"problems", Json::array()}};
  status["listen"] = Json::array();
  status["stage"] = "draining";
  const std::string text = StatusText(status).value_or("");
  CHECK(text.find(", draining, since ") != std::string::npos);
  CHECK(text.find("listening on nothing any more\n") != std::string::npos);
  CHECK(text.find("mappings: the built-in ones\n  table 1 serves since -\n"
                  "  not reloaded so far\n\n") != std::string::npos);
}

TEST_CASE(
    "StatusText: a reload that was refused is told with its reasons, and one that was never") {
  Json status = Example();
  status["reload"] = Json::parse(R"({"number": 4, "outcome": "refused", "queued": true,
      "at": "2026-11-22T20:24:54.123Z", "reasons": ["it ended", "no \u001b"]})");
  CHECK(StatusText(status)->find(
            "\ngeneration 4; last reload: refused, at 2026-11-22T20:24:54.123Z; the generation of "
            "before serves on; another waits\n  it ended\n  no \\u001b\n\n") != std::string::npos);
  status["reload"] = Json::parse(
      R"({"number": 0, "outcome": "none", "queued": false, "at": null, "reasons": []})");
  CHECK(StatusText(status)->find("\ngeneration 4, not reloaded so far\n\n") != std::string::npos);
  status.erase("reload");
  CHECK(StatusText(status)->find("reloaded so far") == std::string::npos);
}

TEST_CASE("StatusText: a terminal obeys nothing that comes from files") {
  Json status = Example();
  status["mappings"]["problems"][0]["message"] = "\x1b]0;gone\x07\n";
  const std::string text = StatusText(status).value_or("");
  CHECK(text.find("error: \\u001b]0;gone\\u0007\\u000a\n") != std::string::npos);
}

TEST_CASE(
    "StatusText: members that are not known are passed over, and of another form is nothing") {
  Json status = Example();
  status["generations"] = Json::array({1, 2});
  CHECK(StatusText(status) == StatusText(Example()));
  for (const char* const name : {"version", "pid", "listen", "mappings", "workers"}) {
    CAPTURE(name);
    status = Example();
    status.erase(name);
    CHECK_FALSE(StatusText(status).has_value());
    status = Example();
    status[name] = Json::array({true});
    CHECK_FALSE(StatusText(status).has_value());
  }
  CHECK_FALSE(StatusText(Json::array()).has_value());
}

}  // namespace
}  // namespace weft::host::tools
