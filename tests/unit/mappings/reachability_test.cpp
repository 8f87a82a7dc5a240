#include "mappings/reachability.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mappings/loader.hpp"
#include "mappings/resources.hpp"
#include "tests/unit/mappings/support.hpp"

using weft::mappings::Check;
using weft::mappings::CheckResult;
using weft::mappings::Problem;
using weft::mappings::testing::File;
using weft::mappings::testing::Mapped;
using weft::mappings::testing::Only;
using weft::mappings::testing::TemporaryTree;
using Lines = std::vector<std::string>;

namespace {

// What Check() tells, without the folder's own name.
Lines Checked(const TemporaryTree& tree) {
  const std::string prefix = tree.Root().string() + "/";
  Lines lines;
  for (const Problem& problem : Check({.directory = tree.Root()}).problems) {
    std::string line = problem.ToString();
    for (std::size_t at = line.find(prefix); at != std::string::npos; at = line.find(prefix)) {
      line.erase(at, prefix.size());
    }
    lines.push_back(line);
  }
  return lines;
}

// Whether the second of two entries is told to be unreachable, and by whom.
bool IsShadowed(const Mapped& first, const Mapped& second) {
  const TemporaryTree tree({{"machine.json", Only({first, second})}});
  const Lines lines = Checked(tree);
  if (lines.empty()) {
    return false;
  }
  CHECK(lines == Lines{"machine.json:3:2: warning: No request reaches this entry: the one at "
                       "machine.json:2:2 matches all that it matches, and is searched first."});
  return true;
}

bool PathIsShadowed(std::string_view first, std::string_view second) {
  return IsShadowed({"*", first, "A"}, {"*", second, "B"});
}

bool VerbIsShadowed(std::string_view first, std::string_view second) {
  return IsShadowed({first, "/a", "A"}, {second, "/a", "B"});
}

}  // namespace

TEST_CASE(
    "Check: what a folder takes away of many entries hides nothing there, and is in force "
    "elsewhere") {
  const std::string_view taken = R"({"httpHandlers": [{"remove": {"verb": "*", "path": "*.x"}}]})";
  const Mapped wide{"*", "*.x", "Wide, m"};
  const std::string machine =
      Only({wide, {"*", "a.x", "A, m"}, {"*", "b", "B"}, {"*", "c", "C"}, {"*", "d", "D"}});
  CHECK(Checked(TemporaryTree({{"machine.json", machine}, {"default/a/mapping.json", taken}}))
            .empty());

  const TemporaryTree tree({{"machine.json", machine},
                            {"default/mapping.json", taken},
                            {"default/a/mapping.json", File({{"GET", "*.x", "Get"}})}});
  CHECK(Checked(tree) ==
        Lines{"machine.json:2:2: warning: No request reaches this entry: it is replaced, removed "
              "or cleared again before any folder uses it."});
  for (const auto& type : Check({.directory = tree.Root()}).types) {
    CHECK(type.type.class_name != "Wide");
  }
}

TEST_CASE("Check: an entry behind one of a wider path is told") {
  CHECK(PathIsShadowed("*", "a.x"));
  CHECK(PathIsShadowed("*", "**"));
  CHECK(PathIsShadowed("**", "*"));
  CHECK(PathIsShadowed("*.x", "a.x"));
  CHECK(PathIsShadowed("*.X", "/b/a.x"));
  CHECK(PathIsShadowed("*.x", "a/*.x"));
  CHECK(PathIsShadowed("*.x", "*.y.x"));
  CHECK(PathIsShadowed("a.x", "b/a.x"));
  CHECK(PathIsShadowed("a.x", "/a.x"));
  CHECK(PathIsShadowed("/a/**", "/a/b/*.x"));
  CHECK(PathIsShadowed("/a/*", "/a/b"));
  CHECK(PathIsShadowed("/**", "*.x"));
  CHECK(PathIsShadowed("?.x", "a.x"));
  CHECK(PathIsShadowed("*.x,*.y", "a.y,b.x"));
  CHECK(PathIsShadowed("~/a/**", "/a/b"));
  CHECK(PathIsShadowed("*.?", "*.x"));
  CHECK(PathIsShadowed("/a/*/c", "/a/b/c"));
}

TEST_CASE("Check: an entry that is left something is not told") {
  CHECK_FALSE(PathIsShadowed("a.x", "*.x"));
  CHECK_FALSE(PathIsShadowed("/a.x", "a.x"));
  CHECK_FALSE(PathIsShadowed("b/a.x", "a.x"));
  CHECK_FALSE(PathIsShadowed("*.x", "*.x,*.y"));
  CHECK_FALSE(PathIsShadowed("*.x", "*.xx"));
  CHECK_FALSE(PathIsShadowed("a.x", "ba.x"));
  CHECK_FALSE(PathIsShadowed("/a/*", "/a/**"));
  CHECK_FALSE(PathIsShadowed("/a/*", "/a/b/c"));
  CHECK_FALSE(PathIsShadowed("?.x", "*.x"));
  CHECK_FALSE(PathIsShadowed("/*", "*.x"));
  CHECK_FALSE(PathIsShadowed("*/*.x", "*"));
  CHECK_FALSE(PathIsShadowed(",", "/a/**"));
}

TEST_CASE("Check: verb lists are compared member by member") {
  CHECK(VerbIsShadowed("*", "GET"));
  CHECK(VerbIsShadowed("GET, HEAD", "HEAD"));
  CHECK(VerbIsShadowed("GET,HEAD,POST", "POST,GET"));
  CHECK(VerbIsShadowed("P*", "PUT,PO?T"));
  CHECK(VerbIsShadowed("**", "*"));
  CHECK_FALSE(VerbIsShadowed("GET", "*"));
  CHECK_FALSE(VerbIsShadowed("GET", "GET,HEAD"));
  CHECK_FALSE(VerbIsShadowed("GETS", "GET"));
  CHECK_FALSE(VerbIsShadowed("P?T", "P*"));
  CHECK_FALSE(VerbIsShadowed("GET,HEAD,POST,PUT,DELETE", "*"));
}

TEST_CASE("Check: several entries together may leave nothing, each of a member of its own") {
  const TemporaryTree tree(
      {{"machine.json",
        Only({{"GET", "*.x", "A"}, {"HEAD", "**", "B"}, {"GET,HEAD", "a.x", "C"}})}});
  CHECK(Checked(tree) ==
        Lines{"machine.json:4:2: warning: No request reaches this entry: the ones at "
              "machine.json:2:2 and machine.json:3:2 match all that it matches, and are searched "
              "first."});
}

TEST_CASE("Check: several entries that match all of another only together are told") {
  const auto shadows = [](const std::vector<Mapped>& entries) {
    std::string text = "{\"httpHandlers\": [{\"clear\": {}}";
    for (const Mapped& entry : entries) {
      text += ",\n{\"add\": {\"verb\": \"" + std::string(entry.verb) + "\", \"path\": \"" +
              std::string(entry.path) + "\", \"type\": \"T\"}}";
    }
    const TemporaryTree tree({{"machine.json", text + "]}"}});
    std::string told;
    for (const std::string& line : Checked(tree)) {
      std::size_t at = line.find("No request reaches this entry:");
      REQUIRE(at != std::string::npos);
      // The lines of the others, counted from 1 as the entries are.
      for (at = line.find("json:", at); at != std::string::npos; at = line.find("json:", at + 1)) {
        told += std::to_string(std::stoi(line.substr(at + 5)) - 1) + " ";
      }
      told += line.starts_with("machine.json:" + std::to_string(entries.size() + 1)) ? "" : "? ";
    }
    return told;
  };
  // Methods.
  CHECK(shadows({{"G*", "*.x", ""}, {"?*", "*.x", ""}, {"GET", "*.y", ""}, {"*", "a.x", ""}}) ==
        "");
  CHECK(shadows({{"GET,HEAD", "*.x", ""}, {"H*,G*", "a.x", ""}, {"G*,HEAD", "a.x", ""}}) == "1 2 ");
  CHECK(shadows({{"A*", "*.x", ""}, {"*B", "a.x", ""}, {"A*,HB,*CB", "a.x", ""}}) == "1 2 ");
  CHECK(shadows({{"?", "*.x", ""}, {"??*", "a.x", ""}, {"?*", "a.x", ""}}) == "1 2 ");
  CHECK(shadows({{"?", "*.x", ""}, {"???*", "a.x", ""}, {"?*", "a.x", ""}}) == "");
  // Paths.
  CHECK(shadows({{"*", "/a/*", ""}, {"*", "/a/*/**", ""}, {"GET", "/a/**", ""}}) == "1 2 ");
  CHECK(shadows({{"*", "/a/*", ""}, {"*", "/a/*/*", ""}, {"GET", "/a/**", ""}}) == "");
  // A name may begin with a byte that begins no character.
  CHECK(shadows({{"*", "?.x", ""}, {"*", "??*.x,.x", ""}, {"*", "*.x", ""}}) == "");
  CHECK(shadows({{"*", "*.a", ""}, {"*", "*.b,*.c", ""}, {"*", "b.b,c.c,a.a", ""}}) == "1 2 ");
  // Both: for GET the first and the second, for others the third alone.
  CHECK(shadows({{"GET", "/a/*", ""},
                 {"G*", "/a/*/**", ""},
                 {"POST", "/a/**", ""},
                 {"GET,POST", "/a/**", ""}}) == "1 2 3 ");
  CHECK(shadows({{"G*", "/a/*", ""},
                 {"*", "/a/*/**", ""},
                 {"?", "/a/*", ""},
                 {"GET", "/b", ""},
                 {"G*", "/a/**", ""}}) == "1 2 ");
  // One that does it alone is named alone.
  CHECK(shadows({{"*", "/a/*/*", ""}, {"*", "/a/**", ""}, {"GET", "/a/**", ""}}) == "2 ");
}

TEST_CASE("Check: an entry for other paths than those of its folder is told with the path meant") {
  const auto told = [](std::string_view path, std::string_view file = "default/shop/mapping.json") {
    const TemporaryTree tree({{file, File({{"*", path, "A"}})}});
    const Lines lines = Checked(tree);
    return lines.empty() ? "" : lines.front().substr(lines.front().find("entry: ") + 7);
  };
  const std::string other = R"(the paths that it is for begin with "/shop/", and none of them )";
  CHECK(told("/orders") == other + R"(matches "/orders". Write "/shop/orders".)");
  CHECK(told("/orders/**,/a?/*.x") ==
        other + R"(matches "/orders/**,/a?/*.x". Write "/shop/orders/**,/shop/a?/*.x".)");
  CHECK(told("~/a") == other + R"(matches "~/a". Write "/shop/a".)");
  CHECK(told("/shop") == other + R"(matches "/shop". Write "/shop/shop".)");
  CHECK(told("/shop*") == other + R"(matches "/shop*". Write "/shop/shop*".)");
  CHECK(told("/?/**") == other + R"(matches "/?/**". Write "/shop/?/**".)");
  CHECK(told("a//b,/shop/../x,./a") == other + R"(matches "a//b,/shop/../x,./a".)");
  CHECK(told("a//b", "machine.json") == R"(no path matches "a//b".)");
  for (const std::string_view path :
       {"orders", "/**", "/*/orders", "/SHOP/orders", "/sh?p/*", "/s**s", "/shop/**", "/orders,a",
        "*", "/shop/", "/*p/", "a/b", ",", "/**/x", "/sho?/x", "/...", "/.x,/shop/.x"}) {
    CAPTURE(path);
    CHECK(told(path) == (path == "/..." ? other + R"(matches "/...". Write "/shop/...".)" : ""));
  }
  for (const std::string_view path : {"/orders", "~/orders"}) {
    CHECK(told(path, "machine.json") == "");
    CHECK(told(path, "default/mapping.json") == "");
  }
}

TEST_CASE("Check: what a location and an application are for counts too") {
  const auto add = [](std::string_view path) {
    return R"({"httpHandlers": [{"add": {"verb": "*", "type": "T", "path": ")" + std::string(path) +
           "\"}}]}";
  };
  const TemporaryTree tree({{"default/mapping.json", R"({"locations": {"up/x": )" + add("/x") +
                                                         R"(, "down": )" + add("/down,/x") + "}}"},
                            {"default/app/mapping.json", R"({"application": true})"},
                            {"default/app/in/mapping.json", add("~/x")},
                            {"default/app/too/mapping.json", add("~/too/x")}});
  const Lines lines = Checked(tree);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find(
            R"(begin with "/app/in/", and none of them matches "~/x". Write "/app/in/x".)") !=
        std::string::npos);
  CHECK(lines[1].find(R"(begin with "/up/x", and none of them matches "/x". Write "/up/x/x".)") !=
        std::string::npos);
}

TEST_CASE("Check: an entry that depends on the disk hides only what depends on it as well") {
  const auto told = [](std::string_view first, std::string_view second) {
    const auto add = [](std::string_view verb, std::string_view type) {
      return R"({"add": {"verb": ")" + std::string(verb) +
             R"(", "path": "*.x", "type": "A", "resourceType": ")" + std::string(type) + "\"}}";
    };
    const TemporaryTree tree(
        {{"machine.json", R"({"httpHandlers": [{"clear": {}}, )" + add("*", first) + ", " +
                              add("GET", second) + "]}"}});
    return !Checked(tree).empty();
  };
  CHECK(told("file", "file"));
  CHECK(told("either", "file"));
  CHECK(told("either", "directory"));
  CHECK(told("unspecified", "either"));
  CHECK_FALSE(told("file", "unspecified"));
  CHECK_FALSE(told("either", "unspecified"));
  CHECK_FALSE(told("file", "directory"));
  CHECK_FALSE(told("file", "either"));
}

TEST_CASE("Check: an entry is told of only when no folder's chain reaches it") {
  const TemporaryTree tree({{"machine.json", Only({{"*", "a.x", "A"}, {"*", "*.z", "Z"}})},
                            {"default/mapping.json", File({{"*", "*.x", "B"}})}});
  CHECK(Checked(tree) ==
        Lines{"machine.json:2:2: warning: No request reaches this entry: the one at "
              "default/mapping.json:1:20 matches all that it matches, and is searched first."});
  SUBCASE("another site does") {
    tree.Write("example.org/mapping.json", File({{"*", "*.y", "C"}}));
    CHECK(Checked(tree).empty());
  }
  SUBCASE("a folder of the site does") {
    tree.Write("default/b/mapping.json",
               R"({"httpHandlers": [{"remove": {"verb": "*", "path": "*.x"}}]})");
    CHECK(Checked(tree).empty());
  }
  SUBCASE("a folder may: its file has errors") {
    tree.Write("default/b/mapping.json", "{");
    CHECK(Checked(tree).size() == 1);
  }
}

TEST_CASE("Check: the root of an application counts") {
  // At the site's root the first matches what the second does; in the application it does not.
  const TemporaryTree tree({{"machine.json", Only({{"*", "~/*/a.x", "A"}, {"*", "/app/a.x", "B"}})},
                            {"default/app/mapping.json", R"({"application": true})"}});
  CHECK(Checked(tree).empty());
  tree.Write("machine.json", Only({{"*", "~/a.x", "A"}, {"*", "/a.x", "B"}}));
  CHECK(Checked(tree).size() == 1);
}

TEST_CASE("Check: an entry that its own file takes away again is told") {
  const TemporaryTree tree({{"machine.json", R"({"httpHandlers": [
{"add": {"verb": "*", "path": "*.x", "type": "A"}},
{"clear": {}},
{"add": {"verb": "*", "path": "*.y", "type": "A"}},
{"add": {"verb": "*", "path": "*.Y", "type": "B"}}]})"}});
  const std::string why =
      " warning: No request reaches this entry: it is replaced, removed or cleared again before "
      "any folder uses it.";
  CHECK(Checked(tree) == Lines{"machine.json:2:2:" + why, "machine.json:4:2:" + why});
}

TEST_CASE("Check: nothing is told of the built-in defaults") {
  const TemporaryTree tree({{"machine.json", File({{"*", "*", "A"}})}});
  CHECK(Checked(tree).empty());
}

TEST_CASE("Check: entries of one name in one chain are told, at the one that took it") {
  const auto named = [](std::string_view path, std::string_view name) {
    return R"({"add": {"verb": "*", "type": "A", "path": ")" + std::string(path) +
           R"(", "name": ")" + std::string(name) + "\"}}";
  };
  const TemporaryTree tree(
      {{"machine.json", R"({"httpHandlers": [{"clear": {}},)" + named("*.x", "one") + "]}"},
       {"default/mapping.json", "{\"httpHandlers\": [\n" + named("*.y", "one") + ",\n" +
                                    named("*.z", "two") + ",\n" + named("*.zz", "two") + ",\n" +
                                    named("*.zzz", "Two") + "]}"},
       {"other/mapping.json", "{\"httpHandlers\": [\n" + named("*.z", "two") + "]}"}});
  CHECK(Checked(tree) ==
        Lines{"default/mapping.json:2:2: warning: The name \"one\" is also that of the entry at "
              "machine.json:1:34: logs and metrics cannot tell the two apart. Give it another.",
              "default/mapping.json:4:2: warning: The name \"two\" is also that of the entry at "
              "default/mapping.json:3:2: logs and metrics cannot tell the two apart. Give it "
              "another."});
}

TEST_CASE("Check: types are named also where there are errors, the built-in ones aside") {
  const TemporaryTree tree({{"machine.json", File({{"*", "*.x", "A, m"}})},
                            {"default/mapping.json", "{"},
                            {"other/mapping.json",
                             R"({"httpHandlers": [{"add": {"verb": "*", "path": "*.y", "type": "B",
                                  "validate": false}}]})"}});
  const CheckResult checked = Check({.directory = tree.Root()});
  CHECK(checked.problems.size() == 1);
  REQUIRE(checked.types.size() == 2);
  CHECK(checked.types[0].type.class_name == "A");
  CHECK(checked.types[0].type.module == "m");
  CHECK(checked.types[0].validate);
  CHECK(checked.types[1].type.class_name == "B");
  CHECK_FALSE(checked.types[1].validate);
  CHECK(checked.types[1].where.column == 64);
}

TEST_CASE("Check: what is told to be unreachable is chosen for no path, on random tables") {
  static constexpr std::string_view kPatterns[] = {
      "*",   "**",   "*.x",  "a.x",  "/a/*", "/a/**", "a/*.x", "?.x",    "/a/b", "b",
      "*/b", "/?/b", "*a.x", "~/a/", "a*",   "*a*",   "/**",   "**/a.x", "",     "/a/?*"};
  static constexpr std::string_view kVerbs[] = {"*", "GET", "GET,PUT", "P*", "?ET", "PUT"};
  static constexpr std::string_view kSegments[] = {"a", "b", "a.x", "ba.x", "x", "ab"};
  static constexpr std::string_view kMethods[] = {"GET", "PUT", "POST", "SET"};
  std::uint32_t state = 7;
  const auto below = [&state](std::size_t bound) {
    state = state * 1664525U + 1013904223U;
    return (state >> 16U) % bound;
  };
  std::size_t told = 0;
  for (int turn = 0; turn < 300; ++turn) {
    std::string text = "{\"httpHandlers\": [{\"clear\": {}}";
    for (int i = 0; i < 6; ++i) {
      text += ",\n{\"add\": {\"type\": \"T\", \"verb\": \"" + std::string(kVerbs[below(6)]) +
              "\", \"path\": \"" + std::string(kPatterns[below(20)]) + "," +
              std::string(kPatterns[below(20)]) + "\"}}";
    }
    const TemporaryTree tree({{"machine.json", text + "]}"}});
    std::vector<int> unreachable;
    for (const Problem& problem : Check({.directory = tree.Root()}).problems) {
      if (problem.sentence.starts_with("No request")) {
        unreachable.push_back(problem.where.line);
      }
    }
    told += unreachable.size();
    const auto table = tree.Load().table;
    REQUIRE(table);
    for (int i = 0; i < 200; ++i) {
      std::string path;
      for (std::size_t left = below(4) + 1; left > 0; --left) {
        path += '/' + std::string(kSegments[below(6)]);
      }
      path += below(5) == 0 ? "/" : "";
      const auto resolution = table->Resolve("h", kMethods[below(4)], path, "");
      if (resolution.entry != nullptr) {
        CAPTURE(path);
        CAPTURE(text);
        REQUIRE(std::ranges::find(unreachable, resolution.entry->where.line) == unreachable.end());
      }
    }
  }
  CHECK(told > 300);
}

namespace {

// A disk on which there is the same everywhere.
class Everywhere final : public weft::mappings::IResources {
 public:
  explicit Everywhere(weft::mappings::Resource resource) : resource_(resource) {}
  weft::mappings::Resource At(std::string_view /*file_path*/) override { return resource_; }

 private:
  weft::mappings::Resource resource_;
};

}  // namespace

TEST_CASE("Check: what is told to be unreachable is chosen for no request, on random sites") {
  static constexpr std::string_view kPatterns[] = {
      "*",     "**",    "*.x",  "a.x",  "/a/*", "/a/**", "a/*.x", "?.x",   "/a/b",  "b",
      "/a/?",  "/?/b",  "/a?",  "~/a/", "a*",   "*a*",   "/**",   "??*.x", "/b/**", "/a/?*",
      "~/b/*", "~/a.x", "/A/B", "~/**", "a//b", "/a/./", "/a/b/", "*/",    "/*/**", "/b/a/b"};
  static constexpr std::string_view kVerbs[] = {"*",  "GET", "GET,PUT", "P*", "?ET", "PUT",
                                                "G*", "?*",  "*T",      "??", "???*"};
  static constexpr std::string_view kTypes[] = {"unspecified", "file", "directory", "either"};
  static constexpr std::string_view kSegments[] = {"a", "b", "A", "a.x", "ba.x", "x"};
  static constexpr std::string_view kMethods[] = {"GET", "PUT", "POST", "SET", "PT", "G", "", "x"};
  std::uint32_t state = 23;
  const auto below = [&state](std::size_t bound) {
    state = state * 1664525U + 1013904223U;
    return (state >> 16U) % bound;
  };
  const auto entries = [&] {
    std::string text = R"("httpHandlers": [)";
    text += below(4) == 0 ? "{\"clear\": {}}" : "";
    for (std::size_t i = below(5); i > 0; --i) {
      const std::string key = R"({"verb": ")" + std::string(kVerbs[below(std::size(kVerbs))]) +
                              R"(", "path": ")" +
                              std::string(kPatterns[below(std::size(kPatterns))]);
      text += text.ends_with('[') ? "\n" : ",\n";
      if (below(8) == 0) {
        text += R"({"remove": )" + key + "\"}}";
        continue;
      }
      text += R"({"add": )" + key + (below(2) == 0 ? "" : ",") +
              (text.ends_with(',') ? std::string(kPatterns[below(std::size(kPatterns))]) : "") +
              R"(", "type": "T", "resourceType": ")" +
              std::string(kTypes[below(3) == 0 ? below(4) : 0]) + "\"}}";
    }
    return text + "]";
  };
  const auto file = [&](bool application) {
    return "{" + std::string(application && below(2) == 0 ? R"("application": true, )" : "") +
           entries() + R"(, "locations": {")" + std::string(kSegments[below(4)]) + "\": {" +
           entries() + "}}}";
  };
  std::size_t told = 0;
  for (int turn = 0; turn < 400; ++turn) {
    const TemporaryTree tree({{"machine.json", file(false)},
                              {"default/mapping.json", file(true)},
                              {"default/a/mapping.json", file(true)},
                              {"default/a/b/mapping.json", file(true)},
                              {"h/b/mapping.json", file(true)}});
    std::set<std::pair<std::string, int>> unreachable;
    for (const Problem& problem : Check({.directory = tree.Root()}).problems) {
      if (problem.sentence.starts_with("No request")) {
        unreachable.emplace(problem.where.file, problem.where.line);
      }
    }
    told += unreachable.size();
    const auto table = tree.Load().table;
    REQUIRE(table);
    for (int i = 0; i < 400; ++i) {
      std::string path;
      for (std::size_t left = below(5) + 1; left > 0; --left) {
        path += '/' + std::string(kSegments[below(std::size(kSegments))]);
      }
      path += below(4) == 0 ? "/" : "";
      Everywhere disk(static_cast<weft::mappings::Resource>(below(3)));
      const auto resolution =
          table->Resolve(below(2) == 0 ? "h" : "g", kMethods[below(std::size(kMethods))], path,
                         below(6) == 0 ? "/b" : "", &disk);
      if (resolution.entry != nullptr) {
        CAPTURE(path);
        CAPTURE(resolution.entry->where.ToString());
        REQUIRE_FALSE(
            unreachable.contains({resolution.entry->where.file, resolution.entry->where.line}));
      }
    }
  }
  CHECK(told > 1000);
}
