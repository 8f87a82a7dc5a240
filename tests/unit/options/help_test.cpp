#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "host/options/option_table.hpp"
#include "tests/unit/options/parse_for_test.hpp"

namespace weft::host::options {
namespace {

std::vector<std::string> Lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// What the help says of each option, its wrapped lines joined, blanks squeezed.
std::vector<std::string> OptionTexts(const std::string& help) {
  std::vector<std::string> texts;
  for (const std::string& line : Lines(help)) {
    if (line.starts_with("  --")) {
      texts.emplace_back();
    } else if (!line.starts_with("      ")) {
      continue;
    }
    std::istringstream words(line);
    for (std::string word; words >> word;) texts.back() += word + " ";
  }
  return texts;
}

TEST_CASE("Help: lists each option exactly once, with its default and its bounds") {
  const ParseResult result = ParseServe({"--help"});
  CHECK_FALSE(result.settings.has_value());
  CHECK(result.exit_code == 0);
  const std::vector<std::string> texts = OptionTexts(result.output);
  const std::vector<Option> table = OptionTable();
  CHECK(texts.size() == table.size());
  for (const Option& option : table) {
    CAPTURE(option.name);
    const auto is_this = [&option](const std::string& text) {
      return text.starts_with(option.Flag() + " ");
    };
    REQUIRE(std::count_if(texts.begin(), texts.end(), is_this) == 1);
    const std::string& text = *std::find_if(texts.begin(), texts.end(), is_this);
    CHECK(text.find(std::string(option.value_name)) != std::string::npos);
    CHECK(text.find("Default: " + option.default_text + ".") != std::string::npos);
    if (!option.bounds.empty()) {
      CHECK(text.find("Bounds: " + option.bounds + ".") != std::string::npos);
    }
  }
}

TEST_CASE("Help: fits 100 columns") {
  for (const std::string& help :
       {ParseArguments({"--help"}).output, ParseServe({"-h"}).output,
        ParseArguments({"modules", "-h"}).output, ParseArguments({"status", "-h"}).output}) {
    CHECK_FALSE(help.empty());
    for (const std::string& line : Lines(help)) {
      CAPTURE(line);
      CHECK(line.size() <= 100);
    }
  }
}

TEST_CASE("Help: is printed beside wrong values, and not beside wrong options") {
  CHECK_FALSE(ParseServe({"--workers", "x", "--help"}, {"WEFT_WORKERS=x"}).output.empty());
  CHECK(ParseServe({"--wrokers", "3", "--help"}).output.empty());
}

TEST_CASE("Help: names the commands, and each its own") {
  CHECK(ParseArguments({"--help"}).output.find("\n  serve  ") != std::string::npos);
  CHECK(ParseArguments({"--help"}).output.find("\n  modules  ") != std::string::npos);
  CHECK(ParseArguments({"--help"}).output.find("\n  status  ") != std::string::npos);
  CHECK(ParseServe({"--help"}).output.starts_with("usage: weft serve [OPTION...]\n"));
  const auto modules = ParseArguments({"modules", "--help"}).output;
  CHECK(modules.starts_with("usage: weft modules [OPTION...]\n"));
  CHECK(modules.find("\n  --format text|json") != std::string::npos);
  CHECK(modules.find("\n  --modules DIR") != std::string::npos);
  CHECK(modules.find("--workers") == std::string::npos);
  CHECK(ParseArguments({"help"}).output == ParseArguments({"-h"}).output);
}

TEST_CASE("Version: is one line that begins with the program's name") {
  const ParseResult result = ParseArguments({"--version"});
  CHECK(result.exit_code == 0);
  CHECK(result.output.starts_with("weft "));
  CHECK(Lines(result.output).size() == 1);
}

TEST_CASE("OptionTable: a default is a value that the option itself takes") {
  for (const Option& option : OptionTable()) {
    CAPTURE(option.name);
    if (option.bounds.empty() || option.name == "drain-timeout") continue;
    Settings settings;
    CHECK_NOTHROW(option.set(settings, option.default_text));
  }
}

TEST_CASE("OptionTable: the bounds themselves are taken") {
  for (const Option& option : OptionTable()) {
    const std::size_t to = option.bounds.find(" to ");
    if (to == std::string::npos) continue;
    CAPTURE(option.name);
    Settings settings;
    CHECK_NOTHROW(option.set(settings, option.bounds.substr(0, to)));
    CHECK_NOTHROW(option.set(settings, option.bounds.substr(to + 4)));
  }
}

TEST_CASE("Option: flag and variable are made from the name") {
  for (const Option& option : OptionTable()) {
    if (option.name != "max-params-bytes") continue;
    CHECK(option.Flag() == "--max-params-bytes");
    CHECK(option.EnvironmentVariable() == "WEFT_MAX_PARAMS_BYTES");
  }
}

}  // namespace
}  // namespace weft::host::options
