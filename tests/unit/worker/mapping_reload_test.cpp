#include "host/worker/mapping_reload.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "host/observe/log.hpp"
#include "tests/support/captured_stderr.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::host::worker {
namespace {

namespace fs = std::filesystem;

using namespace std::chrono_literals;
using Table = std::shared_ptr<const mappings::MappingTable>;

/// A reload whose reactor is the test's own thread, while it waits.
///
/// Not imitated: types, and requests that use a table; `accepts` decides in their place.
class Reloading {
 public:
  explicit Reloading(std::chrono::milliseconds interval, int lock = -1, bool is_supervised = false)
      : interval_(interval), lock_(lock), is_supervised_(is_supervised) {
    Write("GET");
  }

  void Start(const MappingReload::AtStart& start = {.was_read = false}) {
    reload_ = std::make_unique<MappingReload>(
        MappingReload::Options{
            {.directory = folder / "mappings"}, interval_, lock_, is_supervised_},
        io_,
        [this](Table table) {
          MappingReload::Applied applied;
          applied.accepted = accepts;
          if (accepts) {
            std::swap(serving, table);
          } else {
            applied.problems.push_back(
                {{"here", 1, 2}, mappings::Problem::Severity::kError, "No such type."});
          }
          applied.discarded = std::move(table);
          return applied;
        },
        [this](const ReloadReport& report) {
          if (refused_reports > 0) {
            --refused_reports;
            return false;
          }
          last_report = report;
          ++reports;
          return true;
        });
    reload_->Start(start);
  }

  void Write(std::string_view verb, std::string_view path = "default/mapping.json") const {
    folder.Write("mappings/" + std::string(path), R"({"httpHandlers": [{"add": {"verb": ")" +
                                                      std::string(verb) +
                                                      R"(", "path": "/a", "type": "A"}}]})");
  }

  MappingReload& operator*() const { return *reload_; }
  MappingReload* operator->() const { return reload_.get(); }

  /// Runs the reactor until it is so.
  void Await(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (!condition() && std::chrono::steady_clock::now() < end) {
      io_.run_for(1ms);
      io_.restart();
    }
    REQUIRE(condition());
  }
  void AwaitReports(int count) {
    Await([&] { return reports.load() >= count; });
  }
  void RunFor(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    Await([&] { return std::chrono::steady_clock::now() >= end; });
  }
  [[nodiscard]] bool Serves(std::string_view verb) const {
    const auto* const entry = serving ? serving->Resolve("h", verb, "/a", "").entry : nullptr;
    return entry != nullptr && entry->type.class_name == "A";  // the defaults have others
  }
  void End() { reload_.reset(); }

  test::TemporaryFolder folder;
  std::atomic<bool> accepts = true;
  Table serving;
  std::atomic<int> reports = 0;
  std::atomic<int> refused_reports = 0;  ///< How many of the next ones are not taken.
  ReloadReport last_report;

 private:
  std::chrono::milliseconds interval_;
  int lock_;
  bool is_supervised_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::unique_ptr<MappingReload> reload_;
};

TEST_CASE("MappingReload: a changed file takes effect by itself, a wrong one does not") {
  const test::CapturedStderr log;
  Reloading reload(10ms);
  reload.Start();
  reload.Write("PUT");
  reload.AwaitReports(1);
  CHECK(reload.last_report.accepted);
  CHECK(reload.last_report.cause == ReloadReport::Cause::kReload);
  CHECK(reload.Serves("PUT"));
  CHECK_FALSE(reload.Serves("GET"));
  const auto first_read_at = reload.last_report.read_at;

  reload.folder.Write("mappings/default/mapping.json", R"({"httpHandlers": [{}, {"x": 1}]})");
  reload.AwaitReports(2);
  CHECK_FALSE(reload.last_report.accepted);
  CHECK(reload.Serves("PUT"));
  CHECK(reload.last_report.read_at > first_read_at);
  CHECK(reload.last_report.problem_count == 2);
  CHECK(reload.last_report.problems.size() == 2);
  CHECK(log.Text().find("2 problems, which follow") != std::string::npos);
  CHECK(log.Text().find("mapping.json:1:19: error: ") != std::string::npos);

  reload.Write("POST");
  reload.AwaitReports(3);
  CHECK(reload.Serves("POST"));
  CHECK(reload.last_report.problem_count == 0);
  CHECK(log.Text().find("this is table 3 of this process") != std::string::npos);
}

TEST_CASE("MappingReload: the start is reported, unless the files were not looked at") {
  const test::CapturedStderr log;
  Reloading reload(10s);
  const auto before = std::chrono::steady_clock::now();
  SUBCASE("read") {
    reload.Start({});
    CHECK(reload.reports == 1);
    CHECK(reload.last_report.accepted);
    CHECK(reload.last_report.cause == ReloadReport::Cause::kStart);
    CHECK(reload.last_report.fingerprint != 0);
    CHECK(reload.last_report.read_at >= before);
    CHECK(reload.last_report.problem_count == 0);
  }
  SUBCASE("wrong: it serves with another table") {
    reload.Start({.refused = {{{"here", 1, 2}, mappings::Problem::Severity::kError, "No."}}});
    CHECK(reload.reports == 1);
    CHECK_FALSE(reload.last_report.accepted);
    CHECK(reload.last_report.cause == ReloadReport::Cause::kStart);
    CHECK(reload.last_report.problems.front().sentence == "No.");
  }
  SUBCASE("not looked at") {
    reload.Start({.was_read = false});
    CHECK(reload.reports == 0);
  }
}

TEST_CASE("MappingReload: a report that cannot be taken is given again, the newest alone") {
  const test::CapturedStderr log;
  Reloading reload(0ms);
  reload.Start();
  reload.refused_reports = 2;
  reload->Request(ReloadOrder::kCheck);
  reload.Await([&] { return reload.refused_reports < 2; });
  reload.Write("PUT");
  reload->Request(ReloadOrder::kCheck);
  reload.AwaitReports(1);
  CHECK(reload.Serves("PUT"));
  CHECK(reload.last_report.accepted);
  reload.RunFor(2 * MappingReload::kReportRetry);
  CHECK(reload.reports == 1);
}

TEST_CASE("MappingReload: files that do not change are not read again, wrong ones neither") {
  const test::CapturedStderr log;
  Reloading reload(1ms);
  reload.Start();
  reload.folder.Write("mappings/default/mapping.json", "{");
  reload.AwaitReports(1);
  reload.RunFor(300ms);
  CHECK(reload.reports == 1);
}

TEST_CASE("MappingReload: a type that cannot be used refuses the whole, and says so") {
  const test::CapturedStderr log;
  Reloading reload(0ms);
  reload.Start();
  reload->Request(ReloadOrder::kCheck);
  reload.AwaitReports(1);
  reload.accepts = false;
  reload.Write("PUT");
  reload->Request(ReloadOrder::kCheck);
  reload.AwaitReports(2);
  CHECK_FALSE(reload.last_report.accepted);
  CHECK(reload.Serves("GET"));
  CHECK(log.Text().find("a new one needs a restart") != std::string::npos);
  CHECK(log.Text().find("here:1:2: error: No such type.") != std::string::npos);
}

TEST_CASE("MappingReload: with an interval of 0 only an order reloads") {
  const test::CapturedStderr log;
  Reloading reload(0ms);
  reload.Start();
  reload.Write("PUT");
  reload.RunFor(200ms);
  CHECK(reload.reports == 0);
  reload->Request(ReloadOrder::kCheck);
  reload.AwaitReports(1);
  CHECK(reload.Serves("PUT"));
  const auto fingerprint = reload.last_report.fingerprint;
  reload->Request(ReloadOrder::kCheck);
  reload.AwaitReports(2);
  CHECK(reload.last_report.fingerprint == fingerprint);
}

TEST_CASE("MappingReload: who adopts logs only what goes wrong") {
  const test::CapturedStderr log;
  Reloading reload(0ms, -1, /*is_supervised=*/true);
  reload.Start();
  reload->Request(ReloadOrder::kAdopt);
  reload.AwaitReports(1);
  CHECK(log.Text().empty());
  reload.folder.Write("mappings/default/mapping.json", "{");
  reload->Request(ReloadOrder::kAdopt);
  reload.AwaitReports(2);
  CHECK(log.Text().find("1 problem, which follow") != std::string::npos);
}

TEST_CASE(
    "MappingReload: who adopts logs newer files than those that all know, for nobody else has") {
  const test::CapturedStderr log;
  const int lock = ::memfd_create("lock", MFD_CLOEXEC);
  REQUIRE(lock >= 0);
  const auto known = [lock] {
    std::uint64_t fingerprint = 0;
    CHECK(::pread(lock, &fingerprint, sizeof fingerprint, 0) == sizeof fingerprint);
    return fingerprint;
  };
  struct flock whole {};
  whole.l_type = F_WRLCK;
  const pid_t holder = ::fork();
  if (holder == 0) {
    ::fcntl(lock, F_SETLK, &whole);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  ::waitpid(holder, nullptr, WUNTRACED);  // another worker looks for changes
  Reloading reload(10s, lock, /*is_supervised=*/true);
  reload.Start();
  REQUIRE(known() != 0);
  reload->Request(ReloadOrder::kAdopt);
  reload.AwaitReports(1);
  CHECK(log.Text().empty());  // what all know

  reload.Write("PUT");
  reload->Request(ReloadOrder::kAdopt);
  reload.AwaitReports(2);
  CHECK(log.Text().find("info: the mappings were reloaded in ") != std::string::npos);
  // It is what all know now: the supervisor has them adopt it.
  reload.Await([&] { return known() == reload.last_report.fingerprint; });
  const auto logged = log.Text();
  reload->Request(ReloadOrder::kAdopt);
  reload.AwaitReports(3);
  CHECK(log.Text() == logged);
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  reload.End();
  ::close(lock);
}

TEST_CASE(
    "MappingReload: only the process with the lock looks for changes, and another takes over") {
  const test::CapturedStderr log;
  const int lock = ::memfd_create("lock", MFD_CLOEXEC);
  REQUIRE(lock >= 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    ::fcntl(lock, F_SETLK, &whole);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  ::waitpid(holder, nullptr, WUNTRACED);  // it holds the lock, and stands still
  Reloading reload(5ms, lock);
  reload.Start();
  reload.Write("PUT");
  reload.RunFor(200ms);
  CHECK(reload.reports == 0);
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  reload.AwaitReports(1);
  CHECK(reload.Serves("PUT"));
  ::close(lock);
}

TEST_CASE(
    "MappingReload: who began with newer files than the others has them told when it looks for "
    "changes") {
  const test::CapturedStderr log;
  const int lock = ::memfd_create("lock", MFD_CLOEXEC);
  REQUIRE(lock >= 0);
  Reloading reload(5ms, lock);
  // Another worker began before, with other files, and has not come to look.
  std::uint64_t others = 1;
  REQUIRE(::pwrite(lock, &others, sizeof others, 0) == sizeof others);
  reload.Start();
  reload.AwaitReports(1);
  CHECK(reload.last_report.accepted);
  CHECK(reload.last_report.cause == ReloadReport::Cause::kReload);
  CHECK(reload.Serves("GET"));
  reload.Await([&] {
    return ::pread(lock, &others, sizeof others, 0) == sizeof others &&
           others == reload.last_report.fingerprint;
  });
  reload.RunFor(100ms);
  CHECK(reload.reports == 1);  // once
  reload.End();

  // The next worker began with the same.
  reload.Start();
  reload.RunFor(100ms);
  CHECK(reload.reports == 1);
  ::close(lock);
}

TEST_CASE("MappingReload: a table lives as long as somebody uses it, and no longer") {
  const test::CapturedStderr log;
  Reloading reload(0ms);
  reload.Start();
  reload->Request(ReloadOrder::kCheck);
  reload.AwaitReports(1);
  Table used = reload.serving;  // as a request in flight does
  const std::weak_ptr<const mappings::MappingTable> unused = used;
  reload->Request(ReloadOrder::kCheck);
  reload.AwaitReports(2);
  CHECK(reload.serving != used);
  reload.RunFor(100ms);
  CHECK(used->Resolve("h", "GET", "/a", "").entry != nullptr);
  used.reset();
  reload.Await([&] { return unused.expired(); });
}

TEST_CASE("MappingReload: orders that come in a heap are few reloads, and none is lost") {
  const test::CapturedStderr log;
  Reloading reload(0ms);
  reload.Start();
  for (int i = 0; i < 1'000; ++i) {
    reload->Request(i % 2 == 0 ? ReloadOrder::kAdopt : ReloadOrder::kCheck);
  }
  reload.AwaitReports(1);
  reload.Write("PUT");
  reload->Request(ReloadOrder::kAdopt);
  reload.Await([&] { return reload.Serves("PUT"); });
  CHECK(reload.reports < 500);
}

TEST_CASE("MappingReload: ends at once, also while a table waits for the reactor") {
  const test::CapturedStderr log;
  Reloading reload(1ms);
  reload.Start();
  reload->Request(ReloadOrder::kCheck);
  std::this_thread::sleep_for(20ms);  // nobody runs the reactor
  const auto began = std::chrono::steady_clock::now();
  reload.End();
  CHECK(std::chrono::steady_clock::now() - began < MappingReload::kFarewell);
  CHECK(reload.serving == nullptr);
}

}  // namespace
}  // namespace weft::host::worker
