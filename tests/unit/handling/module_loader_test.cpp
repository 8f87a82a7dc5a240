#include "host/handling/module_loader.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <weft/http_exception.hpp>
#include "tests/support/captured_stderr.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/handling/handlers.hpp"

namespace weft::host::handling {
namespace {

const std::filesystem::path kModules = WEFT_TEST_MODULES;

/// A folder with some of the modules that were built for this test, by links.
class Folder {
 public:
  explicit Folder(std::initializer_list<std::string> names) {
    for (const auto& name : names) {
      std::filesystem::create_symlink(kModules / (name + ".so"), folder_ / (name + ".so"));
    }
  }

  const std::filesystem::path& Path() const { return folder_.Path(); }
  const test::TemporaryFolder& Files() const { return folder_; }

 private:
  test::TemporaryFolder folder_;
};

using Folders = std::vector<std::filesystem::path>;

/// A resolver, and what it logged while it loaded its modules.
struct Subject {
  explicit Subject(const std::filesystem::path& folder) : Subject(Folders{folder}) {}
  explicit Subject(Folders folders) : resolver(std::move(folders)), logged(captured.Text()) {}

  /// Why a type cannot be used; empty for one that can.
  std::string Told(const std::string& class_name, const std::string& module) {
    try {
      static_cast<void>(resolver.Resolve({class_name, module}));
    } catch (const TypeError& error) {
      return error.what();
    }
    return {};
  }

  test::CapturedStderr captured;
  TypeResolver resolver;
  std::string logged;
};

/// What a handler answers.
std::string AnswerOf(HandlerClass& handler_class) {
  test::MemoryExchange exchange;
  HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "GET"}}), exchange, {}, 1024);
  HandlerLease lease(handler_class, context);
  lease.ProcessRequest(context);
  context.Response().Complete();
  return exchange.sent;
}

std::ptrdiff_t LinesIn(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}

TEST_CASE("TypeResolver: classes of a module are found, and serve") {
  const Folder folder({"good"});
  Subject subject(folder.Path());
  CHECK(subject.logged.empty());
  CHECK(AnswerOf(subject.resolver.Resolve({"test::Plain", "good"})).starts_with("registered "));
  CHECK(AnswerOf(subject.resolver.Resolve({"test::Shared", "good"})).starts_with("registered "));
  CHECK(AnswerOf(subject.resolver.Resolve({"test::Factory", "good"})).starts_with("registered "));
}

TEST_CASE(
    "TypeResolver: a module's handlers are the host's interfaces, and so are its exceptions") {
  const Folder folder({"good"});
  Subject subject(folder.Path());
  const auto plain = subject.resolver.Resolve({"test::Plain", "good"}).Create();
  CHECK(dynamic_cast<IHttpAsyncHandler*>(plain.get()) == nullptr);
  CHECK(dynamic_cast<IHttpBufferlessHandler*>(plain.get()) == nullptr);
  auto& async = subject.resolver.Resolve({"test::Async", "good"});
  const auto handler = async.Create();
  CHECK(dynamic_cast<IHttpAsyncHandler*>(handler.get()) != nullptr);
  CHECK(dynamic_cast<IHttpBufferlessHandler*>(handler.get()) != nullptr);
  try {
    static_cast<void>(AnswerOf(async));
    FAIL_CHECK("it did not throw");
  } catch (const HttpException& error) {
    CHECK(error.StatusCode() == 418);
    CHECK(error.PublicText() == "short and stout");
  }
}

TEST_CASE("TypeResolver: a file may name any class but a factory, by the text of a type") {
  const Folder folder({"good"});
  Subject subject(folder.Path());
  auto& resolver = subject.resolver;
  CHECK(&resolver.ResolveForFile("test::Plain, good") ==
        &resolver.Resolve({"test::Plain", "good"}));
  CHECK(resolver.ResolveForFile(" test::Shared,good ").LifetimeOfInstances() == Lifetime::kShared);
  CHECK_THROWS_WITH_AS(static_cast<void>(resolver.ResolveForFile("test::Factory, good")),
                       "The class \"test::Factory\" is a factory, which no file can name; map it "
                       "with an \"add\".",
                       TypeError);
  CHECK_THROWS_AS(static_cast<void>(resolver.ResolveForFile("a, b, c")), TypeError);
  CHECK_THROWS_AS(static_cast<void>(resolver.ResolveForFile("test::Nobody, good")), TypeError);
}

TEST_CASE("TypeResolver: a module is loaded once, however many of its classes are used") {
  const Folder folder({"good"});
  Subject subject(folder.Path());
  auto& plain = subject.resolver.Resolve({"test::Plain", "good"});
  const auto answer = AnswerOf(plain);
  static_cast<void>(subject.resolver.Resolve({"test::Shared", "good"}));
  CHECK(&subject.resolver.Resolve({"test::Plain", "good"}) == &plain);
  CHECK(AnswerOf(plain) == answer);
}

TEST_CASE("TypeResolver: a class that a module does not have is told, with those that it has") {
  const Folder folder({"good", "empty"});
  Subject subject(folder.Path());
  CHECK(subject.Told("test::None", "good") ==
        R"(The module "good" has no class "test::None"; there are "test::Async", "test::Factory", )"
        R"("test::Plain" and "test::Shared".)");
  CHECK(subject.Told("test::Plan", "good") ==
        R"(The module "good" has no class "test::Plan"; did you mean "test::Plain"?)");
  CHECK(subject.Told("Plain", "good").ends_with(R"(; did you mean "test::Plain"?)"));
  CHECK(subject.Told("Any", "empty") == R"(The module "empty" has no class "Any"; there is none.)");
}

TEST_CASE(
    "TypeResolver: classes without a module are those built in, and apart from any module's") {
  const Folder folder({"good"});
  Subject subject(folder.Path());
  test::Fates fates;
  CHECK(subject.Told("test::Plain", "") == R"(No class "test::Plain" is built in; there is none.)");
  subject.resolver.BuiltIn().AddHandler(
      "weft::Own", [&] { return std::make_unique<test::TrackedHandler>(fates); });
  CHECK(subject.Told("weft::Own", "").empty());
  CHECK(subject.Told("weft::Own", "good").find("has no class \"") != std::string::npos);
  CHECK(subject.Told("test::Plain", "").ends_with(R"(there are "weft::Own".)"));
}

TEST_CASE(
    "TypeResolver: each module that cannot be used is told in one sentence that names it and the "
    "reason") {
  struct Case {
    std::string module;
    std::vector<std::string> parts;
  };
  const std::vector<Case> cases = {
      {"text", {"cannot be loaded", "text.so", "invalid ELF header"}},
      {"lacks_symbol", {"cannot be loaded", "weft_test_symbol_of_nobody"}},
      {"no_stamp", {"no_stamp.so", "is no handler module", "WEFT_MODULE"}},
      {"no_entry", {"no_entry.so", "is no handler module", "WEFT_MODULE"}},
      {"other_magic", {"other_magic.so", "is no handler module"}},
      {"other_version",
       {"was built against version " + std::to_string(weft::detail::kContractVersion + 1) +
            " of the handler contract",
        "has version " + std::to_string(weft::detail::kContractVersion)}},
      {"other_abi",
       {"was built for 'gxx-abi 1001 cxx11-strings 0'", weft::detail::kCompilerAbi,
        "the same compiler"}},
      {"throws", {"cannot be used: the licence has expired"}},
      {"throws_odd", {"cannot be used", "threw"}},
      {"twice", {"cannot be used: class test::Plain is registered twice"}},
  };
  for (const auto& [module, parts] : cases) {
    CAPTURE(module);
    const Folder folder({module});
    Subject subject(folder.Path());
    const auto told = subject.Told("test::Plain", module);
    CAPTURE(told);
    CHECK(told.starts_with("module '" + module + "' "));
    CHECK(LinesIn(told) == 0);
    for (const auto& part : parts) {
      CAPTURE(part);
      CHECK(told.find(part) != std::string::npos);
    }
    // It was a warning when it was met, and stays the same sentence.
    CHECK(LinesIn(subject.logged) == 1);
    CHECK(subject.logged.find("warning: " + told + "\n") != std::string::npos);
    CHECK(subject.Told("test::Other", module) == told);
  }
}

TEST_CASE("TypeResolver: modules that cannot be used leave the others alone") {
  Subject subject(kModules);
  CHECK(subject.Told("test::Plain", "good").empty());
  CHECK(subject.Told("test::Plain", "throws").find("licence") != std::string::npos);
  // What does not end in .so is nobody's module.
  CHECK(subject.logged.find("notes") == std::string::npos);
  CHECK(LinesIn(subject.logged) == 10);
}

TEST_CASE("TypeResolver: a missing module is told with the file that was looked for") {
  const Folder folder({"good"});
  Subject subject(folder.Path());
  const auto told = subject.Told("test::Plain", "none");
  CHECK(told.starts_with(R"(The module "none" is missing: )"));
  CHECK(told.find((folder.Path() / "none.so").string()) != std::string::npos);
}

TEST_CASE(
    "TypeResolver: without a folder of modules every module is missing, and the option is named") {
  Subject subject(Folders{});
  CHECK(subject.logged.empty());
  const auto told = subject.Told("test::Plain", "good");
  CHECK(told.starts_with(R"(The module "good" is missing: )"));
  CHECK(told.find("--modules") != std::string::npos);
}

TEST_CASE("TypeResolver: a folder that cannot be read is a warning, and every module is missing") {
  const test::TemporaryFolder folder;
  Subject subject(folder / "none");
  CHECK(subject.logged.find("warning: the folder of modules " + (folder / "none").string()) !=
        std::string::npos);
  CHECK(subject.Told("test::Plain", "good").starts_with(R"(The module "good" is missing: )"));
}

TEST_CASE("TypeResolver: what is named like a module and is no file is passed over, a FIFO too") {
  const Folder folder({"good", "dead"});
  std::filesystem::create_directory(folder.Path() / "folder.so");
  REQUIRE(mkfifo((folder.Path() / "fifo.so").c_str(), 0644) == 0);
  Subject subject(folder.Path());
  CHECK(subject.Told("test::Plain", "folder").starts_with(R"(The module "folder" is missing: )"));
  CHECK(subject.Told("test::Plain", "fifo").starts_with(R"(The module "fifo" is missing: )"));
  CHECK(subject.Told("test::Plain", "dead").starts_with(R"(The module "dead" is missing: )"));
  CHECK(subject.Told("test::Plain", "good").empty());
}

TEST_CASE("TypeResolver: a module that comes later is missing until the next worker") {
  const Folder folder({"good"});
  Subject subject(folder.Path());
  std::filesystem::create_symlink(kModules / "empty.so", folder.Path() / "late.so");
  CHECK(subject.Told("Any", "late").find("a worker loads modules when it starts") !=
        std::string::npos);
  CHECK(Subject(folder.Path()).Told("Any", "late").find("has no class \"") != std::string::npos);
}

TEST_CASE(
    "TypeResolver: of two folders that have a module the first wins, and the second is told") {
  const Folder first({"good"});
  const Folder second({"empty"});
  std::filesystem::create_symlink(kModules / "empty.so", second.Path() / "good.so");
  Subject subject(Folders{first.Path(), second.Path()});
  CHECK(subject.Told("test::Plain", "good").empty());
  CHECK(subject.Told("Any", "empty").find("has no class \"") != std::string::npos);
  CHECK(LinesIn(subject.logged) == 1);
  CHECK(subject.logged.find("warning: module 'good': " + (second.Path() / "good.so").string() +
                            " is not used, for " + (first.Path() / "good.so").string() +
                            " comes first\n") != std::string::npos);

  Subject reversed(Folders{second.Path(), first.Path()});
  CHECK(reversed.Told("test::Plain", "good").find("has no class \"") != std::string::npos);
}

TEST_CASE(
    "TypeResolver: a module that is in no folder is told with each file that was looked for") {
  const Folder first({"good"});
  const Folder second({"empty"});
  Subject subject(Folders{first.Path(), second.Path()});
  CHECK(subject.Told("Any", "none")
            .find((first.Path() / "none.so").string() + " nor " +
                  (second.Path() / "none.so").string() + "; ") != std::string::npos);
}

TEST_CASE("TypeResolver: a folder that cannot be read does not hide the others") {
  const Folder folder({"good"});
  Subject subject(Folders{folder.Path() / "none", folder.Path()});
  CHECK(subject.logged.find("cannot be read") != std::string::npos);
  CHECK(subject.Told("test::Plain", "good").empty());
}

TEST_CASE("TypeResolver: two modules with a class of one name keep their own code and statics") {
  // Both define shop::Counter, its inline functions and variables, with default visibility, differently.
  const Folder folder({"same_one", "same_two"});
  Subject subject(folder.Path());
  CHECK(subject.logged.empty());
  auto& one = subject.resolver.Resolve({"shop::Counter", "same_one"});
  auto& two = subject.resolver.Resolve({"shop::Counter", "same_two"});
  CHECK(AnswerOf(one) == "one: 1 1 1, 1 by this instance");
  CHECK(AnswerOf(two) == "two: 101 101 101, 1 by this instance");
  CHECK(AnswerOf(two) == "two: 102 102 102, 2 by this instance");
  CHECK(AnswerOf(one) == "one: 2 2 2, 2 by this instance");
}

TEST_CASE(
    "TypeResolver: the bound of the pool holds for the classes of modules and those built in") {
  const Folder folder({"same_one"});
  for (const std::size_t pool : {0, 1}) {
    CAPTURE(pool);
    TypeResolver resolver({folder.Path()}, pool);
    test::Fates fates;
    resolver.BuiltIn().AddHandler("Own",
                                  [&] { return std::make_unique<test::TrackedHandler>(fates); });
    static_cast<void>(AnswerOf(resolver.Resolve({"Own", ""})));
    CHECK(fates.destroyed == (pool == 0 ? 1 : 0));
    auto& counter = resolver.Resolve({"shop::Counter", "same_one"});
    static_cast<void>(AnswerOf(counter));
    CHECK(AnswerOf(counter).ends_with(pool == 0 ? "1 by this instance" : "2 by this instance"));
  }
}

using Events = std::vector<std::string>;

TEST_CASE(
    "TypeResolver: modules start in their order, stop in the reverse one, and share a state") {
  const Folder folder({"hooks_a", "hooks_b", "good"});
  Subject subject(folder.Path());
  CHECK_FALSE(subject.resolver.HasStopHooks());
  HttpApplicationState application;
  auto& events = application.Set(Events());
  const auto before = [&](const std::filesystem::path& file) {
    events.push_back("before " + file.filename().string());
  };
  CHECK(subject.resolver.StartModules(application, before).empty());
  CHECK(events == Events{"before hooks_a.so", "hooks_a starts", "hooks_a starts again",
                         "before hooks_b.so", "hooks_b starts", "hooks_b starts again"});
  REQUIRE(application.Find<std::string>("hooks_b") != nullptr);
  CHECK(*application.Find<std::string>("hooks_b") == "set by hooks_b");
  CHECK(application.Find<std::string>() == nullptr);
  CHECK_THROWS_AS(application.Set(1), std::logic_error);

  CHECK(subject.resolver.HasStopHooks());
  events.clear();
  subject.resolver.StopModules(application, {});
  CHECK(events ==
        Events{"hooks_b stops", "hooks_b stops last", "hooks_a stops", "hooks_a stops last"});
  CHECK(subject.captured.Text().find("module 'hooks_b' (") != std::string::npos);
  CHECK(subject.captured.Text().find(") could not stop: no more\n") != std::string::npos);
  CHECK_FALSE(subject.resolver.HasStopHooks());
  subject.resolver.StopModules(application, {});
  CHECK(events.size() == 4);
}

TEST_CASE("TypeResolver: a module that cannot start is told, and those before it are stopped") {
  const Folder folder({"hooks_a", "hooks_b"});
  Subject subject(folder.Path());
  HttpApplicationState application;
  auto& events = application.Set(Events());
  application.Set<std::string>("fails", "hooks_b");
  CHECK(subject.resolver.StartModules(application, {}) ==
        "module 'hooks_b' (" + (folder.Path() / "hooks_b.so").string() +
            ") could not start: no database");
  CHECK(events == Events{"hooks_a starts", "hooks_a starts again", "hooks_b starts",
                         "hooks_a stops", "hooks_a stops last"});
  CHECK_FALSE(subject.resolver.HasStopHooks());
}

TEST_CASE("HandlerRegistry: an empty hook is refused") {
  HandlerRegistry registry;
  CHECK_THROWS_AS(registry.OnStart(nullptr), std::invalid_argument);
  CHECK_THROWS_AS(registry.OnStop(nullptr), std::invalid_argument);
}

TEST_CASE("LoadModule: a module says what it was built against, and which libraries it needs") {
  const auto good = LoadModule({"good", kModules / "good.so"});
  CHECK(good.error.empty());
  CHECK(good.contract_version == weft::detail::kContractVersion);
  CHECK(good.compiler_abi == weft::detail::kCompilerAbi);
  // Built as this test is.
  CHECK(good.build_type == weft::detail::kBuildType);
  CHECK(std::count(good.libraries.begin(), good.libraries.end(),
                   "libweft.so." + std::to_string(detail::kContractVersion)) == 1);
  CHECK(std::count(good.libraries.begin(), good.libraries.end(), "libstdc++.so.6") == 1);
  for (const auto& library : good.libraries) {
    CHECK(library.starts_with("lib"));
  }
  REQUIRE(good.classes != nullptr);
  CHECK(good.classes->ClassNames().size() == 4);
  const auto traits = good.classes->Find("test::Async")->Traits();
  REQUIRE(traits.has_value());
  CHECK(traits->is_async);
  CHECK(traits->is_bufferless);
}

TEST_CASE("LoadModule: what cannot be used says of itself what could be read") {
  const auto version = LoadModule({"other_version", kModules / "other_version.so"});
  CHECK(version.classes == nullptr);
  CHECK(version.contract_version == weft::detail::kContractVersion + 1);
  CHECK(version.compiler_abi.empty());
  CHECK_FALSE(version.libraries.empty());
  const auto abi = LoadModule({"other_abi", kModules / "other_abi.so"});
  CHECK(abi.compiler_abi == "gxx-abi 1001 cxx11-strings 0");
  CHECK(abi.build_type == weft::detail::kBuildType);
  const auto no_stamp = LoadModule({"no_stamp", kModules / "no_stamp.so"});
  CHECK(no_stamp.contract_version == 0);
  CHECK_FALSE(no_stamp.error.empty());
  CHECK(LoadModule({"text", kModules / "text.so"}).libraries.empty());
}

TEST_CASE("TypeResolver: a module's name is its file's, dots included") {
  const Folder folder({"good"});
  std::filesystem::create_symlink(kModules / "good.so", folder.Path() / "shop-1.2+x.so");
  Subject subject(folder.Path());
  CHECK(subject.Told("test::Plain", "shop-1.2+x").empty());
}

}  // namespace
}  // namespace weft::host::handling
