// Server().Execute() and Transfer(): one handler has another answer too.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include "handlers/builtin/builtin.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

bool IsPlain(Kind kind) { return kind == Kind::kPlain || kind == Kind::kPlainBufferless; }

PipelineOptions RoomyBuffer() {
  PipelineOptions options;
  options.limits.output_buffer_bytes = 10'000;
  return options;
}

/// Writes where it runs, and what the request says.
Route Teller(std::string path, Kind kind, std::thread::id reactor) {
  return {std::move(path), kind, [reactor](HttpContext& context) {
            SleepFor(std::chrono::milliseconds(1));
            const auto& request = context.Request();
            context.Response().Write(
                std::string("[") + (std::this_thread::get_id() == reactor ? "reactor " : "pool ") +
                std::string(request.FilePath()) + std::string(request.PathInfo()) + "?" +
                std::string(request.QueryStringText()) +
                " n=" + std::string(request.QueryString().Get("n")) + "]");
          }};
}

TEST_CASE("Execute: a handler of any kind executes one of any kind, which runs where it wants to") {
  const auto reactor = std::this_thread::get_id();
  for (const auto outer : kAllKinds) {
    for (const auto inner : kAllKinds) {
      CAPTURE(static_cast<int>(outer));
      CAPTURE(static_cast<int>(inner));
      const auto lines = PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
        host.Serve({{"/outer", outer,
                     [&](HttpContext& context) {
                       auto& request = context.Request();
                       const auto path = request.FilePath();
                       const auto n = request.QueryString().Get("n");
                       context.Response().Write("(");
                       context.Server().Execute("/inner?n=2&long=" + std::string(40, 'x'));
                       context.Server().Execute("inner");
                       context.Response().Write(")");
                       CHECK((std::this_thread::get_id() == reactor) == !IsPlain(outer));
                       CHECK(context.ExecutionDepth() == 0);
                       CHECK(path == "/outer");
                       CHECK(n == "1");
                       CHECK(request.FilePath() == "/outer");
                       CHECK(request.QueryStringText() == "n=1");
                     }},
                    Teller("/inner", inner, reactor)});
        const auto request = host.Get("/outer", {{"QUERY_STRING", "n=1"}});
        const std::string where = IsPlain(inner) ? "[pool " : "[reactor ";
        CHECK(request->exchange.status == 200);
        CHECK(request->exchange.sent == "(" + where + "/inner?n=2&long=" + std::string(40, 'x') +
                                            " n=2]" + where + "/inner?n=1 n=1])");
      });
      REQUIRE(lines.size() == 1);
      CHECK(FieldOf(lines[0], "entry") == "* /outer");
    }
  }
}

TEST_CASE("Execute: however deep, a request takes one thread of the pool") {
  const auto reactor = std::this_thread::get_id();
  auto options = RoomyBuffer();
  options.runtime.blocking_threads = 1;
  options.runtime.blocking_queue = 0;
  PipelineHost::Run(options, [&](PipelineHost& host) {
    std::vector<std::thread::id> threads;
    const auto step = [&](std::string next) {
      return [&, next = std::move(next)](HttpContext& context) {
        threads.push_back(std::this_thread::get_id());
        context.Response().Write("<");
        context.Server().Execute(next);
        SleepFor(std::chrono::milliseconds(1));
        threads.push_back(std::this_thread::get_id());
        context.Response().Write(">");
      };
    };
    host.Serve({{"/a", Kind::kPlain, step("/b")},
                {"/b", Kind::kAsync, step("/c")},
                {"/c", Kind::kPlain, step("/d")},
                {"/d", Kind::kAsync, step("/e")},
                {"/e", Kind::kPlain, step("/f")},
                Teller("/f", Kind::kPlain, reactor)});
    CHECK(host.Get("/a")->exchange.sent == "<<<<<[pool /f? n=]>>>>>");
    REQUIRE(threads.size() == 10);
    for (std::size_t i = 0; i < 5; ++i) {
      CHECK((threads[i] == reactor) == (i % 2 == 1));
      CHECK(threads[i] == threads[9 - i]);
      CHECK(threads[i] == threads[i % 2]);
    }
  });
}

TEST_CASE("Execute: what the inner handler throws comes to the outer one, which may go on") {
  for (const auto outer : {Kind::kPlain, Kind::kAsync}) {
    for (const auto inner : {Kind::kPlain, Kind::kAsync}) {
      const auto lines = PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
        const auto execute = [](HttpContext& context) { context.Server().Execute("/throws"); };
        host.Serve(
            {{"/passes", outer, execute},
             {"/catches", outer,
              [&](HttpContext& context) {
                CHECK_THROWS_AS(execute(context), std::runtime_error);
                CHECK(context.Request().FilePath() == "/catches");
                CHECK(context.ExecutionDepth() == 0);
                context.Response().Write("went on");
              }},
             {"/throws", inner, [](HttpContext&) { throw std::runtime_error("the reason"); }}});
        CHECK(host.Get("/passes")->exchange.status == 500);
        CHECK(host.Log().find(": /passes, executing /throws: the reason\n") != std::string::npos);
        CHECK(host.Get("/catches")->exchange.sent == "went on");
        CHECK(host.Living() == 0);
      });
      REQUIRE(lines.size() == 2);
      CHECK(FieldOf(lines[0], "cause") == "handler_failed");
      CHECK(FieldOf(lines[1], "cause") == "mapped");
    }
  }
}

TEST_CASE("Execute: a path that nothing is mapped to is 404, and 405 tells the methods") {
  for (const auto kind : {Kind::kPlain, Kind::kAsync}) {
    const auto lines = PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
      host.Serve({{"/none", kind, [](HttpContext& context) { context.Server().Execute("/x"); }},
                  {"/other", kind, [](HttpContext& context) { context.Server().Transfer("/put"); }},
                  {"/above", kind, [](HttpContext& context) { context.Server().Execute("/../x"); }},
                  {"/catches", kind,
                   [](HttpContext& context) {
                     CHECK_THROWS_AS(context.Server().Execute("/put"), HttpException);
                     context.Response().Write("went on");
                   }},
                  {.path = "/put", .function = [](HttpContext&) {}, .verb = "PUT"}});
      CHECK(host.Get("/none")->exchange.status == 404);
      const auto other = host.Get("/other");
      CHECK(other->exchange.status == 405);
      CHECK(other->exchange.Header("Allow") == "PUT");
      CHECK(host.Get("/above")->exchange.status == 400);
      const auto caught = host.Get("/catches");
      CHECK(caught->exchange.status == 200);
      CHECK(caught->exchange.Header("Allow").empty());
    });
    REQUIRE(lines.size() == 4);
    CHECK(FieldOf(lines[0], "cause") == "no_mapping");
    CHECK(FieldOf(lines[1], "cause") == "method_not_mapped");
    CHECK(FieldOf(lines[2], "cause") == "path_above_root");
    CHECK(FieldOf(lines[3], "cause") == "mapped");
  }
}

TEST_CASE("Execute: an execution of itself is refused, and the log has the chain") {
  for (const auto kind : {Kind::kPlain, Kind::kAsync}) {
    const auto lines = PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
      host.Serve({{"/a", kind, [](HttpContext& context) { context.Server().Execute("/b?x=1"); }},
                  {"/b", kind, [](HttpContext& context) { context.Server().Transfer("/a?"); }}});
      CHECK(host.Get("/a")->exchange.status == 500);
      CHECK(host.Log().find("/a, executing /b?x=1, executing /a: it is being executed already\n") !=
            std::string::npos);
    });
    CHECK(FieldOf(lines.at(0), "cause") == "execution_refused");
  }
}

TEST_CASE("Execute: too many executions in one another are refused, as many as allowed are not") {
  for (const auto kind : {Kind::kPlain, Kind::kAsync}) {
    auto options = RoomyBuffer();
    options.limits.max_execute_depth = 3;
    PipelineHost::Run(options, [&](PipelineHost& host) {
      host.Serve({{"/a", kind, [](HttpContext& context) {
                     const auto left =
                         std::stoi(std::string(context.Request().QueryString().Get("n")));
                     context.Response().Write(std::to_string(context.ExecutionDepth()));
                     if (left > 0) {
                       context.Server().Execute("/a?n=" + std::to_string(left - 1));
                     }
                   }}});
      CHECK(host.Get("/a", {{"QUERY_STRING", "n=3"}})->exchange.sent == "0123");
      CHECK(host.Get("/a", {{"QUERY_STRING", "n=4"}})->exchange.status == 500);
      CHECK(
          host.Log().find("/a?n=4, executing /a?n=3, executing /a?n=2, executing /a?n=1, executing "
                          "/a?n=0: more than 3 executions in one another") != std::string::npos);
    });
  }
}

/// Runs a function, and counts how often one of its kind was destroyed on the reactor's thread.
template <class Base>
class Ends final : public Base {
 public:
  Ends(Function function, int& ended_on_reactor)
      : function_(std::move(function)),
        reactor_(std::this_thread::get_id()),
        ended_on_reactor_(ended_on_reactor) {}
  ~Ends() override { ended_on_reactor_ += std::this_thread::get_id() == reactor_ ? 1 : 0; }
  void ProcessRequest(HttpContext& context) override { function_(context); }
  bool IsReusable() const override { return false; }

 private:
  Function function_;
  std::thread::id reactor_;
  int& ended_on_reactor_;
};

/// Executes `handler`, from within a frame of some size.
void ExecuteFromDeepBelow(HttpContext& context, IHttpHandler& handler) {
  std::array<char, 4096> room{};
  static_cast<volatile char&>(room.front()) = 'x';
  context.Server().Execute(handler);
  static_cast<volatile char&>(room.back()) = 'y';
}

TEST_CASE("Execute: where the stack runs short it is refused, and the process lives") {
  auto options = RoomyBuffer();
  options.limits.max_execute_depth = 1000;
  int unused = 0;
  for (const auto kind : {Kind::kAsync, Kind::kPlain}) {
    CAPTURE(static_cast<int>(kind));
    int calls = 0;
    const auto lines = PipelineHost::Run(options, [&](PipelineHost& host) {
      std::unique_ptr<IHttpHandler> self;
      self = std::make_unique<Ends<IHttpAsyncHandler>>(
          [&](HttpContext& context) {
            ++calls;
            ExecuteFromDeepBelow(context, *self);
          },
          unused);
      int paths = 0;
      host.Serve(
          {{"/handler", kind, [&](HttpContext& context) { context.Server().Execute(*self); }},
           {"/path", Kind::kAsync, [&](HttpContext& context) {
              std::array<char, 4096> room{};
              static_cast<volatile char&>(room.front()) = 'x';
              context.Server().Execute("/path?" + std::to_string(++paths));
              static_cast<volatile char&>(room.back()) = 'y';
            }}});
      CHECK(host.Get("/handler")->exchange.status == 500);
      CHECK(host.Log().find("--stack-size") != std::string::npos);
      CHECK(calls > 10);
      CHECK(host.Get("/path")->exchange.status == 500);
      CHECK(paths > 10);
    });
    REQUIRE(lines.size() == 2);
    CHECK(FieldOf(lines[0], "cause") == "execution_refused");
    CHECK(FieldOf(lines[1], "cause") == "execution_refused");
  }
}

TEST_CASE("Transfer: it returns, the response is complete, and what is written then is refused") {
  for (const auto outer : kAllKinds) {
    for (const auto inner : {Kind::kPlain, Kind::kAsync}) {
      const auto lines = PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
        bool returned = false;
        host.Serve({{"/outer", outer,
                     [&](HttpContext& context) {
                       context.Response().Write("before ");
                       context.Server().Transfer("/inner");
                       CHECK_THROWS_AS(context.Response().Write("after"), std::logic_error);
                       returned = true;
                     }},
                    {"/inner", inner, [](HttpContext& context) {
                       context.Response().SetStatusCode(202);
                       context.Response().Write("inner");
                     }}});
        const auto request = host.Get("/outer");
        CHECK(returned);
        CHECK(request->exchange.status == 202);
        CHECK(request->exchange.sent == "before inner");
        CHECK(request->exchange.Header("Content-Length") == "12");
        CHECK_FALSE(request->exchange.aborted);
      });
      CHECK(FieldOf(lines.at(0), "outcome") == "completed");
    }
  }
}

TEST_CASE("Execute: a handler of the caller's own runs where its kind wants to") {
  const auto reactor = std::this_thread::get_id();
  class Plain : public IHttpHandler {
   public:
    explicit Plain(std::thread::id reactor) : reactor_(reactor) {}
    void ProcessRequest(HttpContext& context) override {
      CHECK(std::this_thread::get_id() != reactor_);
      CHECK(context.ExecutionDepth() >= 1);
      context.Response().Write("plain ");
    }
    bool IsReusable() const override { return false; }

   private:
    std::thread::id reactor_;
  };
  class Async : public IHttpAsyncHandler {
   public:
    explicit Async(std::thread::id reactor) : reactor_(reactor) {}
    void ProcessRequest(HttpContext& context) override {
      CHECK(std::this_thread::get_id() == reactor_);
      Plain plain(reactor_);
      context.Response().Write("async ");
      CHECK(context.ExecutionDepth() == 1);
      context.Server().Execute(plain);
    }
    bool IsReusable() const override { return false; }

   private:
    std::thread::id reactor_;
  };
  for (const auto outer : kAllKinds) {
    PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
      host.Serve({{"/outer", outer, [&](HttpContext& context) {
                     Plain plain(reactor);
                     Async async(reactor);
                     context.Server().Execute(plain);
                     context.Server().Execute(async);
                     context.Server().Transfer(plain);
                   }}});
      CHECK(host.Get("/outer")->exchange.sent == "plain async plain plain ");
    });
  }
}

TEST_CASE("Execute: the body, the items and the cancellation are the request's") {
  for (const auto outer : kAllKinds) {
    for (const auto inner : {Kind::kPlain, Kind::kAsync}) {
      PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
        TestRequest request("POST", "/outer", {{"CONTENT_LENGTH", "4"}});
        request.exchange.body = {"ping"};
        host.Serve({{"/outer", outer,
                     [&](HttpContext& context) {
                       context.Items().Set(17);
                       context.Server().Execute("/inner");
                       CHECK(*context.Items().Find<int>() == 18);
                       request.cancellation.Cancel(CancellationReason::kDeadline);
                       context.Server().Execute("/inner");
                     }},
                    {"/inner", inner, [&](HttpContext& context) {
                       CHECK(context.Request().Body() == "ping");
                       ++*context.Items().Find<int>();
                     }}});
        host.Process(request);
        CHECK(request.exchange.status == 504);
      });
    }
  }
}

TEST_CASE("Execute: inside Offload it is refused, for no response can be written there") {
  PipelineHost::Run(RoomyBuffer(), [](PipelineHost& host) {
    host.Serve(
        {{"/outer", Kind::kAsync,
          [](HttpContext& context) {
            Offload([&] { CHECK_THROWS_AS(context.Server().Execute("/inner"), std::logic_error); });
            context.Response().Write("fine");
          }},
         {"/inner", Kind::kAsync, [](HttpContext&) {}}});
    CHECK(host.Get("/outer")->exchange.sent == "fine");
  });
}

TEST_CASE(
    "Execute: what a plain handler leaves for the end runs on the pool, whoever executed it") {
  const auto reactor = std::this_thread::get_id();
  std::thread::id thread;
  PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
    host.Serve(
        {{"/outer", Kind::kAsync, [](HttpContext& context) { context.Server().Execute("/inner"); }},
         {"/inner", Kind::kPlain, [&](HttpContext& context) {
            context.AddOnRequestCompleted(
                [&](HttpContext&) { thread = std::this_thread::get_id(); });
          }}});
    host.Get("/outer");
  });
  CHECK(thread != std::thread::id());
  CHECK(thread != reactor);
}

TEST_CASE("Execute: a static file is a part of the answer") {
  const TemporaryFolder folder;
  folder.Write("part.txt", "the part");
  const std::string root = folder.Path().string();
  PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
    builtin::RegisterHandlers(host.Classes(), {});
    host.Serve({{"/outer", Kind::kPlain,
                 [](HttpContext& context) {
                   context.Response().Write("a ");
                   context.Server().Execute("/part.txt");
                   context.Response().SetHeader("X-After", "1");
                   context.Response().Write(" z");
                 }}},
               {},
               ", { \"add\": { \"verb\": \"*\", \"path\": \"*.txt\", \"type\": "
               "\"weft::StaticFileHandler\" } }");
    const auto request = host.Get("/outer", {{"DOCUMENT_ROOT", root}});
    CHECK(request->exchange.sent == "a the part z");
    CHECK(request->exchange.Header("Content-Length") == "12");
    CHECK(request->exchange.Header("Last-Modified").empty());
    CHECK(request->exchange.Header("X-After") == "1");
  });
}

TEST_CASE("RemapHandler: the other handler has the request once the first has returned") {
  const auto reactor = std::this_thread::get_id();
  for (const auto first : kAllKinds) {
    CAPTURE(static_cast<int>(first));
    int ended_on_reactor = 0;
    const auto async = std::make_shared<Ends<IHttpAsyncHandler>>(
        [&](HttpContext& context) {
          CHECK(std::this_thread::get_id() == reactor);
          CHECK(context.ExecutionDepth() == 0);
          context.Response().Write("async of " + context.Request().Path());
        },
        ended_on_reactor);
    auto plain = std::make_shared<Ends<IHttpHandler>>(
        [&](HttpContext& context) {
          CHECK(std::this_thread::get_id() != reactor);
          CHECK(context.Request().Body().empty());
          context.Response().Write("plain, ");
          context.RemapHandler(async);
        },
        ended_on_reactor);
    const auto lines = PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
      host.Serve({{"/x", first, [&](HttpContext& context) {
                     context.RemapHandler(async);
                     context.RemapHandler(std::exchange(plain, nullptr));
                     context.Response().Write("first, ");
                   }}});
      CHECK(host.Get("/x")->exchange.sent == "first, plain, async of /x");
      CHECK(ended_on_reactor == 0);
    });
    REQUIRE(lines.size() == 1);
    CHECK(FieldOf(lines[0], "type").find("IHttpAsyncHandler") != std::string::npos);
    CHECK(FieldOf(lines[0], "cause") == "mapped");
  }
}

TEST_CASE("RemapHandler: null takes it back, and what the first handler throws is answered") {
  int unused = 0;
  bool called = false;
  const auto other =
      std::make_shared<Ends<IHttpAsyncHandler>>([&](HttpContext&) { called = true; }, unused);
  PipelineHost::Run([&](PipelineHost& host) {
    host.Serve({{"/null", Kind::kPlain,
                 [&](HttpContext& context) {
                   context.RemapHandler(other);
                   context.RemapHandler(nullptr);
                   context.Response().Write("mine");
                 }},
                {"/throws", Kind::kPlain, [&](HttpContext& context) {
                   context.RemapHandler(other);
                   throw HttpException(409, {}, "no");
                 }}});
    CHECK(host.Get("/null")->exchange.sent == "mine");
    CHECK(host.Get("/throws")->exchange.status == 409);
    CHECK_FALSE(called);
  });
}

TEST_CASE("RemapHandler: a handler that is not entered is destroyed where the first one ran") {
  auto options = RoomyBuffer();
  options.limits.max_execute_depth = 0;
  for (const int status : {409, 500}) {
    CAPTURE(status);
    int ended_on_reactor = 0;
    int called = 0;
    auto other =
        std::make_shared<Ends<IHttpHandler>>([&](HttpContext&) { ++called; }, ended_on_reactor);
    PipelineHost::Run(options, [&](PipelineHost& host) {
      host.Serve({{"/x", Kind::kPlain, [&](HttpContext& context) {
                     context.RemapHandler(std::exchange(other, nullptr));
                     if (status == 409) {
                       throw HttpException(409, {}, "no");
                     }
                   }}});
      CHECK(host.Get("/x")->exchange.status == status);
    });
    CHECK(called == 0);
    CHECK(ended_on_reactor == 0);
  }
}

TEST_CASE("RemapHandler: what the other handler throws is answered as the first one's would be") {
  int unused = 0;
  const auto lines = PipelineHost::Run([&](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext& context) {
                   context.RemapHandler(std::make_shared<Ends<IHttpHandler>>(
                       [](HttpContext&) { throw std::runtime_error("broken"); }, unused));
                 }}});
    CHECK(host.Get("/x")->exchange.status == 500);
    CHECK(host.Log().find("Ends") != std::string::npos);
    CHECK(host.Log().find("broken") != std::string::npos);
  });
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "cause") == "handler_failed");
}

TEST_CASE("RemapHandler: one that names itself again and again is refused") {
  int unused = 0;
  int calls = 0;
  auto options = RoomyBuffer();
  options.limits.max_execute_depth = 3;
  const auto lines = PipelineHost::Run(options, [&](PipelineHost& host) {
    std::shared_ptr<IHttpHandler> self;
    self = std::make_shared<Ends<IHttpAsyncHandler>>(
        [&](HttpContext& context) {
          ++calls;
          context.RemapHandler(self);
        },
        unused);
    host.Serve({{"/x", Kind::kAsync, [&](HttpContext& context) { context.RemapHandler(self); }}});
    CHECK(host.Get("/x")->exchange.status == 500);
    CHECK(host.Log().find("--max-execute-depth") != std::string::npos);
  });
  CHECK(calls == 3);
  REQUIRE(lines.size() == 1);
  CHECK(FieldOf(lines[0], "cause") == "execution_refused");
}

TEST_CASE("RemapHandler: a handler that another one executes has no say in it") {
  PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
    host.Serve(
        {{"/outer", Kind::kPlain, [](HttpContext& context) { context.Server().Execute("/inner"); }},
         {"/inner", Kind::kAsync, [](HttpContext& context) {
            CHECK_THROWS_AS(context.RemapHandler(nullptr), std::logic_error);
            context.Response().Write("inner");
          }}});
    CHECK(host.Get("/outer")->exchange.sent == "inner");
  });
}

TEST_CASE("GetSection: of the folder of the handler that asks") {
  PipelineHost::Run(RoomyBuffer(), [&](PipelineHost& host) {
    const auto tell = [](HttpContext& context) {
      context.Response().Write("[" + std::string(context.GetSection("shop").value_or("none")) +
                               "]");
    };
    host.Serve(
        {{"/a/inner", Kind::kAsync, tell},
         {"/b/inner", Kind::kPlain, tell},
         {"/broken", Kind::kPlain, [](HttpContext&) { throw HttpException(400, {}, "broken"); }},
         {"/outer", Kind::kPlain,
          [&](HttpContext& context) {
            tell(context);
            context.Server().Execute("/a/inner");
            context.Server().Execute("/b/inner");
            CHECK_THROWS(context.Server().Execute("/broken"));
            tell(context);
            CHECK_FALSE(context.GetSection("other"));
          }}},
        R"("sections": { "shop": { "n": 1 } },
                  "locations": { "a": { "sections": { "shop": "a's" } },
                                 "b": { "sections": { "shop": null } } }, )");
    CHECK(host.Get("/outer")->exchange.sent == R"([{"n":1}]["a's"][none][{"n":1}])");
  });
}

TEST_CASE("ScriptTimeout: it is the mapping's, and may be set anew while it has not passed") {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  for (const auto kind : kAllKinds) {
    PipelineHost::Run([&](PipelineHost& host) {
      host.Serve({{"/x", kind,
                   [&](HttpContext& context) {
                     auto server = context.Server();
                     CHECK(server.ScriptTimeout() == seconds(30));
                     server.SetScriptTimeout(milliseconds(1500));
                     CHECK(server.ScriptTimeout() == milliseconds(1500));
                     const auto& token = context.Cancellation();
                     const auto overdue = [&](milliseconds after) {
                       host.Pipeline().CancelOverdue(context.MonotonicTimestamp() + after);
                     };
                     overdue(milliseconds(1400));
                     CHECK_FALSE(token.IsCancellationRequested());
                     server.SetScriptTimeout(seconds(100));
                     overdue(seconds(99));
                     CHECK_FALSE(token.IsCancellationRequested());
                     overdue(seconds(101));
                     CHECK(token.IsCancellationRequested());
                     CHECK(server.ScriptTimeout() == seconds(0));
                     server.SetScriptTimeout(seconds(200));
                     CHECK(server.ScriptTimeout() == seconds(0));
                     token.ThrowIfCancellationRequested();
                   }}},
                 R"("httpRuntime": { "executionTimeoutSeconds": 30 }, )");
      CHECK(host.Get("/x")->exchange.status == 504);
    });
  }
}

TEST_CASE("ScriptTimeout: out of bounds, and without a host, it is refused") {
  PipelineHost::Run([&](PipelineHost& host) {
    host.Serve({{"/x", Kind::kPlain, [&](HttpContext& context) {
                   auto server = context.Server();
                   CHECK_THROWS_AS(server.SetScriptTimeout({}), std::invalid_argument);
                   CHECK_THROWS_AS(server.SetScriptTimeout(std::chrono::hours(25)),
                                   std::invalid_argument);
                   CHECK(HttpServerUtility::MachineName().find('\n') == std::string::npos);
                   CHECK(server.GetLastError() == nullptr);
                   context.AddError(std::make_exception_ptr(std::runtime_error("x")));
                   CHECK(server.GetLastError() != nullptr);
                   server.ClearError();
                   CHECK(context.Error() == nullptr);
                   CHECK_FALSE(context.IsDebuggingEnabled());
                   CHECK(context.IsCustomErrorEnabled());
                 }}});
    CHECK(host.Get("/x")->exchange.status == 200);
    host.Serve(
        {{"/x", Kind::kAsync, [&](HttpContext& context) {
            Offload([&] { CHECK_THROWS_AS(context.Server().ScriptTimeout(), std::logic_error); });
          }}});
    CHECK(host.Get("/x")->exchange.status == 200);
  });
}

TEST_CASE("RewritePath: the request says another path, and the query where one is given") {
  PipelineHost::Run(RoomyBuffer(), [](PipelineHost& host) {
    host.Serve({{"/x", Kind::kAsync, [](HttpContext& context) {
                   const auto& request = context.Request();
                   context.RewritePath("/shop/item", "/17");
                   CHECK(request.Path() == "/shop/item/17");
                   CHECK(request.PathInfo() == "/17");
                   CHECK(request.QueryString().Get("a") == "1");
                   context.RewritePath("/y", {}, "a=2");
                   CHECK(request.QueryString().Get("a") == "2");
                   // A part of the path that goes; in a long path's memory and in a short one's.
                   for (const std::string name : {"q", "a-name-that-is-not-short"}) {
                     context.RewritePath("/" + name, "/id=7");
                     context.RewritePath("/another-" + name, {}, request.PathInfo().substr(1));
                     CHECK(request.QueryString().Get("id") == "7");
                   }
                   context.RewritePath("/y");
                   CHECK(request.RawUrl() == "/x?a=1");
                   for (const std::string_view path :
                        {std::string_view(), std::string_view("y"), std::string_view("//y"),
                         std::string_view("/../y"), std::string_view("/a/."),
                         std::string_view("/a\\b"), std::string_view("/a\0", 3)}) {
                     CAPTURE(path);
                     CHECK_THROWS_AS(context.RewritePath(path), std::invalid_argument);
                   }
                   CHECK_THROWS_AS(context.RewritePath("/a", "b"), std::invalid_argument);
                   CHECK_THROWS_AS(context.RewritePath("/a", "/../b"), std::invalid_argument);
                   CHECK(request.Path() == "/y");
                 }}});
    CHECK(host.Get("/x", {{"QUERY_STRING", "a=1"}, {"REQUEST_URI", "/x?a=1"}})->exchange.status ==
          200);
  });
}

TEST_CASE("Server().MapPath: absolute, of the application, and of the handler's folder") {
  PipelineHost::Run(RoomyBuffer(), [](PipelineHost& host) {
    host.Serve({{"/shop/x", Kind::kAsync, [](HttpContext& context) {
                   context.Request().SetApplicationPath("/shop");
                   const auto server = context.Server();
                   CHECK(server.MapPath("/a") == "/srv/a");
                   CHECK(server.MapPath("~/a") == "/srv/shop/a");
                   CHECK(server.MapPath("~") == "/srv/shop/");
                   CHECK(server.MapPath("a") == "/srv/shop/a");
                   CHECK(server.MapPath("../a/./b//c") == "/srv/a/b/c");
                   CHECK(server.MapPath("~/..") == "/srv/");
                   CHECK_THROWS_AS(context.RewritePath("/shops/a"), std::invalid_argument);
                   context.RewritePath("/shop");
                 }}});
    CHECK(host.Get("/shop/x", {{"DOCUMENT_ROOT", "/srv"}})->exchange.status == 200);
  });
}

}  // namespace
}  // namespace weft::test
