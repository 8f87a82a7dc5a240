// The exchange fails at its n-th call, for every n: whatever happens, there is one record and nothing leaks.
#include <doctest/doctest.h>

#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using Call = MemoryExchange::Call;

/// Reads the body, answers in parts, and so makes every call of an exchange more than once.
void ReadAndStream(HttpContext& context) {
  auto& stream = context.Request().GetBufferlessInputStream();
  std::string piece(4, '\0');
  while (const auto count = stream.Read(piece)) {
    context.Response().Write(piece.substr(0, count));
    context.Response().Flush();
  }
  context.Response().Write(std::string(100, 'x'));
  context.Response().Write("the end");
}

void ReadAndAnswer(HttpContext& context) { context.Response().Write(context.Request().Body()); }

/// What the longer of the two sends when all goes well. The other sends its beginning.
std::string WholeAnswer() { return "abcdefghij" + std::string(100, 'x') + "the end"; }

/// One request whose exchange fails at call `n`; says whether that call was reached.
bool FailAt(std::size_t n, Kind kind, const Function& function, std::exception_ptr failure) {
  bool reached = false;
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    host.Serve({{"/x", kind, function}});
    TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "10"}});
    auto& exchange = request.exchange;
    exchange.body = {"abc", "defg", "hij"};
    exchange.fail_at = n;
    exchange.failure = failure;
    host.Process(request);

    const auto failed = std::min(n, exchange.calls.size());
    reached = n <= exchange.calls.size() && exchange.calls[n - 1] != Call::kAbort;
    CHECK(host.Made() == 1);
    CHECK(host.Living() == 0);
    CHECK(host.Pipeline().RequestsInFlight() == 0);
    // A header block that was not taken may be followed by that of an error; one that was is the only one.
    const auto not_taken = reached && exchange.calls[failed - 1] == Call::kSendHeaders ? 1u : 0u;
    CHECK(exchange.Count(Call::kSendHeaders) <= 1 + not_taken);
    CHECK(exchange.Count(Call::kAbort) <= 1);
    if (exchange.aborted) {
      // Nothing follows, and nothing was added to what the handler had written.
      CHECK(exchange.calls.back() == Call::kAbort);
      CHECK(WholeAnswer().starts_with(exchange.sent));
    } else if (reached) {
      // An answer instead: only where no byte of another had left.
      CHECK((exchange.calls[failed - 1] == Call::kReadBody || not_taken == 1));
      CHECK(exchange.status >= 400);
    } else {
      CHECK(exchange.status == 200);
      CHECK(exchange.sent.starts_with("abcdefghij"));
      CHECK(WholeAnswer().starts_with(exchange.sent));
    }
    // The pipeline is fit for the next one.
    TestRequest next("POST", "/x", {{"CONTENT_LENGTH", "1"}});
    next.exchange.body = {"a"};
    host.Process(next);
    CHECK(next.exchange.status == 200);
  });
  REQUIRE(lines.size() == 2);
  if (reached) {
    CHECK(FieldOf(lines[0], "status") != "200");
  }
  return reached;
}

TEST_CASE(
    "Pipeline: an exchange that fails at any call leaves one record, no handler, and no mixed "
    "answer") {
  struct Failure {
    std::string name;
    std::exception_ptr exception;
  };
  const std::vector<Failure> failures = {
      {"system_error", nullptr},
      {"HttpException 408", std::make_exception_ptr(HttpException(408))},
      {"client gone", std::make_exception_ptr(OperationCancelled(CancellationReason::kClientGone))},
      {"deadline", std::make_exception_ptr(OperationCancelled(CancellationReason::kDeadline))},
      {"shutdown", std::make_exception_ptr(OperationCancelled(CancellationReason::kShutdown))}};
  for (const auto& [name, exception] : failures) {
    CAPTURE(name);
    for (const auto kind : kAllKinds) {
      CAPTURE(static_cast<int>(kind));
      for (const auto function : {&ReadAndStream, &ReadAndAnswer}) {
        std::size_t n = 1;
        for (bool reached = true; reached; ++n) {
          CAPTURE(n);
          REQUIRE(n < 100);
          reached = FailAt(n, kind, function, exception);
        }
        CHECK(n > 5);
      }
    }
  }
}

TEST_CASE("Pipeline: the records of an exchange that fails tell how") {
  const auto line_of = [](std::exception_ptr failure, Call at) {
    const auto lines = PipelineHost::Run([&](PipelineHost& host) {
      host.Serve({{"/x", Kind::kAsyncBufferless, ReadAndStream}});
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "3"}});
      request.exchange.body = {"abc"};
      request.exchange.failure = failure;
      request.exchange.before_call = [&](Call call) {
        if (call == at && request.exchange.fail_at == MemoryExchange::kNever) {
          request.exchange.fail_at = request.exchange.calls.size();
        }
      };
      host.Process(request);
    });
    REQUIRE(lines.size() == 1);
    return FieldOf(lines[0], "status") + " " + FieldOf(lines[0], "outcome");
  };
  const auto gone = std::make_exception_ptr(OperationCancelled(CancellationReason::kClientGone));
  const auto deadline = std::make_exception_ptr(OperationCancelled(CancellationReason::kDeadline));
  CHECK(line_of(nullptr, Call::kReadBody).starts_with("500 "));
  CHECK(line_of(nullptr, Call::kSendHeaders) == "500 aborted");
  CHECK(line_of(nullptr, Call::kSendBody) == "500 aborted");
  CHECK(line_of(nullptr, Call::kFlush) == "500 aborted");
  CHECK(line_of(gone, Call::kReadBody) == "499 client-gone");
  CHECK(line_of(gone, Call::kSendHeaders) == "499 client-gone");
  CHECK(line_of(gone, Call::kSendBody) == "499 client-gone");
  CHECK(line_of(deadline, Call::kReadBody).starts_with("504 "));
  CHECK(line_of(deadline, Call::kSendBody) == "504 aborted");
}

TEST_CASE("Pipeline: an error page that cannot be sent is aborted, with one record") {
  for (const std::size_t fail_at : {1u, 2u}) {
    const auto lines = PipelineHost::Run([fail_at](PipelineHost& host) {
      host.Serve({});
      TestRequest request("GET", "/nowhere");
      request.exchange.fail_at = fail_at;
      host.Process(request);
      CHECK(request.exchange.aborted);
      CHECK(request.exchange.Count(Call::kSendHeaders) == 1);
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "outcome") == "aborted");
  }
}

}  // namespace
}  // namespace weft::test
