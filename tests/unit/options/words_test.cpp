#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "host/options/option_table.hpp"
#include "host/options/parse.hpp"

namespace weft::host::options {
namespace {

using Words = std::vector<std::string_view>;

Words WordsOf(std::string_view name) {
  const std::vector<Option> table = OptionTable();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [name](const Option& option) { return option.name == name; });
  REQUIRE(found != table.end());
  return found->Words();
}

TEST_CASE("Option: each of its words is a value that it takes") {
  std::size_t words = 0;
  for (const CommandEntry& command : Commands()) {
    for (const Option& option : command.options()) {
      for (const std::string_view word : option.Words()) {
        CAPTURE(option.name);
        CAPTURE(word);
        Settings settings;
        if (option.clear) option.clear(settings);
        CHECK_NOTHROW(option.set(settings, word));
        ++words;
      }
    }
  }
  CHECK(words > 30);
}

TEST_CASE("Option: words are those of the name of its value, or are told beside it") {
  CHECK(WordsOf("debug") == Words{"on", "off"});
  CHECK(WordsOf("follow-links") == Words{"off", "within-root", "on"});
  CHECK(WordsOf("access-log") == Words{"off", "-"});
  CHECK(WordsOf("environment") == Words{"all"});
  CHECK(WordsOf("log-level") == Words{"debug", "info", "warning", "error"});
  CHECK(WordsOf("max-params").empty());
}

}  // namespace
}  // namespace weft::host::options
