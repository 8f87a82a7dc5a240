#include "host/observe/line_writer.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/captured_stderr.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/file_size_limit.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::host::observe {
namespace {

/// A pipe. Its reading end is read by the line.
class Pipe {
 public:
  Pipe() {
    if (pipe2(ends_.data(), O_CLOEXEC) != 0) {
      throw std::system_error(errno, std::generic_category(), "pipe2");
    }
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    CloseReader();
    CloseWriter();
  }

  int Reader() const noexcept { return ends_[0]; }
  int Writer() const noexcept { return ends_[1]; }
  void CloseReader() noexcept { Close(ends_[0]); }
  void CloseWriter() noexcept { Close(ends_[1]); }

  /// Waits for a line, and returns it without its end; throws at the end of the pipe.
  std::string ReadLine() {
    for (;;) {
      const auto end = read_.find('\n', at_);
      if (end != std::string::npos) {
        return read_.substr(std::exchange(at_, end + 1), end - at_);
      }
      if (!ReadMore()) {
        throw std::runtime_error("the pipe has ended");
      }
    }
  }

  /// Everything up to the end of the pipe.
  std::string ReadRest() {
    while (ReadMore()) {
    }
    return read_.substr(at_);
  }

  /// Fills the pipe to the brim; returns how many bytes went in.
  std::size_t Fill() {
    const int flags = fcntl(ends_[1], F_GETFL);
    fcntl(ends_[1], F_SETFL, flags | O_NONBLOCK);
    std::size_t bytes = 0;
    const std::string piece(4096, '#');
    for (ssize_t count = 0; count >= 0;) {
      count = write(ends_[1], piece.data(), piece.size());
      bytes += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    for (ssize_t count = 0; count >= 0;) {
      count = write(ends_[1], "#", 1);
      bytes += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    fcntl(ends_[1], F_SETFL, flags);
    return bytes;
  }

 private:
  bool ReadMore() {
    std::array<char, 65536> piece;
    const auto count = read(ends_[0], piece.data(), piece.size());
    if (count <= 0) {
      return false;
    }
    read_.erase(0, std::exchange(at_, 0));
    read_.append(piece.data(), static_cast<std::size_t>(count));
    return true;
  }

  static void Close(int& end) noexcept {
    if (end >= 0) {
      close(std::exchange(end, -1));
    }
  }

  std::array<int, 2> ends_{-1, -1};
  std::string read_;
  std::size_t at_ = 0;
};

std::string Numbered(std::size_t number) {
  auto text = std::to_string(number);
  return std::string(10 - text.size(), '0') + text + std::string(90, '.');
}

/// Flush() waits for a fifth of a second at most: this does as long as a busy machine may need, and no longer
/// than it takes.
void FlushAll(LineWriter& writer) {
  for (int i = 0; i < 50; ++i) {
    writer.Flush();
  }
}

/// The number of lines that a line says were dropped; 0 for any other line.
std::size_t DroppedIn(const std::string& line) {
  const std::string before = "weft: ";
  return line.starts_with(before) && line.find("dropped") != std::string::npos
             ? std::stoul(line.substr(before.size()))
             : 0;
}

TEST_CASE("LineWriter: lines arrive whole and in order, each with its end") {
  Pipe pipe;
  {
    LineWriter writer(pipe.Writer());
    writer.Write("first");
    writer.Write("");
    writer.Write("third");
    CHECK(pipe.ReadLine() == "first");
    CHECK(pipe.ReadLine().empty());
    CHECK(pipe.ReadLine() == "third");
  }
  pipe.CloseWriter();
  CHECK(pipe.ReadRest().empty());
}

TEST_CASE("LineWriter: what waits at the end is written before it ends") {
  Pipe pipe;
  {
    LineWriter writer(pipe.Writer());
    for (std::size_t i = 0; i < 300; ++i) {
      writer.Write(Numbered(i));
    }
  }
  for (std::size_t i = 0; i < 300; ++i) {
    CHECK(pipe.ReadLine() == Numbered(i));
  }
}

TEST_CASE("LineWriter: a line longer than a pipe holds arrives whole") {
  Pipe pipe;
  const std::string line(500'000, 'x');
  LineWriter writer(pipe.Writer());
  writer.Write(line);
  writer.Write("next");
  CHECK((pipe.ReadLine() == line));
  CHECK(pipe.ReadLine() == "next");
}

TEST_CASE("LineWriter: lines of many threads are not mixed, and each thread's are in order") {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kLines = 500;
  Pipe pipe;
  LineWriter writer(pipe.Writer());
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&writer, thread] {
      for (std::size_t i = 0; i < kLines; ++i) {
        writer.Write(std::to_string(thread) + Numbered(i));
      }
    });
  }
  std::array<std::size_t, kThreads> next{};
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < kThreads * kLines; ++i) {
    const auto line = pipe.ReadLine();
    const auto thread = static_cast<std::size_t>(line[0] - '0');
    wrong += thread < kThreads && line.substr(1) == Numbered(next[thread]++) ? 0 : 1;
  }
  for (auto& thread : threads) {
    thread.join();
  }
  CHECK(wrong == 0);
}

TEST_CASE("LineWriter: while nobody reads nobody waits; what does not fit is dropped and counted") {
  Pipe pipe;
  LineWriter writer(pipe.Writer());
  // More than may wait, the thread may have taken, and the pipe holds, together.
  constexpr std::size_t kLines = 4 * LineWriter::kMaxWaitingBytes / 101;
  for (std::size_t i = 0; i < kLines; ++i) {
    writer.Write(Numbered(i));
  }
  // Now somebody reads. Every line came or was counted; those that came are in order.
  std::size_t received = 0;
  std::size_t dropped = 0;
  std::size_t wrong = 0;
  std::size_t last = 0;
  while (received + dropped < kLines) {
    const auto line = pipe.ReadLine();
    if (const auto count = DroppedIn(line)) {
      dropped += count;
      continue;
    }
    const auto number = std::stoul(line.substr(0, 10));
    wrong += line == Numbered(number) && (received == 0 || number > last) ? 0 : 1;
    last = number;
    ++received;
  }
  CHECK(received + dropped == kLines);
  CHECK(received >= LineWriter::kMaxWaitingBytes / 101);
  CHECK(dropped > 0);
  CHECK(wrong == 0);
  // And the log goes on.
  writer.Write("after");
  CHECK(pipe.ReadLine() == "after");
}

TEST_CASE("LineWriter: a line that never fits is counted, though no other line follows") {
  Pipe pipe;
  {
    LineWriter writer(pipe.Writer());
    writer.Write(std::string(LineWriter::kMaxWaitingBytes, 'x'));
  }
  pipe.CloseWriter();
  CHECK(DroppedIn(pipe.ReadRest()) == 1);
}

TEST_CASE("LineWriter: the longest line that fits is written") {
  Pipe pipe;
  const std::string line(LineWriter::kMaxWaitingBytes - 1, 'x');
  LineWriter writer(pipe.Writer());
  writer.Write(line);
  CHECK((pipe.ReadLine() == line));
}

TEST_CASE("LineWriter: it ends although nobody reads, and the pipe is left as it was") {
  Pipe pipe;
  const auto filling = pipe.Fill();
  {
    LineWriter writer(pipe.Writer());
    writer.Write("nobody reads this");
  }
  pipe.CloseWriter();
  CHECK(pipe.ReadRest() == std::string(filling, '#'));
}

TEST_CASE("LineWriter: after Flush what was written is in the pipe") {
  Pipe pipe;
  LineWriter writer(pipe.Writer());
  FlushAll(writer);
  for (std::size_t i = 0; i < 100; ++i) {
    writer.Write(Numbered(i));
  }
  FlushAll(writer);
  REQUIRE(fcntl(pipe.Reader(), F_SETFL, O_NONBLOCK) == 0);
  for (std::size_t i = 0; i < 100; ++i) {
    CHECK(pipe.ReadLine() == Numbered(i));
  }
}

TEST_CASE("LineWriter: Flush comes back although nobody reads") {
  Pipe pipe;
  pipe.Fill();
  LineWriter writer(pipe.Writer());
  writer.Write("nobody reads this");
  writer.Flush();
}

TEST_CASE("LineWriter: lines that follow one another closely are written together") {
  Pipe pipe;
  LineWriter writer(LineSink::ToDescriptor(pipe.Writer()), {.gather = std::chrono::hours(1)});
  writer.Write("after a silence");
  CHECK(pipe.ReadLine() == "after a silence");
  std::string gathered;
  SUBCASE("until they are wanted") {
    writer.Write("first");
    writer.Write("second");
    writer.Flush();
    gathered = "first\nsecond\n";
  }
  SUBCASE("until there are many") {
    const std::string line(1'023, 'x');
    for (int count = 0; count < 64; ++count) {
      writer.Write(line);
      gathered += line + "\n";
    }
  }
  for (std::string line; !gathered.empty(); gathered.erase(0, line.size() + 1)) {
    line = pipe.ReadLine();
    CHECK(gathered.starts_with(line + "\n"));
  }
}

TEST_CASE("LineWriter: lines that gather are written at its end") {
  Pipe pipe;
  {
    LineWriter writer(LineSink::ToDescriptor(pipe.Writer()), {.gather = std::chrono::hours(1)});
    writer.Write("first");
    CHECK(pipe.ReadLine() == "first");
    writer.Write("last");
  }
  CHECK(pipe.ReadLine() == "last");
}

TEST_CASE("LineWriter: the lines of two writers to one pipe are not mixed") {
  Pipe pipe;
  LineWriter one(pipe.Writer());
  LineWriter other(pipe.Writer());
  constexpr std::size_t kLines = 2000;
  std::thread thread([&] {
    for (std::size_t i = 0; i < kLines; ++i) {
      one.Write("0" + Numbered(i));
    }
  });
  for (std::size_t i = 0; i < kLines; ++i) {
    other.Write("1" + Numbered(i));
  }
  std::array<std::size_t, 2> next{};
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < 2 * kLines; ++i) {
    const auto line = pipe.ReadLine();
    const auto from = static_cast<std::size_t>(line.empty() ? 0 : line[0] - '0');
    wrong += from < 2 && line.substr(1) == Numbered(next[from]++) ? 0 : 1;
  }
  thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("LineWriter: its end is bounded, though a slow reader takes a little again and again") {
  Pipe pipe;
  REQUIRE(fcntl(pipe.Writer(), F_SETPIPE_SZ, 4096) == 4096);
  const std::size_t size = LineWriter::kMaxWaitingBytes - 1;
  std::atomic<bool> ended = false;
  std::size_t received = 0;
  std::thread reader([&] {
    std::string page(4096, '\0');
    for (ssize_t count = 1; count > 0; received += static_cast<std::size_t>(count)) {
      if (!ended) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
      count = read(pipe.Reader(), page.data(), page.size());
    }
  });
  {
    LineWriter writer(pipe.Writer());
    writer.Write(std::string(size, 'x'));
  }
  ended = true;
  pipe.CloseWriter();
  reader.join();
  CHECK(received > 0);
  CHECK(received < size / 2);  // the whole would be 256 pages, five seconds
}

TEST_CASE("LineWriter: it outlives its reader") {
  struct sigaction before {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  REQUIRE(sigaction(SIGPIPE, &ignore, &before) == 0);
  Pipe pipe;
  pipe.CloseReader();
  {
    LineWriter writer(pipe.Writer());
    for (std::size_t i = 0; i < 1000; ++i) {
      writer.Write(Numbered(i));
    }
  }
  sigaction(SIGPIPE, &before, nullptr);
}

TEST_CASE(
    "LineWriter: lines that cannot be written are told of on standard error, by number and "
    "reason") {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(full >= 0);
  const test::CapturedStderr captured;
  {
    LineWriter writer(full, "the log of the test");
    writer.Write("no space for this");
  }
  close(full);
  CHECK(captured.Text() ==
        "weft: 1 lines of the log of the test could not be written: No space left on device\n");
}

TEST_CASE("LineWriter: loss after loss is told of at once, and then now and then") {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(full >= 0);
  const test::CapturedStderr captured;
  {
    LineWriter writer(full, "the log of the test");
    for (int i = 0; i < 5; ++i) {
      writer.Write("no space for this");
      FlushAll(writer);
    }
  }
  close(full);
  CHECK(captured.Text() ==
        "weft: 1 lines of the log of the test could not be written: No space left on device\n"
        "weft: 4 lines of the log of the test could not be written: No space left on device\n");
}

TEST_CASE(
    "LineWriter: after a line that a full disk has cut, the next begins on a line of its own") {
  const test::TemporaryFolder folder;
  const auto path = folder / "log";
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  REQUIRE(file >= 0);
  const test::CapturedStderr captured;
  {
    LineWriter writer(file, "the log of the test");
    writer.Write("whole");
    FlushAll(writer);
    {
      const test::FileSizeLimit limit(8);
      writer.Write("cut");
      FlushAll(writer);
      writer.Write("lost");
      FlushAll(writer);
    }
    writer.Write("next");
    FlushAll(writer);
    CHECK(test::ReadWholeFile(path) == "whole\ncu\nnext\n");
    writer.Write("last");
  }
  close(file);
  CHECK(test::ReadWholeFile(path) == "whole\ncu\nnext\nlast\n");
}

TEST_CASE("LineWriter: lines that nobody has read at its end are told of") {
  Pipe pipe;
  pipe.Fill();
  const test::CapturedStderr captured;
  {
    LineWriter writer(pipe.Writer(), "the log of the test");
    writer.Write("one");
    writer.Write("two");
  }
  CHECK(captured.Text() ==
        "weft: 2 lines of the log of the test could not be written: nobody reads them\n");
}

TEST_CASE("LineWriter: a descriptor that does not block is waited for") {
  Pipe pipe;
  REQUIRE(fcntl(pipe.Writer(), F_SETFL, fcntl(pipe.Writer(), F_GETFL) | O_NONBLOCK) == 0);
  const std::string line(300'000, 'x');
  LineWriter writer(pipe.Writer());
  writer.Write(line);
  CHECK((pipe.ReadLine() == line));
}

TEST_CASE("LineWriter: one that was given nothing ends at once") {
  Pipe pipe;
  { const LineWriter writer(pipe.Writer()); }
  pipe.CloseWriter();
  CHECK(pipe.ReadRest().empty());
}

}  // namespace
}  // namespace weft::host::observe
