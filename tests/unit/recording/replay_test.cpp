#include "host/recording/replay.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_handler.hpp>
#include "host/handling/handler_table.hpp"
#include "host/handling/module_loader.hpp"
#include "host/observe/access_log.hpp"
#include "mappings/loader.hpp"
#include "tests/support/captured_stderr.hpp"
#include "tests/support/temporary_folder.hpp"

using weft::HttpContext;
using namespace weft::host;

namespace {

using Function = std::function<void(HttpContext&)>;

class FunctionHandler final : public weft::IHttpAsyncHandler {
 public:
  explicit FunctionHandler(const Function& function) : function_(function) {}
  void ProcessRequest(HttpContext& context) override { function_(context); }
  bool IsReusable() const override { return false; }

 private:
  const Function& function_;
};

/// What a pipeline with this function for every path answers.
std::vector<recording::Answer> AnswersOf(const std::vector<recording::Recording>& recordings,
                                         const Function& function) {
  const weft::test::CapturedStderr quiet;
  const weft::test::TemporaryFolder folder;
  folder.Write("machine.json", R"({ "httpRuntime": { "executionTimeoutSeconds": 1 },
    "httpHandlers": [ { "add": { "verb": "*", "path": "*", "type": "F" } } ] })");
  observe::AccessLog access_log("");
  runtime::Runtime runtime({});
  handling::TypeResolver resolver({});
  resolver.BuiltIn().AddHandler("F", [&] { return std::make_unique<FunctionHandler>(function); });
  for (const auto* const name : {"Forbidden", "NotFound", "MethodNotAllowed"}) {
    resolver.BuiltIn().AddHandler("weft::Http" + std::string(name) + "Handler",
                                  [&] { return std::make_unique<FunctionHandler>(function); });
  }
  for (const auto* const name : {"weft::SimpleHandlerFactory", "weft::StaticFileHandler"}) {
    resolver.BuiltIn().AddHandler(name,
                                  [&] { return std::make_unique<FunctionHandler>(function); });
  }
  const auto loaded = weft::mappings::Load({.directory = folder.Path()});
  REQUIRE(loaded.table != nullptr);
  const auto handlers = std::make_shared<const handling::HandlerTable>(loaded.table, resolver);
  REQUIRE(handlers->Problems().empty());
  pipeline::Pipeline pipeline(runtime, access_log, {10, 1000, 10'000, 64, false});
  pipeline.SetHandlers(handlers);
  return recording::Replay(recordings, "/root", runtime, pipeline);
}

recording::Recording To(std::string path, std::string body = {}, recording::Params more = {}) {
  recording::Params params = {{"REQUEST_METHOD", "POST"}, {"SCRIPT_NAME", std::move(path)}};
  params.insert(params.end(), more.begin(), more.end());
  return {std::move(params), std::move(body), {}};
}

}  // namespace

TEST_CASE("Replay: every recording is answered, in their order") {
  const auto answers =
      AnswersOf({To("/a", "1"), To("/b", "2"), To("/c")}, [](HttpContext& context) {
        context.Response().AppendHeader("X-A", "1");
        context.Response().AppendHeader("X-A", "2");
        context.Response().SetStatusCode(202);
        context.Response().Write(context.Request().Path() + std::string(context.Request().Body()));
      });
  REQUIRE(answers.size() == 3);
  CHECK(answers[0].body == "/a1");
  CHECK(answers[1].body == "/b2");
  CHECK(answers[2].body == "/c");
  CHECK(answers[0].status == 202);
  CHECK(answers[0].headers.Find("X-A") == "1");
  CHECK(answers[0].headers.Contains("Content-Length"));
  CHECK_FALSE(answers[0].cut);
  CHECK(AnswersOf({}, [](HttpContext&) {}).empty());
}

TEST_CASE(
    "Replay: the parameters are the recording's, without HTTP_PROXY, and with a DOCUMENT_ROOT") {
  const auto list = [](HttpContext& context) {
    for (const auto& [name, value] : context.Request().ServerVariables()) {
      context.Response().Write(std::string(name) + "=" + std::string(value) + "\n");
    }
  };
  const auto answers =
      AnswersOf({To("/", "", {{"B", "1"}, {"HTTP_PROXY", "p"}, {"A", ""}, {"B", "2"}}),
                 To("/", "", {{"DOCUMENT_ROOT", "/own"}})},
                list);
  CHECK(answers[0].body ==
        "REQUEST_METHOD=POST\nSCRIPT_NAME=/\nB=1\nA=\nB=2\nDOCUMENT_ROOT=/root\n");
  CHECK(answers[1].body == "REQUEST_METHOD=POST\nSCRIPT_NAME=/\nDOCUMENT_ROOT=/own\n");
}

TEST_CASE("Replay: errors are answered, and what failed behind its header block is cut") {
  const auto answers = AnswersOf({To("/early"), To("/late"), To("/")}, [](HttpContext& context) {
    if (context.Request().Path() == "/late") {
      context.Response().Write("half");
      context.Response().Flush();
    }
    if (context.Request().Path() != "/") {
      throw std::runtime_error("failed");
    }
  });
  CHECK(answers[0].status == 500);
  CHECK(answers[0].body == "500 Internal Server Error\n");
  CHECK_FALSE(answers[0].cut);
  CHECK(answers[1].status == 200);
  CHECK(answers[1].body == "half");
  CHECK(answers[1].cut);
  CHECK(answers[2].status == 200);
}

TEST_CASE("Replay: a body that is shorter than announced, or over the limit, is refused as ever") {
  const auto answers =
      AnswersOf({To("/", "abc", {{"CONTENT_LENGTH", "4"}}), To("/", std::string(1001, 'a'))},
                [](HttpContext&) {});
  CHECK(answers[0].status == 400);
  CHECK(answers[1].status == 413);
}

TEST_CASE("Replay: an answer without end is cut at its bound") {
  const auto answers = AnswersOf({To("/endless"), To("/")}, [](HttpContext& context) {
    const std::string piece(1'048'576, 'a');
    while (context.Request().Path() == "/endless") {
      context.Response().Write(piece);
    }
  });
  CHECK(answers[0].cut);
  CHECK(answers[0].body.size() == recording::kMaxAnswerBytes);
  CHECK(answers[1].status == 200);
}

TEST_CASE("Replay: deadlines hold") {
  const auto answers = AnswersOf({To("/"), To("/hour")}, [](HttpContext& context) {
    weft::SleepFor(std::chrono::hours(context.Request().Path() == "/hour" ? 1 : 0));
  });
  CHECK(answers[0].status == 200);
  CHECK(answers[1].status == 504);
}
