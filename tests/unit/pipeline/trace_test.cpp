#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include "host/observe/log.hpp"
#include "host/observe/trace_ring.hpp"
#include "host/observe/tracer.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using host::observe::DecodeTrace;
using host::observe::Outcome;
using host::observe::Tracer;
using host::observe::TraceRecord;
using host::observe::TraceRing;
using host::observe::TraceStep;

/// What was kept, in the order in which the requests ended.
std::vector<TraceRecord> Traced(const std::function<void(PipelineHost&)>& test) {
  TraceRing ring(1, 16, 16'384);
  std::vector<TraceRecord> records;
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    Tracer tracer(ring, 0, {});
    tracer.SetMappings(4711);
    host.Pipeline().SetTracer(&tracer);
    test(host);
    host.Pipeline().SetTracer(nullptr);
  });
  for (const auto& record : ring.Last()) {
    auto trace = DecodeTrace(record.bytes);
    REQUIRE(trace);
    records.insert(records.begin(), std::move(*trace));
  }
  CHECK(records.size() == lines.size());  // exactly one for each line of the access log
  return records;
}

bool Came(const TraceRecord& trace, TraceStep step) {
  return trace.steps[static_cast<std::size_t>(step)].count() >= 0;
}

TEST_CASE("Trace: a request has the steps that it came to, in their order") {
  for (const auto kind : kAllKinds) {
    const auto traces = Traced([&](PipelineHost& host) {
      host.Serve({{"/a", kind, [](HttpContext& context) { context.Response().Write("hello"); }}});
      host.Get("/a");
      host.Get("/nothing");
    });
    REQUIRE(traces.size() == 2);
    const auto& served = traces[0];
    CHECK(served.status == 200);
    CHECK(served.mappings == 4711);
    CHECK(served.script_path == "/a");
    CHECK(served.body_bytes_sent == 5);
    CHECK_FALSE(served.entry_where.empty());
    CHECK(served.answered.count() >= 0);
    auto before = served.steps.front();
    CHECK(before.count() >= 0);
    for (const auto step : served.steps) {
      CHECK(step >= before);
      before = step;
    }
    CHECK(served.duration >= before);
    const auto& refused = traces[1];
    CHECK(refused.status == 404);
    CHECK(refused.outcome == Outcome::kRefused);
    CHECK(Came(refused, TraceStep::kAdmitted));
    CHECK_FALSE(Came(refused, TraceStep::kMapped));
    CHECK_FALSE(Came(refused, TraceStep::kCalled));
    CHECK(Came(refused, TraceStep::kEnded));
    CHECK_FALSE(refused.error.empty());
  }
}

TEST_CASE("Trace: has what a handler threw, and what was logged of that request alone") {
  const auto traces = Traced([&](PipelineHost& host) {
    host.Serve({{"/a", Kind::kPlain,
                 [](HttpContext&) { throw std::runtime_error("no luck with ?password=hunter2"); }},
                {"/b", Kind::kAsync, [](HttpContext& context) {
                   context.Response().AppendHeader("Set-Cookie", "a=b");
                   host::observe::Log({.level = host::observe::Level::kWarning,
                                       .message = "of b",
                                       .request = context.RequestId()});
                   context.Response().AppendToLog("told");
                 }}});
    host.Get("/a", {{"HTTP_COOKIE", "hunter2"}});
    host.Get("/b");
  });
  REQUIRE(traces.size() == 2);
  CHECK(traces[0].status == 500);
  CHECK(traces[0].error == "no luck with ?password=(masked)");
  REQUIRE(traces[0].lines.size() == 1);
  CHECK(traces[0].lines[0].text.find("hunter2") == std::string::npos);
  CHECK(Came(traces[0], TraceStep::kReturned));
  for (const auto& [name, value] : traces[0].parameters) {
    CHECK(value.find("hunter2") == std::string::npos);
  }
  REQUIRE(traces[1].lines.size() == 1);
  CHECK(traces[1].lines[0].text == "of b");
  CHECK(traces[1].log_text == "told");
  bool has_cookie = false;
  for (const auto& [name, value] : traces[1].response_fields) {
    has_cookie = has_cookie || (name == "Set-Cookie" && value == "(masked)");
  }
  CHECK(has_cookie);
}

TEST_CASE("Trace: has one record of a request whose client leaves, or that finishes early") {
  const auto traces = Traced([&](PipelineHost& host) {
    host.Serve(
        {{"/gone", Kind::kAsync,
          [](HttpContext& context) { context.Cancellation().ThrowIfCancellationRequested(); }},
         {"/finish", Kind::kAsync, [](HttpContext& context) {
            context.Response().Write("whole");
            context.Response().Finish();
          }}});
    TestRequest gone("GET", "/gone");
    gone.cancellation.Cancel(CancellationReason::kClientGone);
    host.Process(gone);
    host.Get("/finish");
  });
  REQUIRE(traces.size() == 2);
  CHECK(traces[0].status == 499);
  CHECK(traces[0].outcome == Outcome::kClientGone);
  CHECK(traces[1].body_bytes_sent == 5);
}

TEST_CASE("Trace: who looks at traces leaves none where all went well, and one where not") {
  TraceRing ring(1, 16, 16'384);
  PipelineHost::Run([&](PipelineHost&) {
    Tracer tracer(ring, 0, "shop::Viewer");
    host::observe::RequestRecord record;
    record.type = "shop::Viewer";
    record.status = 200;
    tracer.Write(nullptr, record);
    CHECK(ring.Last().empty());
    record.status = 403;
    tracer.Write(nullptr, record);
    CHECK(ring.Last().size() == 1);
  });
}

}  // namespace
}  // namespace weft::test
