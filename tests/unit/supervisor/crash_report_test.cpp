#include "host/supervisor/crash_report.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "host/supervisor/memory_kills.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::host::supervisor {
namespace {

using observe::CrashAccess;
using observe::CrashStep;

CrashReport BySignal(int signal) {
  CrashReport report{.pid = 7};
  report.exit.status = signal;
  report.exit.was_ready = true;
  return report;
}

CrashReport Recorded(int signal, int code = 1) {
  auto report = BySignal(signal);
  report.facts.step = CrashStep::kModules;
  report.facts.signal = signal;
  report.facts.code = code;
  return report;
}

TEST_CASE("CrashReport: what ended a worker is said in words, and counted by a name") {
  SUBCASE("a null pointer, and a member of what it points to") {
    auto report = Recorded(SIGSEGV, SEGV_MAPERR);
    report.facts.access = CrashAccess::kRead;
    report.facts.address = 0x18;
    CHECK(CauseSentence(report) == "a null pointer was read (address 0x18)");
    CHECK(CauseName(report) == "SIGSEGV");
  }
  SUBCASE("memory that may not be written") {
    auto report = Recorded(SIGSEGV, SEGV_ACCERR);
    report.facts.access = CrashAccess::kWrite;
    report.facts.address = 0x7f0000001000;
    CHECK(CauseSentence(report) == "memory at 0x7f0000001000 was written that may not be");
  }
  SUBCASE("a stack overflow") {
    auto report = Recorded(SIGSEGV, SEGV_ACCERR);
    report.facts.overflow = "shop::Report";
    report.facts.advice = "--stack-size helps";
    CHECK(CauseSentence(report) == "stack overflow in shop::Report; a larger --stack-size helps");
    CHECK(CauseName(report) == "stack_overflow");
  }
  SUBCASE("a signal that somebody sent") {
    auto report = Recorded(SIGSEGV, SI_USER);
    report.facts.sender = 42;
    report.facts.sender_user = 1000;
    CHECK(CauseSentence(report) == "process 42 of user 1000 has sent it");
  }
  SUBCASE("exceptions, with and without a text") {
    auto report = Recorded(SIGABRT, SI_TKILL);
    report.facts.has_terminated = true;
    report.facts.exception_type = "St13runtime_error";
    report.facts.exception_text = "boom";
    CHECK(CauseSentence(report) == "nobody caught an exception: std::runtime_error: boom");
    CHECK(CauseName(report) == "uncaught_exception");
    report.facts.exception_type = "St9bad_alloc";
    CHECK(CauseSentence(report) == "out of memory: nobody caught std::bad_alloc");
    CHECK(CauseName(report) == "out_of_memory");
    report.facts.exception_type.clear();
    CHECK(CauseSentence(report).starts_with("std::terminate() was called without an exception"));
    CHECK(CauseName(report) == "SIGABRT");
  }
  SUBCASE("an assertion") {
    auto report = Recorded(SIGABRT, SI_TKILL);
    report.facts.message = "weft: a.cpp:3: void F(): Assertion `x' failed.\n";
    CHECK(CauseSentence(report) == "weft: a.cpp:3: void F(): Assertion `x' failed.");
  }
  SUBCASE("SIGKILL, by whom") {
    auto report = BySignal(SIGKILL);
    CHECK(CauseSentence(report).starts_with("killed from outside"));
    CHECK(CauseName(report) == "SIGKILL");
    report.has_memory_run_out = true;
    CHECK(CauseSentence(report) == "the kernel has killed it for want of memory");
    CHECK(CauseName(report) == "oom_kill");
    CHECK(IsWorthAReport(report));
    report.killed_by_us = true;
    CHECK_FALSE(IsWorthAReport(report));
    CHECK(CauseSentence(report) == "the supervisor has killed it");
    CHECK(CauseName(report) == "SIGKILL");
  }
  SUBCASE("a record of another signal than the one that ended it says nothing") {
    auto report = Recorded(SIGSEGV);
    report.exit.status = SIGBUS;
    report.facts.overflow = "shop::Report";
    CHECK(CauseName(report) == "SIGBUS");
    CHECK_FALSE(CauseSentence(report).starts_with("stack overflow"));
  }
  SUBCASE("an exit that nobody asked for, with requests") {
    CrashReport report{.pid = 7};
    report.exit.status = 3 << 8;
    CHECK_FALSE(IsWorthAReport(report));
    CHECK(CauseSentence(report).empty());
    report.facts.requests.push_back({.number = 1});
    CHECK(IsWorthAReport(report));
    CHECK(CauseSentence(report) == "a handler has called exit(), or the like");
  }
}

TEST_CASE("CrashReport: a module that is no file of modules has frames without names") {
  const test::TemporaryFolder folder;
  std::ofstream(folder.Path() / "a.so") << "\x7f"
                                           "ELF, it says";
  observe::CrashFacts facts;
  facts.frames = {{.address = 0x1000, .offset = 0x10, .module = (folder.Path() / "a.so").string()},
                  {.address = 0x2000, .offset = 0x20, .module = "/nowhere/at/all.so"},
                  {.address = 0x3000, .offset = 0x30, .module = "/dev/zero"},
                  {.address = 0x4000, .offset = 0x40, .module = "[vdso]"},
                  {.address = 0x5000, .offset = 0, .module = ""}};
  const auto frames = NameFrames(facts);
  REQUIRE(frames.size() == 5);
  CHECK(frames[0].function.empty());
  CHECK(frames[0].address == 0x10);
  CHECK(frames[4].address == 0x5000);
}

TEST_CASE("CrashReport: its file is JSON whatever the names are, and the oldest go") {
  const test::TemporaryFolder folder;
  auto report = Recorded(SIGSEGV);
  report.facts.requests.push_back({.number = 1, .path = "/\xff\n\"", .has_crashed = true});
  for (std::size_t i = 0; i < kMaxCrashFiles; ++i) {
    auto number = std::to_string(1000 + i);
    std::ofstream(folder.Path() / ("weft-crash-19700101T000000." + number + "Z-1.json")) << "{}";
  }
  report.at = std::chrono::system_clock::time_point(std::chrono::hours(24 * 365 * 50));
  const auto file = WriteCrashFile(folder.Path().string(), report, ToJson(report, {}));
  std::ifstream in(file);
  const auto json = nlohmann::json::parse(in);
  CHECK(json.at("signal") == "SIGSEGV");
  CHECK(json.at("heldRequests").at(0).at("crashed") == true);
  CHECK_FALSE(std::filesystem::exists(folder.Path() / "weft-crash-19700101T000000.1000Z-1.json"));
  CHECK(std::filesystem::exists(folder.Path() / "weft-crash-19700101T000000.1001Z-1.json"));
  CHECK_THROWS(static_cast<void>(WriteCrashFile("/nowhere/at/all", report, "{}")));
}

TEST_CASE("CrashReport: what a writer has left that was killed goes, and nothing else") {
  namespace fs = std::filesystem;
  const test::TemporaryFolder folder;
  const auto old = fs::file_time_type::clock::now() - 2 * kLeftOverAfter;
  const auto make = [&](const char* name, bool is_old) {
    std::ofstream(folder.Path() / name) << "{";
    if (is_old) fs::last_write_time(folder.Path() / name, old);
  };
  make("weft-crash-19700101T000000.000Z-1.json.new", true);
  make("weft-crash-19700101T000000.000Z-2.json.new", false);  // it is being written
  make("weft-crash-19700101T000000.000Z-3.json", true);
  make("weft-crash-notes.new", true);
  make("mine.json.new", true);
  fs::create_directory(folder.Path() / "weft-crash-4.json.new");
  fs::last_write_time(folder.Path() / "weft-crash-4.json.new", old);
  fs::create_symlink("mine.json.new", folder.Path() / "weft-crash-5.json.new");
  const auto report = Recorded(SIGSEGV);
  const auto file = WriteCrashFile(folder.Path().string(), report, "{}");
  CHECK_FALSE(fs::exists(folder.Path() / "weft-crash-19700101T000000.000Z-1.json.new"));
  for (const auto* const kept :
       {"weft-crash-19700101T000000.000Z-2.json.new", "weft-crash-19700101T000000.000Z-3.json",
        "weft-crash-notes.new", "mine.json.new", "weft-crash-4.json.new",
        "weft-crash-5.json.new"}) {
    CHECK_MESSAGE(fs::exists(folder.Path() / kept), kept);
  }
  CHECK(fs::exists(file));
}

TEST_CASE("MemoryKills: the count of the group's own file rises, or it does not") {
  const test::TemporaryFolder folder;
  const auto write = [&](const char* name, const std::string& text) {
    const auto file = folder.Path() / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  };
  SUBCASE("of the second version") {
    write("proc/self/cgroup", "0::/system.slice/weft.service\n");
    const char* const events = "sys/fs/cgroup/system.slice/weft.service/memory.events";
    write(events, "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n");
    MemoryKills kills(folder.Path());
    CHECK_FALSE(kills.HaveRisen());
    write(events, "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\n");
    CHECK(kills.HaveRisen());
    CHECK_FALSE(kills.HaveRisen());
  }
  SUBCASE("of the first version") {
    write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n");
    const char* const control = "sys/fs/cgroup/memory/a/memory.oom_control";
    write(control, "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
    MemoryKills kills(folder.Path());
    write(control, "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    CHECK(kills.HaveRisen());
  }
  SUBCASE("of the machine, where the group has no file; and of none") {
    write("proc/self/cgroup", "0::/\n");
    MemoryKills none(folder.Path());
    CHECK_FALSE(none.HaveRisen());
    write("proc/vmstat", "nr_free_pages 1\noom_kill 4\n");
    MemoryKills kills(folder.Path());
    write("proc/vmstat", "nr_free_pages 1\noom_kill 5\n");
    CHECK(kills.HaveRisen());
  }
}

}  // namespace
}  // namespace weft::host::supervisor
