#include "host/observe/write_piece.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/doctest_values.hpp"

namespace weft::host::observe {
namespace {

/// A pipe of one page, which is all that it takes at once.
class Page {
 public:
  Page() {
    REQUIRE(pipe2(ends_.data(), O_CLOEXEC) == 0);
    REQUIRE(fcntl(ends_[1], F_SETPIPE_SZ, 4096) == 4096);
    REQUIRE(fcntl(ends_[0], F_SETFL, O_NONBLOCK) == 0);
  }
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;
  ~Page() {
    close(ends_[0]);
    close(ends_[1]);
  }

  int Writer() const noexcept { return ends_[1]; }
  void CloseReader() { ends_[0] = (close(ends_[0]), -1); }

  /// What is in it now.
  std::string Read() const {
    std::string text(4096, '\0');
    const auto count = read(ends_[0], text.data(), text.size());
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }

 private:
  std::array<int, 2> ends_{};
};

TEST_CASE("WritePiece: as many whole lines as a pipe takes as one") {
  const Page page;
  const std::string line = std::string(999, 'x') + "\n";
  CHECK(WritePiece(page.Writer(), line + line + line + line + line) == 4000);
  CHECK((page.Read() == line + line + line + line));
  CHECK(WritePiece(page.Writer(), line + "the rest") == 1000);
  CHECK((page.Read() == line));
}

TEST_CASE("WritePiece: of a line that is longer, as much as a pipe takes as one") {
  const Page page;
  CHECK(WritePiece(page.Writer(), std::string(5000, 'x') + "\n") == 4096);
  CHECK((page.Read() == std::string(4096, 'x')));
}

TEST_CASE("WritePiece: a full pipe takes nothing, now") {
  const Page page;
  CHECK(WritePiece(page.Writer(), std::string(4096, 'x')) == 4096);
  CHECK(WritePiece(page.Writer(), "more") == 0);
  page.Read();
  CHECK(WritePiece(page.Writer(), "more") == 4);
}

TEST_CASE("WritePiece: what cannot be written says why") {
  struct sigaction before {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  REQUIRE(sigaction(SIGPIPE, &ignore, &before) == 0);
  Page page;
  CHECK(WritePiece(page.Writer(), std::string(4096, 'x')) == 4096);
  page.CloseReader();
  CHECK(WritePiece(page.Writer(), "more") == -1);
  CHECK(errno == EPIPE);
  sigaction(SIGPIPE, &before, nullptr);
  CHECK(WritePiece(1'000'000, "text") == -1);
  CHECK(errno == EBADF);
}

/// Whether this system can write to a pipe without waiting, whatever others write to it (Linux 6.4).
bool SystemKnowsWritesThatDoNotWait() {
  const Page page;
  char byte = '.';
  const iovec piece{&byte, 1};
  return pwritev2(page.Writer(), &piece, 1, -1, RWF_NOWAIT) == 1;
}

TEST_CASE("WritePiece: of several that find room for one, the others do not wait") {
  if (!SystemKnowsWritesThatDoNotWait()) {
    MESSAGE("not tested: this system has no writes to pipes that do not wait");
    return;
  }
  constexpr std::size_t kWriters = 4;
  const Page page;
  std::atomic<bool> stopping = false;
  std::atomic<std::size_t> ended = 0;
  std::array<std::atomic<std::size_t>, kWriters> calls{};
  std::vector<std::thread> writers;
  for (auto& count : calls) {
    writers.emplace_back([&] {
      const std::string text(4096, 'x');
      for (; !stopping; ++count) {
        WritePiece(page.Writer(), text);
      }
      ++ended;
    });
  }
  std::size_t waiting = 0;
  for (int turn = 0; turn < 100 && waiting == 0; ++turn) {
    page.Read();
    for (auto& count : calls) {
      const std::size_t before = count;
      for (int tries = 0; count == before && tries < 5'000; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      waiting += count == before ? 1 : 0;
    }
  }
  CHECK(waiting == 0);
  stopping = true;
  while (ended < kWriters) {
    page.Read();
  }
  for (auto& writer : writers) {
    writer.join();
  }
}

}  // namespace
}  // namespace weft::host::observe
