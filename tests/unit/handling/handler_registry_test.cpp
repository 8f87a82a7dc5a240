#include "host/handling/handler_registry.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/doctest_values.hpp"
#include "tests/unit/handling/handlers.hpp"

namespace weft::host::handling {
namespace {

using test::Fates;
using test::TrackedHandler;

class NoFactory final : public IHttpHandlerFactory {
 public:
  std::unique_ptr<IHttpHandler> GetHandler(HttpContext&, std::string_view, std::string_view,
                                           std::string_view) override {
    return nullptr;
  }
  void ReleaseHandler(std::unique_ptr<IHttpHandler>) override {}
};

class NoShared final : public IHttpSharedHandler {
 public:
  void ProcessRequest(HttpContext&) const override {}
};

class Everything final : public IHttpAsyncHandler,
                         public IHttpBufferlessHandler,
                         public IHttpResettableHandler {
 public:
  explicit Everything(int with_number = 0) : number(with_number) {}
  void ProcessRequest(HttpContext&) override {}
  bool IsReusable() const override { return true; }
  void Reset() override {}

  int number;
};

class Nothing final : public IHttpHandler {
 public:
  void ProcessRequest(HttpContext&) override {}
  bool IsReusable() const override { return true; }
};

std::function<std::unique_ptr<IHttpHandler>()> Making(Fates& fates) {
  return [&fates] { return std::make_unique<TrackedHandler>(fates); };
}

/// What is said of a registration that is refused; empty for one that is not.
std::string Told(const std::function<void()>& registration) {
  try {
    registration();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

TEST_CASE("HandlerRegistry: classes are found by exactly the name that they were added under") {
  Fates fates;
  HandlerRegistry registry;
  registry.AddHandler("b::Plain", Making(fates));
  registry.AddSharedHandler("a::Shared", std::make_shared<NoShared>());
  registry.AddFactory("c::Factory", std::make_unique<NoFactory>());
  CHECK(registry.Find("b::Plain") != nullptr);
  CHECK(registry.Find("a::Shared") != nullptr);
  CHECK(registry.Find("c::Factory") != nullptr);
  CHECK(registry.Find("B::Plain") == nullptr);
  CHECK(registry.Find("b::Plai") == nullptr);
  CHECK(registry.Find("") == nullptr);
  CHECK(registry.Find("b::Plain") == registry.Find("b::Plain"));
  CHECK(registry.ClassNames() == std::vector<std::string>{"a::Shared", "b::Plain", "c::Factory"});
}

TEST_CASE("HandlerRegistry: adding a class makes no handler") {
  Fates fates;
  HandlerRegistry registry;
  registry.AddHandler("Plain", Making(fates));
  CHECK(fates.made == 0);
}

TEST_CASE("HandlerRegistry: a name that was added before is refused, whatever its kind, and told") {
  Fates fates;
  HandlerRegistry registry;
  registry.AddHandler("Name", Making(fates));
  const auto* const first = registry.Find("Name");
  const std::string sentence = "class Name is registered twice";
  CHECK(Told([&] { registry.AddHandler("Name", Making(fates)); }) == sentence);
  CHECK(Told([&] { registry.AddSharedHandler("Name", std::make_shared<NoShared>()); }) == sentence);
  CHECK(Told([&] { registry.AddFactory("Name", std::make_unique<NoFactory>()); }) == sentence);
  CHECK(registry.Find("Name") == first);
  CHECK(registry.ClassNames().size() == 1);
  CHECK(fates.made == fates.destroyed);
}

TEST_CASE("HandlerRegistry: an empty name is refused") {
  Fates fates;
  HandlerRegistry registry;
  const std::string sentence = "a class is registered without a name";
  CHECK(Told([&] { registry.AddHandler("", Making(fates)); }) == sentence);
  CHECK(Told([&] { registry.AddSharedHandler("", std::make_shared<NoShared>()); }) == sentence);
  CHECK(Told([&] { registry.AddFactory("", std::make_unique<NoFactory>()); }) == sentence);
  CHECK(registry.ClassNames().empty());
}

TEST_CASE("HandlerRegistry: a class of nothing is refused, with its name") {
  HandlerRegistry registry;
  CHECK(Told([&] { registry.AddHandler("Name", {}); }) ==
        "class Name is registered without a function");
  CHECK(Told([&] { registry.AddSharedHandler("Name", nullptr); }) ==
        "class Name is registered without an instance");
  CHECK(Told([&] { registry.AddFactory("Name", nullptr); }) ==
        "class Name is registered without a factory");
  CHECK(registry.Find("Name") == nullptr);
}

TEST_CASE("AddHandler: makes a class of default-constructed handlers") {
  class Default final : public IHttpHandler {
   public:
    void ProcessRequest(HttpContext&) override {}
    bool IsReusable() const override { return false; }
  };
  HandlerRegistry registry;
  AddHandler<Default>(registry, "Default");
  REQUIRE(registry.Find("Default") != nullptr);
  CHECK(dynamic_cast<Default*>(registry.Find("Default")->Create().get()) != nullptr);
}

TEST_CASE("HandlerRegistry: what a class's type tells is known without an instance") {
  HandlerRegistry registry;
  int made = 0;
  AddHandler<Nothing>(registry, "nothing");
  AddHandler<Everything>(registry, "everything", [&made] {
    ++made;
    return std::make_unique<Everything>(7);
  });
  AddSharedHandler<NoShared>(registry, "shared");
  AddFactory<NoFactory>(registry, "factory");
  Fates fates;
  registry.AddHandler("erased", Making(fates));

  const auto traits_of = [&](std::string_view name) { return registry.Find(name)->Traits(); };
  REQUIRE(traits_of("nothing").has_value());
  CHECK_FALSE(traits_of("nothing")->is_async);
  CHECK_FALSE(traits_of("nothing")->is_bufferless);
  CHECK_FALSE(traits_of("nothing")->is_resettable);
  REQUIRE(traits_of("everything").has_value());
  CHECK(traits_of("everything")->is_async);
  CHECK(traits_of("everything")->is_bufferless);
  CHECK(traits_of("everything")->is_resettable);
  CHECK_FALSE(traits_of("erased").has_value());
  CHECK_FALSE(traits_of("factory").has_value());
  CHECK(made == 0);
  CHECK(fates.made == 0);

  const auto lifetime_of = [&](std::string_view name) {
    return std::string(ToString(registry.Find(name)->LifetimeOfInstances()));
  };
  CHECK(lifetime_of("everything") == "instance");
  CHECK(lifetime_of("shared") == "shared");
  CHECK(lifetime_of("factory") == "factory");

  const auto handler = registry.Find("everything")->Create();
  CHECK(dynamic_cast<Everything&>(*handler).number == 7);
}

}  // namespace
}  // namespace weft::host::handling
