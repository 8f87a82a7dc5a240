// What the FastCGI specification asks of an application in the corners where it is easily got wrong, and what
// must not happen whatever a peer sends. The requests pass libfcgi, as they do in production.

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/unit/fastcgi/fastcgi_host.hpp"

namespace weft::test {

namespace {

using namespace testsupport;
using Kind = FastCgiHost::Kind;
using Ending = host::fastcgi::IConnectionSocket::Ending;
using std::chrono::milliseconds;
using std::chrono::seconds;

}  // namespace

TEST_CASE("FastCGI: records of inactive ids are passed over, and the framing is kept") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    auto& peer = host.Connect();
    peer.Feed(Stdin(9, "nobody's") + EncodeRecord(RecordType::kParams, 8, "nobody's") +
              EncodeAbort(7) + Begin(1) + Params(1, "/echo.ashx", 10) + Stdin(9) +
              Stdin(1, "01234") + Stdin(9, "more of nobody's") + Stdin(1, "56789") + Stdin(1));
    CHECK(AnswerTo(peer.socket, 1).body == "10:0123456789");
    CHECK_FALSE(peer.socket.ended);
  });
}

TEST_CASE("FastCGI: GET_VALUES is answered at any time, padded or not, and the connection stays") {
  FastCgiHost::Options options;
  options.limits.application_max_connections = 40'000;
  options.limits.application_max_requests = 30'000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    for (const auto padding : {Padding::kNone, Padding::kTo8}) {
      auto& peer = host.Connect();
      const auto question = EncodeGetValues(
          {"FCGI_MAX_CONNS", "FCGI_MPXS_CONNS", "FCGI_MAX_REQS", "FCGI_UNHEARD_OF"}, padding);
      const auto check_answer = [&] {
        auto answers = peer.socket.Answers();
        const auto answer = answers.TakeManagement();
        REQUIRE(answer);
        CHECK(answer->type == RecordType::kGetValuesResult);
        CHECK(DecodePairs(answer->content) == Pairs{{"FCGI_MAX_CONNS", "40000"},
                                                    {"FCGI_MPXS_CONNS", "1"},
                                                    {"FCGI_MAX_REQS", "30000"}});
        peer.socket.sent.clear();
      };
      peer.Feed(question);  // before any request
      check_answer();
      peer.Feed(Begin(1) + Params(1, "/echo.ashx", 4) + Stdin(1, "ab") +
                question);  // in the middle of one
      check_answer();
      peer.Feed(Stdin(1, "cd") + Stdin(1));
      CHECK(AnswerTo(peer.socket, 1).body == "4:abcd");
      CHECK_FALSE(peer.socket.ended);
    }
  });
}

TEST_CASE(
    "FastCGI: any role but responder is refused with UNKNOWN_ROLE, and the connection stays") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    for (const int role : {0, 2, 3, 4, 65535}) {
      auto& peer = host.Connect();
      // An authorizer's STDIN is not ended by every web server.
      peer.Feed(EncodeBegin(1, static_cast<Role>(role), Connection::kKeep) +
                Params(1, "/hello.ashx"));
      auto answers = peer.socket.Answers();
      const auto result = answers.TakeEnded(1);
      REQUIRE(result);
      CHECK(result->protocol_status == ProtocolStatus::kUnknownRole);
      CHECK(result->stdout_bytes.empty());
      peer.socket.sent.clear();
      peer.Feed(RequestBytes(1, "/hello.ashx"));
      CHECK(AnswerTo(peer.socket, 1).body == "hello");
    }
  });
}

TEST_CASE("FastCGI: ABORT_REQUEST cancels the handler while it runs, and END_REQUEST follows") {
  FastCgiHost::Run([](FastCgiHost& host) {
    bool cancelled = false;
    host.Serve("/wait.ashx", Kind::kAsync, [&](HttpContext& context) {
      try {
        SleepFor(std::chrono::hours(1));
      } catch (const OperationCancelled& error) {
        cancelled = error.Reason() == CancellationReason::kClientGone &&
                    context.Cancellation().IsCancellationRequested();
        throw;
      }
    });
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/wait.ashx"));
    CHECK(peer.socket.sent.empty());
    peer.Feed(EncodeAbort(1));
    CHECK(cancelled);
    auto answers = peer.socket.Answers();
    const auto result = answers.TakeEnded(1);
    REQUIRE(result);
    CHECK(result->stdout_bytes.empty());
    CHECK(result->protocol_status == ProtocolStatus::kRequestComplete);
    CHECK_FALSE(peer.socket.ended);
    peer.socket.sent.clear();
    peer.Feed(RequestBytes(1, "/hello.ashx"));
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
  });
}

TEST_CASE(
    "FastCGI: two requests, cut into pieces and interleaved, keep their bodies and answers apart") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    auto& peer = host.Connect();
    const auto split = [](const std::string& bytes, std::size_t size) {
      std::vector<std::string> records;
      for (const auto& record : DecodeRecords(bytes)) {
        for (std::size_t at = 0; at < record.content.size(); at += size) {
          records.push_back(
              EncodeRecord(record.type, record.id, record.content.substr(at, size), Padding::kTo8));
        }
        if (record.content.empty()) {
          records.push_back(EncodeRecord(record.type, record.id, ""));
        }
      }
      return records;
    };
    const auto one = split(RequestBytes(1, "/echo.ashx", std::string(5000, 'a')), 97);
    const auto three = split(RequestBytes(3, "/echo.ashx", std::string(3000, 'b')), 61);
    // BEGIN_REQUEST is not cut: its record has a fixed size.
    for (std::size_t i = 0; i < std::max(one.size(), three.size()); ++i) {
      peer.Feed((i < one.size() ? one[i] : "") + (i < three.size() ? three[i] : ""));
    }
    CHECK(AnswerTo(peer.socket, 1).body == "5000:" + std::string(5000, 'a'));
    CHECK(AnswerTo(peer.socket, 3).body == "3000:" + std::string(3000, 'b'));
  });
}

TEST_CASE("FastCGI: parameters that straddle PARAMS records are whole wherever they are cut") {
  FastCgiHost::Run([](FastCgiHost& host) {
    std::string seen;
    host.Serve("/p.ashx", Kind::kAsync, [&](HttpContext& context) {
      seen.clear();
      for (const auto& [name, value] : context.Request().ServerVariables()) {
        seen.append(name).append("=").append(value).append(";");
      }
    });
    const Pairs pairs{{"SCRIPT_NAME", "/p.ashx"},
                      {"REQUEST_METHOD", "GET"},
                      {"LONG", std::string(300, 'x')},
                      {"EMPTY", ""}};
    const auto bytes = EncodePairs(pairs);
    auto& peer = host.Connect();
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
      peer.Feed(Begin(1) + EncodeRecord(RecordType::kParams, 1, bytes.substr(0, cut)) +
                EncodeRecord(RecordType::kParams, 1, bytes.substr(cut)) +
                EncodeRecord(RecordType::kParams, 1, "") + Stdin(1));
      REQUIRE(seen ==
              "SCRIPT_NAME=/p.ashx;REQUEST_METHOD=GET;LONG=" + std::string(300, 'x') + ";EMPTY=;");
    }
    peer.Feed(Begin(1) + EncodeStream(RecordType::kParams, 1, bytes, 1) + Stdin(1));
    CHECK(seen.size() ==
          std::string("SCRIPT_NAME=/p.ashx;REQUEST_METHOD=GET;LONG=;EMPTY=;").size() + 300);
  });
}

TEST_CASE(
    "FastCGI: STDIN that comes after its answer is passed over, and the next request is served") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/early.ashx", Kind::kBufferless, Hello);
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/early.ashx", 100'000));
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
    peer.socket.sent.clear();
    peer.Feed(EncodeStream(RecordType::kStdin, 1, std::string(100'000, 'x')));
    CHECK(peer.socket.sent.empty());
    peer.Feed(RequestBytes(1, "/echo.ashx", "next"));
    CHECK(AnswerTo(peer.socket, 1).body == "4:next");
    CHECK_FALSE(peer.socket.ended);
  });
}

TEST_CASE("FastCGI: a request beyond the connection's bound is answered 503 and OVERLOADED") {
  FastCgiHost::Options options;
  options.limits.max_requests = 2;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext&) { SleepFor(std::chrono::hours(1)); });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/wait.ashx") + RequestBytes(3, "/wait.ashx") +
              RequestBytes(5, "/wait.ashx"));
    auto answers = peer.socket.Answers();
    const auto result = answers.TakeEnded(5);
    REQUIRE(result);
    CHECK(result->protocol_status == ProtocolStatus::kOverloaded);
    const auto response = ParseCgiResponse(result->stdout_bytes);
    CHECK(response.status == 503);
    REQUIRE(response.FindHeader("Retry-After") != nullptr);
    REQUIRE(host.refusals.size() == 1);
    CHECK(host.refusals[0].first == 503);
    host.EndAll();
  });
}

TEST_CASE(
    "FastCGI: an empty record of another id between STDIN records costs no byte of the body") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/echo.ashx", 6) + Stdin(1, "abc") + Stdin(2) + Stdin(1, "def") +
              Stdin(1));
    CHECK(AnswerTo(peer.socket, 1).body == "6:abcdef");
  });
}

TEST_CASE(
    "FastCGI: ABORT_REQUEST is seen before, while and after STDIN comes, and the kept connection "
    "stays") {
  for (const auto& body : {std::string(), Stdin(1, "half"), Stdin(1, "all of it!") + Stdin(1)}) {
    FastCgiHost::Run([&](FastCgiHost& host) {
      bool cancelled = false;
      host.Serve("/wait.ashx", Kind::kBufferless, [&](HttpContext& context) {
        const auto registration = context.Cancellation().Register([&] { cancelled = true; });
        SleepFor(std::chrono::hours(1));
      });
      host.Serve("/hello.ashx", Kind::kAsync, Hello);
      auto& peer = host.Connect();
      peer.Feed(Begin(1) + Params(1, "/wait.ashx", 10) + body);
      CHECK_FALSE(cancelled);
      peer.Feed(EncodeAbort(1));
      CHECK(cancelled);
      auto answers = peer.socket.Answers();
      REQUIRE(answers.TakeEnded(1));
      peer.socket.sent.clear();
      peer.Feed(RequestBytes(1, "/hello.ashx"));
      CHECK(AnswerTo(peer.socket, 1).body == "hello");
      CHECK_FALSE(peer.socket.ended);
    });
  }
}

TEST_CASE("FastCGI: ABORT_REQUEST before the parameters are whole ends the request at once") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + EncodeRecord(RecordType::kParams, 1, "half") + EncodeAbort(1));
    auto answers = peer.socket.Answers();
    REQUIRE(answers.TakeEnded(1));
    peer.socket.sent.clear();
    peer.Feed(RequestBytes(1, "/hello.ashx"));
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
  });
}

TEST_CASE("FastCGI: a body that comes after its answer does not end the kept connection") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/early.ashx", Kind::kBufferless, Hello);
    auto& peer = host.Connect();
    for (int i = 0; i < 3; ++i) {
      peer.Feed(Begin(1) + Params(1, "/early.ashx", 5));
      CHECK(AnswerTo(peer.socket, 1).body == "hello");
      peer.socket.sent.clear();
      peer.Feed(Stdin(1, "12345") + Stdin(1));
      CHECK(peer.socket.sent.empty());
    }
    CHECK_FALSE(peer.socket.ended);
  });
}

TEST_CASE("FastCGI: a request that failed leaves no status for the next, and never looks whole") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext&) { SleepFor(std::chrono::hours(1)); });
    host.Serve("/cut.ashx", Kind::kAsync, [](HttpContext& context) {
      context.Response().Flush();
      throw std::runtime_error("after the headers");
    });
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    // With another request in flight, a cut answer cannot end the connection at once.
    peer.Feed(RequestBytes(7, "/wait.ashx") + RequestBytes(1, "/cut.ashx"));
    auto answers = peer.socket.Answers();
    CHECK_FALSE(answers.TakeEnded(1));
    CHECK_FALSE(peer.socket.ended);
    // Others are served meanwhile; it ends when the last has ended, and keeps what is on the way of their answers.
    peer.socket.sent.clear();
    peer.Feed(RequestBytes(3, "/hello.ashx"));
    CHECK(AnswerTo(peer.socket, 3).body == "hello");
    CHECK_FALSE(peer.socket.ended);
    peer.Feed(EncodeAbort(7));
    CHECK(peer.socket.ended == Ending::kLinger);
    // A new connection knows nothing of it.
    auto& other = host.Connect();
    other.Feed(RequestBytes(1, "/hello.ashx"));
    answers = other.socket.Answers();
    const auto result = answers.TakeEnded(1);
    REQUIRE(result);
    CHECK(result->app_status == 0);
  });
}

TEST_CASE("FastCGI: GET_VALUES without padding is answered before another byte comes") {
  FastCgiHost::Run([](FastCgiHost& host) {
    auto& peer = host.Connect();
    peer.Feed(EncodeGetValues({"FCGI_MAX_REQS", "FCGI_MPXS_CONNS"}, Padding::kNone));
    auto answers = peer.socket.Answers();
    CHECK(answers.TakeManagement());
  });
}

TEST_CASE("FastCGI: GET_VALUES that asks many times is answered once a name") {
  FastCgiHost::Run([](FastCgiHost& host) {
    for (const std::size_t count : {4, 5, 64, 3000}) {
      auto& peer = host.Connect();
      std::vector<std::string> names(count, "FCGI_MAX_CONNS");
      names.push_back("FCGI_MPXS_CONNS");
      peer.Feed(EncodeGetValues(names, Padding::kTo8));
      auto answers = peer.socket.Answers();
      const auto answer = answers.TakeManagement();
      REQUIRE(answer);
      const auto pairs = DecodePairs(answer->content);
      CHECK(pairs.size() <= 2);
      CHECK(pairs[0].first == "FCGI_MAX_CONNS");
      CHECK_FALSE(answers.TakeManagement());
      CHECK_FALSE(peer.socket.ended);
    }
  });
}

TEST_CASE(
    "FastCGI: a second BEGIN_REQUEST while a body is pending costs the first request nothing") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/echo.ashx", 6) + Stdin(1, "abc") +
              RequestBytes(2, "/echo.ashx", "two") + Stdin(1, "def") + Stdin(1));
    CHECK(AnswerTo(peer.socket, 1).body == "6:abcdef");
    CHECK(AnswerTo(peer.socket, 2).body == "3:two");
  });
}

TEST_CASE("FastCGI: a next request in the same bytes as the end of the last is served") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/echo.ashx", "one") + RequestBytes(2, "/echo.ashx", "two"));
    CHECK(AnswerTo(peer.socket, 1).body == "3:one");
    CHECK(AnswerTo(peer.socket, 2).body == "3:two");
  });
}

TEST_CASE("FastCGI: a record of an unknown type for an active request is passed over") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    for (int type = 0; type < 256; ++type) {
      if (type == 1 || type == 2 || type == 4 || type == 5) {
        continue;  // those that mean something here
      }
      auto& peer = host.Connect();
      peer.Feed(Begin(1) + EncodeRecord(static_cast<RecordType>(type), 1, "?") +
                Params(1, "/echo.ashx", 4) + Stdin(1, "ab") +
                EncodeRecord(static_cast<RecordType>(type), 1, "what is this") +
                EncodeRecord(static_cast<RecordType>(type), 1, "") + Stdin(1, "cd") + Stdin(1));
      REQUIRE(AnswerTo(peer.socket, 1).body == "4:abcd");
    }
  });
}

TEST_CASE("FastCGI: an unknown role is told so, not just closed upon") {
  FastCgiHost::Run([](FastCgiHost& host) {
    auto& peer = host.Connect();
    peer.Feed(EncodeBegin(1, static_cast<Role>(9), Connection::kClose));
    auto answers = peer.socket.Answers();
    const auto result = answers.TakeEnded(1);
    REQUIRE(result);
    CHECK(result->protocol_status == ProtocolStatus::kUnknownRole);
    CHECK(peer.socket.ended);
  });
}

TEST_CASE(
    "FastCGI: an unknown management record is answered, and its content does not hurt what "
    "follows") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    for (const int type : {0, 12, 99, 255}) {
      auto& peer = host.Connect();
      peer.Feed(
          EncodeRecord(static_cast<RecordType>(type), 0, std::string(1000, '\1'), Padding::kTo8) +
          RequestBytes(1, "/hello.ashx"));
      auto answers = peer.socket.Answers();
      const auto answer = answers.TakeManagement();
      REQUIRE(answer);
      CHECK(answer->type == RecordType::kUnknownType);
      REQUIRE(answer->content.size() == 8);
      CHECK(answer->content[0] == static_cast<char>(type));
      CHECK(AnswerTo(peer.socket, 1).body == "hello");
    }
  });
}

TEST_CASE("FastCGI: GET_VALUES right before a request: both are answered, in that order") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    peer.Feed(EncodeGetValues({"FCGI_MPXS_CONNS"}, Padding::kNone) +
              RequestBytes(1, "/hello.ashx"));
    const auto records = DecodeRecords(peer.socket.sent);
    REQUIRE(records.size() >= 3);
    CHECK(records.front().type == RecordType::kGetValuesResult);
    CHECK(records.back().type == RecordType::kEndRequest);
  });
}

TEST_CASE("FastCGI: a STDIN that is never ended is no hindrance once CONTENT_LENGTH is reached") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/echo.ashx", Kind::kAsync, EchoBody);
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/echo.ashx", 3) + Stdin(1, "abc"));
    CHECK(AnswerTo(peer.socket, 1).body == "3:abc");
    peer.socket.sent.clear();
    // The same id again, the old STDIN still open.
    peer.Feed(RequestBytes(1, "/echo.ashx", "again"));
    CHECK(AnswerTo(peer.socket, 1).body == "5:again");
  });
}

TEST_CASE("FastCGI: lengths of 2 GB are answered with 400, and nothing of that size is reserved") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    using namespace std::string_literals;
    const std::vector<std::string> announcements{"\xff\xff\xff\xff\x04"s, "\xff\x00\x00\x00\x04"s,
                                                 "\x04\xff\xff\xff\xff"s, "\x80\x01\x00\x00\x00"s};
    for (const auto& lengths : announcements) {
      peer.Feed(Begin(1) + EncodeStream(RecordType::kParams, 1, lengths + std::string(200, 'x')) +
                Stdin(1));
      CHECK(AnswerTo(peer.socket, 1).status == 400);
      peer.socket.sent.clear();
    }
    CHECK(host.refusals.size() == announcements.size());
    peer.Feed(RequestBytes(1, "/hello.ashx"));
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
  });
}

TEST_CASE("FastCGI: lengths whose sum passes the range of an int are answered with 400") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/hello.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    using namespace std::string_literals;
    for (const auto& lengths :
         {"\xff\xff\xff\xfe\x00"s, "\xc0\x00\x00\x00\xc0\x00\x00\x00"s,
          "\xff\x7f\x7f\x7f\xff\x7f\x7f\x7f"s, "\xff\x00\x00\x00\x81\x00\x00\x00"s,
          "\xff\xff\xff\xff\xff\xff\xff\xff"s}) {
      peer.Feed(Begin(1) + EncodeStream(RecordType::kParams, 1, lengths + std::string(200, 'x')) +
                Stdin(1));
      CHECK(AnswerTo(peer.socket, 1).status == 400);
      peer.socket.sent.clear();
    }
    peer.Feed(RequestBytes(1, "/hello.ashx"));
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
  });
}

TEST_CASE("FastCGI: what fills a record up is zero, whatever was in memory there") {
  FastCgiHost::Run([](FastCgiHost& host) {
    std::size_t size = 0;
    host.Serve("/n.ashx", Kind::kAsync,
               [&](HttpContext& context) { context.Response().Write(std::string(size, '\xaa')); });
    for (size = 1; size < 40; ++size) {
      auto& peer = host.Connect();
      peer.Feed(RequestBytes(1, "/n.ashx"));
      const auto& bytes = peer.socket.sent;
      for (std::size_t at = 0; at < bytes.size();) {
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
        const std::size_t content = static_cast<std::size_t>(byte(4)) << 8 | byte(5);
        const std::size_t padding = byte(6);
        REQUIRE(bytes.substr(at + 8 + content, padding) == std::string(padding, '\0'));
        at += 8 + content + padding;
      }
    }
  });
}

}  // namespace weft::test
