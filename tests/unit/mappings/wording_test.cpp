#include "mappings/wording.hpp"

#include <doctest/doctest.h>

#include <array>
#include <span>
#include <string>
#include <string_view>

using weft::mappings::Listed;
using weft::mappings::NearestName;
using weft::mappings::Quoted;
using weft::mappings::UnknownKey;

TEST_CASE("Quoted: control characters are escaped and long texts are cut between characters") {
  CHECK(Quoted("a") == "\"a\"");
  CHECK(Quoted("a\n\x1b\x7f") == "\"a\\x0a\\x1b\\x7f\"");
  CHECK(Quoted("\u009b1m \u00a0\xc2") == "\"\\xc2\\x9b1m \u00a0\xc2\"");
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

TEST_CASE("NearestName: finds slips of the keyboard, letter case aside, and nothing far away") {
  constexpr std::array<std::string_view, 4> kKeys = {"verb", "path", "type", "validate"};
  CHECK(NearestName("verbs", kKeys) == "verb");
  CHECK(NearestName("Path", kKeys) == "path");
  CHECK(NearestName("ytpe", kKeys) == "type");
  CHECK(NearestName("vaildtae", kKeys) == "validate");
  CHECK_FALSE(NearestName("method", kKeys));
  CHECK_FALSE(NearestName("", kKeys));
  CHECK_FALSE(NearestName(std::string(1000, 'v'), kKeys));

  constexpr std::array<std::string_view, 3> kOptions = {"workers", "max-params",
                                                        "max-params-bytes"};
  CHECK(NearestName("worker", kOptions) == "workers");
  CHECK(NearestName("wokrers", kOptions) == "workers");
  CHECK(NearestName("max-param", kOptions) == "max-params");
  CHECK(NearestName("maxparams", kOptions) == "max-params");
  CHECK_FALSE(NearestName("banana", kOptions));
}

TEST_CASE("NearestName: what is the start of one name alone means that one") {
  constexpr std::array<std::string_view, 3> kNames = {"workers", "max-params", "max-params-bytes"};
  CHECK(NearestName("Wor", kNames) == "workers");
  CHECK(NearestName("max-params-b", kNames) == "max-params-bytes");
  CHECK_FALSE(NearestName("max", kNames));
  CHECK_FALSE(NearestName("", std::span(kNames).first(1)));
}

TEST_CASE("UnknownKey: tells what the key's object knows, or what was meant") {
  constexpr std::array<std::string_view, 2> kNames = {"verb", "path"};
  CHECK(UnknownKey("vreb", "\"add\"", kNames) ==
        "Unknown key \"vreb\" in \"add\"; did you mean \"verb\"?");
  CHECK(UnknownKey("method", "\"add\"", kNames) ==
        "Unknown key \"method\" in \"add\", which knows \"verb\" and \"path\".");
  CHECK(UnknownKey("x", "\"clear\"", {}) ==
        "Unknown key \"x\" in \"clear\", which takes none: write {}.");
}
