#include "mappings/mapping_table.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tests/unit/mappings/support.hpp"

using weft::mappings::Load;
using weft::mappings::LoadResult;
using weft::mappings::MappingTable;
using weft::mappings::Resolution;
using weft::mappings::testing::File;
using weft::mappings::testing::Mapped;
using weft::mappings::testing::Only;
using weft::mappings::testing::Routed;
using weft::mappings::testing::TemporaryTree;
using weft::mappings::testing::Told;
using namespace std::string_view_literals;

namespace {

using Table = std::shared_ptr<const MappingTable>;

Table TableOf(std::initializer_list<std::pair<std::string_view, std::string_view>> files) {
  const LoadResult result = TemporaryTree(files).Load();
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  return result.table;
}

// These entries and no defaults, for all hosts.
Table TableOnly(std::initializer_list<Mapped> adds) {
  return TableOf({{"machine.json", Only(adds)}});
}

// These entries before the defaults, for all hosts.
Table TableWith(std::initializer_list<Mapped> adds) {
  return TableOf({{"machine.json", File(adds)}});
}

// A mapping file with `before`, and an entry for each of the first `count` numbers, which stand in
// `path` for every %.
std::string Numbered(int count, std::string_view path, std::string_view before = "") {
  std::string text = "{\"httpHandlers\": [" + std::string(before);
  for (int i = 0; i < count; ++i) {
    text += text.ends_with('[') ? "" : ",";
    text += "{\"add\": {\"verb\": \"*\", \"type\": \"T\", \"path\": \"";
    for (const char c : path) {
      text += c == '%' ? std::to_string(i) : std::string(1, c);
    }
    text += "\"}}";
  }
  return text + "]}";
}

// A path of this many bytes.
std::string PathOf(std::size_t bytes) { return "/" + std::string(bytes - 1, 'a'); }

}  // namespace

TEST_CASE("MappingTable: the first entry that matches verb and path wins") {
  const Table table =
      TableOnly({{"GET", "a.x", "First"}, {"*", "*.x", "Second"}, {"*", "/d/a.x", "Third"}});
  CHECK(Routed(*table, "GET", "/a.x") == "First /a.x");
  CHECK(Routed(*table, "POST", "/a.x") == "Second /a.x");
  CHECK(Routed(*table, "GET", "/b.x") == "Second /b.x");
}

TEST_CASE("MappingTable: a later, longer pattern does not beat an earlier match") {
  const Table table = TableOnly({{"*", "*", "Any"}, {"*", "/a/b/c.x", "Exact"}});
  CHECK(Routed(*table, "GET", "/a/b/c.x") == "Any /a/b/c.x");
}

TEST_CASE("MappingTable: a child's entries are searched before its parent's") {
  const Table table = TableOf({{"machine.json", Only({{"*", "a.x", "Parent"}})},
                               {"default/mapping.json", File({{"*", "*", "Child"}})}});
  CHECK(Routed(*table, "GET", "/a.x") == "Child /a.x");
}

TEST_CASE("MappingTable: a folder's chain is for what lies in it, not for the folder itself") {
  const Table table = TableOf({{"machine.json", Only({{"*", "*", "Outside"}})},
                               {"default/shop/mapping.json", File({{"*", "*", "Inside"}})}});
  CHECK(Routed(*table, "GET", "/shop/") == "Inside /shop/");
  CHECK(Routed(*table, "GET", "/shop/a") == "Inside /shop/a");
  CHECK(Routed(*table, "GET", "/shop") == "Outside /shop");
  CHECK(Routed(*table, "GET", "/shopping/a") == "Outside /shopping/a");
  CHECK(Routed(*table, "GET", "/a/shop/b") == "Outside /a/shop/b");
}

TEST_CASE("MappingTable: nothing matches the path") {
  const Table table = TableOnly({{"*", "*.x", "X"}});
  CHECK(Routed(*table, "GET", "/a.y") == "404 /a.y");
  const Resolution resolution = table->Resolve("h", "GET", "/a.y", "");
  CHECK(resolution.outcome == Resolution::Outcome::kNotFound);
  CHECK(resolution.cause == "no_mapping");
  CHECK(Routed(*TableOnly({}), "GET", "/") == "404 /");
}

TEST_CASE("MappingTable: entries match the path under other verbs only") {
  const Table table = TableOnly(
      {{"GET,HEAD", "*.x", "Read"}, {"PUT,HEAD", "a.x", "Write"}, {"DELETE", "*.y", "Y"}});
  CHECK(Routed(*table, "POST", "/a.x") == "405 /a.x (GET, HEAD, PUT)");
  CHECK(Routed(*table, "get", "/a.x") == "405 /a.x (GET, HEAD, PUT)");
  CHECK(Routed(*table, "POST", "/b.x") == "405 /b.x (GET, HEAD)");
  CHECK(table->Resolve("h", "POST", "/a.x", "").cause == "method_not_mapped");
}

TEST_CASE("MappingTable: Allow spells verb patterns out") {
  const Table table = TableOnly({{"P*,GET", "*.x", "A"}, {"PROPFIND,?ET", "*.x", "B"}});
  CHECK(Routed(*table, "DELETE", "/a.x") == "405 /a.x (POST, PUT, PATCH, GET, PROPFIND)");
}

TEST_CASE("MappingTable: an entry that refuses all other methods gets the Allow list") {
  const Table table = TableWith({{"DELETE", "a.x", "Delete"}});
  CHECK(Routed(*table, "POST", "/b.txt") ==
        "weft::HttpMethodNotAllowedHandler /b.txt (GET, HEAD, OPTIONS)");
  CHECK(Routed(*table, "POST", "/a.x") ==
        "weft::HttpMethodNotAllowedHandler /a.x (DELETE, GET, HEAD, OPTIONS)");
  CHECK(Routed(*table, "GET", "/b.txt") == "weft::StaticFileHandler /b.txt");
}

TEST_CASE("MappingTable: Allow leaves out what a refusal answers or hides") {
  constexpr std::string_view kRefusal = "weft::HttpMethodNotAllowedHandler";
  const Table table = TableOnly({{"DELETE", "*.x", kRefusal},
                                 {"GET,DELETE", "*.x", "A"},
                                 {"*", "*.x", kRefusal},
                                 {"PUT", "*.x", "Hidden"}});
  CHECK(Routed(*table, "DELETE", "/a.x") == "weft::HttpMethodNotAllowedHandler /a.x (GET)");
  CHECK(Routed(*table, "PUT", "/a.x") == "weft::HttpMethodNotAllowedHandler /a.x (GET)");
  CHECK(Routed(*TableOnly({{"*", "*", kRefusal}}), "GET", "/a") ==
        "weft::HttpMethodNotAllowedHandler /a");
}

TEST_CASE("MappingTable: faulty paths are refused, each with its cause") {
  const Table table = TableWith({});
  CHECK(Routed(*table, "GET", "/a\0b"sv) == "400 path_has_nul");
  CHECK(Routed(*table, "GET", "/a\\b") == "400 path_has_backslash");
  CHECK(Routed(*table, "GET", "/../etc/passwd") == "400 path_above_root");
  CHECK(Routed(*table, "GET", "a") == "400 path_not_absolute");
  CHECK(Routed(*table, "GET", "") == "400 path_not_absolute");
  CHECK(Routed(*table, "GET", "/a", "b") == "400 path_not_absolute");
  CHECK(Routed(*table, "GET", "/a.ashx", "/../../b") == "400 path_above_root");
  CHECK(Routed(*table, "GET", "/a.ashx", "/\0"sv) == "400 path_has_nul");
}

TEST_CASE("MappingTable: paths are normalised before they are matched") {
  const Table table = TableOf({{"default/shop/mapping.json", File({{"*", "*.x", "Shop"}})}});
  CHECK(Routed(*table, "GET", "//shop/./q/..//a.x") == "Shop /shop/a.x");
  CHECK(Routed(*table, "GET", "/shop/../a.x") == "weft::StaticFileHandler /a.x");
  CHECK(Routed(*table, "GET", "/shop/%2e%2e/a.x") == "Shop /shop/%2e%2e/a.x");
  CHECK(Routed(*table, "GET", "/docs/../web.config") == "weft::HttpForbiddenHandler /web.config");
}

TEST_CASE("MappingTable: a normal path is handed back as it came, without a copy") {
  const Table table = TableWith({});
  const std::string path = "/a/b.ashx/info";
  Resolution resolution = table->Resolve("h", "GET", path, "");
  CHECK(resolution.file_path.data() == path.data());
  CHECK(resolution.path_info.data() == path.data() + 9);
  CHECK_FALSE(resolution.rewritten);
}

TEST_CASE("MappingTable: a resolution may be moved, rewritten paths and all") {
  const Table table = TableWith({});
  Resolution first = table->Resolve("h", "GET", "/./a.ashx/b/.", "");
  const Resolution second = std::move(first);
  CHECK(second.file_path == "/a.ashx");
  CHECK(second.path_info == "/b/");
}

TEST_CASE("MappingTable: the longest prefix that an entry matches is the file path") {
  const Table table = TableWith({{"*", "*.report,/api/status,/v?/x", "R"}});
  CHECK(Routed(*table, "GET", "/a.ashx/extra") == "weft::SimpleHandlerFactory /a.ashx|/extra");
  CHECK(Routed(*table, "GET", "/a.ashx/") == "weft::SimpleHandlerFactory /a.ashx|/");
  CHECK(Routed(*table, "GET", "/a.ashx/b/c.d") == "weft::SimpleHandlerFactory /a.ashx|/b/c.d");
  CHECK(Routed(*table, "GET", "/a.ashx/b.ashx/c") ==
        "weft::SimpleHandlerFactory /a.ashx/b.ashx|/c");
  CHECK(Routed(*table, "GET", "/a.ashx/b.report/c") == "R /a.ashx/b.report|/c");
  CHECK(Routed(*table, "GET", "/api/status/deep") == "R /api/status|/deep");
  CHECK(Routed(*table, "GET", "/v1/x/y.css") == "R /v1/x|/y.css");
  CHECK(Routed(*table, "GET", "/a.ashxx/b") == "weft::StaticFileHandler /a.ashxx/b");
  CHECK(Routed(*table, "GET", "/css/site.css") == "weft::StaticFileHandler /css/site.css");
}

TEST_CASE("MappingTable: a whole path that an entry matches is not split") {
  const Table table = TableWith({{"*", "*.report", "R"}});
  CHECK(Routed(*table, "GET", "/a.ashx/b.report") == "R /a.ashx/b.report");
}

TEST_CASE("MappingTable: the split does not depend on the verb") {
  const Table table = TableWith({{"GET", "*.report", "R"}});
  CHECK(Routed(*table, "POST", "/a.report/x") ==
        "weft::HttpMethodNotAllowedHandler /a.report|/x (GET, HEAD, OPTIONS)");
  CHECK(Routed(*TableOnly({{"GET", "*.report", "R"}}), "POST", "/a.report/x") ==
        "405 /a.report|/x (GET)");
}

TEST_CASE("MappingTable: a bare star takes the whole path, and so does a double one") {
  CHECK(Routed(*TableOnly({{"*", "*", "Any"}}), "GET", "/a/b/c") == "Any /a/b/c");
  CHECK(Routed(*TableOnly({{"*", "**", "All"}, {"*", "*.x", "X"}}), "GET", "/a.x/b") ==
        "All /a.x/b");
  CHECK(Routed(*TableOnly({{"*", "*", "Any"}, {"*", "*.x", "X"}}), "GET", "/a.x/b") ==
        "Any /a.x|/b");
}

TEST_CASE("MappingTable: the chain is the one of the file path's folder") {
  const Table table =
      TableOf({{"machine.json", Only({{"*", "*.x", "Top"}, {"*", "*", "Any"}})},
               {"default/a.x/mapping.json", File({{"*", "*.y", "Below"}})},
               {"default/a.x/b.x/mapping.json", File({{"*", "*.x", "Deep"}})},
               {"default/plain/mapping.json",
                "{\"httpHandlers\": [{\"remove\": {\"verb\": \"*\", \"path\": \"*.x\"}}]}"}});
  CHECK(Routed(*table, "GET", "/a.x/info") == "Top /a.x|/info");
  CHECK(Routed(*table, "GET", "/a.x/c.y/info") == "Below /a.x/c.y|/info");
  CHECK(Routed(*table, "GET", "/c.y/info") == "Any /c.y/info");
  CHECK(Routed(*table, "GET", "/a.x/b.x/info") == "Top /a.x/b.x|/info");
  CHECK(Routed(*table, "GET", "/a.x/b.x/c.x/info") == "Deep /a.x/b.x/c.x|/info");
  CHECK(Routed(*table, "GET", "/a.x/b.x/") == "Top /a.x/b.x|/");
  CHECK(Routed(*table, "GET", "/plain/c.x/info") == "Any /plain/c.x/info");
  CHECK(Routed(*table, "GET", "/c.x/plain/d") == "Top /c.x|/plain/d");
}

// Of so many inherited entries a few are passed over; the tests above take away most of what there is.
TEST_CASE("MappingTable: what a folder takes away of many entries is there for the others") {
  const auto remove = [](const std::string& path) {
    return R"({"remove": {"verb": "*", "path": ")" + path + R"("}})";
  };
  const Table table =
      TableOf({{"machine.json", File({{"*", "/gone", "Gone"},
                                      {"PUT", "e", "Put"},
                                      {"*", "q*q", "Q"},
                                      {"*", "a", "A"},
                                      {"*", "b", "B"},
                                      {"*", "c", "C"},
                                      {"*", "d", "D"},
                                      {"POST", "e", "Post"}},
                                     "{\"clear\": {}}")},
               {"default/mapping.json", "{\"httpHandlers\": [" + remove("/gone") + "]}"},
               {"default/x/mapping.json", File({{"*", "a", "A2"}, {"*", "n", "N"}})},
               {"default/x/y/mapping.json",
                "{\"httpHandlers\": [" + remove("n") + "," + remove("b") + "]}"},
               {"default/z/mapping.json", "{\"httpHandlers\": [" + remove("q*q") +
                                              R"(,{"remove": {"verb": "PUT", "path": "e"}}]})"}});
  CHECK(Routed(*table, "GET", "/a") == "A /a");
  CHECK(Routed(*table, "GET", "/x/a") == "A2 /x/a");
  CHECK(Routed(*table, "GET", "/x/y/a") == "A2 /x/y/a");
  CHECK(Routed(*table, "GET", "/x/b/c/d") == "D /x/b/c/d");
  CHECK(Routed(*table, "GET", "/x/b/i") == "B /x/b|/i");
  CHECK(Routed(*table, "GET", "/x/y/b") == "404 /x/y/b");
  CHECK(Routed(*table, "GET", "/x/y/n") == "404 /x/y/n");
  CHECK(Routed(*table, "GET", "/x/n") == "N /x/n");
  CHECK(Routed(*table, "GET", "/z/b") == "B /z/b");
  CHECK(Routed(*table, "GET", "/qq") == "Q /qq");
  CHECK(Routed(*table, "GET", "/z/qq") == "404 /z/qq");
  CHECK(Routed(*table, "GET", "/gone") == "404 /gone");
  CHECK(table->Resolve("h", "GET", "/x/e", "").allow == "PUT, POST");
  CHECK(table->Resolve("h", "GET", "/z/e", "").allow == "POST");

  std::string left;
  for (const auto* entry : table->EntriesOf(table->Resolve("h", "GET", "/x/y/c", ""))) {
    left += entry->type.class_name + " ";
  }
  CHECK(left == "A2 Put Q C D Post ");
  for (const auto& use : table->Types()) {
    CHECK(use.type.class_name != "Gone");
  }
  // Patterns that are passed over take no time.
  constexpr std::size_t kMax = MappingTable::kMaxGlobSteps;
  CHECK((Routed(*table, "GET", PathOf(kMax + 1)) == "414 path_too_long"));
  CHECK(table->Resolve("h", "GET", "/z" + PathOf(kMax + 1), "").outcome ==
        Resolution::Outcome::kNotFound);
}

TEST_CASE("MappingTable: a split of the web server's is honoured") {
  const Table table = TableWith({{"*", "*.report", "R"}});
  CHECK(Routed(*table, "GET", "/a.ashx", "/x/y.report") ==
        "weft::SimpleHandlerFactory /a.ashx|/x/y.report");
  CHECK(Routed(*table, "GET", "/logo.png", "/x") == "weft::StaticFileHandler /logo.png|/x");
  CHECK(Routed(*table, "GET", "/d/./a.ashx", "//x/../y") ==
        "weft::SimpleHandlerFactory /d/a.ashx|/y");
}

TEST_CASE("MappingTable: a split that no entry answers to gives way to one that does") {
  const Table table = TableWith({});
  CHECK(Routed(*table, "GET", "", "/a.ashx") == "weft::SimpleHandlerFactory /a.ashx");
  CHECK(Routed(*table, "GET", "", "/a.ashx/x") == "weft::SimpleHandlerFactory /a.ashx|/x");
  CHECK(Routed(*table, "GET", "", "/plain.txt") == "weft::StaticFileHandler /plain.txt");
  CHECK(Routed(*table, "GET", "/", "/a.ashx/x") == "weft::SimpleHandlerFactory /a.ashx|/x");
  CHECK(Routed(*table, "GET", "/app", "/b/a.ashx/x") ==
        "weft::SimpleHandlerFactory /app/b/a.ashx|/x");
  const Table strict = TableOnly({{"*", "*.x", "X"}});
  CHECK(Routed(*strict, "GET", "/app", "/a.x/b") == "X /app/a.x|/b");
  CHECK(Routed(*strict, "GET", "/app", "/b") == "404 /app/b");
  CHECK(Routed(*strict, "GET", "", "/b") == "404 /b");
}

TEST_CASE("MappingTable: hostile paths of a megabyte") {
  const Table table = TableWith({{"*", "*a*a*a*b,**/z?,x/*/y", "H"}});
  std::string path;
  for (int i = 0; i < 1 << 18; ++i) {
    path += "/a.q";
  }
  CHECK(Routed(*table, "GET", path).starts_with("weft::StaticFileHandler"));
  const std::string letters = "/" + std::string(1 << 20, 'a');
  CHECK(Routed(*table, "GET", letters).starts_with("weft::StaticFileHandler"));
  CHECK(table->Resolve(letters, letters, letters, letters).entry != nullptr);
}

TEST_CASE("MappingTable: a long path is not tried on each of many entries") {
  // Tried one by one, each of the requests would take half a minute.
  const Table table = TableOf({{"machine.json", Numbered(8000, "/a/b/%.x")},
                               {"default/mapping.json", Numbered(8000, "*.e%,*-%.long-extension")},
                               {"default/a/mapping.json", Numbered(8000, "sub/%.x")}});
  std::string path;
  for (int i = 0; i < 1 << 16; ++i) {
    path += "/a.e/sub/b.x/a-";
  }
  // Doubled parentheses: a megabyte that differs is not to be printed.
  for (int i = 0; i < 20; ++i) {
    CHECK((Routed(*table, "GET", path) == "weft::StaticFileHandler " + path));
    CHECK((Routed(*table, "GET", "/a" + path) == "weft::StaticFileHandler /a" + path));
    CHECK((Routed(*table, "GET", "/a/sub/7.x" + path) == "T /a/sub/7.x|" + path));
    CHECK((Routed(*table, "GET", "/b/sub/7.x" + path) ==
           "weft::StaticFileHandler /b/sub/7.x" + path));
    CHECK((Routed(*table, "GET", "/a/b/7999.x" + path) == "T /a/b/7999.x|" + path));
    CHECK((Routed(*table, "GET", "/q.e7999" + path) == "T /q.e7999|" + path));
    CHECK((Routed(*table, "GET", "", "/q-7.Long-Extension" + path) ==
           "T /q-7.Long-Extension|" + path));
  }
}

TEST_CASE("MappingTable: a long path is refused where trying many patterns takes too long") {
  const Table table =
      TableOf({{"machine.json", Numbered(64, "q*q%")},
               {"default/mapping.json", "{}"},
               {"default/more/mapping.json", Numbered(64, "q*r%")},
               {"default/none/mapping.json", "{\"httpHandlers\": [{\"clear\": {}}]}"},
               {"default/long/mapping.json",
                Numbered(1, std::string(64, 'q') + "*r%", "{\"clear\": {}}")}});
  // Doubled parentheses, as above.
  constexpr std::size_t kMax = MappingTable::kMaxGlobSteps / 64;
  CHECK(Routed(*table, "GET", PathOf(kMax)).starts_with("weft::StaticFileHandler /aaa"));
  CHECK((Routed(*table, "GET", PathOf(kMax + 1)) == "414 path_too_long"));
  CHECK((Routed(*table, "GET", "/q1q1" + PathOf(kMax)) == "414 path_too_long"));

  SUBCASE("the patterns are those of the path's folder, inherited ones and its own") {
    CHECK((Routed(*table, "GET", "/more" + PathOf(kMax / 2)) == "414 path_too_long"));
    // A few bytes of it lie in the folder above.
    CHECK(Routed(*table, "GET", "/more" + PathOf(kMax / 2 - 10))
              .starts_with("weft::StaticFileHandler /more/aaa"));
    CHECK(Routed(*table, "GET", "/none" + PathOf(4 * kMax)).starts_with("404 /none/aaa"));
  }
  SUBCASE("a pattern of more than 64 bytes counts for two") {
    CHECK(Routed(*table, "GET", "/long" + PathOf(kMax * 32 - 1000)).starts_with("404 /long/aaa"));
    CHECK((Routed(*table, "GET", "/long" + PathOf(kMax * 32)) == "414 path_too_long"));
  }
  SUBCASE("path info counts where it is searched") {
    const std::string long_info = PathOf(kMax);
    CHECK((Routed(*table, "GET", "/a.ashx", long_info) ==
           "weft::SimpleHandlerFactory /a.ashx|" + long_info));
    CHECK((Routed(*table, "GET", "/a.txt", long_info) == "414 path_too_long"));
    CHECK((Routed(*table, "GET", "", PathOf(kMax + 1)) == "414 path_too_long"));
  }
  const Resolution resolution = table->Resolve("h", "GET", PathOf(kMax + 1), "");
  CHECK(resolution.outcome == Resolution::Outcome::kPathTooLong);
  CHECK(resolution.cause == "path_too_long");
  CHECK(resolution.settings->runtime.execution_timeout.value->count() == 110);
}
