#include "host/observe/trace_ring.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace weft::host::observe {
namespace {

using Time = TraceRing::Time;

Time At(int milliseconds) { return Time(std::chrono::milliseconds(milliseconds)); }

std::vector<std::string> TextsOf(const std::vector<TraceRing::Record>& records) {
  std::vector<std::string> texts;
  for (const auto& record : records) {
    texts.push_back(record.bytes);
  }
  return texts;
}

using Texts = std::vector<std::string>;

TEST_CASE("TraceRing: has the last records of all parts, the newest first") {
  TraceRing ring(3, 3, 64);
  CHECK(ring.Last().empty());
  ring.Write(0, At(1), "a");
  ring.Write(2, At(2), "b");
  ring.Write(0, At(3), "c");
  CHECK(TextsOf(ring.Last()) == Texts{"c", "b", "a"});
  ring.Write(1, At(4), "d, longer than a word");
  CHECK(TextsOf(ring.Last()) == Texts{"d, longer than a word", "c", "b"});
  for (int i = 5; i < 10; ++i) {
    ring.Write(0, At(i), std::to_string(i));
  }
  CHECK(TextsOf(ring.Last()) == Texts{"9", "8", "7"});
}

TEST_CASE("TraceRing: finds a record by its id until another has its place") {
  TraceRing ring(2, 2, 64);
  ring.Write(1, At(1), "first");
  const auto id = ring.Last().at(0).id;
  CHECK(id == TraceRing::Id{1, 1});
  CHECK(ring.Find(id)->bytes == "first");
  CHECK_FALSE(ring.Find({0, 1}));
  CHECK_FALSE(ring.Find({1, 0}));
  CHECK_FALSE(ring.Find({1, 3}));
  CHECK_FALSE(ring.Find({7, 1}));
  ring.Write(1, At(2), "second");
  ring.Write(1, At(3), "third");
  CHECK_FALSE(ring.Find(id));
}

TEST_CASE("TraceRing: keeps nothing of what is too long, nor of who has no part") {
  TraceRing ring(1, 2, 8);
  ring.Write(0, At(1), "123456789");
  ring.Write({}, At(1), "a");
  ring.Write(1, At(1), "a");
  CHECK(ring.Last().empty());
  ring.Write(0, At(1), "12345678");
  CHECK(ring.Last().size() == 1);
}

TEST_CASE("TraceRing: what was cleared is not found, and what comes after is") {
  TraceRing ring(2, 4, 8);
  ring.Write(0, At(1), "a");
  ring.Write(1, At(2), "b");
  const auto id = ring.Last().at(0).id;
  ring.Clear(At(2));
  CHECK(ring.Last().empty());
  CHECK_FALSE(ring.Find(id));
  ring.Write(0, At(3), "c");
  CHECK(TextsOf(ring.Last()) == Texts{"c"});
}

TEST_CASE(
    "TraceRing: what a killed worker had half written is passed over, and its successor writes "
    "on") {
  TraceRing ring(1, 2, 16);
  ring.Write(0, At(1), "a");
  ring.Write(0, At(2), "b");
  ring.WriteHalf(0, "c");  // in the place of "a"
  CHECK(TextsOf(ring.Last()) == Texts{"b"});
  CHECK_FALSE(ring.Find({0, 1}));
  CHECK_FALSE(ring.Find({0, 3}));
  ring.Write(0, At(4), "d");
  CHECK(TextsOf(ring.Last()) == Texts{"d", "b"});
  CHECK(ring.Find({0, 3})->bytes == "d");
}

TEST_CASE("TraceRing: a reader has whole records, or none, while they are overwritten") {
  TraceRing ring(1, 2, 4096);
  std::atomic<bool> is_over = false;
  std::thread writer([&] {
    for (int i = 0; i < 20'000; ++i) {
      ring.Write(
          0, At(i + 1),
          std::string(1000 + static_cast<std::size_t>(i % 3000), static_cast<char>('a' + i % 26)));
    }
    is_over = true;
  });
  std::size_t seen = 0;
  bool are_whole = true;
  while (!is_over) {
    for (const auto& record : ring.Last()) {
      ++seen;
      are_whole =
          are_whole && record.bytes.size() >= 1000 &&
          std::ranges::all_of(record.bytes, [&](char c) { return c == record.bytes.front(); });
    }
  }
  writer.join();
  CHECK(are_whole);
  CHECK(ring.Last().size() == 2);
  MESSAGE(seen << " records were read meanwhile");
}

TEST_CASE(
    "TraceRing: a worker writes to its own part alone, which others read, and clears for all") {
  TraceRing ring(2, 2, 16);
  ring.Write(0, At(1), "of before");
  const auto in_child = [&](auto work) {
    const auto child = ::fork();
    if (child == 0) {
      ::signal(SIGSEGV, SIG_DFL);  // not doctest's, which would tell of it
      ring.KeepOnly(1);
      work();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  };
  CHECK(in_child([&] { ring.Write(1, At(2), "of the child"); }) == 0);
  CHECK(TextsOf(ring.Last()) == Texts{"of the child", "of before"});
  const auto status = in_child([&] { ring.Write(0, At(3), "of another"); });
  CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) != 0));  // a sanitizer ends it otherwise
  CHECK(in_child([&] { ring.Clear(At(9)); }) == 0);
  CHECK(ring.Last().empty());
}

}  // namespace
}  // namespace weft::host::observe
