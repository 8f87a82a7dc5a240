#include "host/observe/log.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/captured_stderr.hpp"
#include "tests/support/temporary_folder.hpp"
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
  const test::CapturedStderr captured;
  Log(Level::kInfo, "somebody reads this");
  const auto text = captured.Text();
  CHECK(text.find("1 lines of the log were dropped: nobody read it\n") <
        text.find("info: somebody"));
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

/// Sets the log up, and back.
class SetUpAs {
 public:
  explicit SetUpAs(const options::Settings& settings) { SetUpLog(settings); }
  SetUpAs(const SetUpAs&) = delete;
  SetUpAs& operator=(const SetUpAs&) = delete;
  ~SetUpAs() {
    options::Settings before;
    before.log_rate = 0;
    SetUpLog(before);
  }
};

TEST_CASE("Log: in JSON an event is one object, whatever stands in it") {
  options::Settings settings;
  settings.log_format = options::LogFormat::kJson;
  const SetUpAs set_up(settings);
  const test::CapturedStderr captured;
  const std::array fields{LogField("url", "/\"\\\n\x1b\xff\xc2\x9b"), LogField("status", 404)};
  Log({.level = Level::kError,
       .message = "text",
       .event = "kind",
       .request = "r-1",
       .handler = "shop::A",
       .fields = fields,
       .stack = "  #0 f()\n  #1 g()\n"});
  const auto text = captured.Text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK(std::all_of(text.begin(), text.end(),
                    [](char c) { return c == '\n' || (c >= 0x20 && c < 0x7f); }));
  const auto json = nlohmann::json::parse(text);
  CHECK(test::IsTimestamp(json.at("time").get<std::string>()));
  CHECK(json.at("pid") == getpid());
  CHECK(json.at("level") == "error");
  CHECK(json.at("message") == "text");
  CHECK(json.at("event") == "kind");
  CHECK(json.at("request") == "r-1");
  CHECK(json.at("handler") == "shop::A");
  CHECK(json.at("url") == "/\"\\\n\x1b\xef\xbf\xbd\xc2\x9b");
  CHECK(json.at("status") == 404);
  CHECK(json.at("stack") == nlohmann::json{"#0 f()", "#1 g()"});
}

TEST_CASE(
    "Log: in text a stack has a line for each frame, each with the head; they stay together") {
  const test::CapturedStderr captured;
  Log({.level = Level::kWarning,
       .message = "held",
       .event = "stall",
       .stack = "  #0 f()\n  #1 g()\n"});
  const auto text = captured.Text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 3);
  CHECK(text.find("] warning: held\n") < text.find("] warning: stall:   #0 f()\n"));
  CHECK(text.ends_with("] warning: stall:   #1 g()\n"));
}

TEST_CASE("Log: the request that the thread works for is told, unless the message does so") {
  const test::CapturedStderr captured;
  SetWorkDescription([](WorkDescription& into) noexcept {
    into.request_bytes = std::string_view("r-7").copy(into.request.data(), into.request.size());
  });
  Log(Level::kInfo, "one");
  Log(Level::kInfo, "request r-7 failed");
  Log({.message = "three", .is_about_no_request = true});
  SetWorkDescription(nullptr);
  Log(Level::kInfo, "four");
  const auto text = captured.Text();
  CHECK(text.find("info: one (request r-7)\n") != std::string::npos);
  CHECK(text.find("info: request r-7 failed\n") != std::string::npos);
  CHECK(text.find("info: three\n") != std::string::npos);
  CHECK(text.find("info: four\n") != std::string::npos);
}

TEST_CASE(
    "Log: of a kind that comes too often the rest is dropped, and counted when the log's thread "
    "comes to it") {
  options::Settings settings;
  settings.log_rate = 1;
  settings.log_burst = 3;
  const SetUpAs set_up(settings);
  const test::CapturedStderr captured;
  {
    const LogThread thread;
    for (int i = 0; i < 100; ++i) {
      Log(Level::kInfo, "one kind");
    }
    Log(Level::kInfo, "another kind");
  }  // does not wait for the second
  const auto text = captured.Text();
  std::size_t told = 0;
  std::size_t dropped = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    const auto line = text.substr(at, end - at);
    at = end + 1;
    const auto message = line.find("info: ") + 6;
    if (line.find("were dropped (--log-rate): one kind") != std::string::npos) {
      dropped += std::stoul(line.substr(message));
    } else if (line.find("one kind") != std::string::npos) {
      ++told;
      if (const auto more = line.find("; "); more != std::string::npos) {
        dropped += std::stoul(line.substr(more + 2));  // a machine that is busy for a second
      }
    }
  }
  CHECK(told >= 3);
  CHECK(told + dropped == 100);
  CHECK(dropped > 0);
  CHECK(text.find("info: another kind\n") != std::string::npos);
}

TEST_CASE("Log: a file takes it, and after Reopen the file of that name") {
  const test::TemporaryFolder folder;
  const auto path = folder / "log";
  options::Settings settings;
  settings.log = {.kind = options::LogTarget::Kind::kFile, .path = path.string()};
  const SetUpAs set_up(settings);
  const auto rotate = [&](const char* to) {
    std::filesystem::rename(path, folder / to);
    ReopenLog();
  };
  Log(Level::kInfo, "first");
  rotate("1");
  Log(Level::kInfo, "second");
  {
    LogThread thread;
    Log(Level::kInfo, "third");
    for (int i = 0; i < 50; ++i) {
      thread.Flush();
    }
    rotate("2");
    Log(Level::kInfo, "fourth");
  }
  Log(Level::kInfo, "fifth");
  CHECK(test::ReadWholeFile(folder / "1").ends_with("first\n"));
  const auto second = test::ReadWholeFile(folder / "2");
  CHECK(second.find("second\n") < second.find("third\n"));
  const auto last = test::ReadWholeFile(path);
  CHECK(last.find("fourth\n") < last.find("fifth\n"));
  CHECK(last.ends_with("fifth\n"));
}

TEST_CASE("Log: a shared level is that of the processes that were forked, too") {
  const int shared = ShareLogLevel();
  REQUIRE(shared >= 0);
  CHECK(fcntl(shared, F_GETFD) == FD_CLOEXEC);
  std::array<int, 2> ready{};
  REQUIRE(pipe2(ready.data(), O_CLOEXEC) == 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    static_cast<void>(!read(ready[0], &byte, 1));
    _exit(LogLevelNow() == Level::kDebug ? 0 : 1);
  }
  // As another program does that this process has become.
  SetLogLevel(Level::kDebug);
  CHECK(ShareLogLevel(shared) == shared);
  CHECK(LogLevelNow() == Level::kDebug);
  CHECK(write(ready[1], "x", 1) == 1);
  int status = -1;
  waitpid(child, &status, 0);
  SetLogLevel(Level::kInfo);
  close(ready[0]);
  close(ready[1]);
  close(shared);
  CHECK(status == 0);
}

TEST_CASE("Log: what is no memory of a level is not shared, and another is") {
  const int empty = memfd_create("empty", MFD_CLOEXEC);
  REQUIRE(empty >= 0);
  const int shared = ShareLogLevel(empty);
  CHECK(shared >= 0);
  SetLogLevel(Level::kWarning);
  CHECK(LogLevelNow() == Level::kWarning);
  SetLogLevel(Level::kInfo);
  close(shared);
}

TEST_CASE("Timestamp: it is UTC to the millisecond, in the form of RFC 3339") {
  CHECK(test::IsTimestamp(Timestamp()));
  CHECK_FALSE(test::IsTimestamp("2026-11-22T20:24:51Z"));
}

}  // namespace
}  // namespace weft::host::observe
