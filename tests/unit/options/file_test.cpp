#include <doctest/doctest.h>

#include <string>

#include "host/options/exit_code.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/options/parse_for_test.hpp"

namespace weft::host::options {
namespace {

/// A file that goes away with the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content)
      : name_(folder_.Write("weft.ini", content).string()) {}

  [[nodiscard]] const std::string& Name() const { return name_; }

 private:
  test::TemporaryFolder folder_;
  std::string name_;
};

std::string RefusalOfFile(const std::string& content) {
  const TemporaryFile file(content);
  const ParseResult result = ParseServe({"--config", file.Name()});
  CHECK_FALSE(result.settings.has_value());
  CHECK(result.exit_code == kExitUsage);
  CHECK(result.error.find('\n') == std::string::npos);
  const std::string start = "weft: " + file.Name();
  REQUIRE(result.error.substr(0, start.size()) == start);
  return result.error.substr(start.size());
}

TEST_CASE(
    "Parse: a file that is known counts as it was, whatever it says by now, and is given back") {
  const TemporaryFile file("workers = 3\n");
  const std::string name = file.Name();
  const char* const arguments[] = {"weft", "serve", "--config", name.c_str()};
  const char* const environment[] = {nullptr};
  const ParseResult read = Parse(4, arguments, environment);
  REQUIRE_MESSAGE(read.settings, read.error);
  CHECK(read.config == ConfigText{name, "workers = 3\n"});
  CHECK_FALSE(ParseServe({}).config);

  const ConfigText known{name, "workers = 4\n"};
  const ParseResult as_known = Parse(4, arguments, environment, &known);
  REQUIRE_MESSAGE(as_known.settings, as_known.error);
  CHECK(as_known.settings->workers == 4);
  CHECK(as_known.config == known);
  const ConfigText wrong{name, "workers = 4\nwrokers = 4\n"};
  CHECK(Parse(4, arguments, environment, &wrong).error.starts_with("weft: " + name + ":2: "));
  const ConfigText other{"/etc/other.ini", "workers = 5\n"};
  CHECK(Parse(4, arguments, environment, &other).settings->workers == 3);
}

TEST_CASE("Parse: the file beats the environment, and a flag beats the file") {
  const TemporaryFile file("workers = 3\nmax-params = 512\n");
  const ParseResult result =
      ParseServe({"--config", file.Name(), "--max-params", "600"},
                 {"WEFT_WORKERS=2", "WEFT_MAX_PARAMS=100", "WEFT_BACKLOG=5"});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->workers == 3);
  CHECK(result.settings->max_params == 600);
  CHECK(result.settings->backlog == 5);
  CHECK(result.settings->config == file.Name());
}

TEST_CASE("Parse: WEFT_CONFIG names the file, unless a flag does") {
  const TemporaryFile weak("workers = 3\n");
  const TemporaryFile strong("workers = 4\n");
  ParseResult result = ParseServe({}, {"WEFT_CONFIG=" + weak.Name()});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->workers == 3);
  result = ParseServe({"--config", strong.Name()}, {"WEFT_CONFIG=" + weak.Name()});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->workers == 4);
}

TEST_CASE("Parse: comments, blank lines, blanks and line ends of Windows are passed over") {
  const TemporaryFile file(
      "# a comment\r\n; another\r\n\r\n   workers=3   # here too\r\n\tdebug = on\r\n"
      "listen = unix:/a, tcp:[::1]:9000\r\nlisten = fd:3");
  const ParseResult result = ParseServe({"--config", file.Name()});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->workers == 3);
  CHECK(result.settings->debug);
  REQUIRE(result.settings->listen.size() == 3);
  CHECK(ToString(result.settings->listen[1]) == "tcp:[::1]:9000");
}

TEST_CASE("Parse: an empty file changes nothing") {
  const TemporaryFile file("");
  const ParseResult result = ParseServe({"--config", file.Name()});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK_FALSE(result.settings->workers);
}

TEST_CASE("Parse: what is wrong in the file is named with its line") {
  CHECK(RefusalOfFile("debug = on\nwrokers = 3\n") ==
        ":2: unknown option 'wrokers': did you mean 'workers'?");
  CHECK(RefusalOfFile("banana = 3\n") == ":1: unknown option 'banana': see 'weft serve --help'");
  CHECK(RefusalOfFile("\n\nheader-timeout = 10\n") ==
        ":3: header-timeout: '10' has no unit: write 10s for seconds, or ms, m, h");
  CHECK(RefusalOfFile("workers = 1\n# x\nworkers = 2\n") ==
        ":3: workers: given before, on line 1: keep one");
  CHECK(RefusalOfFile("workers\n") == ":1: 'workers' is no option: write NAME = VALUE");
  CHECK(RefusalOfFile("workers =\n") == ":1: workers: needs a value: write workers = N");
  CHECK(RefusalOfFile("listen = ,\n") == ":1: listen: needs a value: write listen = ADDRESS");
  CHECK(RefusalOfFile("listen = fd:3 fd:3\n") == ":1: listen: 'fd:3' is given twice: keep one");
  CHECK(RefusalOfFile("[serve]\nworkers = 1\n") ==
        ":1: '[serve]' is a section, which weft does not use: remove the line");
  CHECK(RefusalOfFile("config = other.ini\n") ==
        ":1: config: a file cannot name another: remove the line");
  CHECK(RefusalOfFile("debug = on\n\x01\x02 = 1\n") ==
        ":2: unknown option '\\x01\\x02': see 'weft serve --help'");
}

TEST_CASE("Parse: a file that cannot be read is refused by the name of who names it") {
  CHECK(ParseServe({"--config", "/nonexistent/weft.ini"}).error ==
        "weft: --config: cannot read '/nonexistent/weft.ini': No such file or directory: name a "
        "readable INI file");
  CHECK(ParseServe({}, {"WEFT_CONFIG=/"}).error ==
        "weft: WEFT_CONFIG: cannot read '/': Is a directory: name a readable INI file");
}

}  // namespace
}  // namespace weft::host::options
