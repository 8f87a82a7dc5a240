#include "host/observe/log.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>

#include "tests/support/captured_stderr.hpp"
#include "tests/unit/observe/timestamp_shape.hpp"

namespace weft::host::observe {
namespace {

/// Sets the level, and sets it back.
class AtLevel {
 public:
  explicit AtLevel(Level level) { SetLogLevel(level); }
  AtLevel(const AtLevel&) = delete;
  AtLevel& operator=(const AtLevel&) = delete;
  ~AtLevel() { SetLogLevel(Level::kInfo); }
};

/// What is logged of `text`, without time and process, after a look at both.
std::string Logged(Level level, std::string_view text) {
  const test::CapturedStderr captured;
  Log(level, text);
  const auto line = captured.Text();
  if (line.empty()) {
    return {};
  }
  const auto process = " weft[" + std::to_string(getpid()) + "] ";
  REQUIRE(line.size() > 24 + process.size());
  CHECK(test::IsTimestamp(line.substr(0, 24)));
  CHECK(line.substr(24, process.size()) == process);
  CHECK(line.find('\n') == line.size() - 1);
  return line.substr(24 + process.size(), line.size() - 25 - process.size());
}

TEST_CASE("Log: one line of time, process, level and text") {
  const AtLevel level(Level::kDebug);
  CHECK(Logged(Level::kDebug, "text") == "debug: text");
  CHECK(Logged(Level::kInfo, "text") == "info: text");
  CHECK(Logged(Level::kWarning, "text") == "warning: text");
  CHECK(Logged(Level::kError, "") == "error: ");
}

TEST_CASE("Log: a level logs itself and what is graver") {
  CHECK(LogsAt(Level::kInfo));
  CHECK_FALSE(LogsAt(Level::kDebug));
  CHECK(Logged(Level::kDebug, "text").empty());
  const AtLevel level(Level::kError);
  CHECK(Logged(Level::kWarning, "text").empty());
  CHECK(Logged(Level::kError, "text") == "error: text");
  CHECK_FALSE(LogsAt(Level::kWarning));
}

TEST_CASE("Log: control characters do not make a second line, quotes stay as they are") {
  CHECK(Logged(Level::kInfo, "a\nfake line\r\x1b[2J\x7f \"b\" \\") ==
        R"(info: a\u000afake line\u000d\u001b[2J\u007f "b" \)");
  CHECK(Logged(Level::kInfo, std::string("\0", 1)) == R"(info: \u0000)");
}

TEST_CASE(
    "Log: a LogThread writes what is logged while it lives, in order, and then it is written in "
    "place") {
  const test::CapturedStderr captured;
  {
    const LogThread thread;
    Log(Level::kInfo, "first");
    Log(Level::kError, "second");
  }
  Log(Level::kInfo, "third");
  const auto text = captured.Text();
  const auto first = text.find("info: first\n");
  const auto second = text.find("error: second\n");
  const auto third = text.find("info: third\n");
  CHECK(first < second);
  CHECK(second < third);
  CHECK(third != std::string::npos);
}

TEST_CASE(
    "Log: without a LogThread, a standard error that nobody reads takes no line and holds nobody "
    "up") {
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  const std::string filling(4096, '#');
  while (write(ends[1], filling.data(), filling.size()) > 0) {
  }
  while (write(ends[1], "#", 1) > 0) {
  }
  REQUIRE(fcntl(ends[1], F_SETFL, 0) == 0);  // it would block now
  const int before = dup(STDERR_FILENO);
  REQUIRE(dup2(ends[1], STDERR_FILENO) >= 0);
  Log(Level::kError, "nobody reads this");
  dup2(before, STDERR_FILENO);
  close(before);
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("Timestamp: it is UTC to the millisecond, in the form of RFC 3339") {
  CHECK(test::IsTimestamp(Timestamp()));
  CHECK_FALSE(test::IsTimestamp("2026-11-22T20:24:51Z"));
}

}  // namespace
}  // namespace weft::host::observe
