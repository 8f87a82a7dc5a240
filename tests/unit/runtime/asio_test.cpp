// <weft/asio.hpp> over the runtime.
#include <weft/asio.hpp>

#include <doctest/doctest.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>

#include <weft/async.hpp>
#include "host/runtime/runtime.hpp"
#include "tests/support/run_in_fiber.hpp"

namespace weft {
namespace {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using boost::system::error_code;
using boost::system::system_error;
using host::runtime::Runtime;
using std::chrono::hours;
using std::chrono::milliseconds;
using test::RunInFiber;

struct Pair {
  Pair() : here(GetAsioExecutor()), other(GetAsioExecutor()) {
    asio::local::connect_pair(here, other);
  }
  stream_protocol::socket here;
  stream_protocol::socket other;
};

/// An operation that gives `values`, after a turn of the reactor.
template <typename Signature, typename... Values>
auto AsyncGive(Yield token, Values... values) {
  return asio::async_initiate<Yield, Signature>(
      [](auto handler, auto... given) {
        const auto executor = handler.get_executor();
        asio::post(executor,
                   [handler = std::move(handler), ... given = std::move(given)]() mutable {
                     std::move(handler)(std::move(given)...);
                   });
      },
      token, std::move(values)...);
}

TEST_CASE("weft::yield: the values of an operation are returned, its error thrown or stored") {
  RunInFiber([](Runtime&) {
    static_assert(std::is_void_v<decltype(AsyncGive<void()>(yield))>);
    AsyncGive<void()>(yield);
    AsyncGive<void(error_code)>(yield, error_code());
    CHECK(AsyncGive<void(int)>(yield, 42) == 42);
    CHECK(AsyncGive<void(error_code, std::string)>(yield, error_code(), std::string("text")) ==
          "text");
    CHECK(*AsyncGive<void(std::exception_ptr, std::shared_ptr<int>)>(
              yield, std::exception_ptr(), std::make_shared<int>(7)) == 7);
    const auto [number, text] =
        AsyncGive<void(error_code, int, std::string)>(yield, error_code(), 1, std::string("two"));
    CHECK(number == 1);
    CHECK(text == "two");

    const error_code refused = asio::error::connection_refused;
    try {
      AsyncGive<void(error_code, int)>(yield, refused, 0);
      FAIL("no error");
    } catch (const system_error& error) {
      CHECK(error.code() == refused);
    }
    error_code stored;
    CHECK(AsyncGive<void(error_code, int)>(yield[stored], refused, 3) == 3);
    CHECK(stored == refused);
    AsyncGive<void(error_code)>(yield[stored], error_code());
    CHECK_FALSE(stored);
    CHECK_THROWS_WITH_AS(AsyncGive<void(std::exception_ptr)>(
                             yield, std::make_exception_ptr(std::runtime_error("from below"))),
                         "from below", std::runtime_error);
  });
}

TEST_CASE("weft::yield: sockets and timers, while other fibers run") {
  RunInFiber([](Runtime&) {
    Pair pair;
    auto echo = Async([&] {
      std::array<char, 5> text{};
      asio::async_read(pair.other, asio::buffer(text), yield);
      asio::steady_timer timer(GetAsioExecutor(), milliseconds(1));
      timer.async_wait(yield);
      return asio::async_write(pair.other, asio::buffer(text), yield);
    });
    asio::async_write(pair.here, asio::buffer("hello", 5), yield);
    std::array<char, 5> answer{};
    CHECK(asio::async_read(pair.here, asio::buffer(answer), yield) == 5);
    CHECK(std::string_view(answer.data(), answer.size()) == "hello");
    CHECK(echo.Get() == 5);
    pair.other.close();
    error_code error;
    CHECK(asio::async_read(pair.here, asio::buffer(answer), yield[error]) == 0);
    CHECK(error == asio::error::eof);
  });
}

TEST_CASE("weft::yield: a cancelled request cancels the operation, and its end is waited for") {
  RunInFiber([](Runtime& runtime) {
    for (const bool before : {false, true}) {
      CAPTURE(before);
      CancellationSource source;
      const auto token = source.Token();
      runtime.SetCurrentCancellation(&token);
      Pair pair;
      std::array<char, 1> byte{};
      std::thread canceller;
      if (before) {
        source.Cancel(CancellationReason::kClientGone);
      } else {
        canceller = std::thread([&] { source.Cancel(CancellationReason::kClientGone); });
      }
      error_code unused;
      CHECK_THROWS_AS(asio::async_read(pair.here, asio::buffer(byte), yield), OperationCancelled);
      CHECK_THROWS_AS(asio::async_read(pair.here, asio::buffer(byte), yield[unused]),
                      OperationCancelled);
      asio::steady_timer timer(GetAsioExecutor(), hours(1));
      CHECK_THROWS_AS(timer.async_wait(yield), OperationCancelled);
      if (canceller.joinable()) {
        canceller.join();
      }
      runtime.SetCurrentCancellation(nullptr);
      // The socket is as good as before.
      asio::async_write(pair.other, asio::buffer("x", 1), yield);
      CHECK(asio::async_read(pair.here, asio::buffer(byte), yield) == 1);
    }
  });
}

TEST_CASE("weft::yield: a cancelled request begins no operation, be it one that succeeds at once") {
  RunInFiber([](Runtime& runtime) {
    Pair pair;
    std::string text = "abc";
    asio::write(pair.other, asio::buffer(text));
    CancellationSource source;
    const auto token = source.Token();
    runtime.SetCurrentCancellation(&token);
    CHECK(asio::async_read(pair.here, asio::buffer(text.data(), 1), yield) == 1);
    source.Cancel(CancellationReason::kDeadline);
    CHECK_THROWS_AS(asio::async_read(pair.here, asio::buffer(text.data(), 1), yield),
                    OperationCancelled);
    error_code error;
    CHECK_THROWS_AS(asio::async_read(pair.here, asio::buffer(text.data(), 1), yield[error]),
                    OperationCancelled);
    runtime.SetCurrentCancellation(nullptr);
    CHECK(asio::async_read(pair.here, asio::buffer(text.data(), 2), yield) == 2);
    CHECK(text == "bcc");
  });
}

TEST_CASE("weft::yield: a task that is cancelled ends its own operation, not those of others") {
  RunInFiber([](Runtime&) {
    Pair pair;
    std::array<char, 1> byte{};
    auto reader = Async([&] { return asio::async_read(pair.here, asio::buffer(byte), yield); });
    YieldToOthers();
    reader.Cancel();
    CHECK_THROWS_AS(reader.Get(), OperationCancelled);
    auto next = Async([&] { return asio::async_read(pair.here, asio::buffer(byte), yield); });
    asio::async_write(pair.other, asio::buffer("x", 1), yield);
    CHECK(next.Get() == 1);
  });
}

TEST_CASE("weft::yield: an operation of another context ends on the reactor's thread") {
  RunInFiber([](Runtime&) {
    asio::thread_pool pool(1);
    const auto here = std::this_thread::get_id();
    for (int i = 0; i < 100; ++i) {
      asio::steady_timer timer(pool, std::chrono::microseconds(i));
      timer.async_wait(yield);
      CHECK(std::this_thread::get_id() == here);
    }
    pool.join();
  });
}

TEST_CASE("weft::yield: an operation that drops its handler is an error, not a wait for ever") {
  RunInFiber([](Runtime&) {
    CHECK_THROWS_AS((asio::async_initiate<const Yield&, void(error_code)>([](auto) {}, yield)),
                    std::logic_error);
  });
}

TEST_CASE("asio.hpp: in a plain handler and outside a request it says what to do") {
  RunInFiber([](Runtime& runtime) {
    runtime.RunOnPool([](host::runtime::IFiberGateway&) {
      try {
        GetAsioExecutor();
        FAIL("it has one");
      } catch (const std::logic_error& error) {
        CHECK(std::string(error.what()).find("IHttpAsyncHandler") != std::string::npos);
      }
    });
    std::thread([] { CHECK_THROWS_AS(GetAsioExecutor(), std::logic_error); }).join();
  });
}

}  // namespace
}  // namespace weft
