// Handlers are leased: reused, dropped, shared, made by factories, and exchanged under running requests.
#include <doctest/doctest.h>

#include <barrier>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

TEST_CASE("Pipeline: a reusable instance serves one request after another, any other only one") {
  for (const auto kind : kAllKinds) {
    for (const bool reusable : {false, true}) {
      PipelineHost::Run([&](PipelineHost& host) {
        host.Serve({{"/x", kind, [](HttpContext&) {}, reusable}});
        for (int i = 0; i < 3; ++i) {
          host.Get("/x");
        }
        CHECK(host.Made() == (reusable ? 1 : 3));
        CHECK(host.Living() == (reusable ? 1 : 0));
      });
    }
  }
}

TEST_CASE("Pipeline: two requests at once never share an instance") {
  PipelineHost::Run([](PipelineHost& host) {
    Signal entered(host.Runtime());
    host::runtime::FiberEvent leave;
    host.Serve({{"/x", Kind::kAsync,
                 [&](HttpContext& context) {
                   if (context.Request().QueryStringText() == "hold") {
                     entered.Set();
                     leave.Wait();
                   }
                 },
                 true}});
    SideFiber held(host.Runtime(), [&] { host.Get("/x", {{"QUERY_STRING", "hold"}}); });
    entered.Wait();
    host.Get("/x");
    CHECK(host.Made() == 2);
    leave.Notify();
    held.Join();
    host.Get("/x");
    CHECK(host.Made() == 2);
    CHECK(host.Living() == 2);
  });
}

TEST_CASE("Pipeline: an instance that threw is dropped, though it is reusable") {
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind,
                   [](HttpContext& context) {
                     if (context.Request().QueryStringText() == "throw") {
                       throw std::runtime_error("x");
                     }
                   },
                   true}});
      host.Get("/x");
      CHECK(host.Living() == 1);
      CHECK(host.Get("/x", {{"QUERY_STRING", "throw"}})->exchange.status == 500);
      CHECK(host.Living() == 0);
      host.Get("/x");
      CHECK(host.Made() == 2);
      CHECK(host.Living() == 1);
    });
  }
}

TEST_CASE("Pipeline: an instance whose request was refused before it was entered is not lost") {
  PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext&) {}, true}});
    host.Get("/x");
    TestRequest cut("POST", "/x", {{"CONTENT_LENGTH", "5"}});
    host.Process(cut);
    CHECK(cut.exchange.status == 400);
    host.Get("/x");
    CHECK(host.Made() == 1);
  });
}

TEST_CASE("Pipeline: an instance serves different users without a trace of the one before") {
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([kind](PipelineHost& host) {
      host.Serve({{"/x", kind,
                   [](HttpContext& context) {
                     auto& response = context.Response();
                     const auto& request = context.Request();
                     if (!request.Cookies().empty()) {
                       response.SetHeader("X-User", request.Cookies().Get("user"));
                     }
                     response.Write("hello " +
                                    std::string(request.Cookies().Get("user", "nobody")));
                   },
                   true}});
      CHECK(host.Get("/x", {{"HTTP_COOKIE", "user=ada"}})->exchange.sent == "hello ada");
      const auto second = host.Get("/x");
      CHECK(second->exchange.sent == "hello nobody");
      CHECK_FALSE(second->exchange.headers.Contains("X-User"));
      CHECK(host.Made() == 1);
    });
  }
}

TEST_CASE("Pipeline: a shared instance serves all at once, and survives what it throws") {
  class Shared final : public IHttpSharedAsyncHandler {
   public:
    explicit Shared(std::function<void()> body) : body_(std::move(body)) {}
    void ProcessRequest(HttpContext&) const override { body_(); }

   private:
    std::function<void()> body_;
  };
  PipelineHost::Run([](PipelineHost& host) {
    int inside = 0;
    int most = 0;
    Signal both(host.Runtime());
    host::runtime::FiberEvent leave;
    host.Classes().AddSharedHandler("Shared", std::make_shared<Shared>([&] {
                                      most = std::max(most, ++inside);
                                      if (inside == 1) {
                                        leave.Wait();
                                        --inside;
                                        throw std::runtime_error("x");
                                      }
                                      leave.Notify();
                                      --inside;
                                    }));
    host.Serve({}, {}, R"(, { "add": { "verb": "*", "path": "/x", "type": "Shared" } })");
    TestRequest first("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(first); });
    while (inside == 0) {
      host::runtime::YieldFiber();
    }
    CHECK(host.Get("/x")->exchange.status == 200);
    side.Join();
    CHECK(first.exchange.status == 500);
    CHECK(most == 2);
    inside = 1;
    CHECK(host.Get("/x")->exchange.status == 200);
  });
}

/// Says where it is called, and throws on demand.
template <typename Base>
class Resettable final : public Base, public IHttpResettableHandler {
 public:
  struct Calls {
    std::thread::id processed;
    std::thread::id reset;
    std::thread::id destroyed;
    int resets = 0;
    std::function<void()> on_reset;
  };

  explicit Resettable(Calls& calls) : calls_(calls) {}
  Resettable(const Resettable&) = delete;
  Resettable& operator=(const Resettable&) = delete;
  ~Resettable() override { calls_.destroyed = std::this_thread::get_id(); }

  void ProcessRequest(HttpContext& context) override {
    calls_.processed = std::this_thread::get_id();
    context.Response().Write("answered");
  }
  bool IsReusable() const override { return true; }
  void Reset() override {
    ++calls_.resets;
    calls_.reset = std::this_thread::get_id();
    if (calls_.on_reset) {
      calls_.on_reset();
    }
  }

 private:
  Calls& calls_;
};

TEST_CASE_TEMPLATE("Pipeline: a handler is reset where it ran", Base, IHttpHandler,
                   IHttpAsyncHandler) {
  PipelineHost::Run([](PipelineHost& host) {
    typename Resettable<Base>::Calls calls;
    host.Classes().AddHandler("R", [&] { return std::make_unique<Resettable<Base>>(calls); });
    host.Serve({}, {}, R"(, { "add": { "verb": "*", "path": "/x", "type": "R" } })");
    CHECK(host.Get("/x")->exchange.sent == "answered");
    CHECK(calls.resets == 1);
    CHECK(calls.reset == calls.processed);
    CHECK((calls.reset == std::this_thread::get_id()) == std::is_same_v<Base, IHttpAsyncHandler>);
    CHECK(calls.destroyed == std::thread::id());

    // What it throws costs the instance, and not the answer.
    calls.on_reset = [] { throw std::runtime_error("the rollback failed"); };
    const auto request = host.Get("/x");
    CHECK(request->exchange.status == 200);
    CHECK(request->exchange.sent == "answered");
    CHECK_FALSE(request->exchange.aborted);
    CHECK(calls.destroyed == calls.processed);
    CHECK(host.Log().find("the rollback failed") != std::string::npos);
  });
}

TEST_CASE("Pipeline: a plain shared instance is entered by several threads at once") {
  class Meeting final : public IHttpSharedHandler {
   public:
    void ProcessRequest(HttpContext& context) const override {
      both_.arrive_and_wait();  // one after the other they would wait for ever
      context.Response().Write("met");
    }

   private:
    mutable std::barrier<> both_{2};
  };
  PipelineHost::Run([](PipelineHost& host) {
    AddSharedHandler<Meeting>(host.Classes(), "Meeting");
    host.Serve({}, {}, R"(, { "add": { "verb": "*", "path": "/x", "type": "Meeting" } })");
    SideFiber side(host.Runtime(), [&] { CHECK(host.Get("/x")->exchange.sent == "met"); });
    CHECK(host.Get("/x")->exchange.sent == "met");
    side.Join();
  });
}

/// Makes plain handlers; may await while it does. It does not imitate pooling.
class AwaitingFactory final : public IHttpHandlerFactory {
 public:
  explicit AwaitingFactory(std::vector<std::string>& calls) : calls_(calls) {}

  std::unique_ptr<IHttpHandler> GetHandler(HttpContext& context, std::string_view verb,
                                           std::string_view file_path,
                                           std::string_view path_translated) override {
    calls_.push_back("get " + std::string(verb) + " " + std::string(file_path) + " " +
                     std::string(path_translated));
    Offload([] {});
    context.Cancellation().ThrowIfCancellationRequested();
    if (file_path == "/null.f") {
      return nullptr;
    }
    class Plain final : public IHttpHandler {
     public:
      void ProcessRequest(HttpContext& with_context) override {
        if (with_context.Request().QueryStringText() == "throw") {
          throw std::runtime_error("x");
        }
      }
      bool IsReusable() const override { return false; }
    };
    return std::make_unique<Plain>();
  }
  void ReleaseHandler(std::unique_ptr<IHttpHandler>) override { calls_.push_back("release"); }

 private:
  std::vector<std::string>& calls_;
};

TEST_CASE(
    "Pipeline: a factory is asked on the fiber, where it may await, and gets its handler back") {
  std::vector<std::string> calls;
  const auto lines = PipelineHost::Run([&calls](PipelineHost& host) {
    host.Classes().AddFactory("Factory", std::make_unique<AwaitingFactory>(calls));
    host.Serve({}, {}, R"(, { "add": { "verb": "*", "path": "*.f", "type": "Factory" } })");
    CHECK(host.Get("/a.f/tail", {{"DOCUMENT_ROOT", "/srv"}})->exchange.status == 200);
    CHECK(host.Get("/a.f", {{"QUERY_STRING", "throw"}})->exchange.status == 500);
    CHECK(host.Get("/null.f")->exchange.status == 500);
    CHECK(host.Log().find("entry '* *.f', type 'Factory': the factory returned no handler for "
                          "/null.f") != std::string::npos);
  });
  CHECK(calls == std::vector<std::string>{"get GET /a.f /srv/a.f", "release", "get GET /a.f ",
                                          "get GET /null.f "});
  CHECK(lines.size() == 3);
}

TEST_CASE("Pipeline: what a factory throws is the answer of that request alone") {
  class Throwing final : public IHttpHandlerFactory {
   public:
    std::unique_ptr<IHttpHandler> GetHandler(HttpContext&, std::string_view,
                                             std::string_view file_path,
                                             std::string_view) override {
      if (file_path == "/conflict.f") {
        throw HttpException(409, "Not now.");
      }
      if (file_path == "/odd.f") {
        throw 42;
      }
      if (file_path == "/throw.f") {
        throw std::runtime_error("no database");
      }
      class Answer final : public IHttpHandler {
       public:
        void ProcessRequest(HttpContext& context) override { context.Response().Write("here"); }
        bool IsReusable() const override { return false; }
      };
      return std::make_unique<Answer>();
    }
    void ReleaseHandler(std::unique_ptr<IHttpHandler>) override {
      throw std::runtime_error("no room");
    }
  };
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    AddFactory<Throwing>(host.Classes(), "Factory");
    host.Serve({}, {}, R"(, { "add": { "verb": "*", "path": "*.f", "type": "Factory" } })");
    CHECK(host.Get("/throw.f")->exchange.sent == "500 Internal Server Error\n");
    CHECK(host.Log().find("Factory: no database") != std::string::npos);
    CHECK(host.Get("/odd.f")->exchange.status == 500);
    CHECK(host.Get("/conflict.f")->exchange.sent == "409 Conflict\nNot now.\n");
    CHECK(host.Get("/x.f")->exchange.sent == "here");
    CHECK(host.Log().find("a handler was not taken back: no room") != std::string::npos);
  });
  CHECK(lines.size() == 4);
}

TEST_CASE(
    "Pipeline: a table that is exchanged serves the next request; one in flight keeps its own") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Signal entered(host.Runtime());
    host::runtime::FiberEvent leave;
    host.Serve({{"/x", Kind::kAsync,
                 [&](HttpContext& context) {
                   entered.Set();
                   leave.Wait();
                   context.Response().Write("old");
                 },
                 true}});
    const auto old_table = host.Table();
    TestRequest held("GET", "/x");
    SideFiber side(host.Runtime(), [&] { host.Process(held); });
    entered.Wait();

    host.Serve(
        {{"/y", Kind::kAsync, [](HttpContext& context) { context.Response().Write("new"); }}});
    CHECK_FALSE(old_table.expired());
    CHECK(host.Get("/y")->exchange.sent == "new");
    CHECK(host.Get("/x")->exchange.status == 404);

    leave.Notify();
    side.Join();
    CHECK(held.exchange.sent == "old");
    // Nobody uses it any more.
    CHECK(old_table.expired());
  });
  CHECK(lines.size() == 3);
}

TEST_CASE("Pipeline: a table that is exchanged while a factory awaits does not pull it away") {
  std::vector<std::string> calls;
  PipelineHost::Run([&calls](PipelineHost& host) {
    host.Classes().AddFactory("Factory", std::make_unique<AwaitingFactory>(calls));
    host.Serve({}, {}, R"(, { "add": { "verb": "*", "path": "*.f", "type": "Factory" } })");
    TestRequest request("GET", "/a.f");
    SideFiber side(host.Runtime(), [&] { host.Process(request); });
    while (calls.empty()) {
      host::runtime::YieldFiber();
    }
    host.Serve({});
    side.Join();
    CHECK(request.exchange.status == 200);
    CHECK(calls.back() == "release");
  });
}

}  // namespace
}  // namespace weft::test
