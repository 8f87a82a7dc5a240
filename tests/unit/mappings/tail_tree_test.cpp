#include "mappings/tail_tree.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using weft::mappings::TailTree;
using namespace std::string_literals;

namespace {

// Tails with their places for values.
TailTree TreeOf(const std::vector<std::string>& texts) {
  std::vector<TailTree::Tail> tails;
  for (const std::string& text : texts) {
    tails.push_back({text, static_cast<std::uint32_t>(tails.size())});
  }
  return TailTree(std::move(tails));
}

// The values found, those of one tail in brackets.
std::string Found(const TailTree& tree, std::string_view path) {
  std::string found;
  tree.ForEachTailOf(path, [&found](std::span<const std::uint32_t> values) {
    found += '(';
    for (const std::uint32_t value : values) {
      found += std::to_string(value) + ' ';
    }
    found.back() = ')';
    return true;
  });
  return found;
}

}  // namespace

TEST_CASE("TailTree: without tails nothing is found") {
  const TailTree tree({});
  CHECK(tree.Empty());
  CHECK(Found(tree, "").empty());
  CHECK(Found(tree, "/a").empty());
}

TEST_CASE("TailTree: all tails of a path are found, the shortest first") {
  const TailTree tree = TreeOf({"/b.x", ".x", ".y", "a/b.x", "x", "/a/b.x", "ab.x", "b.xx"});
  CHECK_FALSE(tree.Empty());
  CHECK(Found(tree, "/a/b.x") == "(4)(1)(0)(3)(5)");
  CHECK(Found(tree, "/ab.x") == "(4)(1)(6)");
  CHECK(Found(tree, "b.x") == "(4)(1)");
  CHECK(Found(tree, "/b.xx") == "(4)(7)");
  CHECK(Found(tree, "/z.y") == "(2)");
  CHECK(Found(tree, "/z").empty());
  CHECK(Found(tree, "").empty());
}

TEST_CASE("TailTree: the values of one tail are told together, in ascending order") {
  CHECK(Found(TailTree({{".x", 7}, {"/a.x", 1}, {".x", 3}, {".x", 5}}), "/a.x") == "(3 5 7)(1)");
}

TEST_CASE("TailTree: an empty tail is one of every path") {
  const TailTree tree = TreeOf({"", ".x"});
  CHECK(Found(tree, "/a.x") == "(0)(1)");
  CHECK(Found(tree, "") == "(0)");
  CHECK(Found(TreeOf({""}), "/a.x") == "(0)");
}

TEST_CASE("TailTree: a tail that begins with the start is a whole path") {
  const TailTree tree = TreeOf({"\0/a"s, "/a", "\0/b/a"s, "\0/"s});
  CHECK(Found(tree, "/a") == "(1)(0)");
  CHECK(Found(tree, "/b/a") == "(1)(2)");
  CHECK(Found(tree, "/c/a") == "(1)");
  CHECK(Found(tree, "/") == "(3)");
  CHECK(Found(tree, "a").empty());
}

TEST_CASE("TailTree: letter case of the path is ignored, in ASCII only") {
  const TailTree tree = TreeOf({".x\u00e4", "/abc.[z"});
  CHECK(Found(tree, "/A.X\u00e4") == "(0)");
  CHECK(Found(tree, "/A.X\u00c4").empty());
  CHECK(Found(tree, "/aBc.[Z") == "(1)");
  CHECK(Found(tree, "/aBc.{Z").empty());
}

TEST_CASE("TailTree: a visit that returns false is the last") {
  int visits = 0;
  TreeOf({"x", ".x"}).ForEachTailOf("/a.x", [&visits](std::span<const std::uint32_t> /*values*/) {
    ++visits;
    return false;
  });
  CHECK(visits == 1);
}
