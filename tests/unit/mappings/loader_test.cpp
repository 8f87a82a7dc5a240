#include "mappings/loader.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/as_nobody.hpp"
#include "tests/unit/mappings/support.hpp"

using namespace std::chrono_literals;
using weft::mappings::Load;
using weft::mappings::LoadLimits;
using weft::mappings::LoadResult;
using weft::mappings::MappingTable;
using weft::mappings::TypeUse;
using weft::mappings::testing::File;
using weft::mappings::testing::Only;
using weft::mappings::testing::Routed;
using weft::mappings::testing::TemporaryTree;
using weft::mappings::testing::Told;
using weft::test::AsNobody;
using Lines = std::vector<std::string>;

namespace {

std::string Add(std::string_view type) { return File({{"*", "*.x", type}}); }

}  // namespace

TEST_CASE("Load: without a folder there are the built-in defaults") {
  const LoadResult result = Load({});
  CHECK(result.problems.empty());
  REQUIRE(result.table);
  CHECK(Routed(*result.table, "GET", "/a.ashx") == "weft::SimpleHandlerFactory /a.ashx");
}

TEST_CASE("Load: an empty folder is good, and all its files may be missing") {
  const LoadResult result = TemporaryTree().Load();
  CHECK(result.problems.empty());
  CHECK(result.table);
}

TEST_CASE("Load: a folder that is not there, and a file in its place") {
  const TemporaryTree tree({{"file", ""}});
  LoadResult result = Load({.directory = tree / "nothing"});
  CHECK_FALSE(result.table);
  CHECK(Told(result.problems) ==
        Lines{(tree / "nothing").string() +
              ": error: There is no such folder. Create it, or correct the option that names it."});
  result = Load({.directory = tree / "file"});
  CHECK_FALSE(result.table);
  CHECK(
      Told(result.problems) ==
      Lines{(tree / "file").string() +
            ": error: This must be the folder that holds machine.json and the sites, not a file."});
}

TEST_CASE("Load: the chain goes from the defaults over the machine and the site to the folder") {
  const TemporaryTree tree(
      {{"machine.json", File({{"*", "m.x", "Machine"}, {"*", "s.x", "Machine"}})},
       {"example.org/mapping.json", File({{"*", "s.x", "Site"}, {"*", "f.x", "Site"}})},
       {"example.org/shop/orders/mapping.json", File({{"*", "f.x", "Folder"}})}});
  const LoadResult result = tree.Load();
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  const MappingTable& table = *result.table;
  CHECK(Routed(table, "GET", "/shop/orders/f.x") == "Folder /shop/orders/f.x");
  CHECK(Routed(table, "GET", "/shop/orders/deeper/f.x") == "Folder /shop/orders/deeper/f.x");
  CHECK(Routed(table, "GET", "/shop/orders/s.x") == "Site /shop/orders/s.x");
  CHECK(Routed(table, "GET", "/shop/orders/m.x") == "Machine /shop/orders/m.x");
  CHECK(Routed(table, "GET", "/shop/orders/a.ashx") ==
        "weft::SimpleHandlerFactory /shop/orders/a.ashx");
  CHECK(Routed(table, "GET", "/shop/f.x") == "Site /shop/f.x");
  CHECK(Routed(table, "GET", "/shop/orders.x/f.x") == "Site /shop/orders.x/f.x");
  CHECK(Routed(table, "GET", "/f.x") == "Site /f.x");
}

TEST_CASE("Load: a site for each host, and default for all others") {
  const TemporaryTree tree({{"example.org/mapping.json", Add("Org")},
                            {"Example.COM/mapping.json", Add("Com")},
                            {"[2001:db8::1]/mapping.json", Add("Six")},
                            {"bare/notes.txt", ""},
                            {"default/mapping.json", Add("Default")}});
  const LoadResult result = tree.Load();
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  const auto type = [&result](std::string_view host) {
    return Routed(*result.table, "GET", "/a.x", "", host);
  };
  CHECK(type("example.org") == "Org /a.x");
  CHECK(type("EXAMPLE.org:8080") == "Org /a.x");
  CHECK(type("example.org.") == "Org /a.x");
  CHECK(type("example.com") == "Com /a.x");
  CHECK(type("[2001:DB8::1]:80") == "Six /a.x");
  CHECK(type("other.org") == "Default /a.x");
  CHECK(type("www.example.org") == "Default /a.x");
  CHECK(type("") == "Default /a.x");
  CHECK(type("default") == "Default /a.x");
  CHECK(type("../example.org") == "Default /a.x");
  CHECK(type("example.org/") == "Default /a.x");
  // A site without a mapping file is still a site of its own.
  CHECK(type("bare") == "weft::StaticFileHandler /a.x");
}

TEST_CASE("Load: without a default site the machine's entries serve all other hosts") {
  const TemporaryTree tree(
      {{"machine.json", Add("Machine")}, {"example.org/mapping.json", Add("Org")}});
  const LoadResult result = tree.Load();
  REQUIRE(result.table);
  CHECK(Routed(*result.table, "GET", "/a.x", "", "example.org") == "Org /a.x");
  CHECK(Routed(*result.table, "GET", "/a.x", "", "other") == "Machine /a.x");
}

TEST_CASE("Load: letter case of folder names does not matter to paths") {
  const TemporaryTree tree({{"default/Shop/Orders/mapping.json", Add("Folder")}});
  const LoadResult result = tree.Load();
  REQUIRE(result.table);
  CHECK(Routed(*result.table, "GET", "/shop/ORDERS/a.x") == "Folder /shop/ORDERS/a.x");
}

TEST_CASE("Load: two folders that differ in letter case only are an error") {
  const TemporaryTree tree({{"default/Shop/mapping.json", "{}"},
                            {"default/shop/mapping.json", "{}"},
                            {"Default/mapping.json", "{}"}});
  const LoadResult result = tree.Load();
  CHECK_FALSE(result.table);
  CHECK(Told(result.problems) ==
        Lines{"default: error: This folder and \"Default\" beside it differ in letter case only, "
              "which does not count in paths. Merge the two."});
  std::filesystem::remove_all(tree / "Default");
  CHECK(Told(tree.Load().problems) ==
        Lines{"default/shop: error: This folder and \"Shop\" beside it differ in letter case only, "
              "which does not count in paths. Merge the two."});
}

TEST_CASE("Load: a dot in a folder's name is no trouble") {
  const TemporaryTree tree({{"default/.well-known/mapping.json", Add("Known")},
                            {".git/mapping.json", "not JSON"},
                            {"default/..data/mapping.json", "not JSON"}});
  const LoadResult result = tree.Load();
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  CHECK(Routed(*result.table, "GET", "/.well-known/a.x") == "Known /.well-known/a.x");
}

TEST_CASE("Load: names of sites that no request can have") {
  const TemporaryTree tree({{"example.org:8080/mapping.json", "{}"},
                            {"example.com./mapping.json", "{}"},
                            {"old backup/mapping.json", "{}"}});
  const LoadResult result = tree.Load();
  CHECK_FALSE(result.table);
  CHECK(Told(result.problems) ==
        Lines{"example.com.: error: A site's folder bears the host name alone, without port or "
              "final dot. Rename it to \"example.com\".",
              "example.org:8080: error: A site's folder bears the host name alone, without port or "
              "final dot. Rename it to \"example.org\".",
              "old backup: warning: No request reaches this folder, as its name is no host name. "
              "Rename it, or move it out of here."});
}

TEST_CASE("Load: files that are not read although it looks so are warned of") {
  const TemporaryTree tree({{"mapping.json", "x"},
                            {"Machine.json", "x"},
                            {"default/Mapping.JSON", "x"},
                            {"default/machine.json", "x"},
                            {"default/readme.txt", "x"}});
  const LoadResult result = tree.Load();
  CHECK(result.table);
  CHECK(Told(result.problems) ==
        Lines{"Machine.json: warning: This file is not read. Its name must be in small letters: "
              "machine.json.",
              "default/Mapping.JSON: warning: This file is not read. Its name must be in small "
              "letters: mapping.json.",
              "default/machine.json: warning: This file is not read here. In the folders of a site "
              "it must be named mapping.json.",
              "mapping.json: warning: This file is not read here. Name it machine.json to have it "
              "apply to all sites, or move it into a site's folder."});
}

TEST_CASE("Load: all problems of all files in one run, in order") {
  const TemporaryTree tree({{"machine.json", "{\"httpHandlers\": [5]}"},
                            {"a.org/mapping.json", "{"},
                            {"b.org/mapping.json", "{\n\"x\": 1,\n\"y\": 2}"},
                            {"b.org/c/mapping.json", "[]"}});
  const LoadResult result = tree.Load();
  CHECK_FALSE(result.table);
  const Lines told = Told(result.problems);
  REQUIRE(told.size() == 5);
  CHECK(told[0].starts_with("a.org/mapping.json:1:2: error: JSON syntax error"));
  CHECK(told[1].starts_with("b.org/c/mapping.json:1:1: error: A mapping file must be an object"));
  CHECK(told[2].starts_with("b.org/mapping.json:2:1: error: Unknown key \"x\""));
  CHECK(told[3].starts_with("b.org/mapping.json:3:1: error: Unknown key \"y\""));
  CHECK(told[4].starts_with("machine.json:1:19: error: A directive must be an object"));
}

TEST_CASE("Load: a warning does not stop the table") {
  const std::string remove =
      "{\"httpHandlers\": [{\"remove\": {\"verb\": \"*\", \"path\": \"*.q\"}}]}";
  const TemporaryTree tree({{"default/mapping.json", remove}});
  const LoadResult result = tree.Load();
  CHECK(result.table);
  CHECK(Told(result.problems) ==
        Lines{"default/mapping.json:1:20: warning: There is no entry with the verb \"*\" and the "
              "path \"*.q\" to remove. Both are compared as text, in which * and ? "
              "are no wildcards."});
}

TEST_CASE("Load: a remove below a file with errors is not warned of") {
  const std::string remove =
      "{\"httpHandlers\": [{\"remove\": {\"verb\": \"*\", \"path\": \"*.q\"}}]}";
  const TemporaryTree tree({{"machine.json", "{"}, {"default/mapping.json", remove}});
  CHECK(tree.Load().problems.size() == 1);
}

TEST_CASE("Load: what stands where a file should") {
  TemporaryTree tree;
  tree.MakeFolder("machine.json");
  tree.MakeFolder("default/mapping.json");
  tree.MakeFolder("default/fifo");
  tree.MakeFolder("default/loop");
  tree.MakeFolder("default/nowhere");
  REQUIRE(::mkfifo((tree / "default/fifo/mapping.json").c_str(), 0600) == 0);
  tree.Link("default/loop/mapping.json", "mapping.json");
  tree.Link("default/nowhere/mapping.json", "nothing");
  const LoadResult result = tree.Load();
  CHECK_FALSE(result.table);
  CHECK(
      Told(result.problems) ==
      Lines{"default/fifo/mapping.json: error: This is no regular file. Replace it by one, or "
            "remove it.",
            "default/loop/mapping.json: error: This file cannot be opened: Too many levels of "
            "symbolic links.",
            "default/mapping.json: error: This is a folder, and must be a file. Rename it or "
            "remove it.",
            "default/nowhere/mapping.json: error: This file cannot be opened: No such file or "
            "directory.",
            "machine.json: error: This is a folder, and must be a file. Rename it or remove it."});
}

TEST_CASE("Load: what may not be read") {
  const TemporaryTree tree({{"machine.json", "{}"}, {"default/mapping.json", "{}"}});
  std::filesystem::permissions(tree / "machine.json", std::filesystem::perms::none);
  std::filesystem::permissions(tree / "default", std::filesystem::perms::none);
  const LoadResult result = [&tree] {
    const AsNobody nobody;
    return tree.Load();
  }();
  std::filesystem::permissions(tree / "default", std::filesystem::perms::owner_all);
  CHECK_FALSE(result.table);
  CHECK(Told(result.problems) ==
        Lines{"default: error: This folder cannot be listed: Permission denied.",
              "machine.json: error: This file cannot be opened: Permission denied."});
}

TEST_CASE("Load: the largest file is read, one byte more is not") {
  std::string text = "{}";
  text.resize(LoadLimits().file_bytes, ' ');
  const TemporaryTree tree({{"machine.json", text}});
  CHECK(tree.Load().table);
  tree.Write("machine.json", text + " ");
  const LoadResult result = tree.Load();
  CHECK_FALSE(result.table);
  CHECK(Told(result.problems) ==
        Lines{"machine.json: error: This file is larger than 1048576 bytes, the most that is read. "
              "Split it over folders."});
}

TEST_CASE("Load: symbolic links to files and folders are followed") {
  TemporaryTree tree({{"elsewhere/mapping.json", Add("Linked")},
                      {"files/m.json", Add("File")},
                      {"example.org/notes.txt", ""}});
  tree.Link("www.example.org", "elsewhere");
  tree.Link("example.org/mapping.json", "../files/m.json");
  tree.Link("example.org/shop", "../elsewhere");
  const LoadResult result = tree.Load();
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  CHECK(Routed(*result.table, "GET", "/a.x", "", "www.example.org") == "Linked /a.x");
  CHECK(Routed(*result.table, "GET", "/a.x", "", "example.org") == "File /a.x");
  CHECK(Routed(*result.table, "GET", "/shop/a.x", "", "example.org") == "Linked /shop/a.x");
}

TEST_CASE("Load: a folder of mapping files may be a symbolic link itself") {
  TemporaryTree tree({{"real/default/mapping.json", Add("A")}});
  tree.Link("link", "real");
  const LoadResult result = Load({.directory = tree / "link"});
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  CHECK(Routed(*result.table, "GET", "/a.x") == "A /a.x");
}

TEST_CASE("Load: symbolic links that lead back are errors, and are not followed") {
  TemporaryTree tree({{"default/shop/mapping.json", "{}"}});
  tree.Link("default/self", ".");
  tree.Link("default/shop/up", "..");
  tree.Link("default/shop/top", tree.Root());
  const LoadResult result = tree.Load();
  CHECK_FALSE(result.table);
  const std::string sentence =
      ": error: This folder is, by way of a symbolic link, one that it lies in. Remove the link.";
  CHECK(Told(result.problems) == Lines{"default/self" + sentence, "default/shop/top" + sentence,
                                       "default/shop/up" + sentence});
}

TEST_CASE("Load: symbolic links that lead nowhere are warned of") {
  TemporaryTree tree;
  tree.Link("example.org", "gone");
  tree.Link("example.com", "example.com");
  CHECK(Told(tree.Load().problems) ==
        Lines{"example.com: warning: This symbolic link cannot be followed: Too many levels of "
              "symbolic links.",
              "example.org: warning: This symbolic link cannot be followed: No such file or "
              "directory."});
}

TEST_CASE("Load: the depth of folders is bounded") {
  std::string path = "default";
  for (std::size_t i = 0; i < MappingTable::kMaxFolderDepth; ++i) {
    path += "/d";
  }
  TemporaryTree tree;
  tree.Write(path + "/mapping.json", Add("Deep"));
  const LoadResult good = tree.Load();
  CHECK(Told(good.problems).empty());
  REQUIRE(good.table);
  const std::string url = path.substr(7) + "/a.x";
  CHECK(Routed(*good.table, "GET", url) == "Deep " + url);
  CHECK(Routed(*good.table, "GET", "/d" + url) == "Deep /d" + url);
  tree.MakeFolder(path + "/d");
  CHECK(Told(tree.Load().problems) ==
        Lines{path +
              "/d: error: This folder is deeper than 64 levels below its site's. Move it up."});
}

TEST_CASE("Load: what folders inherit anew is bounded, however it multiplies") {
  const auto add = [](const std::string& path) {
    return R"({"add": {"verb": "*", "path": ")" + path + R"(", "type": "A"}})";
  };
  const TemporaryTree tree;
  tree.Write("machine.json", R"({"httpHandlers": [{"clear": {}}, )" + add("~/a") + ", " +
                                 add("~/b") + ", " + add("c") + "]}");
  for (const char* folder : {"default/1", "default/2", "default/3", "default/4"}) {
    tree.Write(folder + std::string("/mapping.json"), R"({"application": true})");
  }
  // Two copies for each application; the chain of the defaults, that of machine.json, and one for each application.
  CHECK(tree.Load({.rooted_entries = 8}).problems.empty());
  const Lines copies = Told(tree.Load({.rooted_entries = 7}).problems);
  REQUIRE(copies.size() == 1);
  CHECK(copies[0].starts_with(
      "default/4/mapping.json: error: There are more than 7 entries whose path begins with ~/"));
  const std::size_t defaults = 8;
  CHECK(tree.Load({.entries = defaults + 3 + 4 * 3}).problems.empty());
  const Lines entries = Told(tree.Load({.entries = defaults + 2 + 4 * 3}).problems);
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].starts_with(
      "default/4/mapping.json: error: The chains of all folders have more than 22 entries"));
}

TEST_CASE("Load: the number of folders is bounded, however symbolic links multiply them") {
  TemporaryTree tree;
  tree.MakeFolder("default");
  for (int i = 0; i < 20; ++i) {
    const std::string name = "default/" + std::to_string(i);
    tree.MakeFolder(name);
    for (const char* link : {"/a", "/b", "/c"}) {
      tree.Link(name + link, tree / ("default/" + std::to_string(i + 1)));
    }
  }
  tree.MakeFolder("default/20");
  const LoadResult result = tree.Load({.folders = 1000});
  CHECK_FALSE(result.table);
  REQUIRE(result.problems.size() == 1);
  CHECK(result.problems.front().sentence.starts_with("There are more than 1000 folders"));
}

TEST_CASE("Load: httpRuntime is inherited and overridden level by level") {
  const TemporaryTree tree(
      {{"machine.json", R"({"httpRuntime": {"maxRequestBytes": 1000}})"},
       {"default/a/mapping.json", R"({"httpRuntime": {"executionTimeoutSeconds": 5}})"},
       {"default/a/b/mapping.json", R"({"httpRuntime": {"maxRequestBytes": 7}})"}});
  const LoadResult result = tree.Load();
  REQUIRE(result.table);
  const auto runtime = [&result](std::string_view path) {
    const auto resolution = result.table->Resolve("h", "GET", path, "");
    const auto& in_force = resolution.settings->runtime;
    return std::to_string(in_force.execution_timeout.value->count()) + " " +
           std::to_string(in_force.max_request_bytes.value.value_or(99));
  };
  CHECK(runtime("/x") == "110 1000");
  CHECK(runtime("/a/x") == "5 1000");
  CHECK(runtime("/a/b/c/x") == "5 7");
  CHECK(runtime("/..") == "110 1000");
  const auto defaults = Load({}).table;
  const auto resolution = defaults->Resolve("h", "GET", "/", "");
  CHECK_FALSE(resolution.settings->runtime.max_request_bytes.value);
}

TEST_CASE("MappingTable: types are listed once, with every entry that names them") {
  const TemporaryTree tree(
      {{"machine.json", Only({{"*", "a", "A, m"}, {"*", "b", " A,m "}, {"*", "gone", "Gone, m"}})},
       {"default/mapping.json",
        "{\"httpHandlers\": [\n{\"remove\": {\"verb\": \"*\", \"path\": \"gone\"}},\n"
        "{\"add\": {\"verb\": \"*\", \"path\": \"c\", \"type\": \"A, m\", \"validate\": false}},\n"
        "{\"add\": {\"verb\": \"*\", \"path\": \"d\", \"type\": \"B\", \"validate\": false}},\n"
        "{\"add\": {\"verb\": \"*\", \"path\": \"e\", \"type\": \"A, n\"}}]}"},
       {"other.org/mapping.json", "{\"httpHandlers\": [{\"clear\": {}}]}"}});
  const LoadResult result = tree.Load();
  CHECK(Told(result.problems).empty());
  REQUIRE(result.table);
  const std::vector<TypeUse>& types = result.table->Types();
  // Neither the defaults nor "Gone" serve any folder but the machine's own, which "default" hides.
  Lines told;
  for (const TypeUse& use : types) {
    std::string line =
        use.type.class_name + "," + use.type.module + (use.validate ? " now" : " later");
    for (const auto* entry : use.entries) {
      CHECK(&types[entry->type_index] == &use);
      line += " " + entry->path;
    }
    told.push_back(line);
  }
  CHECK(std::ranges::find(told, "A,m now a b c") != told.end());
  CHECK(std::ranges::find(told, "B, later d") != told.end());
  CHECK(std::ranges::find(told, "A,n now e") != told.end());
  const std::string prefix = tree.Root().string();
  CHECK(types[0].first_use.ToString().starts_with(prefix + "/machine.json:2:"));
}

TEST_CASE("Load: a remove of what is not there is told the entry that may be meant") {
  const auto told = [](std::string_view verb, std::string_view path) {
    const TemporaryTree tree(
        {{"machine.json", Only({{"GET", "*.report", "A"}, {"*", "/status", "B"}})},
         {"default/mapping.json", "{\"httpHandlers\": [{\"remove\": {\"verb\": \"" +
                                      std::string(verb) + "\", \"path\": \"" + std::string(path) +
                                      "\"}}]}"}});
    const auto lines = Told(tree.Load().problems);
    REQUIRE(lines.size() == 1);
    return lines.front().substr(lines.front().find(" to remove"));
  };
  CHECK(told("GET", "*.reprot") ==
        " to remove; did you mean the path \"*.report\"? Both are compared as text, in which * and "
        "? are no wildcards.");
  CHECK(told("*", "*.Report") ==
        " to remove; there is one with this path and the verb \"GET\". Both are compared as text, "
        "in which * and ? are no wildcards.");
  CHECK(told("POST", "/other") == " to remove. Both are compared as text: blanks and order count.");
}
