// A long body that is received while a thread works on what it has of it.

#include "host/fastcgi/stdin_feed.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <semaphore>
#include <string>
#include <thread>

#include "tests/unit/fastcgi/fastcgi_host.hpp"

namespace weft::test {
namespace {

using host::fastcgi::StdinFeed;
using Kind = FastCgiHost::Kind;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

std::string Pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>(i * 7 + i / 509);
  }
  return text;
}

/// What is there, without waiting.
std::string Take(StdinFeed& feed, std::size_t size) {
  std::string buffer(size, '\0');
  buffer.resize(feed.Take(buffer, microseconds(0)));
  return buffer;
}

TEST_CASE("StdinFeed: bytes come in their order, around the ring's end too, and no more than fit") {
  boost::asio::io_context io;
  const auto feed = std::make_shared<StdinFeed>(io, 10, [] {});
  CHECK(Take(*feed, 5).empty());
  CHECK(feed->Append("abcdefg") == 7);
  CHECK(Take(*feed, 5) == "abcde");
  CHECK(feed->Append("hijklmnop") == 8);
  CHECK(feed->Size() == 10);
  CHECK(feed->Append("p") == 0);
  CHECK(Take(*feed, 6) == "fghijk");
  CHECK(Take(*feed, 6) == "lmno");
  CHECK(feed->Size() == 0);
}

TEST_CASE("StdinFeed: who was told that there is no room is told once when half of it is free") {
  boost::asio::io_context io;
  int told = 0;
  const auto feed = std::make_shared<StdinFeed>(io, 100, [&] { ++told; });
  CHECK(feed->HasRoom(100));
  CHECK(feed->Append(std::string(90, 'x')) == 90);
  CHECK(Take(*feed, 80).size() == 80);
  io.poll();
  CHECK(told == 0);  // nobody had asked
  CHECK(feed->Append(std::string(80, 'x')) == 80);
  CHECK_FALSE(feed->HasRoom(20));
  CHECK(Take(*feed, 39).size() == 39);
  io.restart();
  io.poll();
  CHECK(told == 0);
  CHECK(Take(*feed, 1).size() == 1);
  CHECK(Take(*feed, 1).size() == 1);
  io.restart();
  io.poll();
  CHECK(told == 1);
  // What was posted before it was closed calls nobody.
  CHECK(feed->Append(std::string(50, 'x')) == 50);
  CHECK_FALSE(feed->HasRoom(20));
  CHECK(Take(*feed, 90).size() == 90);
  feed->Close();
  io.restart();
  io.poll();
  CHECK(told == 1);
  CHECK(feed->Append("x") == 0);
  CHECK(Take(*feed, 10).empty());
}

TEST_CASE(
    "StdinFeed: a thread that waits is woken by bytes, by the fiber's knowledge, and by the end") {
  boost::asio::io_context io;
  const auto feed = std::make_shared<StdinFeed>(io, 1000, [] {});
  const auto woken_by = [&](const std::function<void()>& event) {
    std::string taken(1000, '\0');
    // It waits for an hour, or finds that what it would wait for has come.
    std::thread reader([&] { taken.resize(feed->Take(taken, hours(1))); });
    event();
    reader.join();
    return taken;
  };
  CHECK(woken_by([&] {
          CHECK(feed->Append("abc") == 3);
          feed->Wake();
        }) == "abc");
  // Half of the ring need not be waited with.
  CHECK(woken_by([&] { CHECK(feed->Append(std::string(500, 'x')) == 500); }).size() == 500);
  CHECK(woken_by([&] { feed->SetFiberKnowsMore(true); }).empty());
  feed->SetFiberKnowsMore(false);
  CHECK(woken_by([&] { feed->Close(); }).empty());
}

TEST_CASE("StdinFeed: a reader and the reactor meet at any point, and every byte comes once") {
  boost::asio::io_context io;
  const auto body = Pattern(3'000'000);
  std::string_view rest = body;
  const auto refill = [&](StdinFeed& feed) {
    for (std::size_t step = 1; !rest.empty(); step = step * 3 % 9973) {
      if (!feed.HasRoom(step)) {
        return;
      }
      rest.remove_prefix(feed.Append(rest.substr(0, step)));
      if (step % 5 == 0) {
        feed.Wake();
      }
    }
    feed.SetFiberKnowsMore(true);
  };
  std::shared_ptr<StdinFeed> feed;
  feed = std::make_shared<StdinFeed>(io, 20'000, [&] { refill(*feed); });
  auto work = boost::asio::make_work_guard(io);
  std::string read;
  std::thread reader([&] {
    std::string buffer(30'000, '\0');
    for (std::size_t step = 1; read.size() < body.size(); step = step * 5 % 29'989) {
      read.append(buffer, 0, feed->Take(std::span(buffer).first(step), milliseconds(5)));
    }
    work.reset();
  });
  boost::asio::post(io, [&] { refill(*feed); });
  io.run();
  reader.join();
  CHECK((read == body));
  feed->Close();
}

/// Feeds as a socket does that heeds when the connection wants no more.
void FeedGently(FastCgiHost::Peer& peer, std::string_view bytes) {
  while (!bytes.empty()) {
    FastCgiHost::Await([&] { return peer.connection->WantsToRead(); });
    peer.connection->OnBytes(bytes.substr(0, 65'536), FastCgiHost::Clock::now());
    peer.connection->OnAllRead();
    bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 65'536));
  }
}

/// A handler on a thread, which reads on when the test lets it.
struct Reader {
  static constexpr std::size_t kStart = 300'000;  // the connection reads ahead by then

  /// Reads kStart bytes, waits for Go(), and reads to the end.
  FastCgiHost::Function Function() {
    return [this](HttpContext& context) {
      auto& input = context.Request().GetBufferlessInputStream();
      std::string buffer(100'000, '\0');
      bool waited = false;
      try {
        for (;;) {
          if (read.size() >= kStart && !waited) {
            waited = true;
            started = true;
            static_cast<void>(go.try_acquire_for(std::chrono::seconds(10)));
          }
          const auto count = input.Read(std::span(buffer).first(
              waited ? buffer.size() : std::min<std::size_t>(20'000, kStart - read.size())));
          if (count == 0) {
            break;
          }
          read.append(buffer, 0, count);
        }
      } catch (const HttpException& error) {
        status = error.StatusCode();
        done = true;
        throw;
      } catch (const OperationCancelled&) {
        cancelled = true;
        done = true;
        throw;
      }
      done = true;
    };
  }
  void Go() { go.release(); }

  std::string read;
  std::counting_semaphore<> go{0};
  std::atomic<bool> started{false};
  std::atomic<bool> done{false};
  std::atomic<bool> cancelled{false};
  std::atomic<int> status{0};
};

std::string Records(std::string_view body, std::size_t bytes = 32'768) {
  std::string records;
  for (; !body.empty(); body.remove_prefix(std::min(bytes, body.size()))) {
    records += Stdin(1, body.substr(0, bytes));
  }
  return records;
}

TEST_CASE(
    "Connection: while a thread works on a long body no more of it comes than the buffer holds") {
  FastCgiHost::Options options;
  options.limits.stdin_buffer_bytes = 200'000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    const auto body = Pattern(2'000'000);
    Reader reader;
    host.Serve("/read.ashx", Kind::kPlainBufferless, reader.Function());
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/read.ashx", body.size()));
    FeedGently(peer, Records(std::string_view(body).substr(0, Reader::kStart)));
    FastCgiHost::Await([&] { return reader.started.load(); });
    // It counts with all that it may hold.
    CHECK(host.BodyBytes() == 400'000);
    auto rest = std::string_view(body).substr(Reader::kStart);
    while (peer.connection->WantsToRead() && rest.size() > 1'000'000) {
      peer.Feed(Stdin(1, rest.substr(0, 30'000)));
      rest.remove_prefix(30'000);
    }
    const auto ahead = body.size() - Reader::kStart - rest.size();
    CHECK(ahead >= 300'000);
    CHECK(ahead <= 400'000);
    CHECK(host.BodyBytes() == 400'000);
    // Reading goes on as the thread does.
    const auto changes = peer.socket.reading_changes;
    reader.Go();
    FastCgiHost::Await([&] { return peer.connection->WantsToRead(); });
    FastCgiHost::Await([&] { return peer.socket.reading_changes > changes; });
    FeedGently(peer, Records(rest) + Stdin(1));
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK((reader.read == body));
    CHECK(AnswerTo(peer.socket, 1).status == 200);
    CHECK(host.BodyBytes() == 0);
  });
}

TEST_CASE(
    "Connection: what came of a long body before the peer stopped inside it comes first, then "
    "400") {
  FastCgiHost::Run([](FastCgiHost& host) {
    const auto body = Pattern(400'000);
    Reader reader;
    host.Serve("/read.ashx", Kind::kPlainBufferless, reader.Function());
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/read.ashx", 2'000'000));
    FeedGently(peer, Records(body));
    FastCgiHost::Await([&] { return reader.started.load(); });
    peer.connection->OnEndOfStream(true);
    reader.Go();
    FastCgiHost::Await([&] { return reader.done.load(); });
    CHECK((reader.read == body));
    CHECK(reader.status == 400);
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK(host.BodyBytes() == 0);
  });
}

TEST_CASE(
    "Connection: a thread that waits for more of a long body is told when nothing will come") {
  const auto body = Pattern(350'000);
  const auto run = [&](bool waits,
                       const std::function<void(FastCgiHost&, FastCgiHost::Peer&)>& event) {
    FastCgiHost::Run([&](FastCgiHost& host) {
      Reader reader;
      host.Serve("/read.ashx", Kind::kPlainBufferless, reader.Function());
      auto& peer = host.Connect();
      peer.Feed(Begin(1) + Params(1, "/read.ashx", 2'000'000));
      FeedGently(peer, Records(body));
      FastCgiHost::Await([&] { return reader.started.load(); });
      if (waits) {
        reader.Go();
        FastCgiHost::Settle();
      }
      event(host, peer);
      if (!waits) {
        reader.Go();
      }
      FastCgiHost::Await([&] { return reader.done.load(); });
      CHECK(reader.cancelled);
      CHECK((waits || reader.read.size() == Reader::kStart));
      host.EndAll();
      CHECK(host.BodyBytes() == 0);
    });
  };
  for (const bool waits : {false, true}) {
    CAPTURE(waits);
    SUBCASE("ABORT_REQUEST") {
      run(waits, [](FastCgiHost&, FastCgiHost::Peer& peer) {
        peer.Feed(testsupport::EncodeRecord(testsupport::RecordType::kAbortRequest, 1, {}));
      });
    }
    SUBCASE("the web server goes") {
      run(waits, [](FastCgiHost&, FastCgiHost::Peer& peer) { peer.connection->OnSocketError(); });
    }
    SUBCASE("the worker stops") {
      run(waits, [](FastCgiHost& host, FastCgiHost::Peer&) {
        host.CancelAll(CancellationReason::kShutdown);
      });
    }
  }
}

TEST_CASE("Connection: a long body that stays away is 408 after the body time-out") {
  FastCgiHost::Options options;
  options.body_timeout = milliseconds(30);
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    const auto body = Pattern(400'000);
    Reader reader;
    host.Serve("/read.ashx", Kind::kPlainBufferless, reader.Function());
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/read.ashx", 2'000'000));
    FeedGently(peer, Records(body));
    reader.Go();
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK((reader.read == body));
    CHECK(reader.status == 408);
    CHECK(AnswerTo(peer.socket, 1).status == 408);
  });
}

TEST_CASE("Connection: a long body that comes faster than all bodies have room for is 503") {
  FastCgiHost::Options options;
  options.max_buffered_bytes = 1'000'000;
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    Reader reader;
    host.Serve("/read.ashx", Kind::kPlainBufferless, reader.Function());
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/read.ashx", 20'000'000));
    FeedGently(peer, Records(Pattern(Reader::kStart)));
    FastCgiHost::Await([&] { return reader.started.load(); });
    // A peer that does not heed that nobody wants more now, as one with several requests need not.
    peer.Feed(Records(Pattern(1'500'000)));
    CHECK(host.BodyBytes() == 0);
    reader.Go();
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK(reader.status == 503);
    CHECK(reader.read.size() == Reader::kStart);
  });
}

TEST_CASE(
    "Connection: where all bodies together leave no room, a long one is read as a short one is") {
  FastCgiHost::Options options;
  options.max_buffered_bytes = 200'000;  // less than the buffer of one
  FastCgiHost::Run(options, [](FastCgiHost& host) {
    const auto body = Pattern(1'000'000);
    Reader reader;
    reader.Go();
    host.Serve("/read.ashx", Kind::kPlainBufferless, reader.Function());
    auto& peer = host.Connect();
    peer.Feed(Begin(1) + Params(1, "/read.ashx", body.size()));
    for (std::string_view rest = body; !rest.empty(); rest.remove_prefix(50'000)) {
      peer.Feed(Stdin(1, rest.substr(0, 50'000)));
      FastCgiHost::Await([&] { return host.BodyBytes() == 0; });
    }
    peer.Feed(Stdin(1));
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK((reader.read == body));
    CHECK(AnswerTo(peer.socket, 1).status == 200);
  });
}

TEST_CASE("Connection: long bodies of several requests at once on a connection are whole") {
  FastCgiHost::Run([](FastCgiHost& host) {
    const auto body = Pattern(1'500'000);
    Reader readers[2];
    host.Serve("/1.ashx", Kind::kPlainBufferless, readers[0].Function());
    host.Serve("/2.ashx", Kind::kPlainBufferless, readers[1].Function());
    auto& peer = host.Connect();
    for (std::uint16_t id = 1; id <= 2; ++id) {
      peer.Feed(Begin(id) + Params(id, "/" + std::to_string(id) + ".ashx", body.size()));
    }
    for (std::string_view rest = body; !rest.empty(); rest.remove_prefix(50'000)) {
      peer.Feed(Stdin(1, rest.substr(0, 50'000)) + Stdin(2, rest.substr(0, 50'000)));
      if (body.size() - rest.size() == 900'000) {
        readers[0].Go();
      }
    }
    peer.Feed(Stdin(1) + Stdin(2));
    readers[1].Go();
    FastCgiHost::Await([&] { return peer.connection->RequestsInFlight() == 0; });
    CHECK((readers[0].read == body));
    CHECK((readers[1].read == body));
    CHECK(host.BodyBytes() == 0);
  });
}

}  // namespace
}  // namespace weft::test
