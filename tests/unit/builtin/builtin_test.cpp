#include "handlers/builtin/builtin.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/support/doctest_values.hpp"

namespace weft::builtin {
namespace {

/// Keeps what is registered. It does not imitate the checks of names.
class RecordingRegistry final : public IHandlerRegistry {
 public:
  void AddHandler(std::string_view class_name,
                  std::function<std::unique_ptr<IHttpHandler>()> create) override {
    handlers.emplace(class_name, std::move(create));
  }
  void AddHandler(std::string_view class_name,
                  std::function<std::unique_ptr<IHttpHandler>()> create,
                  const HandlerTraits&) override {
    handlers.emplace(class_name, std::move(create));
  }
  void AddSharedHandler(std::string_view, std::shared_ptr<const IHttpSharedHandler>) override {
    ++shared;
  }
  void AddFactory(std::string_view class_name,
                  std::unique_ptr<IHttpHandlerFactory> factory) override {
    factories.emplace(class_name, std::move(factory));
  }

  void OnStart(std::function<void(HttpApplicationState&)>) override { ++hooks; }
  void OnStop(std::function<void(HttpApplicationState&)>) override { ++hooks; }

  std::map<std::string, std::function<std::unique_ptr<IHttpHandler>()>> handlers;
  std::map<std::string, std::unique_ptr<IHttpHandlerFactory>> factories;
  int shared = 0;
  int hooks = 0;
};

TEST_CASE("RegisterHandlers: adds every class that the built-in mappings name") {
  RecordingRegistry registry;
  RegisterHandlers(registry, [](std::string_view) { return nullptr; });
  std::vector<std::string> names;
  for (const auto& [name, create] : registry.handlers) {
    names.push_back(name);
    const auto handler = create();
    REQUIRE(handler != nullptr);
    CHECK(handler->IsReusable());
  }
  CHECK(names == std::vector<std::string>{"weft::HttpForbiddenHandler",
                                          "weft::HttpMethodNotAllowedHandler",
                                          "weft::HttpNotFoundHandler", "weft::StaticFileHandler",
                                          "weft::StatusHandler", "weft::TraceHandler"});
  REQUIRE(registry.factories.size() == 1);
  CHECK(registry.factories.begin()->first == "weft::SimpleHandlerFactory");
  CHECK(registry.shared == 0);
  CHECK(registry.hooks == 0);
}

TEST_CASE("RegisterHandlers: all of them stay on the fiber, and wait for no body") {
  RecordingRegistry registry;
  RegisterHandlers(registry, [](std::string_view) { return nullptr; });
  for (const auto& [name, create] : registry.handlers) {
    CAPTURE(name);
    const auto handler = create();
    CHECK(dynamic_cast<IHttpAsyncHandler*>(handler.get()) != nullptr);
    CHECK(dynamic_cast<IHttpBufferlessHandler*>(handler.get()) != nullptr);
  }
}

}  // namespace
}  // namespace weft::builtin
