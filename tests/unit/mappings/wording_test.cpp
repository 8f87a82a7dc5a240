#include "mappings/wording.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

using weft::mappings::Listed;
using weft::mappings::NearestName;
using weft::mappings::Quoted;

TEST_CASE("Quoted: control characters are escaped and long texts are cut between characters") {
  CHECK(Quoted("a") == "\"a\"");
  CHECK(Quoted("a\n\x1b\x7f") == "\"a\\x0a\\x1b\\x7f\"");
  CHECK(Quoted(std::string(60, 'a')) == "\"" + std::string(60, 'a') + "\"");
  CHECK(Quoted(std::string(61, 'a')) == "\"" + std::string(60, 'a') + "...\"");
  CHECK(Quoted(std::string(59, 'a') + "\u00e9") == "\"" + std::string(59, 'a') + "...\"");
}

TEST_CASE("Listed: commas, and a last and") {
  constexpr std::array<std::string_view, 3> kNames = {"a", "b", "c"};
  CHECK(Listed(kNames) == "\"a\", \"b\" and \"c\"");
  CHECK(Listed(std::span(kNames).first(2)) == "\"a\" and \"b\"");
  CHECK(Listed(std::span(kNames).first(1)) == "\"a\"");
}

TEST_CASE("NearestName: a slip or two away, letter case aside") {
  constexpr std::array<std::string_view, 4> kNames = {"verb", "path", "type", "validate"};
  CHECK(NearestName("verbs", kNames) == "verb");
  CHECK(NearestName("Path", kNames) == "path");
  CHECK(NearestName("vaildate", kNames) == "validate");
  CHECK_FALSE(NearestName("method", kNames));
  CHECK_FALSE(NearestName(std::string(1000, 'v'), kNames));
}
