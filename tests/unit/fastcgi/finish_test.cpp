// HttpResponse::Finish() over FastCGI: END_REQUEST leaves while the handler works on.
#include <doctest/doctest.h>

#include <atomic>
#include <string>

#include "tests/unit/fastcgi/fastcgi_host.hpp"

namespace weft::test {

namespace {

using namespace testsupport;
using Kind = FastCgiHost::Kind;

/// A handler that has finished its answer and waits for the test.
struct Worker {
  host::runtime::FiberEvent leave;
  bool ended = false;

  FastCgiHost::Function Function() {
    return [this](HttpContext& context) {
      context.Response().Write("accepted");
      CHECK(context.Response().Finish());
      leave.Wait();
      CHECK_FALSE(context.Cancellation().IsCancellationRequested());
      ended = true;
    };
  }
  void Leave() {
    leave.Notify();
    FastCgiHost::Await([this] { return ended; });
  }
};

}  // namespace

TEST_CASE("Finish: END_REQUEST comes while the handler works on, and the connection serves on") {
  FastCgiHost::Run([](FastCgiHost& host) {
    Worker worker;
    host.Serve("/f.ashx", Kind::kAsync, worker.Function());
    host.Serve("/h.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/f.ashx"));
    CHECK(AnswerTo(peer.socket, 1).body == "accepted");
    CHECK(peer.connection->RequestsInFlight() == 0);
    CHECK_FALSE(peer.socket.ended);
    // The same id, for the request is over.
    peer.socket.sent.clear();
    peer.Feed(RequestBytes(1, "/h.ashx"));
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
    CHECK_FALSE(worker.ended);
    worker.Leave();
    peer.socket.sent.clear();
    peer.Feed(RequestBytes(1, "/h.ashx"));
    CHECK(AnswerTo(peer.socket, 1).body == "hello");
  });
}

TEST_CASE("Finish: a connection that is not kept ends, and the handler works on without it") {
  FastCgiHost::Run([](FastCgiHost& host) {
    Worker worker;
    host.Serve("/f.ashx", Kind::kAsync, worker.Function());
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/f.ashx", {}, Connection::kClose));
    CHECK(AnswerTo(peer.socket, 1).body == "accepted");
    CHECK(peer.socket.ended);
    CHECK_FALSE(worker.ended);
    worker.Leave();
  });
}

TEST_CASE("Finish: a peer that closes, or aborts an id that is over, does not reach the handler") {
  for (const bool aborts : {false, true}) {
    FastCgiHost::Run([aborts](FastCgiHost& host) {
      Worker worker;
      host.Serve("/f.ashx", Kind::kAsync, worker.Function());
      auto& peer = host.Connect();
      peer.Feed(RequestBytes(1, "/f.ashx"));
      if (aborts) {
        peer.Feed(EncodeRecord(RecordType::kAbortRequest, 1, {}));
      } else {
        peer.connection->OnEndOfStream(false);
      }
      worker.Leave();
    });
  }
}

TEST_CASE("Finish: on a connection that carries others they go on") {
  FastCgiHost::Run([](FastCgiHost& host) {
    Worker worker;
    host::runtime::FiberEvent release;
    host.Serve("/f.ashx", Kind::kAsync, worker.Function());
    host.Serve("/w.ashx", Kind::kAsync, [&](HttpContext& context) {
      release.Wait();
      Hello(context);
    });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(7, "/w.ashx") + RequestBytes(8, "/f.ashx"));
    CHECK(AnswerTo(peer.socket, 8).body == "accepted");
    CHECK(peer.connection->RequestsInFlight() == 1);
    release.Notify();
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK(AnswerTo(peer.socket, 7).body == "hello");
    worker.Leave();
  });
}

TEST_CASE("Finish: with a body that was not read, and not sent, its memory is given back") {
  FastCgiHost::Run([](FastCgiHost& host) {
    Worker worker;
    host.Serve("/f.ashx", Kind::kBufferless, worker.Function());
    host.Serve("/h.ashx", Kind::kAsync, Hello);
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/f.ashx", 100) + Stdin(1, "half"));
    CHECK(AnswerTo(peer.socket, 1).body == "accepted");
    CHECK(host.BodyBytes() == 0);
    // What comes of it now is of an id that is not active.
    peer.Feed(Stdin(1, "the rest") + Stdin(1));
    CHECK(host.BodyBytes() == 0);
    peer.socket.sent.clear();
    peer.Feed(RequestBytes(2, "/h.ashx"));
    CHECK(AnswerTo(peer.socket, 2).body == "hello");
    worker.Leave();
  });
}

TEST_CASE("Finish: a plain handler's thread works on, and so does what throws there") {
  FastCgiHost::Run([](FastCgiHost& host) {
    std::atomic<bool> thrown = false;
    host.Serve("/p.ashx", Kind::kPlain, [&](HttpContext& context) {
      context.Response().Write("accepted");
      CHECK(context.Response().Finish());
      thrown = true;
      throw std::runtime_error("nobody hears it");
    });
    auto& peer = host.Connect();
    peer.Feed(RequestBytes(1, "/p.ashx"));
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK(AnswerTo(peer.socket, 1).body == "accepted");
    FastCgiHost::Await([&] { return thrown.load(); });
    host.EndAll();  // what it has thrown is still on its way
  });
}

TEST_CASE("Finish: a peer that reads slowly gets all before the handler goes on") {
  FastCgiHost::Run([](FastCgiHost& host) {
    bool finished = false;
    host.Serve("/f.ashx", Kind::kAsync, [&](HttpContext& context) {
      context.Response().Write(std::string(300'000, 'x'));
      CHECK(context.Response().Finish());
      finished = true;
    });
    auto& peer = host.Connect();
    peer.socket.takes = 1000;
    peer.Feed(RequestBytes(1, "/f.ashx"));
    CHECK_FALSE(finished);
    peer.socket.takes = 1'000'000;
    peer.connection->OnWritable(FastCgiHost::Clock::now());
    FastCgiHost::Await([&] { return finished; });
    CHECK(AnswerTo(peer.socket, 1).body.size() == 300'000);
  });
}

}  // namespace weft::test
