#include "host/supervisor/http_answers.hpp"

#include <doctest/doctest.h>

#include <random>
#include <stdexcept>
#include <string>

namespace weft::host::supervisor {
namespace {

observe::HostReport Ready() {
  observe::HostReport report;
  report.version = "1.2.3";
  report.stage = observe::HostStage::kServing;
  report.figures.workers.resize(1);
  report.figures.workers[0].stage = observe::WorkerStage::kReady;
  return report;
}

std::string Get(std::string_view target, const observe::HostReport& report = Ready()) {
  return AnswerHttp("GET " + std::string(target) + " HTTP/1.1\r\nHost: a", [&] { return report; });
}

std::string StatusLine(const std::string& answer) { return answer.substr(0, answer.find("\r\n")); }
std::string Body(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

TEST_CASE("AnswerHttp: /metrics is OpenMetrics, in full length") {
  const auto answer = Get("/metrics");
  CHECK(StatusLine(answer) == "HTTP/1.1 200 OK");
  CHECK(answer.find("\r\nContent-Type: application/openmetrics-text; version=1.0.0; "
                    "charset=utf-8\r\n") != std::string::npos);
  CHECK(answer.find("\r\nContent-Length: " + std::to_string(Body(answer).size()) + "\r\n") !=
        std::string::npos);
  CHECK(Body(answer).find("weft_build_info{version=\"1.2.3\"} 1\n") != std::string::npos);
  CHECK(Body(answer).ends_with("# EOF\n"));
}

TEST_CASE("AnswerHttp: who lives need not be ready") {
  CHECK(Body(Get("/live")) == "live\n");
  CHECK(Body(Get("/ready")) == "ready\n");
  auto report = Ready();
  report.figures.workers[0].stage = observe::WorkerStage::kStarting;
  CHECK(StatusLine(Get("/live", report)) == "HTTP/1.1 200 OK");
  CHECK(StatusLine(Get("/ready", report)) == "HTTP/1.1 503 Service Unavailable");
  CHECK(Body(Get("/ready", report)) == "no worker takes requests\n");
  report = Ready();
  report.stage = observe::HostStage::kDraining;
  CHECK(Body(Get("/ready", report)) == "the host is draining\n");
}

TEST_CASE("AnswerHttp: liveness needs no report") {
  const auto answer = AnswerHttp("GET /live HTTP/1.1", []() -> observe::HostReport {
    throw std::runtime_error("not asked for");
  });
  CHECK(StatusLine(answer) == "HTTP/1.1 200 OK");
}

TEST_CASE("AnswerHttp: other targets, methods and texts are refused") {
  CHECK(StatusLine(Get("/")) == "HTTP/1.1 404 Not Found");
  CHECK(StatusLine(Get("/metrics/x")) == "HTTP/1.1 404 Not Found");
  CHECK(StatusLine(Get("/live?x=/metrics")) == "HTTP/1.1 200 OK");
  const auto ask = [](std::string_view head) {
    return StatusLine(AnswerHttp(head, [] { return Ready(); }));
  };
  CHECK(ask("DELETE /metrics HTTP/1.1") == "HTTP/1.1 405 Method Not Allowed");
  CHECK(ask("") == "HTTP/1.1 400 Bad Request");
  CHECK(ask("GET /live") == "HTTP/1.1 400 Bad Request");
  CHECK(ask("GET /live HTTP/1.1\r\nA") == "HTTP/1.1 400 Bad Request");
  CHECK(ask("GET /live HTTP/1.1\r\nA: " + std::string(kHttpFraming.max_bytes, 'a')) ==
        "HTTP/1.1 431 Request Header Fields Too Large");
  CHECK(Body(AnswerHttp("HEAD /live HTTP/1.1", [] { return Ready(); })).empty());
}

TEST_CASE("AnswerHttp: any bytes have an answer") {
  std::mt19937 random(3);
  const std::string sound = "GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nB: c";
  for (int i = 0; i < 5'000; ++i) {
    std::string head = sound;
    for (int changes = static_cast<int>(random() % 6); changes >= 0; --changes) {
      head[random() % head.size()] = static_cast<char>(random());
    }
    head.resize(random() % (head.size() + 1));
    CHECK(AnswerHttp(head, [] { return Ready(); }).starts_with("HTTP/1.1 "));
  }
}

}  // namespace
}  // namespace weft::host::supervisor
