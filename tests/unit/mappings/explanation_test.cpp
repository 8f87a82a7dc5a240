#include "mappings/explanation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/mappings/support.hpp"

using weft::mappings::EntriesTried;
using weft::mappings::IResources;
using weft::mappings::MappingTable;
using weft::mappings::Resolution;
using weft::mappings::Resource;
using weft::mappings::ToString;
using weft::mappings::TriedEntry;
using weft::mappings::Verdict;
using weft::mappings::testing::File;
using weft::mappings::testing::Only;
using weft::mappings::testing::TemporaryTree;
using Lines = std::vector<std::string>;

namespace {

/// Says of each path what its length says.
class ByLength final : public IResources {
 public:
  Resource At(std::string_view file_path) override {
    return static_cast<Resource>(file_path.size() % 3);
  }
};

// "Class: verdict" of each entry that was tried.
Lines Tried(const MappingTable& table, std::string_view method, std::string_view path,
            IResources* resources = nullptr) {
  const Resolution resolution = table.Resolve("h", method, path, "", resources);
  Lines lines;
  for (const TriedEntry& tried : EntriesTried(table, resolution, method, resources)) {
    lines.push_back(tried.entry->type.class_name + ": " + std::string(ToString(tried.verdict)));
  }
  return lines;
}

}  // namespace

TEST_CASE("EntriesTried: the lower level's entries, then the inherited ones, up to the choice") {
  const TemporaryTree tree(
      {{"machine.json", Only({{"*", "*.x", "A"}, {"*", "*", "B"}, {"*", "**", "C"}})},
       {"default/b/mapping.json", File({{"GET", "*.y", "D"}, {"PUT", "*.x", "E"}})}});
  const auto table = tree.Load().table;
  REQUIRE(table);
  CHECK(Tried(*table, "GET", "/a.x") == Lines{"A: chosen"});
  CHECK(Tried(*table, "GET", "/b/a.x") == Lines{"D: path", "E: verb", "A: chosen"});
  CHECK(Tried(*table, "GET", "/b/a") == Lines{"D: path", "E: path", "A: path", "B: chosen"});
}

TEST_CASE("EntriesTried: all of the chain where none is chosen, nothing for a refused path") {
  const TemporaryTree tree({{"machine.json", Only({{"GET", "*.x", "A"}, {"PUT", "a.*", "B"}})}});
  const auto table = tree.Load().table;
  REQUIRE(table);
  CHECK(Tried(*table, "POST", "/a.x") == Lines{"A: verb", "B: verb"});
  CHECK(Tried(*table, "GET", "/b") == Lines{"A: path", "B: path"});
  CHECK(Tried(*table, "GET", "/..").empty());
}

TEST_CASE("EntriesTried: what is not on the disk is passed over before the method is looked at") {
  const TemporaryTree tree({{"machine.json", R"({"httpHandlers": [{"clear": {}},
      {"add": {"verb": "PUT", "path": "*", "type": "A", "resourceType": "file"}},
      {"add": {"verb": "PUT,GET", "path": "*", "type": "B", "resourceType": "directory"}}]})"}});
  const auto table = tree.Load().table;
  REQUIRE(table);
  ByLength resources;
  CHECK(Tried(*table, "GET", "/ab", &resources) == Lines{"A: resourceType", "B: resourceType"});
  CHECK(Tried(*table, "GET", "/abc", &resources) == Lines{"A: verb", "B: resourceType"});
  CHECK(Tried(*table, "GET", "/a", &resources) == Lines{"A: resourceType", "B: chosen"});
}

TEST_CASE("EntriesTried: its choice is Resolve's, on random tables with resource types") {
  static constexpr std::string_view kPatterns[] = {"*",   "**", "*.x", "a.x", "/a/*",
                                                   "a/*", "b",  "?.x", "/b/", "~/a.x"};
  static constexpr std::string_view kVerbs[] = {"*", "GET", "GET,PUT", "P*"};
  static constexpr std::string_view kTypes[] = {"unspecified", "file", "directory", "either"};
  static constexpr std::string_view kSegments[] = {"a", "b", "a.x", "ba.x"};
  static constexpr std::string_view kMethods[] = {"GET", "PUT", "POST"};
  std::uint32_t state = 3;
  const auto below = [&state](std::size_t bound) {
    state = state * 1664525U + 1013904223U;
    return (state >> 16U) % bound;
  };
  const auto handlers = [&below] {
    std::string text = "{\"httpHandlers\": [";
    for (std::size_t left = below(6) + 1; left > 0; --left) {
      text += "{\"add\": {\"type\": \"T\", \"verb\": \"" + std::string(kVerbs[below(4)]) +
              "\", \"path\": \"" + std::string(kPatterns[below(10)]) + "\", \"resourceType\": \"" +
              std::string(kTypes[below(4)]) + "\"}}" + (left > 1 ? "," : "");
    }
    return text + "]}";
  };
  ByLength resources;
  std::size_t found = 0;
  for (int turn = 0; turn < 300; ++turn) {
    const TemporaryTree tree({{"default/mapping.json", handlers()},
                              {"default/a/mapping.json", handlers()},
                              {"default/b/mapping.json", handlers()}});
    const auto table = tree.Load().table;
    REQUIRE(table);
    for (int i = 0; i < 40; ++i) {
      std::string path;
      for (std::size_t left = below(4) + 1; left > 0; --left) {
        path += '/' + std::string(kSegments[below(4)]);
      }
      const std::string_view method = kMethods[below(3)];
      const Resolution resolution = table->Resolve("h", method, path, "", &resources);
      const auto tried = EntriesTried(*table, resolution, method, &resources);
      const auto chosen = std::ranges::find(tried, Verdict::kChosen, &TriedEntry::verdict);
      CAPTURE(path);
      REQUIRE((chosen == tried.end() ? nullptr : chosen->entry) == resolution.entry);
      found += resolution.entry != nullptr ? 1 : 0;
    }
  }
  CHECK(found > 1000);
}
