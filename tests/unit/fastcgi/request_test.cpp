// A request's way through libfcgi and the pipeline: parameters, bodies and answers, in memory.

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/unit/fastcgi/fastcgi_host.hpp"

namespace weft::test {

namespace {

using namespace testsupport;
using Kind = FastCgiHost::Kind;

}  // namespace

TEST_CASE(
    "Responder: a handler sees the parameters in their order, and HTTP_PROXY is not among them") {
  FastCgiHost::Run([](FastCgiHost& host) {
    std::vector<std::string> names;
    host.Serve("/p.ashx", Kind::kAsync, [&](HttpContext& context) {
      for (const auto& [name, value] : context.Request().ServerVariables()) {
        names.emplace_back(name);
      }
      CHECK(context.Request().HttpMethod() == "GET");
      CHECK(context.Request().Path() == "/p.ashx");
      CHECK(context.Request().QueryString().Get("a") == "b c");
      CHECK(context.Request().RawUrl() == "/p.ashx?a=b%20c");
    });
    auto& peer = host.Connect();
    const Pairs pairs{
        {"SCRIPT_NAME", "/p.ashx"},        {"REQUEST_METHOD", "GET"}, {"QUERY_STRING", "a=b%20c"},
        {"HTTP_PROXY", "http://evil/"},    {"HTTP_X", "1"},           {"HTTP_X", "2"},
        {"REQUEST_URI", "/p.ashx?a=b%20c"}};
    peer.Feed(EncodeRequest({.params = pairs}));
    CHECK(AnswerTo(peer.socket, 1).status == 200);
    CHECK(names == std::vector<std::string>{"SCRIPT_NAME", "REQUEST_METHOD", "QUERY_STRING",
                                            "HTTP_X", "HTTP_X", "REQUEST_URI"});
  });
}

TEST_CASE("Responder: a Location stands in front of the status, where no server takes it for one") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/r.ashx", Kind::kAsync, [](HttpContext& context) {
      context.Response().SetHeader("X", "1");
      context.Response().SetStatusCode(201);
      context.Response().SetHeader("location", "/new");
    });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/r.ashx"));
    auto answers = peer.socket.Answers();
    const auto result = answers.TakeEnded(1);
    REQUIRE(result);
    CHECK(result->stdout_bytes.starts_with("Location: /new\r\nStatus: 201 Created\r\nX: 1\r\n"));
    CHECK(AnswerTo(peer.socket, 1).status == 201);
  });
}

TEST_CASE("Responder: parameters of more than one record's size arrive whole") {
  FastCgiHost::Run([](FastCgiHost& host) {
    std::size_t length = 0;
    host.Serve("/p.ashx", Kind::kAsync, [&](HttpContext& context) {
      length = context.Request().ServerVariables().Get("HTTP_LONG").size();
    });
    auto& peer = host.Connect();
    peer.Feed(EncodeRequest({.params = {{"SCRIPT_NAME", "/p.ashx"},
                                        {"REQUEST_METHOD", "GET"},
                                        {"HTTP_LONG", std::string(100'000, 'x')}}}));
    CHECK(AnswerTo(peer.socket, 1).status == 200);
    CHECK(length == 100'000);
  });
}

TEST_CASE("Responder: a request without parameters is answered, not dropped") {
  FastCgiHost::Run([](FastCgiHost& host) {
    auto& peer = host.Connect();
    peer.Feed(EncodeRequest({.params = {}}));
    CHECK(AnswerTo(peer.socket, 1).status == 400);
  });
}

TEST_CASE("Responder: a method that is missing or no token is 400, and reaches no handler") {
  FastCgiHost::Run([](FastCgiHost& host) {
    bool called = false;
    host.Serve("/p.ashx", Kind::kAsync, [&](HttpContext&) { called = true; });
    auto& peer = host.Connect();
    for (const std::string method : {"", "GET\n", "G T", "GET/1", "\xc3\xa9"}) {
      peer.socket.sent.clear();
      peer.Feed(
          EncodeRequest({.params = {{"SCRIPT_NAME", "/p.ashx"}, {"REQUEST_METHOD", method}}}));
      CHECK(AnswerTo(peer.socket, 1).status == 400);
    }
    CHECK_FALSE(called);
  });
}

TEST_CASE(
    "Responder: bodies of every size around a buffer's edge arrive byte for byte, in records of "
    "any size") {
  FastCgiHost::Run([](FastCgiHost& host) {
    std::string got;
    const auto keep = [&](HttpContext& context) { got = context.Request().Body(); };
    host.Serve("/buffered.ashx", Kind::kAsync, keep);
    host.Serve("/plain.ashx", Kind::kPlain, keep);
    host.Serve("/stream.ashx", Kind::kBufferless, [&](HttpContext& context) {
      got.clear();
      std::array<char, 1000> piece;
      while (const auto count = context.Request().GetBufferlessInputStream().Read(piece)) {
        got.append(piece.data(), count);
      }
    });
    auto& peer = host.Connect();
    for (const std::size_t size :
         {0, 1, 511, 512, 513, 8183, 8184, 8185, 8192, 16368, 65535, 65536, 200'000}) {
      std::string body(size, '\0');
      for (std::size_t i = 0; i < size; ++i) {
        body[i] = static_cast<char>(i * 31 + i / 251);
      }
      for (const std::size_t record : {65535, 8192, 1000}) {
        for (const auto* url : {"/buffered.ashx", "/plain.ashx", "/stream.ashx"}) {
          WebRequest request{.method = "POST", .url = url};
          request.body_bytes = size;
          peer.socket.sent.clear();
          peer.Feed(EncodeRequest({.params = MakeParams(WebServer::kNginx, request),
                                   .body = body,
                                   .framing = {65535, record, Padding::kTo8}}));
          FastCgiHost::Await([&] { return peer.socket.Answers().TakeEnded(1).has_value(); });
          REQUIRE(AnswerTo(peer.socket, 1).status == 200);
          REQUIRE((got == body));
        }
      }
    }
  });
}

TEST_CASE("Responder: answers of every size around a buffer's edge leave byte for byte") {
  FastCgiHost::Run([](FastCgiHost& host) {
    std::string body;
    const auto write = [&](HttpContext& context) { context.Response().Write(body); };
    host.Serve("/async.ashx", Kind::kAsync, write);
    host.Serve("/plain.ashx", Kind::kPlain, write);
    auto& peer = host.Connect();
    for (const std::size_t size : {0, 1, 8000, 8100, 8184, 8192, 65535, 65536, 65537, 1'000'000}) {
      body.assign(size, 'x');
      for (std::size_t i = 0; i < size; i += 3) {
        body[i] = static_cast<char>(i / 3);
      }
      for (const auto* url : {"/async.ashx", "/plain.ashx"}) {
        peer.socket.sent.clear();
        peer.Feed(RequestBytes(1, url));
        FastCgiHost::Await([&] { return peer.socket.Answers().TakeEnded(1).has_value(); });
        REQUIRE((AnswerTo(peer.socket, 1).body == body));
      }
    }
  });
}

TEST_CASE("Responder: a flushed answer reaches the web server before the handler goes on") {
  FastCgiHost::Run([](FastCgiHost& host) {
    auto& peer = host.Connect();
    std::vector<std::size_t> sent_after_flush;
    host.Serve("/f.ashx", Kind::kAsync, [&](HttpContext& context) {
      for (int i = 0; i < 3; ++i) {
        context.Response().Write("tick\n");
        context.Response().Flush();
        sent_after_flush.push_back(peer.socket.sent.size());
      }
    });
    peer.Feed(RequestBytes(1, "/f.ashx"));
    REQUIRE(sent_after_flush.size() == 3);
    CHECK(sent_after_flush[0] > 0);
    CHECK(sent_after_flush[1] > sent_after_flush[0]);
    CHECK(sent_after_flush[2] > sent_after_flush[1]);
    CHECK(AnswerTo(peer.socket, 1).body == "tick\ntick\ntick\n");
  });
}

TEST_CASE(
    "Responder: the answer is whole, and its id free, while what runs at a request's end does") {
  for (const auto kind : {Kind::kAsync, Kind::kPlain}) {
    FastCgiHost::Run([&](FastCgiHost& host) {
      std::atomic<bool> go_on = false;
      std::atomic<int> ended = 0;
      std::atomic<int> whole_bodies = 0;
      auto& peer = host.Connect();
      host.Serve("/f.ashx", kind, [&](HttpContext& context) {
        context.AddOnRequestCompleted([&](HttpContext& completed) {
          while (!go_on) {
            SleepFor(std::chrono::milliseconds(1));
          }
          whole_bodies += completed.Request().Body() == "abc" ? 1 : 0;
          ++ended;
        });
        context.Response().Write("text");
        context.Response().Flush();
      });
      for (int i = 0; i < 2; ++i) {
        peer.socket.sent.clear();
        peer.Feed(RequestBytes(1, "/f.ashx", "abc"));
        FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
        CHECK(AnswerTo(peer.socket, 1).body == "text");
        CHECK(ended == 0);
      }
      // It has its answers: that it leaves cancels nothing.
      peer.connection->OnEndOfStream(/*half_closed=*/false);
      go_on = true;
      FastCgiHost::Await([&] { return ended == 2; });
      CHECK(whole_bodies == 2);
      host.EndAll();  // the second is counted, and has not yet returned
    });
  }
}

TEST_CASE("Responder: what runs at a request's end does not take half a body for the whole") {
  FastCgiHost::Run([&](FastCgiHost& host) {
    std::string told;
    auto& peer = host.Connect();
    host.Serve("/f.ashx", Kind::kBufferless, [&](HttpContext& context) {
      context.AddOnRequestCompleted([&](HttpContext& completed) {
        try {
          told = completed.Request().Body();
        } catch (const std::logic_error&) {
          told = "refused";
        }
      });
    });
    peer.Feed(Begin(1) + Params(1, "/f.ashx") + Stdin(1, "half"));
    FastCgiHost::Await([&] { return !told.empty(); });
    CHECK(AnswerTo(peer.socket, 1).status == 200);
    CHECK(told == "refused");
  });
}

TEST_CASE("Responder: a body that stays away is 408 after the body time-out") {
  FastCgiHost::Options options;
  options.body_timeout = std::chrono::milliseconds(20);
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    bool called = false;
    host.Serve("/echo.ashx", Kind::kAsync, [&](HttpContext&) { called = true; });
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/echo.ashx", 10));
    FastCgiHost::Await([&] { return !peer.socket.sent.empty(); });
    FastCgiHost::Settle();
    CHECK(AnswerTo(peer.socket, 1).status == 408);
    CHECK_FALSE(called);
  });
}

TEST_CASE("Responder: plain handlers run on other threads, async ones on the reactor's") {
  FastCgiHost::Run([](FastCgiHost& host) {
    const auto reactor = std::this_thread::get_id();
    std::thread::id plain;
    std::thread::id async;
    host.Serve("/plain.ashx", Kind::kPlain,
               [&](HttpContext&) { plain = std::this_thread::get_id(); });
    host.Serve("/async.ashx", Kind::kAsync,
               [&](HttpContext&) { async = std::this_thread::get_id(); });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/plain.ashx") + RequestBytes(2, "/async.ashx"));
    FastCgiHost::Await([&] { return peer.socket.Answers().EndOrder().size() == 2; });
    CHECK(async == reactor);
    CHECK(plain != reactor);
    CHECK(plain != std::thread::id());
  });
}

TEST_CASE(
    "Responder: a hundred requests at once on one connection are all answered, each its own") {
  FastCgiHost::Run([](FastCgiHost& host) {
    host.Serve("/wait.ashx", Kind::kAsync, [](HttpContext& context) {
      SleepFor(std::chrono::milliseconds(5));
      context.Response().Write(context.Request().QueryStringText());
    });
    auto& peer = host.Connect();
    std::string bytes;
    for (std::uint16_t id = 1; id <= 100; ++id) {
      bytes += RequestBytes(id, "/wait.ashx?" + std::to_string(id));
    }
    peer.Feed(bytes);
    FastCgiHost::Await([&] { return peer.socket.Answers().EndOrder().size() == 100; });
    for (std::uint16_t id = 1; id <= 100; ++id) {
      REQUIRE(AnswerTo(peer.socket, id).body == std::to_string(id));
    }
  });
}

}  // namespace weft::test
