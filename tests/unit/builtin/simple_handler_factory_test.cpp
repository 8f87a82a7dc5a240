#include "handlers/builtin/simple_handler_factory.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/http_exception.hpp>
#include "tests/support/as_nobody.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/in_place_runtime.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/builtin/test_clock.hpp"

namespace weft::builtin {
namespace {

using test::InPlaceRuntime;
using test::TemporaryFolder;

constexpr std::chrono::milliseconds kInterval{1000};

class NamedHandler final : public IHttpHandler {
 public:
  explicit NamedHandler(std::string with_type) : type(std::move(with_type)) {}
  void ProcessRequest(HttpContext&) override {}
  bool IsReusable() const override { return true; }

  std::string type;
};

/// The factory over a stopped clock, with handlers that know the type that they were made for.
struct Subject {
  explicit Subject(std::chrono::nanoseconds check_interval = kInterval,
                   std::size_t max_files = 10'000)
      : factory(
            [this](std::string_view type) -> CreateHandler {
              asked.emplace_back(type);
              if (type == "unknown") {
                throw std::runtime_error("no such class");
              }
              if (type == "busy") {
                throw HttpException(503, {}, "busy");
              }
              return [this, type = std::string(type)]() -> std::unique_ptr<IHttpHandler> {
                ++created;
                if (type == "throws") {
                  throw std::runtime_error("from the constructor");
                }
                return type == "null" ? nullptr : std::make_unique<NamedHandler>(type);
              };
            },
            check_interval, max_files) {}

  std::unique_ptr<IHttpHandler> Get(const std::string& path) {
    test::MemoryExchange exchange;
    HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "GET"}}), exchange, {}, 1024);
    return factory.GetHandler(context, "GET", "/x.ashx", path);
  }

  /// The type of the handler that a file gets, or the status and detail with which it is refused.
  std::string TypeOf(const std::string& path) {
    try {
      const auto handler = Get(path);
      return handler ? static_cast<const NamedHandler&>(*handler).type : "null";
    } catch (const HttpException& error) {
      CHECK(error.PublicText().find('/') == std::string::npos);
      return error.what();
    }
  }

  /// Writes a file of the folder; returns its path.
  std::string Write(const std::string& name, std::string_view text) const {
    return folder.Write(name, text).string();
  }

  TemporaryFolder folder;
  test::StoppedSteadyClock clock;
  InPlaceRuntime runtime;
  std::vector<std::string> asked;  // types that were looked up
  int created = 0;
  SimpleHandlerFactory factory;
};

std::string Directive(std::string_view type) {
  return "<%@ WebHandler Class=\"" + std::string(type) + "\" %>\n";
}

TEST_CASE("SimpleHandlerFactory: a file gets a handler of the class that it names") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("shop::Hello, shop"));
  CHECK(subject.TypeOf(path) == "shop::Hello, shop");
  CHECK(subject.runtime.calls == 1);
}

TEST_CASE("SimpleHandlerFactory: every request gets an instance of its own") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("T"));
  const auto first = subject.Get(path);
  const auto second = subject.Get(path);
  CHECK(first != second);
  CHECK(subject.created == 2);
  // The class is found once.
  CHECK(subject.asked == std::vector<std::string>{"T"});
  subject.factory.ReleaseHandler(subject.Get(path));
  subject.factory.ReleaseHandler(nullptr);
}

TEST_CASE("SimpleHandlerFactory: a file is not looked at again within the check interval") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("Before"));
  CHECK(subject.TypeOf(path) == "Before");
  subject.Write("a.ashx", Directive("After"));
  test::AdvanceSteadyClock(kInterval - std::chrono::nanoseconds(1));
  CHECK(subject.TypeOf(path) == "Before");
  CHECK(subject.runtime.calls == 1);
}

TEST_CASE("SimpleHandlerFactory: a changed file takes effect after the check interval") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("Before"));
  CHECK(subject.TypeOf(path) == "Before");
  subject.Write("a.ashx", Directive("After"));
  test::AdvanceSteadyClock(kInterval);
  CHECK(subject.TypeOf(path) == "After");
  CHECK(subject.runtime.calls == 2);
  // And holds for as long again.
  test::AdvanceSteadyClock(kInterval - std::chrono::nanoseconds(1));
  CHECK(subject.TypeOf(path) == "After");
  CHECK(subject.runtime.calls == 2);
}

TEST_CASE(
    "SimpleHandlerFactory: a file that vanishes is not found from then on, and found when it is "
    "back") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("T"));
  CHECK(subject.TypeOf(path) == "T");
  REQUIRE(unlink(path.c_str()) == 0);
  CHECK(subject.TypeOf(path) == "T");
  test::AdvanceSteadyClock(kInterval);
  CHECK(subject.TypeOf(path).starts_with("404 "));
  subject.Write("a.ashx", Directive("Back"));
  // What is not there is not remembered.
  CHECK(subject.TypeOf(path) == "Back");
}

TEST_CASE("SimpleHandlerFactory: a file that breaks is answered with 500 until it is mended") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("Before"));
  CHECK(subject.TypeOf(path) == "Before");
  subject.Write("a.ashx", "<%@ WebHandler %>");
  test::AdvanceSteadyClock(kInterval);
  for (int i = 0; i < 2; ++i) {
    const auto told = subject.TypeOf(path);
    CHECK(told.starts_with("500 "));
    CHECK(told.find(path + ":1:1: Class is missing") != std::string::npos);
  }
  // The error is remembered, as a class is.
  CHECK(subject.runtime.calls == 2);
  subject.Write("a.ashx", Directive("After"));
  CHECK(subject.TypeOf(path).starts_with("500 "));
  test::AdvanceSteadyClock(kInterval);
  CHECK(subject.TypeOf(path) == "After");
}

/// Writes over a file without changing its size, its inode or, to the resolution that stat() shows, its times.
void RewriteUnseen(const std::string& path, std::string_view text) {
  struct stat before = {};
  REQUIRE(stat(path.c_str(), &before) == 0);
  struct stat after = {};
  // The system sets the time of the change: once more, until the clock has not ticked in between.
  for (int i = 0; i < 10'000; ++i) {
    const int descriptor = open(path.c_str(), O_WRONLY);
    REQUIRE(descriptor >= 0);
    REQUIRE(write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    close(descriptor);
    REQUIRE(stat(path.c_str(), &after) == 0);
    if (after.st_ctim.tv_nsec == before.st_ctim.tv_nsec &&
        after.st_ctim.tv_sec == before.st_ctim.tv_sec) {
      return;
    }
    before = after;
  }
}

TEST_CASE("SimpleHandlerFactory: a file that has not changed is looked at, and not read again") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("T"));
  const test::LaterSystemClock later(SimpleHandlerFactory::kSettled + std::chrono::seconds(1));
  for (int i = 1; i <= 3; ++i) {
    CHECK(subject.TypeOf(path) == "T");
    CHECK(subject.runtime.calls == i);
    test::AdvanceSteadyClock(kInterval);
  }
  CHECK(subject.asked.size() == 1);
}

TEST_CASE("SimpleHandlerFactory: a file that changed just before it was read is read again") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("Before"));
  CHECK(subject.TypeOf(path) == "Before");
  // Of the same size, in place, and within one tick of the clock: its times tell nothing.
  RewriteUnseen(path, Directive("Behind"));
  test::AdvanceSteadyClock(kInterval);
  CHECK(subject.TypeOf(path) == "Behind");
}

TEST_CASE("SimpleHandlerFactory: a file that has settled is read again for any change") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("Before"));
  const test::LaterSystemClock later(SimpleHandlerFactory::kSettled + std::chrono::seconds(1));
  CHECK(subject.TypeOf(path) == "Before");
  struct stat before = {};
  REQUIRE(stat(path.c_str(), &before) == 0);
  const auto wait_for_the_clock = [&] {
    struct stat now = {};
    do {
      subject.Write("clock", "x");
      REQUIRE(stat((subject.folder / "clock").c_str(), &now) == 0);
    } while (now.st_mtim.tv_sec == before.st_ctim.tv_sec &&
             now.st_mtim.tv_nsec == before.st_ctim.tv_nsec);
  };
  const auto set_times_back = [&] {
    const timespec times[2] = {before.st_atim, before.st_mtim};
    REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  };
  wait_for_the_clock();
  SUBCASE("written in place, of the same size") { subject.Write("a.ashx", Directive("After!")); }
  SUBCASE("written in place, and its time set back") {
    subject.Write("a.ashx", Directive("After!"));
    set_times_back();
  }
  SUBCASE("replaced by a file of the same size and time") {
    subject.Write("b.ashx", Directive("After!"));
    std::filesystem::rename(subject.folder / "b.ashx", path);
    set_times_back();
  }
  SUBCASE("replaced by a link to another file") {
    subject.Write("b.ashx", Directive("After!"));
    std::filesystem::remove(path);
    std::filesystem::create_symlink("b.ashx", path);
  }
  test::AdvanceSteadyClock(kInterval);
  CHECK(subject.TypeOf(path) == "After!");
}

TEST_CASE("SimpleHandlerFactory: a file that is touched is read again, and says the same") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("T"));
  const test::LaterSystemClock later(SimpleHandlerFactory::kSettled + std::chrono::seconds(1));
  CHECK(subject.TypeOf(path) == "T");
  const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 1}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  test::AdvanceSteadyClock(kInterval);
  CHECK(subject.TypeOf(path) == "T");
  CHECK(subject.asked.size() == 2);
}

TEST_CASE("SimpleHandlerFactory: with no check interval a file is looked at for every request") {
  Subject subject(std::chrono::nanoseconds(0));
  const std::string path = subject.Write("a.ashx", Directive("Before"));
  CHECK(subject.TypeOf(path) == "Before");
  subject.Write("a.ashx", Directive("After"));
  CHECK(subject.TypeOf(path) == "After");
  CHECK(subject.TypeOf(path) == "After");
  CHECK(subject.runtime.calls == 3);
}

TEST_CASE("SimpleHandlerFactory: a file that may no longer be read is forbidden, known or not") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("T"));
  const test::LaterSystemClock later(SimpleHandlerFactory::kSettled + std::chrono::seconds(1));
  REQUIRE(chmod(path.c_str(), 0644) == 0);
  CHECK(subject.TypeOf(path) == "T");
  REQUIRE(chmod(path.c_str(), 0) == 0);
  test::AdvanceSteadyClock(kInterval);
  for (int i = 0; i < 2; ++i) {
    const test::AsNobody nobody;
    CHECK(subject.TypeOf(path).starts_with("403 "));
  }
}

TEST_CASE("SimpleHandlerFactory: files are remembered each by its own path") {
  Subject subject;
  const std::string a = subject.Write("a.ashx", Directive("A"));
  const std::string b = subject.Write("b.ashx", Directive("B"));
  CHECK(subject.TypeOf(a) == "A");
  CHECK(subject.TypeOf(b) == "B");
  CHECK(subject.TypeOf(a) == "A");
  CHECK(subject.runtime.calls == 2);
}

TEST_CASE(
    "SimpleHandlerFactory: other requests may come while a file is read, also for the same file") {
  Subject subject;
  const std::string a = subject.Write("a.ashx", Directive("A"));
  const std::string b = subject.Write("b.ashx", Directive("B"));
  std::string other;
  std::string same;
  subject.runtime.meanwhile = [&] {
    other = subject.TypeOf(b);
    same = subject.TypeOf(a);
  };
  CHECK(subject.TypeOf(a) == "A");
  CHECK(other == "B");
  CHECK(same == "A");
  CHECK(subject.TypeOf(a) == "A");
  CHECK(subject.runtime.calls == 3);
}

TEST_CASE(
    "SimpleHandlerFactory: while a known file is read anew, other requests go on with what is "
    "known") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("Before"));
  CHECK(subject.TypeOf(path) == "Before");
  subject.Write("a.ashx", Directive("After"));
  test::AdvanceSteadyClock(kInterval);
  std::string meanwhile;
  subject.runtime.meanwhile = [&] { meanwhile = subject.TypeOf(path); };
  CHECK(subject.TypeOf(path) == "After");
  CHECK(meanwhile == "Before");
  CHECK(subject.runtime.calls == 2);
  // And the next is read by somebody again when its time has come.
  subject.Write("a.ashx", Directive("Later"));
  test::AdvanceSteadyClock(kInterval);
  CHECK(subject.TypeOf(path) == "Later");
}

TEST_CASE(
    "SimpleHandlerFactory: a reading that failed for the host's reasons is tried again by the next "
    "request") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("Before"));
  CHECK(subject.TypeOf(path) == "Before");
  test::AdvanceSteadyClock(kInterval);
  for (int i = 0; i < 2; ++i) {
    // As when the pool's queue is full, and as when the request is cancelled.
    subject.runtime.meanwhile = [i] {
      if (i == 0) {
        throw HttpException(503);
      }
      throw OperationCancelled(CancellationReason::kDeadline);
    };
    try {
      static_cast<void>(subject.Get(path));
      FAIL_CHECK("it was served");
    } catch (const HttpException& error) {
      CHECK(i == 0);
      CHECK(error.StatusCode() == 503);
    } catch (const OperationCancelled&) {
      CHECK(i == 1);
    }
  }
  subject.Write("a.ashx", Directive("After"));
  CHECK(subject.TypeOf(path) == "After");
}

TEST_CASE("SimpleHandlerFactory: the bound on remembered files forgets, and serves on") {
  Subject subject(kInterval, 2);
  const std::string first = subject.Write("first.ashx", Directive("First"));
  const std::string second = subject.Write("second.ashx", Directive("Second"));
  const std::string third = subject.Write("third.ashx", Directive("Third"));
  CHECK(subject.TypeOf(first) == "First");
  CHECK(subject.TypeOf(second) == "Second");
  CHECK(subject.TypeOf(first) == "First");
  CHECK(subject.runtime.calls == 2);
  CHECK(subject.TypeOf(third) == "Third");
  CHECK(subject.TypeOf(third) == "Third");
  CHECK(subject.runtime.calls == 3);
  CHECK(subject.TypeOf(first) == "First");
  CHECK(subject.runtime.calls == 4);
}

TEST_CASE("SimpleHandlerFactory: a path that names no file is not found") {
  Subject subject;
  subject.Write("file.ashx", Directive("T"));
  REQUIRE(mkfifo((subject.folder / "fifo.ashx").c_str(), 0644) == 0);
  std::filesystem::create_symlink("loop.ashx", subject.folder / "loop.ashx");
  std::filesystem::create_directory(subject.folder / "folder.ashx");
  CHECK(subject.TypeOf((subject.folder / "none.ashx").string()).starts_with("404 "));
  CHECK(subject.TypeOf((subject.folder / "file.ashx/below").string()).starts_with("404 "));
  CHECK(subject.TypeOf((subject.folder / "fifo.ashx").string()).starts_with("404 "));
  CHECK(subject.TypeOf((subject.folder / "loop.ashx").string()).starts_with("404 "));
  CHECK(subject.TypeOf((subject.folder / "folder.ashx").string()).starts_with("404 "));
  CHECK(subject.TypeOf((subject.folder / std::string(300, 'x')).string()).starts_with("404 "));
  CHECK(subject.TypeOf("").starts_with("404 "));
  CHECK(subject.asked.empty());
}

TEST_CASE("SimpleHandlerFactory: an empty path is not found without looking, and says why") {
  Subject subject;
  CHECK(subject.TypeOf("").find("DOCUMENT_ROOT") != std::string::npos);
  CHECK(subject.runtime.calls == 0);
}

TEST_CASE("SimpleHandlerFactory: a file up to the bound is read, a larger one is no directive") {
  Subject subject;
  const auto directive = Directive("T");
  const std::string most = subject.Write(
      "most.ashx", directive + std::string(kMaxWebHandlerFileBytes - directive.size(), ' '));
  const std::string more = subject.Write(
      "more.ashx", directive + std::string(kMaxWebHandlerFileBytes + 1 - directive.size(), ' '));
  const std::string huge = subject.Write("huge.ashx", std::string(1'000'000, ' '));
  CHECK(subject.TypeOf(most) == "T");
  CHECK(subject.TypeOf(more).find("larger than a .ashx file can be") != std::string::npos);
  CHECK(subject.TypeOf(huge).starts_with("500 "));
}

TEST_CASE(
    "SimpleHandlerFactory: a type that is not known is 500, and the log says which file named it") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("unknown"));
  const auto told = subject.TypeOf(path);
  CHECK(told.starts_with("500 "));
  CHECK(told.ends_with(path + ":1:23: no such class"));
  // It is looked up again when the file names another.
  subject.Write("a.ashx", Directive("T"));
  test::AdvanceSteadyClock(kInterval);
  CHECK(subject.TypeOf(path) == "T");
}

TEST_CASE("SimpleHandlerFactory: an HttpException of the look-up passes as it is") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("busy"));
  CHECK(subject.TypeOf(path) == "503 Service Unavailable: busy");
  CHECK(subject.TypeOf(path) == "503 Service Unavailable: busy");
  CHECK(subject.asked.size() == 2);
}

TEST_CASE(
    "SimpleHandlerFactory: what a handler's constructor throws passes, and the next request tries "
    "again") {
  Subject subject;
  const std::string path = subject.Write("a.ashx", Directive("throws"));
  for (int i = 1; i <= 2; ++i) {
    CHECK_THROWS_WITH_AS(static_cast<void>(subject.Get(path)), "from the constructor",
                         std::runtime_error);
    CHECK(subject.created == i);
  }
}

TEST_CASE(
    "SimpleHandlerFactory: a handler's constructor may await, while another request reads the file "
    "anew") {
  const TemporaryFolder folder;
  const auto path = folder.Write("a.ashx", Directive("T")).string();
  // Both when its own request has read the file, and when the file was known.
  for (const bool known : {false, true}) {
    CAPTURE(known);
    const test::StoppedSteadyClock clock;
    InPlaceRuntime runtime;
    std::function<void()> while_created;
    bool alive_at_the_end = false;
    const auto resolve = [&](std::string_view type) -> CreateHandler {
      const auto state = std::make_shared<std::string>(type);
      return [&while_created, &alive_at_the_end, state]() -> std::unique_ptr<IHttpHandler> {
        // In locals, for what was captured may be gone after the wait.
        auto& alive = alive_at_the_end;
        const std::weak_ptr<std::string> watched = state;
        if (const auto once = std::exchange(while_created, nullptr)) {
          once();
          alive = !watched.expired();
        }
        return nullptr;
      };
    };
    SimpleHandlerFactory factory(resolve, kInterval);
    test::MemoryExchange exchange;
    HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "GET"}}), exchange, {}, 1024);
    if (known) {
      static_cast<void>(factory.GetHandler(context, "GET", "/a.ashx", path));
    }
    while_created = [&] {
      test::AdvanceSteadyClock(kInterval);
      static_cast<void>(factory.GetHandler(context, "GET", "/a.ashx", path));
    };
    static_cast<void>(factory.GetHandler(context, "GET", "/a.ashx", path));
    CHECK(runtime.calls == 2);
    // The function that makes the handler must not be destroyed while it runs.
    CHECK(alive_at_the_end);
  }
}

TEST_CASE("SimpleHandlerFactory: no descriptor stays open, whatever comes of a file") {
  Subject subject;
  const std::string good = subject.Write("good.ashx", Directive("T"));
  const std::string bad = subject.Write("bad.ashx", "x");
  const std::string huge = subject.Write("huge.ashx", std::string(100'000, ' '));
  const int free_before = dup(0);
  close(free_before);
  for (const auto& path : {good, bad, huge, subject.folder.Path().string()}) {
    static_cast<void>(subject.TypeOf(path));
  }
  const int free_after = dup(0);
  close(free_after);
  CHECK(free_after == free_before);
}

}  // namespace
}  // namespace weft::builtin
