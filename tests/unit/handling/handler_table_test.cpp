#include "host/handling/handler_table.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include <weft/http_exception.hpp>
#include "mappings/loader.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/handling/handlers.hpp"

namespace weft::host::handling {
namespace {

/// A table over a machine.json with these `httpHandlers`, one a line after the first line.
class Subject {
 public:
  explicit Subject(const std::vector<std::string>& handlers) : resolver_({}) {
    std::string text = R"({ "httpHandlers": [ { "clear": {} })";
    for (const auto& handler : handlers) {
      text += ",\n" + handler;
    }
    folder_.Write("machine.json", text + "\n] }");
    resolver_.BuiltIn().AddHandler(
        "Known", [this] { return std::make_unique<test::TrackedHandler>(fates_); });
    auto loaded = mappings::Load({.directory = folder_.Path()});
    REQUIRE(loaded.table != nullptr);
    mappings_ = std::move(loaded.table);
    table_ = std::make_unique<HandlerTable>(mappings_, resolver_);
  }

  const HandlerTable& Table() const { return *table_; }
  HandlerRegistry& BuiltIn() { return resolver_.BuiltIn(); }
  std::shared_ptr<const mappings::MappingTable> Mappings() const { return mappings_; }

  /// The table's problems, without the folder's name.
  std::vector<std::string> Problems() const {
    std::vector<std::string> problems;
    for (const auto& problem : table_->Problems()) {
      problems.push_back(WithoutFolder(problem.ToString()));
    }
    return problems;
  }

  /// The class that serves a path, or why it cannot.
  HandlerClass* ClassOf(std::string_view path) const {
    return &table_->ClassOf(*mappings_->Resolve("host", "GET", path, "").entry);
  }
  std::string WhyNot(std::string_view path) const {
    try {
      static_cast<void>(ClassOf(path));
    } catch (const TypeError& error) {
      return WithoutFolder(error.what());
    }
    return {};
  }

 private:
  std::string WithoutFolder(std::string text) const {
    const auto folder = folder_.Path().string() + "/";
    if (const auto at = text.find(folder); at != std::string::npos) {
      text.erase(at, folder.size());
    }
    return text;
  }

  test::TemporaryFolder folder_;
  test::Fates fates_;
  TypeResolver resolver_;
  std::shared_ptr<const mappings::MappingTable> mappings_;
  std::unique_ptr<HandlerTable> table_;
};

TEST_CASE("HandlerTable: every entry has the class that it names") {
  const Subject subject({R"({ "add": { "verb": "*", "path": "*.a", "type": "Known" } })",
                         R"({ "add": { "verb": "*", "path": "*.b", "type": " Known " } })"});
  CHECK(subject.Problems().empty());
  CHECK(subject.ClassOf("/x.a") != nullptr);
  CHECK(subject.ClassOf("/x.a") == subject.ClassOf("/x.b"));
  CHECK(&subject.Table().Mappings() == subject.Mappings().get());
}

TEST_CASE("HandlerTable: a type that cannot be used is a problem at its place in the file") {
  const Subject subject({R"({ "add": { "verb": "*", "path": "*.a", "type": "Known" } })",
                         R"({ "add": { "verb": "*", "path": "*.b", "type": "Unknown" } })"});
  CHECK(subject.Problems() ==
        std::vector<std::string>{
            R"(machine.json:3:48: error: No class "Unknown" is built in; did you mean "Known"?)"});
}

TEST_CASE("HandlerTable: every use of a type that cannot be used is a problem, and every type") {
  const Subject subject({R"({ "add": { "verb": "*", "path": "*.a", "type": "Unknown" } })",
                         R"({ "add": { "verb": "*", "path": "*.b", "type": "Class, module" } })",
                         R"({ "add": { "verb": "*", "path": "*.c", "type": "Unknown" } })"});
  const auto problems = subject.Problems();
  REQUIRE(problems.size() == 3);
  std::vector<std::string> places;
  for (const auto& problem : problems) {
    places.push_back(problem.substr(0, problem.find(": error")));
  }
  std::sort(places.begin(), places.end());
  CHECK(places ==
        std::vector<std::string>{"machine.json:2:48", "machine.json:3:48", "machine.json:4:48"});
}

TEST_CASE("HandlerTable: an entry that does not validate is no problem, and cannot be used alone") {
  const Subject subject(
      {R"({ "add": { "verb": "*", "path": "*.a", "type": "Known" } })",
       R"({ "add": { "verb": "*", "path": "*.b", "type": "Unknown", "validate": false } })"});
  CHECK(subject.Problems().empty());
  CHECK(subject.WhyNot("/x.a").empty());
  CHECK(subject.WhyNot("/x.b") ==
        R"(machine.json:3:48: No class "Unknown" is built in; did you mean "Known"?)");
}

TEST_CASE("HandlerTable: of two entries of one type only the one that validates is a problem") {
  const Subject subject(
      {R"({ "add": { "verb": "*", "path": "*.a", "type": "Unknown", "validate": false } })",
       R"({ "add": { "verb": "*", "path": "*.b", "type": "Unknown" } })"});
  const auto problems = subject.Problems();
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].starts_with("machine.json:3:48: error: "));
  // Each is told with its own place.
  CHECK(subject.WhyNot("/x.a").starts_with("machine.json:2:48: "));
  CHECK(subject.WhyNot("/x.b").starts_with("machine.json:3:48: "));
}

TEST_CASE("HandlerTable: an entry that is removed again needs no class") {
  const Subject subject({R"({ "add": { "verb": "*", "path": "*.a", "type": "Unknown" } })",
                         R"({ "remove": { "verb": "*", "path": "*.a" } })",
                         R"({ "add": { "verb": "*", "path": "*.b", "type": "Known" } })"});
  CHECK(subject.Problems().empty());
  CHECK(subject.Table().Mappings().Types().size() == 1);
}

TEST_CASE("HandlerTable: types are looked up when it is built, and not again") {
  Subject subject(
      {R"({ "add": { "verb": "*", "path": "*.a", "type": "Late", "validate": false } })"});
  CHECK_FALSE(subject.WhyNot("/x.a").empty());
  test::Fates fates;
  subject.BuiltIn().AddHandler("Late",
                               [&] { return std::make_unique<test::TrackedHandler>(fates); });
  CHECK_FALSE(subject.WhyNot("/x.a").empty());
}

TEST_CASE("HandlerTable: where no handler is made, the entry is named with its place") {
  Subject subject(
      {R"({ "add": { "verb": "*", "path": "*.a", "type": "Null", "name": "reports", "validate": false } })",
       R"({ "add": { "verb": "GET, HEAD", "path": "*.b", "type": "Null", "validate": false } })"});
  subject.BuiltIn().AddHandler("Null", [] { return nullptr; });
  // Types are looked up when a table is built.
  TypeResolver other({});
  other.BuiltIn().AddHandler("Null", [] { return nullptr; });
  const HandlerTable table(subject.Mappings(), other);
  const auto told = [&](std::string_view path) -> std::string {
    test::MemoryExchange exchange;
    HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "GET"}}), exchange, {}, 1024);
    try {
      const auto& entry = *subject.Mappings()->Resolve("host", "GET", path, "").entry;
      const auto lease = LeaseFor(entry, table.ClassOf(entry), context);
      return "lent";
    } catch (const HttpException& error) {
      CHECK(error.Cause() == "handler_not_made");
      return error.what();
    }
  };
  CHECK(told("/x.a").starts_with("500 "));
  CHECK(told("/x.a").find("machine.json:2:3: entry 'reports', type 'Null': the module made no "
                          "handler") != std::string::npos);
  CHECK(told("/x.b").find("machine.json:3:3: entry 'GET, HEAD *.b', type 'Null': ") !=
        std::string::npos);
}

TEST_CASE("HandlerTable: it keeps its mappings alive") {
  std::weak_ptr<const mappings::MappingTable> watched;
  {
    TypeResolver resolver({});
    resolver.BuiltIn();
    const test::TemporaryFolder folder;
    folder.Write("machine.json", R"({ "httpHandlers": [ { "clear": {} } ] })");
    auto loaded = mappings::Load({.directory = folder.Path()});
    watched = loaded.table;
    const HandlerTable table(std::move(loaded.table), resolver);
    CHECK_FALSE(watched.expired());
    CHECK(table.Problems().empty());
  }
  CHECK(watched.expired());
}

}  // namespace
}  // namespace weft::host::handling
