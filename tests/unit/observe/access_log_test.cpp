#include "host/observe/access_log.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <system_error>

#include "tests/support/captured_stderr.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::host::observe {
namespace {

RequestRecord Record(std::uint64_t id) {
  RequestRecord record;
  record.id = id;
  record.method = "GET";
  record.status = 200;
  return record;
}

std::ptrdiff_t LinesIn(const std::string& text) {
  return std::count(text.begin(), text.end(), '\n');
}

TEST_CASE("AccessLog: without a target it is off, and takes records all the same") {
  AccessLog log("");
  CHECK_FALSE(log.Enabled());
  log.Write(Record(1));
}

TEST_CASE(
    "AccessLog: a file gets a line for each record, written at the latest when the log ends") {
  const test::TemporaryFolder folder;
  const auto path = folder / "access.log";
  {
    AccessLog log(path.string());
    CHECK(log.Enabled());
    log.Write(Record(1));
    log.Write(Record(2));
  }
  const auto text = test::ReadWholeFile(path);
  CHECK(LinesIn(text) == 2);
  CHECK(text.starts_with("time="));
  CHECK(text.find(" id=1 ") < text.find(" id=2 "));
  CHECK(text.find(" id=2 ") != std::string::npos);
  CHECK(text.back() == '\n');
}

TEST_CASE(
    "AccessLog: lines are appended to a file that is there, also by several processes' logs") {
  const test::TemporaryFolder folder;
  const auto path = folder.Write("access.log", "before\n").string();
  {
    AccessLog one(path);
    AccessLog other(path);
    one.Write(Record(1));
    other.Write(Record(2));
  }
  const auto text = test::ReadWholeFile(path);
  CHECK(text.starts_with("before\n"));
  CHECK(LinesIn(text) == 3);
}

TEST_CASE("AccessLog: its file is nobody else's to read") {
  const test::TemporaryFolder folder;
  const auto path = folder / "access.log";
  const auto mask = umask(0);
  { const AccessLog log(path.string()); }
  umask(mask);
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0640);
}

TEST_CASE("AccessLog: a file that cannot be opened is told by its name") {
  const test::TemporaryFolder folder;
  const auto path = (folder / "no/such/folder").string();
  try {
    const AccessLog log(path);
    FAIL_CHECK("it was opened");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::no_such_file_or_directory);
    CHECK(std::string(error.what()).find(path) != std::string::npos);
  }
}

TEST_CASE("AccessLog: Check opens what the log would open, and keeps nothing open") {
  const test::TemporaryFolder folder;
  const int free_before = dup(0);
  close(free_before);
  AccessLog::Check("");
  AccessLog::Check("-");
  AccessLog::Check((folder / "access.log").string());
  CHECK_THROWS_AS(AccessLog::Check((folder / "no/such/folder").string()), std::system_error);
  const int free_after = dup(0);
  close(free_after);
  CHECK(free_after == free_before);
}

TEST_CASE("AccessLog: a FIFO that nobody reads is opened all the same, and keeps its lines") {
  const test::TemporaryFolder folder;
  const auto path = (folder / "fifo").string();
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  AccessLog::Check(path);
  AccessLog log(path);
  log.Write(Record(1));
  const int reader = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(reader >= 0);
  std::string line(1000, '\0');
  line.resize(static_cast<std::size_t>(std::max<ssize_t>(read(reader, line.data(), 1000), 0)));
  CHECK(line.find(" id=1 ") != std::string::npos);
  close(reader);
  log.Write(Record(2));  // without a reader, as before
}

TEST_CASE("AccessLog: Check does not open a FIFO, for its reader would see an end") {
  const test::TemporaryFolder folder;
  const auto path = (folder / "fifo").string();
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  const int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  AccessLog::Check(path);
  pollfd end{reader, POLLIN, 0};
  CHECK(poll(&end, 1, 0) == 0);  // POLLHUP: a writer was there, and left
  close(reader);
}

TEST_CASE("AccessLog: a socket is refused") {
  const test::TemporaryFolder folder;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const auto path = (folder / "socket").string();
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  const int socket_of_another = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(bind(socket_of_another, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0);
  CHECK_THROWS_AS(AccessLog::Check(path), std::system_error);
  CHECK_THROWS_AS(AccessLog{path}, std::system_error);
  close(socket_of_another);
}

TEST_CASE("AccessLog: after Flush the lines are in the file") {
  const test::TemporaryFolder folder;
  const auto path = folder / "access.log";
  AccessLog log(path.string());
  log.Flush();
  for (std::uint64_t id = 1; id <= 100; ++id) {
    log.Write(Record(id));
  }
  for (int i = 0; i < 50; ++i) {
    log.Flush();  // each waits for a fifth of a second at most, which a busy machine may need more than once
  }
  CHECK(LinesIn(test::ReadWholeFile(path)) == 100);
  AccessLog off("");
  off.Flush();
}

TEST_CASE("AccessLog: `-` is standard error") {
  const test::CapturedStderr captured;
  {
    AccessLog log("-");
    CHECK(log.Enabled());
    log.Write(Record(7));
  }
  CHECK(captured.Text().find(" id=7 ") != std::string::npos);
  CHECK(LinesIn(captured.Text()) == 1);
}

TEST_CASE("AccessLog: it closes its file") {
  const test::TemporaryFolder folder;
  const int free_before = dup(0);
  close(free_before);
  { const AccessLog log((folder / "access.log").string()); }
  const int free_after = dup(0);
  close(free_after);
  CHECK(free_after == free_before);
}

}  // namespace
}  // namespace weft::host::observe
