#include "host/observe/output_capture.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/log.hpp"

namespace weft::host::observe {
namespace {

/// What an OutputReader makes of bytes: "e request handler: text", with "+N" for what was left out.
class Lines {
 public:
  std::vector<std::string> Of(std::string_view bytes, std::size_t at_once = 1) {
    for (std::size_t at = 0; at < bytes.size(); at += at_once) {
      reader_.Read(bytes.substr(at, at_once));
    }
    return std::move(lines_);
  }
  void GoOnFrom(const Lines& other) { reader_.GoOnFrom(other.reader_.Now()); }
  std::vector<std::string> Rest() {
    reader_.End();
    return std::move(lines_);
  }

 private:
  std::vector<std::string> lines_;
  OutputReader reader_{[this](const OutputLine& line) {
    lines_.push_back(std::string(line.is_error ? "e " : "o ") + std::string(line.request) + " " +
                     std::string(line.handler) + ": " + std::string(line.text) +
                     (line.left_out == 0 ? "" : "+" + std::to_string(line.left_out)));
  }};
};

using Texts = std::vector<std::string>;

TEST_CASE("OutputReader: plain lines are nobody's, in whatever pieces they come") {
  for (const std::size_t at_once : {1, 2, 3, 100}) {
    Lines lines;
    CHECK(lines.Of("one\ntwo\n\nthr", at_once) == Texts{"e  : one", "e  : two", "e  : "});
    CHECK(lines.Of("ee\nfour", at_once) == Texts{"e  : three"});
    CHECK(lines.Rest() == Texts{"e  : four"});
  }
}

TEST_CASE("OutputReader: marked pieces of several threads make each thread's lines") {
  const std::string of_7 =
      "\x1e"
      "e\x1f"
      "7\x1fr-1\x1fshop::A\x1f";
  const std::string of_8 =
      "\x1e"
      "o\x1f"
      "8\x1f\x1f\x1f";
  for (const std::size_t at_once : {1, 5, 1000}) {
    Lines lines;
    CHECK(lines.Of(
              "pla" + of_7 + "+one \n" + of_8 + "+half\n" + of_7 + "=two\n" + "in\n" + of_8 + "=\n",
              at_once) == Texts{"e r-1 shop::A: one two", "e  : plain", "o  : half"});
    CHECK(lines.Rest().empty());
  }
}

TEST_CASE("OutputReader: another goes on where one was, wherever that is") {
  const std::string of_7 =
      "\x1e"
      "e\x1f"
      "7\x1fr-1\x1fshop::A\x1f";
  const std::string all = "pla" + of_7 + "+one \nin\n" + of_7 + "=two\n" +
                          std::string(OutputReader::kMaxLineBytes + 3, 'x') + "\nthe rest";
  Lines at_once;
  Texts expected = at_once.Of(all, all.size());
  expected.push_back(at_once.Rest().front());
  for (std::size_t cut = 0; cut <= all.size(); cut += cut < 60 ? 1 : 97) {
    CAPTURE(cut);
    Lines before;
    Texts lines = before.Of(std::string_view(all).substr(0, cut), 50);
    Lines after;
    after.GoOnFrom(before);
    for (auto& line : after.Of(std::string_view(all).substr(cut), 50)) lines.push_back(line);
    for (auto& line : after.Rest()) lines.push_back(line);
    CHECK(lines == expected);
  }
}

TEST_CASE("OutputReader: what is wrong is text, and what is too long is cut and counted") {
  Lines lines;
  CHECK(lines.Of("\x1ez\x1f\n").size() == 1);
  CHECK(lines.Of("\x1e\n").size() == 1);
  const auto cut = lines.Of(std::string(OutputReader::kMaxLineBytes + 10, 'x') + "\n", 1000);
  REQUIRE(cut.size() == 1);
  CHECK(cut.front() == "e  : " + std::string(OutputReader::kMaxLineBytes, 'x') + "+10");
  // Without an end it takes no more memory, either.
  lines.Of(std::string(100'000, 'y'), 1000);
  lines.Of("\x1e" + std::string(100'000, 'z'), 1000);
  CHECK_FALSE(lines.Rest().empty());
}

TEST_CASE("OutputReader: of many threads that end no line, the first ones' go as they are") {
  Lines lines;
  std::string pieces;
  for (std::size_t i = 0; i < OutputReader::kMaxUnfinished + 1; ++i) {
    pieces +=
        "\x1e"
        "e\x1f" +
        std::to_string(i) + "\x1f\x1f\x1f+half " + std::to_string(i) + "\n";
  }
  CHECK(lines.Of(pieces, 100) == Texts{"e  : half 0"});
  CHECK(lines.Rest().size() == OutputReader::kMaxUnfinished);
}

TEST_CASE(
    "CaptureOutput: streams are marked, descriptors are not, and a reader that does not read holds "
    "nobody up") {
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  const pid_t child = fork();
  if (child == 0) {
    CaptureOutput(ends[1]);
    SetWorkDescription([](WorkDescription& into) noexcept {
      into.request_bytes = std::string_view("r\n7").copy(into.request.data(), into.request.size());
      into.handler_bytes =
          std::string_view("shop::A").copy(into.handler.data(), into.handler.size());
    });
    std::cerr << "to cerr " << 1 << '\n';
    std::cout << "to cout" << std::endl;
    fprintf(stderr, "to stderr %d\n", 2);
    printf("to stdout\n");
    static_cast<void>(!write(2, "to the descriptor\n", 18));
    SetWorkDescription(nullptr);
    std::cerr << std::string(10'000, 'x') << "\n";
    for (int i = 0; i < 100'000; ++i) {
      std::cerr << "too much of it\n";
    }
    _exit(0);
  }
  close(ends[1]);
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  Lines lines;
  Texts all;
  std::array<char, 4096> piece{};
  for (ssize_t count = 0; (count = read(ends[0], piece.data(), piece.size())) > 0;) {
    for (auto& line : lines.Of({piece.data(), static_cast<std::size_t>(count)}, 4096)) {
      all.push_back(std::move(line));
    }
  }
  close(ends[0]);
  REQUIRE(all.size() > 7);
  CHECK(Texts(all.begin(), all.begin() + 5) ==
        Texts{"e r?7 shop::A: to cerr 1", "o r?7 shop::A: to cout", "e r?7 shop::A: to stderr 2",
              "o r?7 shop::A: to stdout", "e  : to the descriptor"});
  CHECK(all[5] == "e  : " + std::string(OutputReader::kMaxLineBytes, 'x') + "+" +
                      std::to_string(10'000 - OutputReader::kMaxLineBytes));
  CHECK(all[6] == "e  : too much of it");
}

}  // namespace
}  // namespace weft::host::observe
