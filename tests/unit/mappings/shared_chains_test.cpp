#include "mappings/shared_chains.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <initializer_list>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/level.hpp"
#include "tests/unit/mappings/support.hpp"

using weft::mappings::Level;
using weft::mappings::MappingTable;
using weft::mappings::Problem;
using weft::mappings::ReadLevel;
using weft::mappings::SearchedChain;
using weft::mappings::SharedChains;
using weft::mappings::testing::File;

namespace {

constexpr std::size_t kNone = SharedChains::kNone;

class Chains {
 public:
  /// The chain below a block of these directives.
  std::size_t Extend(std::size_t above, const std::string& text, const std::string& root = "/") {
    levels_.push_back(ReadLevel(text, "f", problems_));
    const std::size_t chain =
        chains_.Extend(above, levels_.back().block.directives, root, /*warn=*/true);
    CHECK(problems_.empty());
    return chain;
  }

  /// Each chain: its own paths, then the chains whose own follow, with how many of these are skipped.
  std::vector<std::string> Told() {
    std::vector<std::string> told;
    for (const MappingTable::Chain& chain : chains_.TakeChains()) {
      std::string line;
      for (const auto* entry : chain.own) {
        line += entry->path + " ";
      }
      for (const MappingTable::Inherited& part : chain.inherited) {
        line += "| " + std::to_string(part.chain);
        line += part.skipped ? " but " + std::to_string(part.skipped->size()) + " " : " ";
      }
      told.push_back(line);
    }
    return told;
  }

  SharedChains* operator->() { return &chains_; }

 private:
  std::vector<Problem> problems_;
  std::list<Level> levels_;
  const weft::mappings::LoadLimits limits_;
  SharedChains chains_{limits_, problems_};
};

const std::string kMany = File({{"*", "a", "T"},
                                {"*", "b", "T"},
                                {"*", "c", "T"},
                                {"*", "d", "T"},
                                {"*", "e", "T"},
                                {"*", "f", "T"},
                                {"*", "g", "T"},
                                {"*", "h", "T"}});

std::string Remove(std::initializer_list<std::string_view> paths) {
  std::string text;
  for (const std::string_view path : paths) {
    text += text.empty() ? "" : ",";
    text += R"({"remove": {"verb": "*", "path": ")" + std::string(path) + R"("}})";
  }
  return "{\"httpHandlers\": [" + text + "]}";
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("SharedChains: a block without directives adds no chain") {
  Chains chains;
  const std::size_t top = chains.Extend(kNone, kMany);
  CHECK(chains.Extend(top, "{}") == top);
  CHECK(chains->Size() == 1);
}

TEST_CASE("SharedChains: what a few are taken away of is shared, with what was skipped above") {
  Chains chains;
  const std::size_t top = chains.Extend(kNone, kMany);
  const std::size_t child = chains.Extend(top, File({{"*", "b", "U"}}));
  const std::size_t grandchild = chains.Extend(child, Remove({"b", "h"}));
  CHECK(chains.Extend(grandchild, "{}") == grandchild);
  chains.Extend(child, File({{"*", "n", "T"}}));
  CHECK(chains.Told() ==
        Lines{"a b c d e f g h ", "b | 0 but 1 ", "| 0 but 2 ", "n | 1 | 0 but 1 "});
}

TEST_CASE(
    "SharedChains: what more than a quarter is taken away of is copied, and what stands before "
    "it") {
  Chains chains;
  const std::size_t top = chains.Extend(kNone, kMany);
  const std::size_t child = chains.Extend(top, File({{"*", "n", "T"}, {"*", "m", "T"}}));
  chains.Extend(child, Remove({"n"}));
  chains.Extend(child, Remove({"a", "b"}));
  chains.Extend(child, Remove({"a", "b", "c"}));
  chains.Extend(child, "{\"httpHandlers\": [{\"clear\": {}}]}");
  CHECK(chains.Told() ==
        Lines{"a b c d e f g h ", "n m | 0 ", "m | 0 ", "| 1 | 0 but 2 ", "n m d e f g h ", ""});
}

TEST_CASE("SharedChains: for an application of its own, what begins with ~/ is copied") {
  Chains chains;
  const std::size_t top = chains.Extend(kNone, kMany);
  const std::size_t rooted = chains.Extend(top, File({{"*", "~/r", "T"}}));
  CHECK(chains.Extend(top, "{}", "/shop/") == top);
  chains.Extend(rooted, Remove({"a"}), "/shop/");
  CHECK(chains.Told() == Lines{"a b c d e f g h ", "~/r | 0 ", "~/r b c d e f g h "});
  CHECK(chains->TakeRooted().size() == 1);
}

TEST_CASE("SharedChains: a chain that is told of skips nothing") {
  Chains chains;
  const std::size_t top = chains.Extend(kNone, kMany);
  const std::size_t child = chains.Extend(top, File({{"*", "b", "U"}}));
  chains.Extend(child, File({{"*", "n", "T"}}));
  chains->Use(child, "/child/", true);
  chains->Use(child, "/chips/", false);
  const std::vector<SearchedChain> searched = chains->TakeSearchedChains();
  REQUIRE(searched.size() == 3);
  CHECK(searched[1].places.size() == 8);
  CHECK(searched[1].behind == kNone);
  CHECK(searched[1].used);
  CHECK(searched[1].scope == "/chi");
  CHECK_FALSE(searched[1].complete);
  CHECK(searched[2].places.size() == 1);
  CHECK(searched[2].behind == child);
  CHECK_FALSE(searched[2].used);
}
