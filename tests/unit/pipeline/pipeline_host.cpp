#include "tests/unit/pipeline/pipeline_host.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <utility>

#include "mappings/loader.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::test {

namespace {

/// Calls a function, and counts its own kind.
template <typename... Bases>
class FunctionHandler final : public Bases... {
 public:
  FunctionHandler(const Route& route, std::shared_ptr<int> living)
      : function_(route.function), reusable_(route.reusable), living_(std::move(living)) {
    ++*living_;
  }
  FunctionHandler(const FunctionHandler&) = delete;
  FunctionHandler& operator=(const FunctionHandler&) = delete;
  ~FunctionHandler() override { --*living_; }

  void ProcessRequest(HttpContext& context) override { function_(context); }
  bool IsReusable() const override { return reusable_; }

 private:
  Function function_;
  bool reusable_;
  std::shared_ptr<int> living_;
};

std::unique_ptr<IHttpHandler> MakeHandler(const Route& route, const std::shared_ptr<int>& living) {
  switch (route.kind) {
    case Kind::kPlain:
      return std::make_unique<FunctionHandler<IHttpHandler>>(route, living);
    case Kind::kAsync:
      return std::make_unique<FunctionHandler<IHttpAsyncHandler>>(route, living);
    case Kind::kPlainBufferless:
      return std::make_unique<FunctionHandler<IHttpHandler, IHttpBufferlessHandler>>(route, living);
    case Kind::kAsyncBufferless:
      break;
  }
  return std::make_unique<FunctionHandler<IHttpAsyncHandler, IHttpBufferlessHandler>>(route,
                                                                                      living);
}

}  // namespace

std::vector<std::string> PipelineHost::Run(const PipelineOptions& options,
                                           const std::function<void(PipelineHost&)>& test) {
  const TemporaryFolder folder;
  const auto path = (folder / "access.log").string();
  {
    const CapturedStderr captured;
    host::observe::AccessLog access_log(path);
    RunInFiber(
        [&](host::runtime::Runtime& runtime) {
          PipelineHost host(runtime, access_log, captured, options);
          test(host);
          CHECK(host.pipeline_.RequestsInFlight() == 0);
        },
        options.runtime);
  }
  std::vector<std::string> lines;
  std::istringstream text(ReadWholeFile(path));
  for (std::string line; std::getline(text, line);) {
    lines.push_back(line);
  }
  return lines;
}

void PipelineHost::Serve(const std::vector<Route>& routes, std::string_view more,
                         std::string_view more_handlers) {
  ++tables_;
  std::string text = "{ " + std::string(more) + "\"httpHandlers\": [ { \"clear\": {} }" +
                     std::string(more_handlers);
  for (std::size_t i = 0; i < routes.size(); ++i) {
    const auto name = "T" + std::to_string(tables_) + "R" + std::to_string(i);
    resolver_.BuiltIn().AddHandler(name, [route = routes[i], made = made_, living = living_]() {
      ++*made;
      return MakeHandler(route, living);
    });
    text += ",\n{ \"add\": { \"verb\": \"" + routes[i].verb + "\", \"path\": \"" + routes[i].path +
            "\", \"type\": \"" + name + "\"" + routes[i].attributes + " } }";
  }
  const TemporaryFolder folder;
  folder.Write("machine.json", text + " ] }");
  const auto loaded = mappings::Load({.directory = folder.Path()});
  for (const auto& problem : loaded.problems) {
    FAIL_CHECK(problem.ToString());
  }
  REQUIRE(loaded.table != nullptr);
  auto table = std::make_shared<const host::handling::HandlerTable>(loaded.table, resolver_);
  REQUIRE(table->Problems().empty());
  table_ = table;
  pipeline_.SetHandlers(std::move(table));
}

void PipelineHost::Process(TestRequest& request) {
  VariableList variables = {{"REQUEST_METHOD", request.method},
                            {"SCRIPT_NAME", request.path},
                            {"REMOTE_ADDR", request.remote}};
  variables.insert(variables.end(), request.more.begin(), request.more.end());
  pipeline_.Process(request.exchange, MakeVariables(variables), request.cancellation);
}

std::unique_ptr<TestRequest> PipelineHost::Get(std::string path, VariableList more) {
  auto request = std::make_unique<TestRequest>("GET", std::move(path), std::move(more));
  Process(*request);
  return request;
}

std::string FieldOf(const std::string& line, std::string_view key) {
  const auto name = " " + std::string(key) + "=";
  auto begin = line.find(name);
  if (begin == std::string::npos) {
    return {};
  }
  begin += name.size();
  if (line[begin] == '"') {
    return line.substr(begin + 1, line.find('"', begin + 1) - begin - 1);
  }
  return line.substr(begin, line.find(' ', begin) - begin);
}

}  // namespace weft::test
