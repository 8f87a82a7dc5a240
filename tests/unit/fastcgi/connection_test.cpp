#include "host/fastcgi/connection.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "host/runtime/fiber_event.hpp"
#include "tests/unit/fastcgi/fastcgi_host.hpp"

namespace weft::test {

namespace {

using namespace testsupport;
using Kind = FastCgiHost::Kind;
using Ending = host::fastcgi::IConnectionSocket::Ending;
using Clock = FastCgiHost::Clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Reads the body to its end as it arrives, and answers with its length.
void CountBody(HttpContext& context) {
  std::array<char, 4000> buffer;
  std::size_t total = 0;
  while (const auto count = context.Request().GetBufferlessInputStream().Read(buffer)) {
    total += count;
  }
  context.Response().Write(std::to_string(total));
}

/// Fails when a part of the answer has been sent.
void FailHalfWay(HttpContext& context) {
  context.Response().Write("half");
  context.Response().Flush();
  throw std::runtime_error("the other half");
}

}  // namespace

TEST_CASE("Connection: a whole conversation is answered the same wherever its bytes are cut") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    const auto bytes = EncodeGetValues({"FCGI_MPXS_CONNS"}) +
                       RequestBytes(1, "/echo.ashx", "first body") +
                       EncodeRecord(static_cast<RecordType>(77), 0, "odd") +
                       RequestBytes(1, "/echo.ashx?second=1");
    // The second request has the first one's id: it may come only when that has ended.
    const auto second = bytes.size() - RequestBytes(1, "/echo.ashx?second=1").size();
    const auto talk = [&](std::size_t cut) {
      auto& peer = host.Connect();
      if (cut <= second) {
        peer.Feed(std::string_view(bytes).substr(0, cut));
        peer.Feed(std::string_view(bytes).substr(cut, second - cut));
        peer.Feed(std::string_view(bytes).substr(second));
      } else {
        peer.Feed(std::string_view(bytes).substr(0, second));
        peer.Feed(std::string_view(bytes).substr(second, cut - second));
        peer.Feed(std::string_view(bytes).substr(cut));
      }
      return peer.socket.sent;
    };
    const auto expected = talk(second);
    CHECK(DecodeRecords(expected).size() >= 8);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      // The order of records may differ where a cut gives a fiber its turn earlier; what each request and each
      // management record is answered may not.
      const auto got = talk(cut);
      REQUIRE(got.size() == expected.size());
      ResponseCollector a;
      ResponseCollector b;
      a.Feed(got);
      b.Feed(expected);
      for (int i = 0; i < 2; ++i) {
        const auto mine = a.TakeEnded(1);
        const auto theirs = b.TakeEnded(1);
        REQUIRE(mine);
        REQUIRE(theirs);
        REQUIRE(mine->stdout_bytes == theirs->stdout_bytes);
        REQUIRE(a.TakeManagement()->content == b.TakeManagement()->content);
      }
    }
  });
}

TEST_CASE("Connection: an answer that fits leaves in one write, END_REQUEST its last bytes") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/hello.ashx"));
    CHECK(peer.socket.writes.size() == 1);
    const auto records = DecodeRecords(peer.socket.sent);
    CHECK(records.back().type == RecordType::kEndRequest);
    for (const auto& record : records) {
      CHECK(record.id == 1);
    }
  });
}

TEST_CASE(
    "Connection: without KEEP_CONN it ends after END_REQUEST, and lingers only when bytes may "
    "still come") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    host.Serve("/early.ashx", Kind::kBufferless, Hello);
    auto& whole = host.Connect();
    whole.Feed(RequestBytes(1, "/hello.ashx", {}, Connection::kClose));
    CHECK(AnswerTo(whole.socket, 1).body == "hello");
    CHECK(whole.socket.ended == Ending::kNow);

    auto& unread = host.Connect();
    unread.Feed(EncodeBegin(1, Role::kResponder, Connection::kClose) +
                Params(1, "/early.ashx", 1000));
    CHECK(AnswerTo(unread.socket, 1).body == "hello");
    CHECK(unread.socket.ended == Ending::kLinger);
  });
}

TEST_CASE("Connection: bytes that are no FastCGI end it at once, and cancel what runs") {
  FastCgiHost::Run([](FastCgiHost& host) {
    bool cancelled = false;
    host.Serve("/wait.ashx", Kind::kAsync, [&](HttpContext& context) {
      const auto registration = context.Cancellation().Register([&] { cancelled = true; });
      SleepFor(std::chrono::hours(1));
    });
    auto& first = host.Connect();
    first.Feed("GET / HTTP/1.1\r\n\r\n");
    CHECK(first.socket.ended == Ending::kNow);
    auto& later = host.Connect();
    later.Feed(RequestBytes(1, "/wait.ashx"));
    later.Feed("rubbish");
    CHECK(later.socket.ended == Ending::kNow);
    CHECK(cancelled);
  });
}

TEST_CASE("Connection: a BEGIN_REQUEST of a wrong length, of id 0, or of an id in use ends it") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext&) { SleepFor(std::chrono::hours(1)); });
    for (const auto& bytes :
         {EncodeRecord(RecordType::kBeginRequest, 1, std::string("\0\1\1", 3)),
          EncodeRecord(RecordType::kBeginRequest, 1, std::string("\0\1\1\0\0\0\0\0\0", 9)),
          EncodeBegin(0, Role::kResponder, Connection::kKeep), Begin(1) + Begin(1),
          RequestBytes(1, "/wait.ashx") + Begin(1)}) {
      auto& peer = host.Connect();
      peer.Feed(bytes);
      CHECK(peer.socket.ended == Ending::kNow);
    }
  });
}

TEST_CASE("Connection: a peer that goes away cancels its requests with the reason") {
  FastCgiHost::Run([](FastCgiHost& host) {
    std::vector<CancellationReason> reasons;
    host.Serve("/wait.ashx", Kind::kAsync, [&](HttpContext&) {
      try {
        SleepFor(std::chrono::hours(1));
      } catch (const OperationCancelled& cancelled) {
        reasons.push_back(cancelled.Reason());
        throw;
      }
    });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/wait.ashx") + RequestBytes(3, "/wait.ashx"));
    peer.connection->OnEndOfStream(false);
    FastCgiHost::Settle();
    CHECK(reasons == std::vector{CancellationReason::kClientGone, CancellationReason::kClientGone});
    CHECK(peer.socket.sent.empty());
    CHECK(peer.socket.ended == Ending::kNow);
  });
}

TEST_CASE("Connection: a peer that only stops sending still gets its answer") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext& context) {
      SleepFor(milliseconds(5));
      Hello(context);
    });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/wait.ashx"));
    peer.connection->OnEndOfStream(true);
    FastCgiHost::Await([&] { return peer.socket.ended.has_value(); });
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
    CHECK(peer.socket.ended == Ending::kNow);
  });
}

TEST_CASE(
    "Connection: a peer that stops sending inside a body gets 400, and no handler is called") {
  FastCgiHost::Run([](FastCgiHost& host) {
    bool called = false;
    host.Serve("/echo.ashx", Kind::kAsync, [&](HttpContext&) { called = true; });
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/echo.ashx", 100) + Stdin(1, "half"));
    peer.connection->OnEndOfStream(true);
    FastCgiHost::Settle();
    CHECK(AnswerTo(peer.socket, 1).status == 400);
    CHECK_FALSE(called);
  });
}

TEST_CASE("Connection: a body shorter than CONTENT_LENGTH is 400, and no handler is called") {
  FastCgiHost::Run([](FastCgiHost& host) {
    bool called = false;
    host.Serve("/echo.ashx", Kind::kAsync, [&](HttpContext&) { called = true; });
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/echo.ashx", 100) + Stdin(1, "half") + Stdin(1));
    CHECK(AnswerTo(peer.socket, 1).status == 400);
    CHECK_FALSE(called);
  });
}

TEST_CASE(
    "Connection: too many bytes of parameters are 431 as soon as they come, and the rest is passed "
    "over") {
  FastCgiHost::Options options;
  options.limits.max_params_bytes = 1000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    const Pairs pairs{{"SCRIPT_NAME", "/hello.ashx"}, {"LONG", std::string(2000, 'x')}};
    peer.Feed(Begin(1) + EncodeStream(RecordType::kParams, 1, EncodePairs(pairs), 100) + Stdin(1));
    CHECK(AnswerTo(peer.socket, 1).status == 431);
    CHECK(host.refusals == std::vector<std::pair<int, std::string>>{
                               {431, "more than 1000 bytes of parameters (--max-params-bytes)"}});
    peer.socket.sent.clear();
    peer.Feed(RequestBytes(1, "/hello.ashx"));
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
  });
}

TEST_CASE("Connection: 100,000 parameters are 431") {
  FastCgiHost::Options options;
  options.limits.max_params_bytes = 10'000'000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    auto& peer = host.Connect();
    Pairs pairs;
    for (int i = 0; i < 100'000; ++i) {
      pairs.emplace_back("P" + std::to_string(i), "x");
    }
    peer.Feed(Begin(1) + EncodeStream(RecordType::kParams, 1, EncodePairs(pairs)) + Stdin(1));
    CHECK(AnswerTo(peer.socket, 1).status == 431);
  });
}

TEST_CASE(
    "Connection: a body over its bound is 413, announced or not, and the kept connection goes on") {
  FastCgiHost::Options options;
  options.limits.max_request_bytes = 1000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/echo.ashx", std::string(1001, 'x')));
    CHECK(AnswerTo(peer.socket, 1).status == 413);
    peer.socket.sent.clear();
    // Chunked, as nginx passes it on: CONTENT_LENGTH is empty.
    peer.Feed(Begin(1) + Params(1, "/echo.ashx"));
    for (int i = 0; i < 20; ++i) {
      peer.Feed(Stdin(1, std::string(100, 'x')));
    }
    peer.Feed(Stdin(1));
    CHECK(AnswerTo(peer.socket, 1).status == 413);
    peer.socket.sent.clear();
    peer.Feed(RequestBytes(1, "/echo.ashx", std::string(1000, 'x')));
    CHECK(AnswerTo(peer.socket, 1).status == 200);
  });
}

TEST_CASE(
    "Connection: it stops reading when a lone request's body waits unread, and goes on when it is "
    "read") {
  FastCgiHost::Options options;
  options.limits.stdin_buffer_bytes = 1000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    bool go_on = false;
    host.Serve("/slow.ashx", Kind::kBufferless, [&](HttpContext& context) {
      while (!go_on) {
        SleepFor(milliseconds(1));
      }
      CountBody(context);
    });
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/slow.ashx", 3000));
    CHECK(peer.connection->WantsToRead());
    peer.Feed(Stdin(1, std::string(1500, 'x')));
    CHECK_FALSE(peer.connection->WantsToRead());
    const auto changes = peer.socket.reading_changes;
    go_on = true;
    FastCgiHost::Await([&] { return peer.connection->WantsToRead(); });
    CHECK(peer.socket.reading_changes > changes);
    peer.Feed(Stdin(1, std::string(1500, 'x')) + Stdin(1));
    CHECK(AnswerTo(peer.socket, 1).body == "3000");
  });
}

TEST_CASE("Connection: bodies that wait for their handlers count for the budget of bodies") {
  FastCgiHost::Options options;
  options.max_buffered_bytes = 1000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host::runtime::FiberEvent one;
    host::runtime::FiberEvent two;
    host.Serve("/one.ashx", Kind::kBufferless, [&](HttpContext& context) {
      one.Wait();
      EchoBody(context);
    });
    host.Serve("/two.ashx", Kind::kBufferless, [&](HttpContext& context) {
      two.Wait();
      EchoBody(context);
    });
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/one.ashx", 600) + Stdin(1, std::string(600, 'a')));
    CHECK(host.BodyBytes() == 600);
    peer.Feed(Begin(2) + Params(2, "/two.ashx", 600) + Stdin(2, std::string(400, 'b')));
    CHECK(host.BodyBytes() == 1000);
    // One byte more than there is room for: the request that it belongs to pays, all of it.
    peer.Feed(Stdin(2, "b"));
    CHECK(host.BodyBytes() == 600);
    peer.Feed(Stdin(2, std::string(199, 'b')) + Stdin(2) + Stdin(1));
    CHECK(host.BodyBytes() == 600);
    one.Notify();
    FastCgiHost::Settle();
    CHECK(AnswerTo(peer.socket, 1).body == "600:" + std::string(600, 'a'));
    two.Notify();
    FastCgiHost::Settle();
    CHECK(AnswerTo(peer.socket, 2).status == 503);
    CHECK(host.BodyBytes() == 0);
  });
}

TEST_CASE("Connection: a peer that leaves gives back what its bodies counted for the budget") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kBufferless,
               [](HttpContext&) { SleepFor(std::chrono::hours(1)); });
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/wait.ashx", 600) + Stdin(1, std::string(600, 'a')));
    CHECK(host.BodyBytes() == 600);
    peer.connection->OnEndOfStream(false);
    FastCgiHost::Settle();
    CHECK(host.BodyBytes() == 0);
  });
}

TEST_CASE("Connection: it keeps reading a body while the answer waits for the peer to read it") {
  FastCgiHost::Options options;
  options.limits.stdin_buffer_bytes = 1000;
  options.limits.output_buffer_bytes = 1000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/big.ashx", Kind::kBufferless, [&](HttpContext& context) {
      context.Response().Write(std::string(100'000, 'o'));
      CountBody(context);
    });
    auto& peer = host.Connect();
    peer.socket.takes = 500;
    peer.Feed(Begin(1) + Params(1, "/big.ashx", 50'000));
    CHECK(peer.socket.asked_for_writable);
    // The peer sends its whole body before it reads a byte.
    for (int i = 0; i < 50; ++i) {
      REQUIRE(peer.connection->WantsToRead());
      peer.Feed(Stdin(1, std::string(1000, 'i')));
    }
    peer.Feed(Stdin(1));
    peer.socket.takes = static_cast<std::size_t>(-1);
    peer.connection->OnWritable(Clock::now());
    FastCgiHost::Settle();
    const auto answer = AnswerTo(peer.socket, 1);
    CHECK(answer.body == std::string(100'000, 'o') + "50000");
  });
}

TEST_CASE("Connection: with several requests in flight none can stop the reading of the others") {
  FastCgiHost::Options options;
  options.limits.stdin_buffer_bytes = 1000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/stuck.ashx", Kind::kBufferless,
               [](HttpContext&) { SleepFor(std::chrono::hours(1)); });
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/stuck.ashx", 5000) + Begin(3) + Params(3, "/echo.ashx", 3) +
              Stdin(1, std::string(5000, 'x')));
    CHECK(peer.connection->WantsToRead());
    peer.Feed(Stdin(3, "abc"));
    CHECK(AnswerTo(peer.socket, 3).body == "3:abc");
    host.EndAll();
  });
}

TEST_CASE(
    "Connection: a handler that writes more than the peer reads waits, and memory stays bounded") {
  FastCgiHost::Options options;
  options.limits.output_buffer_bytes = 10'000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    std::size_t written = 0;
    host.Serve("/endless.ashx", Kind::kAsync, [&](HttpContext& context) {
      for (;;) {
        context.Response().Write(std::string(5000, 'x'));
        written += 5000;
      }
    });
    auto& peer = host.Connect();
    peer.socket.takes = 20'000;
    peer.Feed(RequestBytes(1, "/endless.ashx"));
    const auto stuck_at = written;
    CHECK(stuck_at < 100'000);
    FastCgiHost::Settle();
    CHECK(written == stuck_at);
    peer.socket.takes = 50'000;
    peer.connection->OnWritable(Clock::now());
    FastCgiHost::Settle();
    CHECK(written > stuck_at);
    CHECK(written < stuck_at + 150'000);
    // The peer leaves: the handler's next write throws.
    peer.connection->OnSocketError();
    FastCgiHost::Settle();
    const auto last = written;
    FastCgiHost::Settle();
    CHECK(written == last);
  });
}

TEST_CASE("Connection: a write that fails cancels the request") {
  FastCgiHost::Run([](FastCgiHost& host) {
    bool threw = false;
    host.Serve("/stream.ashx", Kind::kAsync, [&](HttpContext& context) {
      try {
        for (;;) {
          context.Response().Write("x");
          context.Response().Flush();
          SleepFor(milliseconds(1));
        }
      } catch (const OperationCancelled& cancelled) {
        threw = cancelled.Reason() == CancellationReason::kClientGone;
        throw;
      }
    });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/stream.ashx"));
    peer.socket.gone = true;
    FastCgiHost::Await([&] { return threw; });
    CHECK(peer.socket.ended);
  });
}

TEST_CASE(
    "Connection: an answer that failed half-way ends a connection that carries nothing else") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/cut.ashx", Kind::kAsync, FailHalfWay);
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/cut.ashx"));
    CHECK(peer.socket.ended == Ending::kReset);
    auto answers = peer.socket.Answers();
    CHECK_FALSE(answers.TakeEnded(1));
    CHECK(peer.socket.sent.find("the other half") == std::string::npos);
  });
}

TEST_CASE(
    "Connection: a request whose answer was cut keeps its id until the peer aborts it, and what it "
    "still sends is passed over") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext&) { SleepFor(std::chrono::hours(1)); });
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    host.Serve("/cut.ashx", Kind::kBufferless, [](HttpContext& context) {
      context.Response().Write("half");
      context.Response().Flush();
      throw std::runtime_error("the other half");
    });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(7, "/wait.ashx") + Begin(1) + Params(1, "/cut.ashx", 100) +
              Stdin(1, "some"));
    peer.Feed(Stdin(1, "more") + Stdin(1, "even more"));
    CHECK(host.BodyBytes() == 0);
    CHECK_FALSE(peer.socket.Answers().TakeEnded(1));
    peer.Feed(testsupport::EncodeAbort(1));
    CHECK(peer.socket.Answers().TakeEnded(1));
    // Nothing is withheld any more: the connection stays, and takes the id again.
    peer.socket.sent.clear();
    peer.Feed(RequestBytes(1, "/hello.ashx"));
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
    peer.Feed(testsupport::EncodeAbort(7));
    CHECK_FALSE(peer.socket.ended);
    auto& other = host.Connect();
    other.Feed(RequestBytes(7, "/wait.ashx") + RequestBytes(1, "/cut.ashx"));
    other.Feed(Begin(1));
    CHECK(other.socket.ended);  // an id that is in use
  });
}

TEST_CASE("Connection: requests whose answers were cut count for those that it may carry") {
  FastCgiHost::Options options;
  options.limits.max_requests = 3;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext&) { SleepFor(std::chrono::hours(1)); });
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    host.Serve("/cut.ashx", Kind::kAsync, [](HttpContext& context) {
      context.Response().Flush();
      throw std::runtime_error("half");
    });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(7, "/wait.ashx") + RequestBytes(1, "/cut.ashx") +
              RequestBytes(2, "/cut.ashx"));
    peer.Feed(RequestBytes(3, "/hello.ashx"));
    const auto refused = peer.socket.Answers().TakeEnded(3);
    REQUIRE(refused);
    CHECK(refused->protocol_status == ProtocolStatus::kOverloaded);
    host.EndAll();
  });
}

TEST_CASE("Connection: an answer that failed half-way resets a connection that is not kept, too") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/cut.ashx", Kind::kAsync, FailHalfWay);
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/cut.ashx", {}, Connection::kClose));
    CHECK(peer.socket.ended == Ending::kReset);
  });
}

TEST_CASE(
    "Connection: a request that is cancelled waits no longer for its body, nor for a peer that "
    "does not read") {
  FastCgiHost::Options options;
  options.limits.output_buffer_bytes = 1000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    bool ended = false;
    host.Serve("/endless.ashx", Kind::kAsync, [&](HttpContext& context) {
      try {
        for (;;) {
          context.Response().Write(std::string(500, 'x'));
        }
      } catch (const OperationCancelled& cancelled) {
        ended = cancelled.Reason() == CancellationReason::kShutdown;
        throw;
      }
    });
    auto& body = host.Connect();
    body.Feed(Begin(1) + Params(1, "/echo.ashx", 100));
    auto& output = host.Connect();
    output.socket.takes = 100;
    output.Feed(RequestBytes(1, "/endless.ashx"));
    CHECK(body.socket.sent.empty());
    host.CancelAll(CancellationReason::kShutdown);
    FastCgiHost::Settle();
    CHECK(AnswerTo(body.socket, 1).status == 503);
    CHECK(ended);
  });
}

TEST_CASE("Connection: a peer that never reads cannot make it keep answers without end") {
  FastCgiHost::Run([](FastCgiHost& host) {
    auto& peer = host.Connect();
    peer.socket.takes = 0;
    const auto question = EncodeGetValues({"FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"});
    for (int i = 0; i < 5000 && !peer.socket.ended; ++i) {
      peer.Feed(question);
    }
    CHECK(peer.socket.ended == Ending::kNow);
  });
}

TEST_CASE("Connection: a peer that reads its answers gets all of them, however many it asks for") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext&) { SleepFor(std::chrono::hours(1)); });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/wait.ashx"));
    // As they come in one read of the socket.
    constexpr int kQuestions = 8000;
    std::string questions;
    for (int i = 0; i < kQuestions; ++i) {
      questions += EncodeRecord(static_cast<RecordType>(77), 0, {});
    }
    peer.Feed(questions);
    CHECK_FALSE(peer.socket.ended);
    CHECK(peer.connection->RequestsInFlight() == 1);
    CHECK(DecodeRecords(peer.socket.sent).size() == kQuestions);
    host.EndAll();
  });
}

TEST_CASE("Connection: parameters that are begun many times over are bounded together") {
  FastCgiHost::Options options;
  options.limits.max_params_bytes = 1000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    auto& peer = host.Connect();
    for (std::uint16_t id = 1; id <= 100; ++id) {
      peer.Feed(Begin(id) + EncodeRecord(RecordType::kParams, id, std::string(1000, 'x')));
    }
    REQUIRE(host.refusals.size() == 100 - 16);
    CHECK(host.refusals.front() ==
          std::pair(
              431,
              std::string("the requests that begin on this connection have more than 16 times 1000 "
                          "bytes of parameters (--max-params-bytes)")));
  });
}

TEST_CASE("Connection: a header that does not come, and one that comes drop by drop, are overdue") {
  FastCgiHost::Options options;
  options.limits.header_timeout = seconds(10);
  options.limits.idle_timeout = seconds(120);
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext&) { SleepFor(std::chrono::hours(1)); });
    const auto start = Clock::now();
    const auto feed = [](FastCgiHost::Peer& peer, std::string_view bytes, Clock::time_point now) {
      peer.connection->OnBytes(bytes, now);
      FastCgiHost::Settle();
    };
    SUBCASE("half a header, then silence") {
      auto& peer = host.Connect();
      feed(peer, Begin(1).substr(0, 5), start);
      CHECK(peer.connection->Overdue(start + seconds(9)) == nullptr);
      CHECK(peer.connection->Overdue(start + seconds(10)) != nullptr);
    }
    SUBCASE("a request that is begun, then silence") {
      auto& peer = host.Connect();
      feed(peer, Begin(1), start);
      CHECK(peer.connection->Overdue(start + seconds(9)) == nullptr);
      CHECK(peer.connection->Overdue(start + seconds(10)) != nullptr);
    }
    SUBCASE("a byte now and then does not help") {
      auto& peer = host.Connect();
      feed(peer,
           Begin(1) + EncodeHeader({.type = RecordType::kParams, .id = 1, .content_bytes = 1000}),
           start);
      for (int i = 1; i < 10; ++i) {
        feed(peer, "x", start + seconds(i));
      }
      CHECK(peer.connection->Overdue(start + seconds(10)) != nullptr);
      auto& other = host.Connect();
      feed(other, EncodeHeader({.type = RecordType::kGetValues, .id = 0, .content_bytes = 1000}),
           start);
      for (int i = 1; i < 10; ++i) {
        feed(other, "x", start + seconds(i));
      }
      CHECK(other.connection->Overdue(start + seconds(10)) != nullptr);
    }
    SUBCASE("a request in flight is not overdue, however long") {
      auto& peer = host.Connect();
      feed(peer, RequestBytes(1, "/wait.ashx"), start);
      CHECK(peer.connection->Overdue(start + std::chrono::hours(1)) == nullptr);
    }
    SUBCASE("an idle connection is overdue after the idle time-out") {
      auto& peer = host.Connect();
      CHECK(peer.connection->Overdue(start + seconds(100)) == nullptr);
      CHECK(peer.connection->Overdue(start + seconds(121)) != nullptr);
    }
    SUBCASE("a peer that pipelines forever, always with half a request, is not overdue") {
      host.Serve("/hello.ashx", Kind::kAsync, Hello);
      auto& peer = host.Connect();
      // Two ids in turn: each is free again when its next request begins.
      const auto request = [](int i) {
        return RequestBytes(static_cast<std::uint16_t>(1 + i % 2), "/hello.ashx");
      };
      feed(peer, request(0).substr(0, 20), start);
      for (int i = 1; i < 60; ++i) {
        feed(peer, request(i - 1).substr(20) + request(i).substr(0, 20), start + seconds(i));
        REQUIRE_FALSE(peer.socket.ended);
        REQUIRE(peer.connection->Overdue(start + seconds(i)) == nullptr);
      }
    }
    host.EndAll();
  });
}

TEST_CASE("Connection: a peer that does not read its answer is overdue after the send time-out") {
  FastCgiHost::Options options;
  options.limits.send_timeout = seconds(60);
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    peer.socket.takes = 10;
    peer.Feed(RequestBytes(1, "/hello.ashx"));
    CHECK(peer.connection->Overdue(Clock::now() + seconds(59)) == nullptr);
    CHECK(peer.connection->Overdue(Clock::now() + seconds(61)) != nullptr);
    peer.socket.takes = 10;
    peer.connection->OnWritable(Clock::now() + seconds(50));
    CHECK(peer.connection->Overdue(Clock::now() + seconds(61)) == nullptr);
  });
}

TEST_CASE(
    "Connection: draining ends it when the last request has been answered, and an idle one at "
    "once") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext& context) {
      SleepFor(milliseconds(5));
      Hello(context);
    });
    auto& idle = host.Connect();
    idle.connection->Drain();
    CHECK(idle.socket.ended == Ending::kNow);
    auto& busy = host.Connect();
    busy.Feed(RequestBytes(1, "/wait.ashx"));
    busy.connection->Drain();
    CHECK_FALSE(busy.socket.ended);
    FastCgiHost::Await([&] { return busy.socket.ended.has_value(); });
    CHECK(AnswerTo(busy.socket, 1).body == "hello");
  });
}

TEST_CASE("Connection: is at rest between records, when nothing is in flight and all is sent") {
  FastCgiHost::Run([](FastCgiHost& host) {
    bool go_on = false;
    host.Serve("/wait.ashx", Kind::kAsync, [&](HttpContext& context) {
      while (!go_on) {
        SleepFor(milliseconds(1));
      }
      Hello(context);
    });
    auto& peer = host.Connect();
    CHECK(peer.connection->IsAtRest());
    const auto bytes = RequestBytes(1, "/wait.ashx");
    for (const char byte : bytes) {
      peer.Feed(std::string_view(&byte, 1));
      REQUIRE_FALSE(peer.connection->IsAtRest());
    }
    peer.socket.takes = 10;
    go_on = true;
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK_FALSE(peer.connection->IsAtRest());  // the answer's rest waits for the peer
    peer.socket.takes = std::string::npos;
    peer.connection->OnWritable(Clock::now());
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
    CHECK(peer.connection->IsAtRest());

    auto& closed = host.Connect();
    closed.connection->OnEndOfStream(/*half_closed=*/true);
    CHECK_FALSE(closed.connection->IsAtRest());
    auto& last = host.Connect();
    last.connection->Drain();
    CHECK_FALSE(last.connection->IsAtRest());
  });
}

TEST_CASE(
    "Connection: held back it reads no further requests, but what those that run still need") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext& context) {
      SleepFor(milliseconds(20));
      Hello(context);
    });
    host.Serve("/count.ashx", Kind::kBufferless, CountBody);
    auto& peer = host.Connect();
    peer.connection->HoldBack(true);
    CHECK(peer.connection->WantsToRead());  // nothing is in flight: it would have been passed on
    peer.Feed(RequestBytes(1, "/wait.ashx"));
    CHECK_FALSE(peer.connection->WantsToRead());
    peer.connection->HoldBack(false);
    CHECK(peer.connection->WantsToRead());
    peer.connection->HoldBack(true);
    FastCgiHost::Await([&] { return peer.connection->IsAtRest(); });

    auto& half = host.Connect();
    const auto body = RequestBytes(1, "/count.ashx", "body");
    half.Feed(std::string_view(body).substr(0, body.size() - 3));
    half.connection->HoldBack(true);
    CHECK(half.connection->WantsToRead());
    half.Feed(std::string_view(body).substr(body.size() - 3));
    FastCgiHost::Await([&] { return half.connection->IsAtRest(); });
    CHECK(AnswerTo(half.socket, 1).body == "4");
  });
}

TEST_CASE("Connection: sends that fail or stall at every position lose no fiber") {
  // Each byte position at which the socket stops taking, then fails: every request ends, nothing hangs.
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/big.ashx", Kind::kAsync, [](HttpContext& context) {
      for (int i = 0; i < 5; ++i) {
        context.Response().Write(std::string(100, 'x'));
        context.Response().Flush();
      }
    });
    std::size_t whole = 0;
    {
      auto& peer = host.Connect();
      peer.Feed(RequestBytes(1, "/big.ashx"));
      whole = peer.socket.sent.size();
    }
    for (std::size_t stop = 0; stop < whole; stop += 7) {
      auto& peer = host.Connect();
      peer.socket.takes = stop;
      peer.Feed(RequestBytes(1, "/big.ashx"));
      peer.socket.gone = true;
      peer.connection->OnWritable(Clock::now());
      FastCgiHost::Settle();
      REQUIRE(peer.socket.ended);
      REQUIRE(peer.connection->RequestsInFlight() == 0);
    }
  });
}

}  // namespace weft::test
