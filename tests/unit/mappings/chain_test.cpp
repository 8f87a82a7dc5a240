#include "mappings/chain.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/mappings/support.hpp"

using namespace std::chrono_literals;
using weft::mappings::Chain;
using weft::mappings::Entry;
using weft::mappings::Extend;
using weft::mappings::Level;
using weft::mappings::Problem;
using weft::mappings::ReadLevel;
using weft::mappings::Runtime;
using weft::mappings::testing::Told;
using Lines = std::vector<std::string>;

namespace {

// A level from a line such as "add x, remove b, clear, add y 2". What stands after an entry's path
// becomes its name, to tell two entries of one key apart.
Level LevelOf(std::string_view line) {
  std::string text = "{\"httpHandlers\": [";
  while (!line.empty()) {
    const std::string_view step = line.substr(0, line.find(", "));
    line.remove_prefix(std::min(line.size(), step.size() + 2));
    const std::string_view verb = step.substr(0, step.find(' '));
    const std::string rest(step.substr(std::min(step.size(), verb.size() + 1)));
    const std::string path = rest.substr(0, rest.find(' '));
    const std::string name = rest.substr(std::min(rest.size(), path.size() + 1));
    text += text.ends_with('[') ? "" : ",";
    if (verb == "clear") {
      text += "{\"clear\": {}}";
    } else if (verb == "remove") {
      text += "{\"remove\": {\"verb\": \"*\", \"path\": \"" + path + "\"}}";
    } else {
      text += "{\"add\": {\"verb\": \"*\", \"type\": \"T\", \"path\": \"" + path + "\"" +
              (name.empty() ? "" : ", \"name\": \"" + name + "\"") + "}}";
    }
  }
  std::vector<Problem> problems;
  Level level = ReadLevel(text + "]}", "f", problems);
  REQUIRE(problems.empty());
  return level;
}

std::string Order(const Chain& chain) {
  std::string order;
  for (const Entry* entry : chain) {
    order += order.empty() ? "" : ", ";
    order += entry->path + (entry->name.empty() ? "" : " " + entry->name);
  }
  return order;
}

// The order below a level, where a, b and c are inherited.
std::string Below(std::string_view line) {
  const Level parent = LevelOf("add a, add b, add c");
  const Level child = LevelOf(line);
  std::vector<Problem> problems;
  return Order(Extend(Extend(Chain(), parent, nullptr), child, &problems));
}

std::size_t Warnings(std::string_view line) {
  const Level parent = LevelOf("add a, add b, add c");
  const Level child = LevelOf(line);
  std::vector<Problem> problems;
  (void)Extend(Extend(Chain(), parent, nullptr), child, &problems);
  return problems.size();
}

}  // namespace

TEST_CASE("Chain: a child's entries stand before the inherited ones") {
  CHECK(Below("add x, add y") == "x, y, a, b, c");
}

TEST_CASE("Chain: a level without directives changes nothing") { CHECK(Below("") == "a, b, c"); }

TEST_CASE("Chain: a second add of a key replaces the first and takes the later position") {
  CHECK(Below("add x, add y, add x 2") == "y, x 2, a, b, c");
}

TEST_CASE("Chain: an add of an inherited key moves it into the child's block") {
  CHECK(Below("add x, add b 2, add y") == "x, b 2, y, a, c");
}

TEST_CASE("Chain: a remove takes an inherited entry away") { CHECK(Below("remove b") == "a, c"); }

TEST_CASE("Chain: a remove takes an entry of its own level away") {
  CHECK(Below("add x, remove x, add y") == "y, a, b, c");
}

TEST_CASE("Chain: a remove and an add of one key are an add") {
  CHECK(Below("remove b, add b 2") == "b 2, a, c");
  CHECK(Below("remove b, add b 2, add x") == "b 2, x, a, c");
}

TEST_CASE("Chain: a clear takes everything before it away") {
  CHECK(Below("clear") == "");
  CHECK(Below("clear, add x") == "x");
  CHECK(Below("add x, clear, add y") == "y");
  CHECK(Below("clear, add a 2, add x, clear, add b 2, add y") == "b 2, y");
}

TEST_CASE("Chain: a remove of what is not there changes nothing and is a warning") {
  CHECK(Below("remove z, add x") == "x, a, b, c");
  CHECK(Below("remove z, clear, add x") == "x");
  CHECK(Warnings("remove z, add x") == 1);
  CHECK(Warnings("remove a, remove a") == 1);
  CHECK(Warnings("clear, remove a") == 1);
  CHECK(Warnings("remove a, add a, remove a") == 0);
}

TEST_CASE("Chain: the warning says where, and of what") {
  const Level level = LevelOf("add x, remove *.z");
  std::vector<Problem> problems;
  (void)Extend(Chain(), level, &problems);
  CHECK(Told(problems) ==
        Lines{"f:1:69: warning: There is no entry with the verb \"*\" and the path \"*.z\" to "
              "remove. Both are compared as text: wildcards, blanks and order count."});
}

TEST_CASE("Chain: keys ignore letter case, and wildcards in them are text") {
  CHECK(Below("remove B") == "a, c");
  CHECK(Below("add C 2") == "C 2, a, b");
  CHECK(Below("remove *") == "a, b, c");
  CHECK(Below("remove ?") == "a, b, c");
}

TEST_CASE("Chain: a grandchild's block stands before a child's") {
  const Level parent = LevelOf("add a, add b");
  const Level child = LevelOf("add x, add a 2");
  const Level grandchild = LevelOf("add y, remove b, add x 3");
  const Chain below_parent = Extend(Chain(), parent, nullptr);
  const Chain below_child = Extend(below_parent, child, nullptr);
  CHECK(Order(below_child) == "x, a 2, b");
  CHECK(Order(Extend(below_child, grandchild, nullptr)) == "y, x 3, a 2");
  CHECK(Order(below_parent) == "a, b");
}

TEST_CASE("Runtime: what a level sets overrides, the rest is inherited") {
  const Runtime top{110s, std::nullopt};
  CHECK(Extend(top, {}) == top);
  CHECK(Extend(top, {std::nullopt, 5}) == Runtime{110s, 5});
  CHECK(Extend(Runtime{110s, 5}, {30s, std::nullopt}) == Runtime{30s, 5});
  CHECK(Extend(Runtime{110s, 5}, {30s, 0}) == Runtime{30s, 0});
}
