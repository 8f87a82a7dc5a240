#include "host/supervisor/crash_reporter.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "host/observe/log.hpp"
#include "host/supervisor/file_descriptor.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::host::supervisor {
namespace {

CrashReport Killed(pid_t pid) {
  CrashReport report{.pid = pid};
  report.exit.status = SIGKILL;
  return report;
}

/// What is logged while it lives, of this process and its children.
class LoggedText {
 public:
  LoggedText() : file_(::open(Path().c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
    REQUIRE(file_.Number() >= 0);
    observe::SetStandardErrorOfLog(file_.Number());
  }
  ~LoggedText() { observe::SetStandardErrorOfLog(before_); }
  LoggedText(const LoggedText&) = delete;
  LoggedText& operator=(const LoggedText&) = delete;

  [[nodiscard]] std::size_t Count(std::string_view words) const {
    std::ifstream in(Path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    std::size_t count = 0;
    for (auto at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) {
      ++count;
    }
    return count;
  }

 private:
  [[nodiscard]] std::string Path() const { return (folder_.Path() / "log").string(); }

  test::TemporaryFolder folder_;
  FileDescriptor file_;
  int before_ = observe::StandardErrorOfLog();
};

std::size_t FilesIn(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder),
                                                std::filesystem::directory_iterator()));
}

TEST_CASE("CrashReporter: reports beyond those at work wait, and beyond those are told in short") {
  const test::TemporaryFolder folder;
  const LoggedText log;
  // Until it is closed here no report is written.
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const FileDescriptor gate(ends[0]);
  FileDescriptor closed_gate(ends[1]);
  CrashReporter reporter(folder.Path().string(), {}, [&] {
    closed_gate.Close();
    char byte = 0;
    static_cast<void>(::read(gate.Number(), &byte, 1));
  });
  constexpr std::size_t kWhole = CrashReporter::kMaxAtOnce + CrashReporter::kMaxWaiting;
  for (std::size_t i = 0; i < kWhole; ++i) reporter.Tell(Killed(static_cast<pid_t>(1'000 + i)));
  CHECK(log.Count("crash of worker") == 0);
  reporter.Tell(Killed(2'000));
  reporter.Tell(Killed(2'001));
  CHECK(log.Count("crash of worker 200") == 2);
  CHECK(log.Count("reports of crashes have") == 0);  // It is told once, when no more may come.
  CHECK(FilesIn(folder.Path()) == 0);

  closed_gate.Close();
  SUBCASE("as processes end") {
    while (reporter.IsAtWork()) {
      siginfo_t ended{};
      REQUIRE(::waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) == 0);
      reporter.Reap();
    }
  }
  SUBCASE("all at once, at the end") {
    reporter.Finish();
    CHECK_FALSE(reporter.IsAtWork());
  }
  CHECK(FilesIn(folder.Path()) == kWhole);
  CHECK(log.Count("crash of worker 10") == kWhole);
  CHECK(log.Count("2 reports of crashes have no names of functions, and no file in --crash-dir") ==
        1);
}

}  // namespace
}  // namespace weft::host::supervisor
