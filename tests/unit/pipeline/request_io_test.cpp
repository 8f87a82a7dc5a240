#include "host/pipeline/request_io.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <weft/http_exception.hpp>
#include <weft/http_request.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/run_in_fiber.hpp"
#include "tests/support/server_variables.hpp"

namespace weft::host::pipeline {
namespace {

using test::MemoryExchange;
using Call = MemoryExchange::Call;

/// Runs `test` where the exchange may be called: on a reactor.
void OnReactor(const std::function<void()>& test) {
  test::RunInFiber([&test](runtime::Runtime&) { test(); });
}

/// What stands between a context and this peer.
struct Subject {
  explicit Subject(std::deque<std::string> body = {}) { exchange.body = std::move(body); }

  /// Reads at most `size` bytes.
  std::string Read(std::size_t size) {
    std::string buffer(size, '\0');
    buffer.resize(io.ReadBody(buffer));
    return buffer;
  }
  /// The status with which something is refused; 0 when it is not.
  template <typename F>
  static int Refusal(F&& function) {
    try {
      function();
    } catch (const HttpException& error) {
      return error.StatusCode();
    }
    return 0;
  }

  MemoryExchange exchange;
  CancellationSource source;
  CancellationToken token = source.Token();
  BodyBudget budget{1000};
  BodyBudget files{1000, BodyBudget::Place::kFiles};
  RequestIo io{exchange, token, budget, files};
  HttpRequest request{test::MakeVariables({}), io};
};

TEST_CASE("RequestIo: lengths that are announced are numbers within the bound, or refused") {
  OnReactor([] {
    const auto refusal = [](std::string_view announced, std::uint64_t max_bytes) {
      Subject subject;
      return Subject::Refusal([&] { subject.io.SetBodyBounds(announced, max_bytes); });
    };
    CHECK(refusal("", 0) == 0);
    CHECK(refusal("0", 0) == 0);
    CHECK(refusal("1", 0) == 413);
    CHECK(refusal("5", 5) == 0);
    CHECK(refusal("6", 5) == 413);
    CHECK(refusal("18446744073709551615", std::numeric_limits<std::uint64_t>::max()) == 0);
    CHECK(refusal("18446744073709551616", std::numeric_limits<std::uint64_t>::max()) == 400);
    for (const std::string text : {" 5", "5 ", "+5", "-5", "5x", "x", "0x5", ",", "5,5"}) {
      CAPTURE(text);
      CHECK(refusal(text, 100) == 400);
    }
  });
}

TEST_CASE("RequestIo: no more is read than was announced, in one step or many") {
  OnReactor([] {
    for (const std::size_t step : {1u, 2u, 3u, 5u, 100u}) {
      Subject subject({"abc", "defgh"});
      subject.io.SetBodyBounds("5", 100);
      std::string body;
      for (auto piece = subject.Read(step); !piece.empty(); piece = subject.Read(step)) {
        body += piece;
      }
      CHECK(body == "abcde");
      // The end is known: the exchange, which might wait for ever, is not asked.
      const auto calls = subject.exchange.calls.size();
      CHECK(subject.Read(step).empty());
      CHECK(subject.exchange.calls.size() == calls);
    }
  });
}

TEST_CASE("RequestIo: a buffer of no bytes reads nothing, and is not the end") {
  OnReactor([] {
    Subject subject({"abc"});
    subject.io.SetBodyBounds("3", 100);
    CHECK(subject.Read(0).empty());
    CHECK(subject.exchange.calls.empty());
    CHECK(subject.Read(10) == "abc");
  });
}

TEST_CASE("RequestIo: a body shorter than announced is 400 where it ends") {
  OnReactor([] {
    Subject subject({"abc"});
    subject.io.SetBodyBounds("5", 100);
    CHECK(subject.Read(10) == "abc");
    CHECK(Subject::Refusal([&] { subject.Read(10); }) == 400);
  });
}

TEST_CASE("RequestIo: an unannounced body is 413 as soon as it is over the bound") {
  OnReactor([] {
    Subject subject({"abc", "de", "f"});
    subject.io.SetBodyBounds("", 5);
    CHECK(subject.Read(10) == "abc");
    CHECK(subject.Read(10) == "de");
    CHECK(Subject::Refusal([&] { subject.Read(10); }) == 413);
  });
}

TEST_CASE("RequestIo: an unannounced body of exactly the bound has its end") {
  OnReactor([] {
    Subject subject({"abcde"});
    subject.io.SetBodyBounds("", 5);
    CHECK(subject.Read(10) == "abcde");
    CHECK(subject.Read(10).empty());
  });
}

TEST_CASE("RequestIo: a cancelled request reads no more, but knows the end that it has reached") {
  OnReactor([] {
    Subject subject({"abc"});
    subject.io.SetBodyBounds("3", 100);
    CHECK(subject.Read(3) == "abc");
    subject.source.Cancel(CancellationReason::kDeadline);
    CHECK(subject.Read(3).empty());

    Subject other({"abc"});
    other.io.SetBodyBounds("3", 100);
    other.source.Cancel(CancellationReason::kDeadline);
    CHECK_THROWS_AS(other.Read(3), OperationCancelled);
    CHECK(other.exchange.calls.empty());
  });
}

TEST_CASE("RequestIo: a cancelled request sends nothing more, but for the host's own answer") {
  OnReactor([] {
    Subject subject;
    subject.source.Cancel(CancellationReason::kDeadline);
    CHECK_THROWS_AS(subject.io.SendHeaders(200, "OK", {}), OperationCancelled);
    CHECK_THROWS_AS(subject.io.SendBody("late"), OperationCancelled);
    CHECK_THROWS_AS(subject.io.Flush(), OperationCancelled);
    CHECK(subject.exchange.calls.empty());
    subject.io.BeginErrorAnswer();
    subject.io.SendHeaders(504, "Gateway Timeout", {});
    subject.io.SendBody("late");
    subject.io.Flush();
    CHECK(subject.exchange.status == 504);
    CHECK(subject.exchange.sent == "late");
  });
}

TEST_CASE("RequestIo: the bytes that were sent are counted, those that failed are not") {
  OnReactor([] {
    Subject subject;
    subject.exchange.fail_at = 3;
    subject.io.SendHeaders(200, "OK", {});
    subject.io.SendBody("12345");
    CHECK_THROWS_AS(subject.io.SendBody("678"), std::system_error);
    CHECK(subject.io.BodyBytesSent() == 5);
  });
}

TEST_CASE("RequestIo: a body that is kept counts for the budget, and is given back at the end") {
  OnReactor([] {
    BodyBudget budget{10};
    BodyBudget files{0, BodyBudget::Place::kFiles};
    {
      MemoryExchange exchange;
      exchange.body = {"abc", "defg"};
      const CancellationToken token;
      RequestIo io(exchange, token, budget, files);
      HttpRequest request(test::MakeVariables({}), io);
      io.SetBodyBounds("", 100);
      CHECK(request.Body() == "abcdefg");
      CHECK(budget.UsedBytes() == 7);
    }
    CHECK(budget.UsedBytes() == 0);
  });
}

TEST_CASE("RequestIo: a body that is read piece by piece does not count") {
  OnReactor([] {
    Subject subject({"0123456789abcdef"});
    subject.io.SetBodyBounds("", 100);
    std::string buffer(16, '\0');
    CHECK(subject.request.GetBufferlessInputStream().Read(buffer) == 16);
    CHECK(subject.budget.UsedBytes() == 0);
  });
}

TEST_CASE(
    "RequestIo: a budget that is used up is 503, whoever used it, and nothing more is taken") {
  OnReactor([] {
    Subject subject({"abc", "de"});
    REQUIRE(subject.budget.TryTake(996));
    subject.io.SetBodyBounds("", 100);
    CHECK(Subject::Refusal([&] { static_cast<void>(subject.request.Body()); }) == 503);
    CHECK(subject.budget.UsedBytes() == 999);
  });
}

TEST_CASE("RequestIo: beside the reactor and without a gateway the exchange is not reached") {
  Subject subject({"abc"});
  subject.io.SetBodyBounds("3", 100);
  CHECK_THROWS_AS(subject.Read(3), std::logic_error);
  CHECK_THROWS_AS(subject.io.SendHeaders(200, "OK", {}), std::logic_error);
  CHECK_THROWS_AS(subject.io.SendBody("x"), std::logic_error);
  CHECK_THROWS_AS(subject.io.Flush(), std::logic_error);
  CHECK(subject.exchange.calls.empty());
}

/// Stands for the pool's way back to the fiber: runs what it is given, and counts it.
class CountingGateway final : public runtime::IFiberGateway {
 public:
  void RunOnFiber(const std::function<void()>& function) override {
    ++calls;
    function();
  }
  void RunOnThread(const std::function<void()>& function) override { function(); }

  int calls = 0;
};

TEST_CASE("RequestIo: with a gateway every call that reaches the exchange goes through it") {
  OnReactor([] {
    Subject subject({"abc"});
    subject.io.SetBodyBounds("3", 100);
    CountingGateway gateway;
    subject.io.SetGateway(&gateway);
    CHECK(subject.Read(2) == "ab");
    subject.io.SendHeaders(200, "OK", {});
    subject.io.SendBody("x");
    subject.io.Flush();
    CHECK(gateway.calls == 4);
    subject.io.SetGateway(nullptr);
    CHECK(subject.Read(2) == "c");
    CHECK(gateway.calls == 4);
    // The end is known here: no crossing for it.
    subject.io.SetGateway(&gateway);
    CHECK(subject.Read(2).empty());
    CHECK(gateway.calls == 4);
  });
}

TEST_CASE("RequestIo: what the exchange throws passes, and the count stays right") {
  OnReactor([] {
    Subject subject({"abc", "def"});
    subject.io.SetBodyBounds("6", 100);
    subject.exchange.fail_at = 2;
    CHECK(subject.Read(3) == "abc");
    CHECK_THROWS_AS(subject.Read(3), std::system_error);
    CHECK(subject.Read(3) == "def");
    CHECK(subject.Read(3).empty());
  });
}

TEST_CASE("RequestIo: an abandoned handler reaches the exchange by no call that was on its way") {
  /// The host gives the answer after the thread has looked, and before the fiber comes to its call.
  class AbandoningGateway final : public runtime::IFiberGateway {
   public:
    explicit AbandoningGateway(Subject& subject) : subject_(subject) {}
    void RunOnFiber(const std::function<void()>& function) override {
      subject_.source.Cancel(CancellationReason::kDeadline);
      subject_.io.Abandon();
      function();
    }
    void RunOnThread(const std::function<void()>& function) override { function(); }

   private:
    Subject& subject_;
  };
  const std::vector<std::function<void(Subject&)>> calls = {
      [](Subject& subject) { subject.Read(3); },
      [](Subject& subject) { subject.io.SendHeaders(200, "OK", {}); },
      [](Subject& subject) { subject.io.SendBody("x"); },
      [](Subject& subject) { subject.io.SendPiped(-1, 5); },
      [](Subject& subject) { subject.io.Flush(); },
      [](Subject& subject) { static_cast<void>(subject.io.Finish()); },
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    OnReactor([&call = calls[i]] {
      Subject subject({"abc"});
      subject.io.SetBodyBounds("3", 100);
      AbandoningGateway gateway(subject);
      subject.io.SetGateway(&gateway);
      CHECK_THROWS_AS(call(subject), OperationCancelled);
      CHECK(subject.exchange.calls.empty());
      CHECK(subject.io.BodyBytesSent() == 0);
    });
  }
}

/// What came of a body beside the fiber. Not imitated: waiting, for what is not there does not come.
class MemoryReadAhead final : public IReadAhead {
 public:
  std::size_t Take(std::span<char> buffer, std::chrono::microseconds) noexcept override {
    ++calls;
    if (pieces.empty()) {
      return 0;
    }
    const auto count = pieces.front().copy(buffer.data(), buffer.size());
    pieces.front().erase(0, count);
    if (pieces.front().empty()) {
      pieces.pop_front();
    }
    return count;
  }

  std::deque<std::string> pieces;
  int calls = 0;
};

constexpr std::size_t kAheadFrom = 256 * 1024;

/// A thread that has read so much of a body that more of it is received ahead.
struct AheadSubject : Subject {
  explicit AheadSubject(std::string_view announced, std::uint64_t max_bytes = 10 * kAheadFrom)
      : Subject({std::string(kAheadFrom, '1'), "2"}) {
    exchange.ahead = ahead;
    io.SetBodyBounds(announced, max_bytes);
    io.SetGateway(&gateway);
    REQUIRE(Read(kAheadFrom).size() == kAheadFrom);
    REQUIRE(exchange.read_aheads == 0);  // a body of this length gains nothing
    REQUIRE(Read(1) == "2");
    REQUIRE(exchange.read_aheads == 1);
    REQUIRE(ahead->calls == 0);
    crossings = gateway.calls;
  }

  CountingGateway gateway;
  std::shared_ptr<MemoryReadAhead> ahead = std::make_shared<MemoryReadAhead>();
  int crossings = 0;
};

TEST_CASE("RequestIo: a thread takes what is ahead of a long body without its fiber") {
  OnReactor([] {
    AheadSubject subject("");
    subject.ahead->pieces = {"abc", "de"};
    CHECK(subject.Read(2) == "ab");
    CHECK(subject.Read(100) == "c");
    CHECK(subject.Read(100) == "de");
    CHECK(subject.gateway.calls == subject.crossings);
    // Nothing is ahead: the fiber knows what that means.
    subject.exchange.body = {"f"};
    CHECK(subject.Read(100) == "f");
    CHECK(subject.gateway.calls == subject.crossings + 1);
    subject.ahead->pieces = {"g"};
    CHECK(subject.Read(100) == "g");
    CHECK(subject.Read(100).empty());
    CHECK(subject.exchange.read_aheads == 1);
  });
}

TEST_CASE("RequestIo: what is ahead is held to what was announced and allowed") {
  OnReactor([] {
    SUBCASE("no more than was announced") {
      AheadSubject subject(std::to_string(kAheadFrom + 1 + 3));
      subject.ahead->pieces = {"abcdef"};
      CHECK(subject.Read(100) == "abc");
      const auto calls = subject.ahead->calls;
      CHECK(subject.Read(100).empty());
      CHECK(subject.ahead->calls == calls);
    }
    SUBCASE("less than was announced: 400") {
      AheadSubject subject(std::to_string(kAheadFrom + 1 + 3));
      subject.ahead->pieces = {"ab"};
      CHECK(subject.Read(100) == "ab");
      CHECK(Subject::Refusal([&] { subject.Read(100); }) == 400);
    }
    SUBCASE("more than is allowed: 413") {
      AheadSubject subject("", kAheadFrom + 1 + 2);
      subject.ahead->pieces = {"ab", "c"};
      CHECK(subject.Read(100) == "ab");
      CHECK(Subject::Refusal([&] { subject.Read(100); }) == 413);
    }
  });
}

TEST_CASE("RequestIo: a cancelled thread takes nothing of what is ahead") {
  OnReactor([] {
    AheadSubject subject("");
    subject.ahead->pieces = {"abc"};
    subject.source.Cancel(CancellationReason::kClientGone);
    CHECK_THROWS_AS(subject.Read(3), OperationCancelled);
    CHECK(subject.ahead->calls == 0);
  });
}

TEST_CASE("RequestIo: nothing is received ahead for a fiber, and a fiber takes nothing of it") {
  OnReactor([] {
    Subject subject({std::string(kAheadFrom, '1'), "2", "3"});
    subject.exchange.ahead = std::make_shared<MemoryReadAhead>();
    subject.io.SetBodyBounds("", 10 * kAheadFrom);
    CHECK(subject.Read(kAheadFrom).size() == kAheadFrom);
    CHECK(subject.Read(1) == "2");
    CHECK(subject.exchange.read_aheads == 0);

    AheadSubject after("");
    after.ahead->pieces = {"thread's"};
    after.exchange.body = {"fiber's"};
    after.io.SetGateway(nullptr);
    CHECK(after.Read(100) == "fiber's");
    CHECK(after.ahead->calls == 0);
  });
}

TEST_CASE("RequestIo: an exchange that cannot receive ahead is asked again, and read as before") {
  OnReactor([] {
    Subject subject({std::string(kAheadFrom, '1'), "2", "3"});
    CountingGateway gateway;
    subject.io.SetGateway(&gateway);
    subject.io.SetBodyBounds("", 10 * kAheadFrom);
    CHECK(subject.Read(kAheadFrom).size() == kAheadFrom);
    CHECK(subject.Read(1) == "2");
    CHECK(subject.Read(1) == "3");
    CHECK(subject.exchange.read_aheads == 2);
    CHECK(gateway.calls == 3);
  });
}

}  // namespace
}  // namespace weft::host::pipeline
