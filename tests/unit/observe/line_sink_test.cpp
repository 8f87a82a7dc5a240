#include "host/observe/line_sink.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "host/observe/descriptor_packet.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::host::observe {
namespace {

/// Where a LineSink takes journald to be.
class Journal {
 public:
  explicit Journal(const std::string& path)
      : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof(name.sun_path) - 1);
    REQUIRE(bind(socket_, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0);
  }
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal() { close(socket_); }

  std::string Receive() const {
    std::array<char, 4096> room{};
    const auto count = recv(socket_, room.data(), room.size(), MSG_DONTWAIT);
    return {room.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
  }
  /// Of a record that came as a file.
  FileDescriptor ReceiveFile() const {
    std::array<char, 16> room{};
    FileDescriptor file;
    CHECK(ReceiveWithDescriptors(socket_, room, std::span(&file, 1)).bytes == 0);
    return file;
  }

 private:
  int socket_;
};

TEST_CASE("LineSink: a file takes all lines at once, and a long one whole") {
  const test::TemporaryFolder folder;
  const auto path = (folder / "log").string();
  auto sink = LineSink::ToFile(path, "log");
  const std::string lines = "one\n" + std::string(1'000'000, 'x') + "\n";
  CHECK(sink.Write(lines) == 4);
  CHECK(sink.Write(std::string_view(lines).substr(4)) == 1'000'001);
  CHECK((test::ReadWholeFile(path) == lines));
}

TEST_CASE(
    "LineSink: opened anew, it has the file of that name; where it cannot be, the one of before") {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder / "logs");
  const auto path = folder / "logs/log";
  auto sink = LineSink::ToFile(path.string(), "log");
  CHECK(sink.Write("one\n") == 4);
  std::filesystem::rename(path, folder / "old");
  CHECK(sink.Write("two\n") == 4);
  CHECK(sink.Reopen());
  CHECK(sink.Write("three\n") == 6);
  CHECK(test::ReadWholeFile(folder / "old") == "one\ntwo\n");
  CHECK(test::ReadWholeFile(path) == "three\n");
  std::filesystem::rename(folder / "logs", folder / "moved");
  CHECK_FALSE(sink.Reopen());
  CHECK(errno == ENOENT);
  CHECK(sink.Write("four\n") == 5);
  CHECK(test::ReadWholeFile(folder / "moved/log") == "three\nfour\n");
}

TEST_CASE("LineSink: journald gets a record a datagram, and finds its way back after a restart") {
  const test::TemporaryFolder folder;
  const auto path = (folder / "journal").string();
  auto sink = LineSink::ToJournal(path);
  CHECK(sink.Write("A=1\n\n") == -1);
  {
    const Journal journal(path);
    CHECK(sink.Write("A=1\nB=2\n\nA=3\n\n") == 9);
    CHECK(journal.Receive() == "A=1\nB=2\n");
    CHECK(journal.Receive().empty());
  }
  CHECK(sink.Write("A=4\n\n") == -1);
  unlink(path.c_str());
  const Journal again(path);
  CHECK(sink.Write("A=5\n\n") == 5);
  CHECK(again.Receive() == "A=5\n");
  CHECK(sink.Count("A=1\nB=2\n\nA=3\n\n") == 2);
}

TEST_CASE("LineSink: journald gets a record that no datagram holds as a sealed file") {
  const test::TemporaryFolder folder;
  const auto path = (folder / "journal").string();
  const Journal journal(path);
  auto sink = LineSink::ToJournal(path);
  const std::string record = "A=" + std::string(4'000'000, 'x') + "\n";
  CHECK(sink.Write(record + "\nB=2\n\n") == static_cast<ssize_t>(record.size() + 1));
  const FileDescriptor file = journal.ReceiveFile();
  REQUIRE(file.IsOpen());
  std::string text(record.size() + 1, '\0');
  CHECK(pread(file.Number(), text.data(), text.size(), 0) == static_cast<ssize_t>(record.size()));
  text.pop_back();
  CHECK((text == record));
  CHECK((fcntl(file.Number(), F_GET_SEALS) & F_SEAL_WRITE) != 0);
}

TEST_CASE("LineSink: a journald that does not read holds nobody up") {
  const test::TemporaryFolder folder;
  const auto path = (folder / "journal").string();
  const Journal journal(path);
  auto sink = LineSink::ToJournal(path);
  ssize_t taken = 1;
  for (int i = 0; i < 100'000 && taken > 0; ++i) {
    taken = sink.Write("A=1\n\n");
  }
  CHECK(taken == 0);
}

}  // namespace
}  // namespace weft::host::observe
