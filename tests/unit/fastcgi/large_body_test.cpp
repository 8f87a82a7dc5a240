// Bodies in large pieces, which the connection frames itself.

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <string>

#include "host/runtime/fiber_event.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/fastcgi/fastcgi_host.hpp"

namespace weft::test {
namespace {

using Clock = FastCgiHost::Clock;
using Kind = FastCgiHost::Kind;
using std::chrono::seconds;

std::string Pattern(std::size_t size, char first) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>(first + i * 7 + i / 509);
  }
  return text;
}

/// Has the socket take bytes, `step` at a time, until the request has ended.
void Drain(FastCgiHost::Peer& peer, std::uint16_t id, std::size_t step) {
  for (int turns = 0; !peer.socket.Answers().TakeEnded(id); ++turns) {
    REQUIRE(turns < 100'000);
    peer.socket.takes = step;
    peer.connection->OnWritable(Clock::now());
    FastCgiHost::Settle();
  }
}

TEST_CASE("Connection: a large body is whole wherever the socket stops taking it") {
  FastCgiHost::Run([](FastCgiHost& host) {
    const auto body = Pattern(300'001, 'a');
    host.Serve("/large.ashx", Kind::kAsync, [&](HttpContext& context) {
      auto& response = context.Response();
      response.SetBufferBytes(0);
      response.Write(std::string_view(body).substr(0, 3));
      response.Write(std::string_view(body).substr(3, 200'000));
      response.Write(std::string_view(body).substr(200'003, 1000));
      response.Write(std::string_view(body).substr(201'003));
    });
    for (const std::size_t step : {1009, 8192, 32'768, 32'776, 32'777, 65'536, 131'104, 200'000}) {
      auto& peer = host.Connect();
      peer.socket.takes = 0;
      peer.Feed(RequestBytes(1, "/large.ashx"));
      Drain(peer, 1, step);
      REQUIRE((AnswerTo(peer.socket, 1).body == body));
    }
    // And at each byte of what is not content.
    for (std::size_t stop = 0; stop < 300; ++stop) {
      auto& peer = host.Connect();
      peer.socket.takes = stop;
      peer.Feed(RequestBytes(1, "/large.ashx"));
      Drain(peer, 1, 1'000'000);
      REQUIRE((AnswerTo(peer.socket, 1).body == body));
    }
  });
}

TEST_CASE("Connection: of a large piece no more is queued than the rest of one record") {
  FastCgiHost::Options options;
  options.limits.send_timeout = seconds(60);
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    const auto body = Pattern(1'000'000, 'a');
    bool written = false;
    host.Serve("/large.ashx", Kind::kAsync, [&](HttpContext& context) {
      context.Response().Write(body);
      written = true;
    });
    auto& peer = host.Connect();
    peer.socket.takes = 100'000;
    peer.Feed(RequestBytes(1, "/large.ashx"));
    CHECK_FALSE(written);
    // The socket takes again: the next send holds the rest of one record, and new ones straight from the handler.
    peer.socket.takes = 40'000;
    const auto sends = peer.socket.writes.size();
    peer.connection->OnWritable(Clock::now());
    CHECK(peer.socket.writes.size() == sends + 1);
    CHECK(peer.socket.writes.back() < 32 * 1024 + 8);
    FastCgiHost::Settle();
    CHECK_FALSE(written);
    // A peer that stops reading is overdue, also where nothing is queued.
    CHECK(peer.connection->Overdue(Clock::now() + seconds(59)) == nullptr);
    CHECK(peer.connection->Overdue(Clock::now() + seconds(61)) != nullptr);
    Drain(peer, 1, 1'000'000);
    CHECK(written);
    CHECK((AnswerTo(peer.socket, 1).body == body));
    // It has read all: it may be idle for longer than that.
    CHECK(peer.connection->Overdue(Clock::now() + seconds(61)) == nullptr);
  });
}

TEST_CASE("Connection: large bodies of several requests on one connection have their turns") {
  FastCgiHost::Run([](FastCgiHost& host) {
    std::size_t written[3] = {};
    for (std::uint16_t id = 1; id <= 3; ++id) {
      host.Serve("/" + std::to_string(id) + ".ashx", Kind::kAsync, [&, id](HttpContext& context) {
        for (int i = 0; i < 20; ++i) {
          context.Response().Write(Pattern(100'000, static_cast<char>('a' + id)));
          written[id - 1] += 100'000;
        }
      });
    }
    auto& peer = host.Connect();
    peer.socket.takes = 0;
    for (std::uint16_t id = 1; id <= 3; ++id) {
      peer.Feed(RequestBytes(id, "/" + std::to_string(id) + ".ashx"));
    }
    for (int turn = 0; turn < 30; ++turn) {
      peer.socket.takes = 100'000;
      peer.connection->OnWritable(Clock::now());
      FastCgiHost::Settle();
    }
    const auto [least, most] = std::minmax_element(std::begin(written), std::end(written));
    CHECK(*least >= 300'000);
    CHECK(*most <= *least + 700'000);
    for (std::uint16_t id = 1; id <= 3; ++id) {
      Drain(peer, id, 1'000'000);
      std::string body;
      for (int i = 0; i < 20; ++i) {
        body += Pattern(100'000, static_cast<char>('a' + id));
      }
      CHECK((AnswerTo(peer.socket, id).body == body));
    }
  });
}

TEST_CASE("Connection: a large piece that is cancelled while it waits ends the request, cut") {
  FastCgiHost::Run([](FastCgiHost& host) {
    bool thrown = false;
    host.Serve("/large.ashx", Kind::kAsync, [&](HttpContext& context) {
      try {
        context.Response().Write(std::string(1'000'000, 'x'));
      } catch (const OperationCancelled&) {
        thrown = true;
        throw;
      }
    });
    auto& peer = host.Connect();
    peer.socket.takes = 50'000;
    peer.Feed(RequestBytes(1, "/large.ashx"));
    CHECK_FALSE(thrown);
    SUBCASE("by the worker") {
      host.CancelAll(CancellationReason::kShutdown);
      FastCgiHost::Settle();
      CHECK(thrown);
      peer.socket.takes = 1'000'000;
      peer.connection->OnWritable(Clock::now());
      CHECK_FALSE(peer.socket.Answers().TakeEnded(1).has_value());
    }
    SUBCASE("by a peer that leaves") {
      peer.connection->OnSocketError();
      FastCgiHost::Settle();
      CHECK(thrown);
    }
    SUBCASE("by a send that fails") {
      peer.socket.gone = true;
      peer.connection->OnWritable(Clock::now());
      FastCgiHost::Settle();
      CHECK(thrown);
    }
    CHECK(peer.socket.ended.has_value());
    CHECK(peer.connection->RequestsInFlight() == 0);
  });
}

TEST_CASE("Connection: while a large piece is written the others have their turn") {
  FastCgiHost::Run([](FastCgiHost& host) {
    int turns = 0;
    bool written = false;
    host.Serve("/large.ashx", Kind::kAsync, [&](HttpContext& context) {
      context.Response().Write(std::string(3'000'000, 'x'));
      written = true;
    });
    host.Serve("/other.ashx", Kind::kAsync, [&](HttpContext&) {
      while (!written) {
        ++turns;
        host::runtime::YieldFiber();
      }
    });
    auto& other = host.Connect();
    auto& peer = host.Connect();
    other.connection->OnBytes(RequestBytes(1, "/other.ashx"), Clock::now());
    // This socket takes all that it is given.
    peer.connection->OnBytes(RequestBytes(1, "/large.ashx"), Clock::now());
    FastCgiHost::Await([&] { return written; });
    CHECK(turns > 5);
    host.EndAll();
  });
}

TEST_CASE("Connection: a file is whole wherever the socket stops taking it") {
  TemporaryFolder folder;
  const auto body = Pattern(500'003, 'a');
  const auto path = folder.Write("f", body).string();
  for (const auto kind : {Kind::kAsync, Kind::kPlain}) {
    FastCgiHost::Run([&](FastCgiHost& host) {
      host.Serve("/file.ashx", kind, [&](HttpContext& context) {
        context.Response().Write("before");
        context.Response().TransmitFile(path);
        context.Response().Write("behind");
      });
      // The last but one stop behind a record's header, and one byte into its content.
      for (const std::size_t step : {20'011, 32'768, 32'776, 131'480, 131'481, 600'000}) {
        auto& peer = host.Connect();
        peer.socket.takes = 0;
        peer.Feed(RequestBytes(1, "/file.ashx"));
        FastCgiHost::Await([&] {
          peer.socket.takes = step;
          peer.connection->OnWritable(Clock::now());
          return peer.connection->RequestsInFlight() == 0;
        });
        peer.socket.takes = 1'000'000;
        peer.connection->OnWritable(Clock::now());
        REQUIRE((AnswerTo(peer.socket, 1).body == "before" + body + "behind"));
      }
    });
  }
}

TEST_CASE("Connection: files to several requests on one connection have their turns, whole") {
  TemporaryFolder folder;
  const auto body = Pattern(700'001, 'a');
  const auto path = folder.Write("f", body).string();
  FastCgiHost::Run([&](FastCgiHost& host) {
    host.Serve("/file.ashx", Kind::kAsync,
               [&](HttpContext& context) { context.Response().TransmitFile(path); });
    auto& peer = host.Connect();
    peer.socket.takes = 0;
    for (std::uint16_t id = 1; id <= 3; ++id) {
      peer.Feed(RequestBytes(id, "/file.ashx"));
    }
    FastCgiHost::Await([&] {
      peer.socket.takes = 100'000;
      peer.connection->OnWritable(Clock::now());
      return peer.connection->RequestsInFlight() == 0;
    });
    peer.socket.takes = 10'000'000;
    peer.connection->OnWritable(Clock::now());
    for (std::uint16_t id = 1; id <= 3; ++id) {
      CHECK((AnswerTo(peer.socket, id).body == body));
    }
  });
}

TEST_CASE("Connection: a file whose reader leaves, or whose request is cancelled, is not sent on") {
  TemporaryFolder folder;
  const auto path = folder.Write("f", Pattern(3'000'000, 'a')).string();
  FastCgiHost::Run([&](FastCgiHost& host) {
    bool thrown = false;
    host.Serve("/file.ashx", Kind::kAsync, [&](HttpContext& context) {
      try {
        context.Response().TransmitFile(path);
        context.Response().Flush();
      } catch (const OperationCancelled&) {
        thrown = true;
        throw;
      }
    });
    auto& peer = host.Connect();
    peer.socket.takes = 300'000;
    peer.Feed(RequestBytes(1, "/file.ashx"));
    FastCgiHost::Await([&] { return peer.socket.takes == 0 && peer.socket.asked_for_writable; });
    CHECK_FALSE(thrown);
    SUBCASE("by the worker") { host.CancelAll(CancellationReason::kShutdown); }
    SUBCASE("by a peer that leaves") { peer.connection->OnSocketError(); }
    SUBCASE("by a send that fails") {
      peer.socket.gone = true;
      peer.connection->OnWritable(Clock::now());
    }
    FastCgiHost::Await([&] { return thrown; });
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK(peer.socket.sent.size() <= 300'000);
  });
}

TEST_CASE("Responder: a body is whole by whatever reads, and wherever its records are cut") {
  const auto body = Pattern(700'000, 'a');
  std::string stream;
  constexpr std::size_t kRecordBytes[] = {65'535, 32'768, 1, 5000};
  // Records as lighttpd, nginx and a careless client make them.
  for (std::size_t at = 0, i = 0; at < body.size(); ++i) {
    const auto bytes = std::string_view(body).substr(at, kRecordBytes[i % 4]);
    stream += Stdin(1, bytes);
    at += bytes.size();
  }
  stream += Stdin(1);
  for (const auto kind : {Kind::kBufferless, Kind::kPlain, Kind::kPlainBufferless}) {
    for (const std::size_t cut : {4096, 65'536, 70'001, 400'000}) {
      for (const std::size_t first : {1, 512, 16'383, 16'384, 200'000}) {
        FastCgiHost::Run([&](FastCgiHost& host) {
          std::string read;
          host.Serve("/read.ashx", kind, [&](HttpContext& context) {
            if (kind == Kind::kPlain) {
              read = context.Request().Body();
              return;
            }
            auto& input = context.Request().GetBufferlessInputStream();
            std::string buffer(200'000, '\0');
            const std::size_t sizes[] = {first, 20'000, 100, 200'000, 16'384};
            for (std::size_t i = 0;; ++i) {
              const auto count = input.Read(std::span(buffer).first(sizes[i % std::size(sizes)]));
              if (count == 0) {
                break;
              }
              read.append(buffer, 0, count);
            }
          });
          auto& peer = host.Connect();
          peer.Feed(Begin(1) + Params(1, "/read.ashx", body.size()));
          for (std::string_view rest = stream; !rest.empty();) {
            peer.Feed(rest.substr(0, cut));
            rest.remove_prefix(std::min(cut, rest.size()));
          }
          FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
          CHECK(AnswerTo(peer.socket, 1).status == 200);
          CHECK((read == body));
          CHECK(host.BodyBytes() == 0);
        });
      }
    }
  }
}

TEST_CASE("Responder: bytes of a body go where its reader waits, and count for nobody's budget") {
  FastCgiHost::Options options;
  options.max_buffered_bytes = 10'000;
  options.body_timeout = std::chrono::milliseconds(20);
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    std::string read;
    int timeouts = 0;
    host.Serve("/read.ashx", Kind::kBufferless, [&](HttpContext& context) {
      std::string buffer(100'000, '\0');
      try {
        for (;;) {
          const auto count = context.Request().GetBufferlessInputStream().Read(buffer);
          read.append(buffer, 0, count);
        }
      } catch (const HttpException& error) {
        timeouts += error.StatusCode() == 408 ? 1 : 0;
        throw;
      }
    });
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/read.ashx", 100'000));
    const auto body = Pattern(60'000, 'a');
    peer.Feed(Stdin(1, body));
    CHECK((read == body));
    CHECK(host.BodyBytes() == 0);
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK(timeouts == 1);
    CHECK(AnswerTo(peer.socket, 1).status == 408);
  });
}

}  // namespace
}  // namespace weft::test
