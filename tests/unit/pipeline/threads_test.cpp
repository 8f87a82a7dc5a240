// Where a handler runs, and how a plain one reaches the exchange.
#include <doctest/doctest.h>

#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <weft/async.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

using Call = MemoryExchange::Call;

bool IsPlain(Kind kind) { return kind == Kind::kPlain || kind == Kind::kPlainBufferless; }

TEST_CASE("Pipeline: an async handler runs on the reactor's thread, a plain one on another") {
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([kind](PipelineHost& host) {
      std::thread::id thread;
      host.Serve({{"/x", kind, [&](HttpContext&) { thread = std::this_thread::get_id(); }}});
      host.Get("/x");
      CHECK((thread == std::this_thread::get_id()) == !IsPlain(kind));
    });
  }
}

TEST_CASE(
    "Pipeline: every call of the exchange comes from the reactor's thread, also a plain "
    "handler's") {
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind, [](HttpContext& context) {
                     auto& stream = context.Request().GetBufferlessInputStream();
                     std::string piece(2, '\0');
                     while (const auto count = stream.Read(piece)) {
                       context.Response().Write(piece.substr(0, count));
                       context.Response().Flush();
                     }
                     context.Response().Write(std::string(200, 'x'));
                   }}});
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "5"}});
      request.exchange.body = {"abc", "de"};
      host.Process(request);
      CHECK(request.exchange.sent == "abcde" + std::string(200, 'x'));
      CHECK(request.exchange.Count(Call::kFlush) == 3);
      CHECK(request.exchange.Count(Call::kReadBody) >= 2);
      for (const auto thread : request.exchange.threads) {
        CHECK(thread == std::this_thread::get_id());
      }
    });
  }
}

TEST_CASE(
    "Pipeline: what the exchange throws reaches a plain handler on its own thread, and may be "
    "caught") {
  PipelineHost::Run([](PipelineHost& host) {
    std::string told;
    std::thread::id thread;
    TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "5"}});
    request.exchange.fail_at = 1;
    host.Serve({{"/x", Kind::kPlainBufferless, [&](HttpContext& context) {
                   std::string piece(2, '\0');
                   try {
                     static_cast<void>(context.Request().GetBufferlessInputStream().Read(piece));
                   } catch (const std::system_error& error) {
                     told = error.what();
                     thread = std::this_thread::get_id();
                   }
                   context.Response().Write("caught");
                 }}});
    host.Process(request);
    CHECK(told.starts_with("the exchange"));
    CHECK(thread != std::this_thread::get_id());
    CHECK(request.exchange.status == 200);
    CHECK(request.exchange.sent == "caught");
  });
}

TEST_CASE("Pipeline: while a plain handler waits for its exchange, the reactor serves others") {
  PipelineHost::Run([](PipelineHost& host) {
    host::runtime::FiberEvent more;
    Signal reading(host.Runtime());
    host.Serve({{"/read", Kind::kPlainBufferless,
                 [](HttpContext& context) {
                   std::string piece(10, '\0');
                   const auto count = context.Request().GetBufferlessInputStream().Read(piece);
                   context.Response().Write(piece.substr(0, count));
                 }},
                {"/x", Kind::kAsync, [](HttpContext&) {}}});
    TestRequest slow("POST", "/read", {{"CONTENT_LENGTH", "3"}});
    slow.exchange.body = {"abc"};
    slow.exchange.before_call = [&](Call call) {
      if (call == Call::kReadBody) {
        reading.Set();
        more.Wait();  // on the request's fiber: the peer has sent nothing yet
      }
    };
    SideFiber side(host.Runtime(), [&] { host.Process(slow); });
    reading.Wait();
    CHECK(host.Get("/x")->exchange.status == 200);
    more.Notify();
    side.Join();
    CHECK(slow.exchange.sent == "abc");
  });
}

TEST_CASE("Pipeline: a peer that takes nothing holds its own handler up, and no other request") {
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([kind](PipelineHost& host) {
      host::runtime::FiberEvent taken;
      Signal sending(host.Runtime());
      std::atomic<bool> returned = false;
      host.Serve({{"/large", kind,
                   [&](HttpContext& context) {
                     context.Response().Write(std::string(1000, 'x'));
                     returned = true;
                   }},
                  {"/x", Kind::kAsync, [](HttpContext&) {}}});
      TestRequest slow("GET", "/large");
      slow.exchange.before_call = [&](Call call) {
        if (call == Call::kSendBody) {
          sending.Set();
          taken.Wait();
        }
      };
      SideFiber side(host.Runtime(), [&] { host.Process(slow); });
      sending.Wait();
      CHECK(host.Get("/x")->exchange.status == 200);
      CHECK_FALSE(returned);
      taken.Notify();
      side.Join();
      CHECK(slow.exchange.sent.size() == 1000);
    });
  }
}

TEST_CASE("Pipeline: plain handlers run at the same time") {
  PipelineHost::Run([](PipelineHost& host) {
    // Each lets the other go: one after the other they would wait for ever.
    std::binary_semaphore first{0};
    std::binary_semaphore second{0};
    host.Serve({{"/1", Kind::kPlain,
                 [&](HttpContext&) {
                   second.release();
                   first.acquire();
                 }},
                {"/2", Kind::kPlain, [&](HttpContext&) {
                   first.release();
                   second.acquire();
                 }}});
    SideFiber side(host.Runtime(), [&] { CHECK(host.Get("/1")->exchange.status == 200); });
    CHECK(host.Get("/2")->exchange.status == 200);
    side.Join();
  });
}

TEST_CASE(
    "Pipeline: a plain handler's answer is sealed on the fiber, after the handler has returned") {
  PipelineHost::Run([](PipelineHost& host) {
    TestRequest request("GET", "/x");
    std::size_t calls_in_handler = 99;
    host.Serve({{"/x", Kind::kPlain, [&](HttpContext& context) {
                   context.Response().Write("small");
                   calls_in_handler = request.exchange.Count(Call::kSendHeaders);
                 }}});
    host.Process(request);
    CHECK(calls_in_handler == 0);
    CHECK(request.exchange.sent == "small");
  });
}

TEST_CASE(
    "Pipeline: Offload in an async handler leaves the reactor, in a plain one it stays in place") {
  for (const auto kind : {Kind::kPlain, Kind::kAsync}) {
    PipelineHost::Run([kind](PipelineHost& host) {
      std::thread::id handler;
      std::thread::id offloaded;
      host.Serve({{"/x", kind, [&](HttpContext& context) {
                     handler = std::this_thread::get_id();
                     offloaded = Offload([] { return std::this_thread::get_id(); });
                     CHECK(handler == std::this_thread::get_id());
                     CHECK_THROWS_WITH_AS(Offload([] { throw std::logic_error("from below"); }),
                                          "from below", std::logic_error);
                     context.Response().Write("done");
                   }}});
      CHECK(host.Get("/x")->exchange.sent == "done");
      CHECK((handler == offloaded) == (kind == Kind::kPlain));
    });
  }
}

TEST_CASE(
    "Pipeline: a response that is used inside Offload is the handler's mistake, answered with "
    "500") {
  const std::vector<Function> mistakes = {
      [](HttpContext& context) { context.Response().Flush(); },
      [](HttpContext& context) { context.Response().Write(std::string(100, 'x')); },
      [](HttpContext& context) {
        std::string piece(2, '\0');
        static_cast<void>(context.Request().GetBufferlessInputStream().Read(piece));
      }};
  for (const auto& mistake : mistakes) {
    PipelineHost::Run([&mistake](PipelineHost& host) {
      host.Serve({{"/x", Kind::kAsyncBufferless,
                   [&](HttpContext& context) { Offload([&] { mistake(context); }); }}});
      TestRequest request("POST", "/x", {{"CONTENT_LENGTH", "3"}});
      request.exchange.body = {"abc"};
      host.Process(request);
      CHECK(request.exchange.status == 500);
      CHECK_FALSE(request.exchange.aborted);
      CHECK(host.Log().find("weft::Offload") != std::string::npos);
      for (const auto thread : request.exchange.threads) {
        CHECK(thread == std::this_thread::get_id());
      }
    });
  }
}

TEST_CASE("Pipeline: Offload has threads of its own, which plain handlers cannot take away") {
  PipelineOptions options;
  options.runtime.blocking_threads = 1;
  PipelineHost::Run(options, [](PipelineHost& host) {
    Signal entered(host.Runtime());
    std::binary_semaphore leave{0};
    host.Serve({{"/hold", Kind::kPlain,
                 [&](HttpContext&) {
                   entered.Set();
                   leave.acquire();
                 }},
                {"/x", Kind::kAsync, [](HttpContext& context) {
                   context.Response().Write(Offload([] { return std::string("done"); }));
                 }}});
    SideFiber side(host.Runtime(), [&] { host.Get("/hold"); });
    entered.Wait();
    CHECK(host.Get("/x")->exchange.sent == "done");
    leave.release();
  });
}

TEST_CASE(
    "Pipeline: a plain handler that throws while others use the exchange harms none of them") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/good", Kind::kPlainBufferless,
                 [](HttpContext& context) {
                   std::string piece(1, '\0');
                   auto& stream = context.Request().GetBufferlessInputStream();
                   while (stream.Read(piece) != 0) {
                     context.Response().Write(piece);
                     context.Response().Flush();
                   }
                 }},
                {"/bad", Kind::kPlain, [](HttpContext&) { throw std::runtime_error("x"); }}});
    std::vector<std::unique_ptr<TestRequest>> good;
    std::vector<std::unique_ptr<SideFiber>> fibers;
    for (int i = 0; i < 20; ++i) {
      auto request =
          std::make_unique<TestRequest>("POST", "/good", VariableList{{"CONTENT_LENGTH", "10"}});
      request->exchange.body = {"01234", "56789"};
      fibers.push_back(std::make_unique<SideFiber>(
          host.Runtime(), [&host, &target = *request] { host.Process(target); }));
      good.push_back(std::move(request));
      fibers.push_back(std::make_unique<SideFiber>(
          host.Runtime(), [&host] { CHECK(host.Get("/bad")->exchange.status == 500); }));
    }
    for (auto& fiber : fibers) {
      fiber->Join();
    }
    for (const auto& request : good) {
      CHECK(request->exchange.sent == "0123456789");
    }
  });
  CHECK(lines.size() == 40);
}

}  // namespace
}  // namespace weft::test
