#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/loader.hpp"
#include "mappings/mapping_table.hpp"
#include "tests/unit/mappings/support.hpp"

using weft::mappings::IResources;
using weft::mappings::LoadResult;
using weft::mappings::Resolution;
using weft::mappings::Resource;
using weft::mappings::testing::Only;
using weft::mappings::testing::Routed;
using weft::mappings::testing::TemporaryTree;
using weft::mappings::testing::Told;
using Lines = std::vector<std::string>;

namespace {

// A file's `httpHandlers` with one entry, for all verbs.
std::string Adds(std::string_view path, std::string_view type) {
  return "\"httpHandlers\": [{\"add\": {\"verb\": \"*\", \"path\": \"" + std::string(path) +
         "\", \"type\": \"" + std::string(type) + "\"}}]";
}

std::string In(std::string_view location, std::string_view content) {
  return "\"locations\": {\"" + std::string(location) + "\": {" + std::string(content) + "}}";
}

std::string Object(std::string_view content) { return "{" + std::string(content) + "}"; }

// "a > b > c": the levels that are in force for a path, but for the built-in defaults.
std::string Levels(const LoadResult& loaded, std::string_view path, const TemporaryTree& tree) {
  const auto resolution = loaded.table->Resolve("h", "GET", path, "");
  std::string text;
  for (const auto& level : resolution.settings->levels) {
    if (level->file.empty()) {
      continue;
    }
    text += text.empty() ? "" : " > ";
    text += level->file.substr(tree.Root().string().size() + 1);
    text += level->location.empty() ? "" : "#" + level->location;
  }
  return text;
}

/// What a test says there is.
class FakeResources final : public IResources {
 public:
  explicit FakeResources(std::map<std::string, Resource> there) : there_(std::move(there)) {}
  Resource At(std::string_view file_path) override {
    asked.emplace_back(file_path);
    const auto found = there_.find(std::string(file_path));
    return found == there_.end() ? Resource::kNone : found->second;
  }
  Lines asked;

 private:
  std::map<std::string, Resource> there_;
};

}  // namespace

TEST_CASE("Locations: one holds for its path and all below, and for nothing beside it") {
  const TemporaryTree tree({{"machine.json", Only({{"*", "*", "Top"}})},
                            {"default/mapping.json", Object(In("a/b", Adds("*", "Inner")))}});
  const LoadResult loaded = tree.Load();
  REQUIRE(Told(loaded.problems).empty());
  const auto type = [&](std::string_view path) {
    return Routed(*loaded.table, "GET", path).substr(0, 5);
  };
  CHECK(type("/a/b") == "Inner");
  CHECK(type("/a/b/") == "Inner");
  CHECK(type("/A/B/c/d") == "Inner");
  CHECK(type("/a/") == "Top /");
  CHECK(type("/a/bb") == "Top /");
  CHECK(type("/b") == "Top /");
}

TEST_CASE("Locations: one of a file's path does not hold for the folder's other files") {
  const TemporaryTree tree(
      {{"machine.json", Only({{"*", "*.ashx", "Top"}})},
       {"default/mapping.json", Object(In("admin/new.ashx", Adds("*.ashx", "New")))},
       {"default/admin/mapping.json", Object(Adds("*.ashx", "Admin"))}});
  const LoadResult loaded = tree.Load();
  REQUIRE(Told(loaded.problems).empty());
  CHECK(Routed(*loaded.table, "GET", "/admin/new.ashx") == "New /admin/new.ashx");
  CHECK(Routed(*loaded.table, "GET", "/admin/old.ashx") == "Admin /admin/old.ashx");
  CHECK(Routed(*loaded.table, "GET", "/new.ashx") == "Top /new.ashx");
  // Its path info is split off by the location's own entries.
  CHECK(Routed(*loaded.table, "GET", "/admin/new.ashx/tail") == "New /admin/new.ashx|/tail");
  CHECK(Routed(*loaded.table, "GET", "/admin/new.ashx", "/tail") == "New /admin/new.ashx|/tail");
  CHECK(Routed(*loaded.table, "GET", "/admin/old.ashx/new.ashx") ==
        "Admin /admin/old.ashx/new.ashx");
}

TEST_CASE("Locations: a split is found in the location alone, too") {
  const TemporaryTree tree(
      {{"machine.json", Only({{"*", "*", "Top"}})},
       {"default/mapping.json", Object(In("a/x.y", Adds("x.y", "Location")))}});
  const LoadResult loaded = tree.Load();
  REQUIRE(loaded.table);
  CHECK(Routed(*loaded.table, "GET", "/a/x.y/tail/more") == "Location /a/x.y|/tail/more");
  CHECK(Routed(*loaded.table, "GET", "/b/x.y/tail") == "Top /b/x.y/tail");
}

TEST_CASE(
    "Locations: those of files further up come first, then those further down, then the file") {
  const TemporaryTree tree(
      {{"machine.json", R"({"locations": {"a/b": {}}})"},
       {"default/mapping.json", R"({"locations": {"a": {}, "a/b": {}, "a/b/c.x": {}}})"},
       {"default/a/mapping.json", R"({"locations": {"b": {}, "b/c.x": {}}})"},
       {"default/a/b/mapping.json", R"({"locations": {"c.x": {}}})"}});
  const LoadResult loaded = tree.Load();
  REQUIRE(Told(loaded.problems).empty());
  const std::string site = "machine.json > default/mapping.json";
  CHECK(Levels(loaded, "/x", tree) == site);
  CHECK(Levels(loaded, "/a", tree) == site + " > default/mapping.json#a");
  const std::string a = site + " > default/mapping.json#a > default/a/mapping.json";
  CHECK(Levels(loaded, "/a/x", tree) == a);
  const std::string b_path = a +
                             " > machine.json#a/b > default/mapping.json#a/b"
                             " > default/a/mapping.json#b";
  CHECK(Levels(loaded, "/a/b", tree) == b_path);
  CHECK(Levels(loaded, "/a/b/x", tree) == b_path + " > default/a/b/mapping.json");
  CHECK(Levels(loaded, "/a/b/c.x", tree) ==
        b_path +
            " > default/a/b/mapping.json > default/mapping.json#a/b/c.x"
            " > default/a/mapping.json#b/c.x > default/a/b/mapping.json#c.x");
}

TEST_CASE("Locations: machine.json's hold for every site, with or without a folder") {
  const TemporaryTree tree(
      {{"machine.json", Object(In("x", Adds("*", "Machine")))}, {"one.org/mapping.json", "{}"}});
  const LoadResult loaded = tree.Load();
  REQUIRE(loaded.table);
  CHECK(Routed(*loaded.table, "GET", "/x/y", "", "one.org") == "Machine /x/y");
  CHECK(Routed(*loaded.table, "GET", "/x/y", "", "two.org") == "Machine /x/y");
}

TEST_CASE("Locations: what one takes away must be there, and not be locked") {
  const std::string locked =
      R"({"httpHandlers": [{"add": {"verb": "*", "path": "a", "type": "A", "lock": true}}],
          "locations": {"x": {"httpHandlers": [{"remove": {"verb": "*", "path": "a"}}]}}})";
  const TemporaryTree tree({{"machine.json", locked}, {"one.org/mapping.json", "{}"}});
  const LoadResult loaded = tree.Load();
  CHECK_FALSE(loaded.table);
  // Told once, however many sites there are.
  REQUIRE(loaded.problems.size() == 1);
  CHECK(loaded.problems[0].where.line == 2);
  CHECK(loaded.problems[0].where.column == 49);
  CHECK(loaded.problems[0].sentence.starts_with("This directive would take away the entry"));
}

TEST_CASE("Locations: too deep ones are refused") {
  std::string deep = "a";
  for (int i = 0; i < 64; ++i) {
    deep += "/a";
  }
  CHECK_FALSE(TemporaryTree({{"default/mapping.json", Object(In(deep, ""))}}).Load().table);
  const TemporaryTree below({{"default/b/mapping.json", Object(In(deep.substr(2), ""))}});
  const LoadResult loaded = below.Load();
  CHECK_FALSE(loaded.table);
  REQUIRE(loaded.problems.size() == 1);
  CHECK(loaded.problems[0].sentence.starts_with("This location leads deeper than 64 levels"));
  CHECK(TemporaryTree({{"default/mapping.json", Object(In(deep.substr(2), ""))}}).Load().table);
}

TEST_CASE("Applications: ~/ is the root of the application that the path lies in") {
  const TemporaryTree tree(
      {{"machine.json", Only({{"*", "~/x/*.q,*.r", "Rooted"}, {"*", "*", "Top"}})},
       {"default/shop/mapping.json", R"({"application": true})"},
       {"default/shop/Inner/app/mapping.json",
        Object("\"application\": true, " + Adds("~/only", "Own"))}});
  const LoadResult loaded = tree.Load();
  REQUIRE(Told(loaded.problems).empty());
  const auto type = [&](std::string_view path) {
    const std::string routed = Routed(*loaded.table, "GET", path);
    return routed.substr(0, routed.find(' '));
  };
  CHECK(type("/x/a.q") == "Rooted");
  CHECK(type("/y/x/a.q") == "Top");
  CHECK(type("/shop/x/a.q") == "Rooted");
  CHECK(type("/shop/y/x/a.q") == "Top");
  CHECK(type("/shop/a.r") == "Rooted");
  CHECK(type("/shop/inner/x/a.q") == "Top");
  CHECK(type("/SHOP/inner/APP/x/a.q") == "Rooted");
  CHECK(type("/shop/inner/app/only") == "Own");
  CHECK(type("/shop/inner/app/x/only") == "Top");
  const auto root = [&](std::string_view path) {
    return loaded.table->Resolve("h", "GET", path, "").settings->application_root;
  };
  CHECK(root("/") == "/");
  CHECK(root("/shop") == "/");
  CHECK(root("/shop/") == "/shop/");
  CHECK(root("/shop/inner/app/x") == "/shop/Inner/app/");
  // All forms of an entry are of one type.
  CHECK(loaded.table->Types().size() == 3);
}

TEST_CASE("Applications: a key is its text, wherever its ~/ leads") {
  const TemporaryTree tree(
      {{"machine.json", Only({{"*", "~/x", "Upper"}})},
       {"default/shop/mapping.json", Object("\"application\": true, " + Adds("~/x", "Lower"))}});
  const LoadResult loaded = tree.Load();
  REQUIRE(loaded.table);
  CHECK(Routed(*loaded.table, "GET", "/shop/x") == "Lower /shop/x");
  CHECK(Routed(*loaded.table, "GET", "/x") == "Upper /x");
}

TEST_CASE("Applications: a root that patterns cannot hold, and one in machine.json, are refused") {
  const TemporaryTree tree({{"machine.json", R"({"application": true})"},
                            {"default/a,b/mapping.json", R"({"application": true})"}});
  const LoadResult loaded = tree.Load();
  CHECK_FALSE(loaded.table);
  REQUIRE(loaded.problems.size() == 2);
  CHECK(loaded.problems[0].sentence.starts_with("The path \"/a,b/\" of this application"));
  CHECK(loaded.problems[1].sentence.starts_with("\"application\" stands in the mapping.json"));
}

TEST_CASE(
    "Resource types: an entry applies only where its kind exists, and the disk is asked once") {
  const TemporaryTree tree({{"machine.json", R"({"httpHandlers": [{"clear": {}},
      {"add": {"verb": "GET", "path": "*.x", "type": "File", "resourceType": "file"}},
      {"add": {"verb": "GET", "path": "*.x", "type": "Unused", "name": "same key: replaces"}},
      {"remove": {"verb": "GET", "path": "*.x"}},
      {"add": {"verb": "GET", "path": "*.x,f*", "type": "File", "resourceType": "file"}},
      {"add": {"verb": "GET", "path": "*.x,d*/", "type": "Directory", "resourceType": "directory"}},
      {"add": {"verb": "PUT", "path": "*.x", "type": "Either", "resourceType": "either"}},
      {"add": {"verb": "GET", "path": "*", "type": "Any"}}]})"}});
  const LoadResult loaded = tree.Load();
  REQUIRE(loaded.table);
  FakeResources disk({{"/a.x", Resource::kFile}, {"/d.x", Resource::kDirectory}});
  const auto routed = [&](std::string_view verb, std::string_view path) {
    disk.asked.clear();
    const Resolution found = loaded.table->Resolve("h", verb, path, "", &disk);
    return (found.entry != nullptr ? found.entry->type_text : std::string(found.cause)) +
           (found.allow.empty() ? "" : " " + found.allow);
  };
  CHECK(routed("GET", "/a.x") == "File");
  CHECK(disk.asked == Lines{"/a.x"});
  CHECK(routed("GET", "/d.x") == "Directory");
  CHECK(disk.asked == Lines{"/d.x"});
  CHECK(routed("GET", "/none.x") == "Any");
  CHECK(routed("GET", "/f") == "Any");
  CHECK(routed("PUT", "/a.x") == "Either");
  CHECK(routed("GET", "/other") == "Any");
  CHECK(disk.asked.empty());
  // An entry that does not apply serves no verb either.
  CHECK(routed("PUT", "/none.x") == "method_not_mapped GET");
  CHECK(routed("POST", "/a.x") == "method_not_mapped GET, PUT");
  // Without a disk nothing exists.
  CHECK(Routed(*loaded.table, "GET", "/a.x") == "Any /a.x");
}

TEST_CASE("Resource types: what is not there is not found, though patterns match") {
  const TemporaryTree tree({{"machine.json", R"({"httpHandlers": [{"clear": {}},
      {"add": {"verb": "*", "path": "*.x", "type": "File", "resourceType": "file"}}]})"}});
  const LoadResult loaded = tree.Load();
  REQUIRE(loaded.table);
  FakeResources disk({{"/a.x", Resource::kFile}});
  const auto found = loaded.table->Resolve("h", "GET", "/b.x", "", &disk);
  CHECK(found.outcome == Resolution::Outcome::kNotFound);
  // A path is split by patterns alone.
  const auto split = loaded.table->Resolve("h", "GET", "/a.x/b.x/c", "", &disk);
  CHECK(split.file_path == "/a.x/b.x");
  CHECK(split.outcome == Resolution::Outcome::kNotFound);
  const auto whole = loaded.table->Resolve("h", "GET", "/a.x/c", "", &disk);
  CHECK(whole.entry != nullptr);
  CHECK(whole.path_info == "/c");
}
