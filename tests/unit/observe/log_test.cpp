#include "host/observe/log.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <future>
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

/// A pipe of one page as standard error, while it lives. Its reader reads when told to.
class PageAsStderr {
 public:
  PageAsStderr() : before_(dup(STDERR_FILENO)) {
    REQUIRE(pipe2(ends_.data(), O_CLOEXEC) == 0);
    REQUIRE(fcntl(ends_[1], F_SETPIPE_SZ, 4096) == 4096);
    REQUIRE(dup2(ends_[1], STDERR_FILENO) >= 0);
  }
  PageAsStderr(const PageAsStderr&) = delete;
  PageAsStderr& operator=(const PageAsStderr&) = delete;
  ~PageAsStderr() {
    dup2(before_, STDERR_FILENO);
    for (const int descriptor : {before_, ends_[0], ends_[1]}) {
      close(descriptor);
    }
  }

  /// What is in the pipe now.
  std::string Read() const {
    std::string text(65536, '\0');
    REQUIRE(fcntl(ends_[0], F_SETFL, O_NONBLOCK) == 0);
    const auto count = read(ends_[0], text.data(), text.size());
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }

  /// Whether `write` comes back though nobody reads. If not, it is read for its sake.
  template <typename Function>
  bool ComesBack(Function write) const {
    auto done = std::async(std::launch::async, write);
    const bool back = done.wait_for(std::chrono::seconds(5)) == std::future_status::ready;
    while (done.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready) {
      Read();
    }
    return back;
  }

 private:
  std::array<int, 2> ends_{};
  int before_;
};

TEST_CASE("Log: without a LogThread, a line longer than a pipe takes holds nobody up") {
  const PageAsStderr page;
  REQUIRE(page.ComesBack([] { Log(Level::kError, std::string(10'000, 'x')); }));
  // It is cut, and the next line begins on one of its own.
  const auto cut = page.Read();
  CHECK(cut.size() == 4096);
  CHECK(test::IsTimestamp(cut.substr(0, 24)));
  Log(Level::kError, "next");
  const auto next = page.Read();
  CHECK(next.starts_with("\n"));
  CHECK(test::IsTimestamp(next.substr(1, 24)));
  CHECK(next.ends_with("error: next\n"));
  Log(Level::kError, "last");
  CHECK(test::IsTimestamp(page.Read().substr(0, 24)));
}

TEST_CASE("Log: without a LogThread, a long line that is taken arrives whole") {
  const std::string text(100'000, 'x');
  CHECK((Logged(Level::kInfo, text) == "info: " + text));
}

TEST_CASE("WriteToStandardError: with patience it waits for a reader, without it does not") {
  const PageAsStderr page;
  std::string lines;
  for (int i = 0; i < 1000; ++i) {
    lines += std::string(99, 'x') + "\n";
  }
  std::string read;
  auto done = std::async(std::launch::async,
                         [&] { WriteToStandardError(lines, std::chrono::seconds(30)); });
  while (done.wait_for(std::chrono::milliseconds(0)) != std::future_status::ready) {
    read += page.Read();
  }
  read += page.Read();
  CHECK((read == lines));
  WriteToStandardError(lines);
  CHECK((page.Read() == lines.substr(0, 4000)));  // the whole lines of one page
}

TEST_CASE("WriteToStandardError: patience has an end") {
  const PageAsStderr page;
  CHECK(page.ComesBack(
      [] { WriteToStandardError(std::string(10'000, 'x'), std::chrono::milliseconds(20)); }));
}

TEST_CASE("WriteProblems: a line each, as editors recognise it, and nothing for none") {
  const test::CapturedStderr captured;
  WriteProblems({});
  CHECK(captured.Text().empty());
  WriteProblems({{{"a.json", 3, 14}, mappings::Problem::Severity::kError, "one."},
                 {{"b.json", 1, 1}, mappings::Problem::Severity::kWarning, "two."}});
  CHECK(captured.Text() == "a.json:3:14: error: one.\nb.json:1:1: warning: two.\n");
}

TEST_CASE("Timestamp: it is UTC to the millisecond, in the form of RFC 3339") {
  CHECK(test::IsTimestamp(Timestamp()));
  CHECK_FALSE(test::IsTimestamp("2026-11-22T20:24:51Z"));
}

}  // namespace
}  // namespace weft::host::observe
