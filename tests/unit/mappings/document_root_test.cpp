// Mapping files in document roots: their place among the levels, and what a tree full of other things does to them.

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/loader.hpp"
#include "tests/unit/mappings/support.hpp"

using weft::mappings::LoadLimits;
using weft::mappings::LoadResult;
using weft::mappings::MappingSources;
using weft::mappings::MappingTable;
using weft::mappings::testing::File;
using weft::mappings::testing::Routed;
using weft::mappings::testing::TemporaryTree;
using weft::mappings::testing::Told;
using Lines = std::vector<std::string>;

namespace {

std::string Add(std::string_view type) { return File({{"*", "*.x", type}}); }

/// The tree's folder `map`, where it has one, and `www` as the document root of a host.
MappingSources Sources(const TemporaryTree& tree, const std::string& host = "default") {
  MappingSources sources{.document_roots = {{host, tree / "www"}}};
  if (std::filesystem::exists(tree / "map")) {
    sources.directory = tree / "map";
  }
  return sources;
}

/// The files of the chain of a path's folder, the built-in defaults aside.
Lines LevelsOf(const TemporaryTree& tree, const MappingTable& table, std::string_view path,
               std::string_view host = "example.org") {
  const auto resolution = table.Resolve(host, "GET", path, "");
  Lines files;
  for (const auto& level : resolution.settings->levels) {
    if (!level->file.empty()) {
      const std::string at = level->location.empty() ? "" : " " + level->location;
      files.push_back(level->file.substr(tree.Root().string().size() + 1) + at);
    }
  }
  return files;
}

}  // namespace

TEST_CASE("Document root: its file is a level right after that of the mirrored folder") {
  const TemporaryTree tree({{"map/machine.json", "{}"},
                            {"map/example.org/mapping.json", "{}"},
                            {"map/example.org/shop/mapping.json", "{}"},
                            {"map/example.org/shop/orders/mapping.json", "{}"},
                            {"www/mapping.json", "{}"},
                            {"www/shop/mapping.json", "{}"},
                            {"www/shop/orders/mapping.json", "{}"},
                            {"www/shop/orders/page.html", ""}});
  const LoadResult result = tree.Load(Sources(tree, "example.org"));
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  CHECK(LevelsOf(tree, *result.table, "/shop/orders/x.ashx") ==
        Lines{"map/machine.json", "map/example.org/mapping.json", "www/mapping.json",
              "map/example.org/shop/mapping.json", "www/shop/mapping.json",
              "map/example.org/shop/orders/mapping.json", "www/shop/orders/mapping.json"});
}

TEST_CASE("Document root: entries, settings, applications and locations go by that order") {
  const TemporaryTree tree(
      {{"map/example.org/mapping.json",
        R"({"httpRuntime": {"maxRequestBytes": 1, "maxUrlBytes": 1000},
            "locations": {"shop/new.x": {"httpRuntime": {"maxQueryStringBytes": 11}}},
            "httpHandlers": [{"add": {"verb": "*", "path": "*.x", "type": "Mirrored"}},
                             {"add": {"verb": "*", "path": "~/r", "type": "Root"}}]})"},
       {"www/mapping.json", R"({"httpRuntime": {"maxRequestBytes": 2},
            "locations": {"shop/new.x": {"httpRuntime": {"maxQueryStringBytes": 22}}},
            "defaultDocuments": ["start.x"],
            "httpHandlers": [{"add": {"verb": "*", "path": "*.x", "type": "Served"}}]})"},
       {"map/example.org/shop/mapping.json", R"({"httpRuntime": {"maxRequestBytes": 3}})"},
       {"www/shop/mapping.json", R"({"application": true})"}});
  const LoadResult result = tree.Load(Sources(tree, "example.org"));
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  const MappingTable& table = *result.table;
  CHECK(Routed(table, "GET", "/a.x") == "Served /a.x");
  const auto at = [&table](std::string_view path) {
    return table.Resolve("example.org", "GET", path, "").settings;
  };
  CHECK(at("/a.x")->runtime.max_request_bytes.value == 2);
  CHECK(at("/a.x")->runtime.max_url_bytes.value == 1000);
  CHECK(at("/a.x")->default_documents.value == std::vector<std::string>{"start.x"});
  CHECK(at("/shop/a.x")->runtime.max_request_bytes.value == 3);
  // Both locations are for the path; that of the later level comes later.
  CHECK(at("/shop/new.x")->runtime.max_query_string_bytes.value == 22);
  CHECK(at("/a.x")->application_root == "/");
  CHECK(at("/shop/a.x")->application_root == "/shop/");
  CHECK(Routed(table, "GET", "/shop/r") == "Root /shop/r");
  CHECK(Routed(table, "GET", "/r") == "Root /r");
}

TEST_CASE("Document root: what a level above has locked holds") {
  const std::string lock =
      R"({"httpHandlers": [{"add": {"verb": "*", "path": "*.x", "type": "A", "lock": true}}]})";
  const TemporaryTree tree({{"map/default/mapping.json", lock},
                            {"www/mapping.json", Add("B")},
                            {"www/sub/mapping.json", R"({"httpHandlers": [{"clear": {}}]})"}});
  const LoadResult result = tree.Load(Sources(tree));
  CHECK_FALSE(result.table);
  const Lines told = Told(result.problems);
  REQUIRE(told.size() == 2);
  CHECK(told[0].starts_with("www/mapping.json:1:20: error: This entry would take away the entry"));
  CHECK(told[1].starts_with("www/sub/mapping.json:1:20: error: This directive would take away"));
  CHECK(told[1].find("which is locked at " + (tree / "map/default/mapping.json").string()) !=
        std::string::npos);
  // And one that is locked there holds for the mirrored folders below.
  const TemporaryTree other(
      {{"map/default/sub/mapping.json", Add("B")}, {"www/mapping.json", lock}});
  CHECK(Told(other.Load(Sources(other)).problems)
            .front()
            .starts_with("map/default/sub/mapping.json"));
}

TEST_CASE("Document root: its host is a site of its own, with a mirrored folder or without") {
  const TemporaryTree tree({{"map/machine.json", File({{"*", "*.m", "Machine"}})},
                            {"map/default/mapping.json", Add("Default")},
                            {"map/mirrored.org/mapping.json", Add("Mirrored")},
                            {"www/mapping.json", Add("Served")},
                            {"empty/page.html", ""}});
  MappingSources sources = Sources(tree, "Example.org");
  sources.document_roots.push_back({"bare.org", tree / "empty"});
  const LoadResult result = tree.Load(sources);
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  const MappingTable& table = *result.table;
  CHECK(Routed(table, "GET", "/a.x", "", "EXAMPLE.org:8080") == "Served /a.x");
  CHECK(Routed(table, "GET", "/a.m", "", "example.org") == "Machine /a.m");
  CHECK(Routed(table, "GET", "/a.x", "", "mirrored.org") == "Mirrored /a.x");
  CHECK(Routed(table, "GET", "/a.x", "", "other.org") == "Default /a.x");
  CHECK(Routed(table, "GET", "/a.x", "", "bare.org") == "weft::StaticFileHandler /a.x");
  CHECK(table.SiteName("example.ORG:80") == "Example.org");
  CHECK(table.SiteName("mirrored.org.") == "mirrored.org");
  CHECK(table.SiteName("other.org") == "default");
  CHECK(table.SiteName("") == "default");
}

TEST_CASE(
    "Document root: without a folder of mappings there are the built-in defaults and its files") {
  const TemporaryTree tree({{"www/sub/mapping.json", Add("Served")}});
  const LoadResult result = tree.Load(Sources(tree));
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  CHECK(Routed(*result.table, "GET", "/sub/a.x") == "Served /sub/a.x");
  CHECK(Routed(*result.table, "GET", "/a.ashx") == "weft::SimpleHandlerFactory /a.ashx");
  CHECK(LevelsOf(tree, *result.table, "/sub/a.x") == Lines{"www/sub/mapping.json"});
}

TEST_CASE("Document root: letter case joins a folder with its mirrored one") {
  const TemporaryTree tree({{"map/default/shop/mapping.json", Add("Mirrored")},
                            {"www/Shop/mapping.json", R"({"application": true})"}});
  const LoadResult result = tree.Load(Sources(tree));
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  CHECK(LevelsOf(tree, *result.table, "/SHOP/a.x") ==
        Lines{"map/default/shop/mapping.json", "www/Shop/mapping.json"});
}

TEST_CASE("Document root: folders of one name but for letter case are wrong if both have files") {
  TemporaryTree tree({{"www/Pics/mapping.json", Add("A")},
                      {"www/pics/cat.jpg", ""},
                      {"www/a/Sub/x", ""},
                      {"www/a/sub/x", ""}});
  CHECK(Told(tree.Load(Sources(tree)).problems).empty());
  tree.Write("www/pics/deep/mapping.json", Add("B"));
  CHECK(Told(tree.Load(Sources(tree)).problems) ==
        Lines{"www/pics: error: This folder and \"Pics\" beside it differ in letter case only, "
              "which does not count in paths, and both have mapping files in them or below. Merge "
              "the two, or rename one."});
}

TEST_CASE(
    "Document root: hidden folders and whatever else lies there is passed over without a word") {
  TemporaryTree tree({{"www/.git/mapping.json", "not JSON"},
                      {"www/.well-known/mapping.json", "not JSON"},
                      {"www/..data/mapping.json", "not JSON"},
                      {"www/sub/.hidden/mapping.json", "not JSON"},
                      {"www/machine.json", "not JSON"},
                      {"www/Machine.JSON", "not JSON"},
                      {"www/old backup/page.html", ""},
                      {"www/a.example:80/page.html", ""},
                      {"www/mapping.json~", "not JSON"}});
  tree.Link("www/gone", "nowhere");
  tree.Link("www/loop", "loop");
  tree.Link("www/link.html", "old backup/page.html");
  const LoadResult result = tree.Load(Sources(tree));
  CHECK(Told(result.problems).empty());
  CHECK(result.table);
}

TEST_CASE("Document root: what bears the name of a mapping file, or nearly, is told of") {
  TemporaryTree tree({{"www/a/Mapping.json", Add("A")}, {"www/d/mapping.json", "{"}});
  tree.MakeFolder("www/b/mapping.json");
  tree.MakeFolder("www/c");
  tree.Link("www/c/mapping.json", "nowhere");
  const Lines told = Told(tree.Load(Sources(tree)).problems);
  REQUIRE(told.size() == 4);
  CHECK(told[0] ==
        "www/a/Mapping.json: warning: This file is not read. Its name must be in small letters: "
        "mapping.json.");
  CHECK(told[1].starts_with("www/b/mapping.json: error: This is a folder"));
  CHECK(told[2].starts_with("www/c/mapping.json: error: This file cannot be opened"));
  CHECK(told[3].starts_with("www/d/mapping.json:1:2: error: JSON syntax error"));
}

TEST_CASE("Document root: links are followed, but not back to a folder that they lie in") {
  TemporaryTree tree({{"www/a/mapping.json", Add("A")},
                      {"elsewhere/sub/mapping.json", Add("B")},
                      {"beside/mapping.json", "not JSON"}});
  tree.Link("www/out", tree / "elsewhere");
  tree.Link("elsewhere/sub/back", tree / "elsewhere");
  tree.Link("www/a/self", ".");
  tree.Link("www/a/top", tree / "www");
  tree.Link("www/a/above", tree.Root());
  tree.Link("www/a/root", "/");
  const LoadResult result = tree.Load(Sources(tree));
  const std::string sentence =
      ": warning: This folder is, by way of a symbolic link, one that it lies in: mapping files "
      "are "
      "not looked for below the link.";
  CHECK(Told(result.problems) == Lines{"www/a/above" + sentence, "www/a/root" + sentence,
                                       "www/a/self" + sentence, "www/a/top" + sentence,
                                       "www/out/sub/back" + sentence});
  REQUIRE(result.table);
  CHECK(Routed(*result.table, "GET", "/a/a.x") == "A /a/a.x");
  CHECK(Routed(*result.table, "GET", "/out/sub/a.x") == "B /out/sub/a.x");
}

TEST_CASE("Document root: it must be there, and be a folder") {
  TemporaryTree tree;
  CHECK(
      Told(tree.Load(Sources(tree)).problems) ==
      Lines{
          "www: error: There is no such folder. Create it, or correct the option that names it."});
  tree.Write("www", "");
  const LoadResult result = tree.Load(Sources(tree));
  CHECK_FALSE(result.table);
  CHECK(Told(result.problems) ==
        Lines{"www: error: This must be the folder of a site's files, not a file."});
}

TEST_CASE("Document root: depth matters to mapping files alone") {
  std::string path = "www";
  for (std::size_t i = 0; i < MappingTable::kMaxFolderDepth; ++i) {
    path += "/d";
  }
  TemporaryTree tree({{path + "/mapping.json", Add("Deep")}, {path + "/d/d/d/page.html", ""}});
  const LoadResult good = tree.Load(Sources(tree));
  CHECK(Told(good.problems).empty());
  REQUIRE(good.table);
  const std::string url = path.substr(3) + "/a.x";
  CHECK(Routed(*good.table, "GET", url) == "Deep " + url);
  tree.Write(path + "/d/d/mapping.json", Add("Deeper"));
  CHECK(Told(tree.Load(Sources(tree)).problems) ==
        Lines{path + "/d/d/mapping.json: error: The folder of this file is deeper than 64 levels "
                     "below the document root. Move it up."});
}

TEST_CASE("Document root: its folders count for the bound, which says what to do") {
  TemporaryTree tree({{"map/default/mapping.json", "{}"}});
  for (int i = 0; i < 7; ++i) {
    tree.MakeFolder("www/" + std::to_string(i));
  }
  tree.MakeFolder("www/.hidden");
  // The mirrored site, the document root, and what lies in it.
  CHECK(Told(tree.Load(Sources(tree), {.folders = 9}).problems).empty());
  CHECK(
      Told(tree.Load(Sources(tree), {.folders = 8}).problems) ==
      Lines{"www/6: error: There are more than 8 folders in the mappings and the document roots "
            "together; this one and all further ones were not read. Remove some, or a symbolic "
            "link that multiplies them; or take the largest root out of --document-root-mappings, "
            "and keep its mapping files below --mappings."});
}

TEST_CASE("Document root: folders that may not be listed are warned of, and do not stop the rest") {
  if (::geteuid() == 0) {
    MESSAGE("skipped: root may list everything");
    return;
  }
  using std::filesystem::perms;
  TemporaryTree tree({{"www/closed/mapping.json", "not JSON"},
                      {"www/by-name/mapping.json", Add("ByName")},
                      {"www/by-name/below/mapping.json", "not JSON"},
                      {"www/nothing/page.html", ""},
                      {"www/unreadable/mapping.json", Add("A")}});
  const auto set = [&tree](std::string_view path, perms permissions) {
    std::filesystem::permissions(tree / path, permissions);
  };
  set("www/closed", perms::none);
  set("www/by-name", perms::owner_exec);
  set("www/nothing", perms::owner_exec);
  const LoadResult result = tree.Load(Sources(tree));
  set("www/unreadable/mapping.json", perms::none);
  const LoadResult worse = tree.Load(Sources(tree));
  for (const std::string_view path : {"www/closed", "www/by-name", "www/nothing"}) {
    set(path, perms::owner_all);
  }
  const auto sentence = [](std::string_view where) {
    return ": warning: This folder cannot be listed: Permission denied. Mapping files " +
           std::string(where) + " are not read. If there are any, let Weft's user list it.";
  };
  CHECK(Told(result.problems) == Lines{"www/by-name" + sentence("below it"),
                                       "www/closed" + sentence("in it and below it"),
                                       "www/nothing" + sentence("below it")});
  REQUIRE(result.table);
  CHECK(Routed(*result.table, "GET", "/by-name/a.x") == "ByName /by-name/a.x");
  CHECK_FALSE(worse.table);
  CHECK(Told(worse.problems).back() ==
        "www/unreadable/mapping.json: error: This file cannot be opened: Permission denied.");
}

TEST_CASE("Document root: one that may not be listed is an error") {
  if (::geteuid() == 0) {
    MESSAGE("skipped: root may list everything");
    return;
  }
  const TemporaryTree tree({{"www/page.html", ""}});
  std::filesystem::permissions(tree / "www", std::filesystem::perms::none);
  const LoadResult result = tree.Load(Sources(tree));
  std::filesystem::permissions(tree / "www", std::filesystem::perms::owner_all);
  CHECK(Told(result.problems) ==
        Lines{"www: error: This folder cannot be listed: Permission denied."});
}
