#include <weft/http_response.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <weft/detail/regular_file.hpp>
#include <weft/http_exception.hpp>
#include "tests/support/as_nobody.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/in_place_runtime.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/response_subject.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

using test::MemoryExchange;
using test::TemporaryFolder;
using Call = MemoryExchange::Call;
using Calls = std::vector<Call>;

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

/// What a response has around it.
struct Surroundings {
  TemporaryFolder folder;
  test::InPlaceRuntime runtime;
};

/// A response, the peer that it goes to, and a folder with files.
struct Subject : Surroundings, test::ResponseSubject {
  using test::ResponseSubject::ResponseSubject;

  std::string Write(std::string_view name, std::string_view text) const {
    return folder.Write(name, text).string();
  }
};

std::string Pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>((i * 7 + i / 509) & 0xff);
  }
  return text;
}

struct Refusal {
  int status = 0;
  std::string cause;
};

Refusal RefusalOf(Subject& subject, const std::string& path) {
  try {
    subject.response.WriteFile(path);
  } catch (const HttpException& error) {
    return {error.StatusCode(), std::string(error.Cause())};
  }
  return {};
}

std::size_t OpenDescriptors() {
  const auto entries = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

TEST_CASE("WriteFile: a whole file is the body, with its length") {
  Subject subject;
  subject.response.WriteFile(subject.Write("f", "the file"));
  CHECK(subject.exchange.calls.empty());
  CHECK(subject.response.BytesWritten() == 8);
  subject.response.Complete();
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders, Call::kSendBody});
  CHECK(subject.exchange.Header("Content-Length") == "8");
  CHECK(subject.exchange.sent == "the file");
}

TEST_CASE("TransmitFile: it is WriteFile by its other name") {
  Subject subject;
  const auto path = subject.Write("f", "the file");
  subject.response.TransmitFile(path);
  subject.response.TransmitFile(path, 4, 4);
  subject.response.Complete();
  CHECK(subject.exchange.sent == "the filefile");
}

TEST_CASE("WriteFile: text, files and ranges of them are one body in their order") {
  Subject subject("GET", 64);
  const auto path = subject.Write("f", "0123456789");
  subject.response.Write("<");
  subject.response.WriteFile(path, 2, 3);
  subject.response.WriteFile(path, 10, 0);
  subject.response.Write("|");
  subject.response.WriteFile(path);
  subject.response.WriteFile(path, 9, 1);
  subject.response.Write(">");
  subject.response.Complete();
  CHECK(subject.exchange.sent == "<234|01234567899>");
  CHECK(subject.exchange.Header("Content-Length") == "17");
  CHECK(subject.response.BytesWritten() == 17);
}

TEST_CASE("WriteFile: text that outgrows the buffer sends the file in front of it first") {
  Subject subject;
  subject.response.Write("ab");
  subject.response.WriteFile(subject.Write("f", "-file-"));
  subject.response.Write(std::string(20, 'x'));
  CHECK(subject.exchange.sent == "ab-file-" + std::string(20, 'x'));
  subject.response.WriteFile(subject.Write("g", "-another-"));
  subject.response.Complete();
  CHECK(subject.exchange.sent == "ab-file-" + std::string(20, 'x') + "-another-");
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Length"));
}

TEST_CASE("WriteFile: without a buffer, and at Flush(), it is sent at once") {
  Subject subject;
  subject.response.WriteFile(subject.Write("f", "one"));
  subject.response.Flush();
  CHECK(subject.exchange.sent == "one");
  subject.response.SetBufferBytes(0);
  subject.response.WriteFile(subject.Write("g", "two"));
  CHECK(subject.exchange.sent == "onetwo");
}

TEST_CASE(
    "WriteFile: a large file is read piece by piece, and each is sent before the next is read") {
  Subject subject;
  const auto text = Pattern(1'000'001);
  subject.response.WriteFile(subject.Write("f", text));
  int calls_at_send = 0;
  subject.exchange.before_call = [&](Call call) {
    if (call == Call::kSendBody) {
      // The opening, and one piece for each that was sent.
      CHECK(subject.runtime.calls == 2 + calls_at_send);
      ++calls_at_send;
    }
  };
  subject.response.Complete();
  CHECK(subject.exchange.sent == text);
  CHECK(subject.exchange.Header("Content-Length") == "1000001");
  CHECK(subject.exchange.pieces.size() <= 8);
  for (const auto bytes : subject.exchange.pieces) {
    CHECK(bytes <= 512 * 1024);
  }
}

TEST_CASE("WriteFile: a large file is spliced") {
  Subject subject;
  subject.response.WriteFile(subject.Write("f", Pattern(1'000'000)));
  subject.response.Complete();
  // All but the first piece, which is read before the header block leaves, and a last small one.
  CHECK(subject.exchange.bytes_piped >= 700'000);
}

TEST_CASE("WriteFile: what was spliced is the file byte for byte, from any offset on") {
  Subject subject;
  const auto text = Pattern(900'001);
  const auto path = subject.Write("f", text);
  std::string expected;
  for (const auto& [offset, bytes] : std::vector<std::pair<std::size_t, std::size_t>>{
           {0, 900'001}, {4096, 800'000}, {4095, 131'073}, {1, 262'144}, {262'145, 637'856}}) {
    subject.response.Write("-");
    subject.response.WriteFile(path, offset, bytes);
    expected += "-" + text.substr(offset, bytes);
  }
  subject.response.Complete();
  CHECK((subject.exchange.sent == expected));
}

TEST_CASE("WriteFile: as many large files at once as one likes are whole, and leave nothing open") {
  const auto open_before = OpenDescriptors();
  {
    std::vector<std::unique_ptr<Subject>> subjects;
    const auto text = Pattern(400'000);
    // Each is sent from within the sending of the one before it.
    const std::function<void(int)> send = [&](int left) {
      auto& subject = *subjects.emplace_back(std::make_unique<Subject>());
      subject.response.WriteFile(subject.Write("f", text));
      subject.exchange.before_call = [&send, left, calls = 0](Call call) mutable {
        if (call == Call::kSendBody && ++calls == 2 && left > 1) {
          send(left - 1);
        }
      };
      subject.response.Complete();
      CHECK((subject.exchange.sent == text));
    };
    send(150);
    CHECK(subjects.size() == 150);
  }
  CHECK(OpenDescriptors() == open_before);
}

TEST_CASE("WriteFile: HEAD is told the length that GET has, and no byte is read") {
  Subject subject("HEAD");
  const auto path = subject.Write("f", "0123456789");
  subject.response.Write("text");
  subject.response.WriteFile(path);
  subject.response.WriteFile(path, 5, 2);
  CHECK(subject.runtime.calls == 2);  // the openings
  subject.response.Complete();
  CHECK(subject.runtime.calls == 2);
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders});
  CHECK(subject.exchange.Header("Content-Length") == "16");
  CHECK(RefusalOf(subject, (subject.folder / "none").string()).status == 404);
}

TEST_CASE("WriteFile: a status without a body sends none of it") {
  Subject subject;
  SUBCASE("set before") { subject.response.SetStatusCode(304); }
  subject.response.WriteFile(subject.Write("f", "text"));
  SUBCASE("set after") { subject.response.SetStatusCode(204); }
  subject.response.Complete();
  CHECK(subject.exchange.calls == Calls{Call::kSendHeaders});
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Length"));
}

TEST_CASE("WriteFile: what cannot be a body is refused where it is called, with its cause") {
  Subject subject;
  CHECK(RefusalOf(subject, (subject.folder / "none").string()).cause == "file_not_found");
  CHECK(RefusalOf(subject, subject.Write("f", "x") + "/tail").status == 404);
  CHECK(RefusalOf(subject, subject.folder.Path().string()).cause == "not_a_file");
  CHECK(RefusalOf(subject, "/dev/zero").cause == "not_a_file");
  const auto fifo = (subject.folder / "fifo").string();
  REQUIRE(mkfifo(fifo.c_str(), 0644) == 0);
  CHECK(RefusalOf(subject, fifo).cause == "not_a_file");
  const auto path = subject.Write("secret", "x");
  REQUIRE(chmod(path.c_str(), 0) == 0);
  {
    const test::AsNobody nobody;
    const auto refusal = RefusalOf(subject, path);
    CHECK(refusal.status == 403);
    CHECK(refusal.cause == "file_forbidden");
  }
  const auto good = subject.Write("g", "x");
  CHECK(RefusalOf(subject, good + std::string("\0.txt", 5)).cause == "file_not_found");
  CHECK(RefusalOf(subject, {}).cause == "no_document_root");
  CHECK_THROWS_AS(subject.response.WriteFile("g"), std::invalid_argument);
  // Nothing of it is in the answer.
  subject.response.Complete();
  CHECK(subject.exchange.Header("Content-Length") == "0");
}

TEST_CASE("WriteFile: a range that the file has not is refused where it is called") {
  Subject subject;
  const auto path = subject.Write("f", "0123456789");
  for (const auto& [offset, bytes] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
           {0, 11}, {10, 1}, {11, 0}, {1, 10}, {kMost, 1}, {1, kMost}, {kMost, kMost}}) {
    CHECK_THROWS_AS(subject.response.WriteFile(path, offset, bytes), std::out_of_range);
  }
  subject.response.WriteFile(path, 10, 0);
  subject.response.Complete();
  CHECK(subject.exchange.Header("Content-Length") == "0");
}

TEST_CASE(
    "WriteFile: the bytes are those of the file that was opened, however it grows or is replaced") {
  Subject subject;
  const auto path = subject.Write("f", "old");
  subject.response.WriteFile(path);
  SUBCASE("it grows") { REQUIRE(truncate(path.c_str(), 100) == 0); }
  SUBCASE("it is removed") { std::filesystem::remove(path); }
  SUBCASE("another takes its name") {
    std::filesystem::rename(subject.Write("new", "another"), path);
  }
  subject.response.Complete();
  CHECK(subject.exchange.sent == "old");
  CHECK(subject.exchange.Header("Content-Length") == "3");
}

TEST_CASE("WriteFile: a file that became shorter is never sent as if it were whole") {
  Subject subject;
  const auto path = subject.Write("f", Pattern(200'000));
  subject.response.WriteFile(path);
  const auto cause_of_end = [&]() -> std::string {
    try {
      subject.response.Complete();
    } catch (const HttpException& error) {
      CHECK(error.StatusCode() == 500);
      return std::string(error.Cause());
    }
    return {};
  };
  SUBCASE("before anything was sent: an answer of its own is still possible") {
    REQUIRE(truncate(path.c_str(), 10) == 0);
    CHECK(cause_of_end() == "file_changed");
    CHECK(subject.exchange.calls.empty());
    CHECK_FALSE(subject.response.HeadersWritten());
  }
  SUBCASE("while it was sent") {
    subject.exchange.before_call = [&](Call call) {
      if (call == Call::kSendBody) {
        REQUIRE(truncate(path.c_str(), 150'000) == 0);
      }
    };
    CHECK(cause_of_end() == "file_changed");
    CHECK(subject.exchange.sent.size() == 131'072);
  }
  SUBCASE("while it was spliced") {
    subject.Write("f", Pattern(600'000));
    subject.response.Clear();
    subject.response.WriteFile(path);
    subject.exchange.before_call = [&](Call call) {
      if (call == Call::kSendBody) {
        REQUIRE(truncate(path.c_str(), 150'000) == 0);
      }
    };
    CHECK(cause_of_end() == "file_changed");
    CHECK(subject.exchange.sent.size() == 150'000);
  }
}

TEST_CASE("WriteFile: an answer that was cut stays cut, whoever catches why") {
  Subject subject("GET", 64);
  const auto path = subject.Write("f", Pattern(200'000));
  subject.response.Write("before ");
  subject.response.WriteFile(path);
  subject.exchange.before_call = [&](Call call) {
    if (call == Call::kSendBody) {
      REQUIRE(truncate(path.c_str(), 150'000) == 0);
    }
  };
  CHECK_THROWS_AS(subject.response.Flush(), HttpException);
  const auto sent = subject.exchange.sent;
  subject.response.Write("after");
  CHECK_THROWS_AS(subject.response.Complete(), HttpException);
  CHECK((subject.exchange.sent == sent));
}

TEST_CASE("WriteFile: ClearContent() and Clear() drop files, and close them") {
  Subject subject;
  const auto path = subject.Write("f", "text");
  const auto open = OpenDescriptors();
  subject.response.WriteFile(path);
  CHECK(OpenDescriptors() == open + 1);
  SUBCASE("content") { subject.response.ClearContent(); }
  SUBCASE("all") { subject.response.Clear(); }
  CHECK(OpenDescriptors() == open);
  subject.response.Complete();
  CHECK(subject.exchange.Header("Content-Length") == "0");
}

TEST_CASE("WriteFile: however many files a body has, few of them are open at once") {
  Subject subject;
  const auto path = subject.Write("f", "text");
  const auto open = OpenDescriptors();
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    subject.response.WriteFile(path);
    expected += "text";
    REQUIRE(OpenDescriptors() < open + 65);
  }
  subject.response.Complete();
  CHECK(subject.exchange.sent == expected);
  CHECK(OpenDescriptors() == open);
}

TEST_CASE("WriteFile: many ranges of one file that is open already need no other descriptor") {
  Subject subject("GET", 1024);
  const auto open = OpenDescriptors();
  auto file = std::make_shared<const detail::RegularFile>(subject.Write("f", "0123456789"));
  const auto calls = subject.runtime.calls;
  for (std::uint64_t i = 0; i < 10; ++i) {
    subject.response.Write("[");
    subject.response.WriteFile(file, 9 - i, 1);
    subject.response.Write("]");
  }
  CHECK(subject.runtime.calls == calls);
  CHECK(OpenDescriptors() == open + 1);
  file.reset();
  subject.response.Complete();
  CHECK(subject.exchange.sent == "[9][8][7][6][5][4][3][2][1][0]");
  CHECK(subject.exchange.Header("Content-Length") == "30");
  CHECK(OpenDescriptors() == open);
}

TEST_CASE("WriteFile: a client that leaves ends it, and the file is closed") {
  Subject subject;
  const auto open = OpenDescriptors();
  subject.response.WriteFile(subject.Write("f", Pattern(200'000)));
  subject.exchange.before_call = [&](Call) {
    subject.exchange.client_gone = subject.exchange.sent.size() > 100'000;
  };
  CHECK_THROWS_AS(subject.response.Complete(), OperationCancelled);
  CHECK(OpenDescriptors() == open);
}

TEST_CASE("WriteFile: after the end it throws") {
  Subject subject;
  subject.response.Complete();
  CHECK_THROWS_AS(subject.response.WriteFile(subject.Write("f", "x")), std::logic_error);
}

/// A response that may hand files of its folder over.
struct HandingOver : Subject {
  explicit HandingOver(SendfileHeader header, std::string_view method = "GET") : Subject(method) {
    settings.sendfile_header = header;
    settings.sendfile_roots = {{"/nowhere", "/no/"}, {folder.Path().string(), "/internal/"}};
    response.SetSettings(&settings);
  }

  HttpResponseSettings settings;
};

TEST_CASE("Sendfile: a file that is the whole answer is named to the web server, and not read") {
  for (const std::string method : {"GET", "HEAD"}) {
    HandingOver lighttpd(SendfileHeader::kXSendfile, method);
    const auto path = lighttpd.Write("a b%\xc3\xa4+?#&.txt", "text");
    lighttpd.response.SetHeader("X-Mine", "kept");
    lighttpd.response.WriteFile(path);
    lighttpd.response.Complete();
    CHECK(lighttpd.runtime.calls == 1);
    CHECK(lighttpd.exchange.calls == Calls{Call::kSendHeaders});
    CHECK(lighttpd.exchange.Header("X-Sendfile") ==
          lighttpd.folder.Path().string() + "/a%20b%25%C3%A4%2B%3F%23%26.txt");
    CHECK_FALSE(lighttpd.exchange.headers.Contains("Content-Length"));

    HandingOver nginx(SendfileHeader::kXAccelRedirect, method);
    nginx.response.SetContentType("text/plain");
    nginx.response.WriteFile(nginx.Write("sub/a b.txt", "text"));
    nginx.response.Complete();
    CHECK(nginx.exchange.Header("X-Accel-Redirect") == "/internal/sub/a%20b.txt");
    CHECK(nginx.exchange.Header("Content-Type") == "text/plain; charset=utf-8");
    CHECK(nginx.exchange.sent.empty());
  }
}

TEST_CASE("Sendfile: any other answer is sent as ever") {
  for (const auto header : {SendfileHeader::kXSendfile, SendfileHeader::kXAccelRedirect}) {
    HandingOver subject(header);
    const auto path = subject.Write("f", "text");
    std::string expected = "text";
    auto& response = subject.response;
    SUBCASE("text in front") {
      response.Write("<");
      response.WriteFile(path);
      expected = "<text";
    }
    SUBCASE("text behind") {
      response.WriteFile(path);
      response.Write(">");
      expected = "text>";
    }
    SUBCASE("two files") {
      response.WriteFile(path);
      response.WriteFile(path);
      expected = "texttext";
    }
    SUBCASE("a part") {
      response.WriteFile(path, 1, 2);
      expected = "ex";
    }
    SUBCASE("another status") {
      response.SetStatusCode(404);
      response.WriteFile(path);
    }
    SUBCASE("an encoding that is the handler's") {
      response.SetHeader("Content-Encoding", "gzip");
      response.WriteFile(path);
    }
    SUBCASE("a field that is the handler's") {
      response.SetHeader("X-Sendfile", "/mine");
      response.WriteFile(path);
    }
    SUBCASE("a file elsewhere") {
      const TemporaryFolder other;
      response.WriteFile(other.Write("f", "text").string());
    }
    SUBCASE("a folder of a longer name") {
      const auto sibling = subject.folder.Path().string() + "-more";
      std::filesystem::create_directory(sibling);
      std::filesystem::copy_file(path, sibling + "/f");
      response.WriteFile(sibling + "/f");
      std::filesystem::remove_all(sibling);
    }
    SUBCASE("a path that climbs") {
      response.WriteFile(subject.folder.Path().string() + "/../" +
                         subject.folder.Path().filename().string() + "/f");
    }
    SUBCASE("what was sent already") {
      response.WriteFile(path);
      response.Flush();
    }
    response.Complete();
    CHECK(subject.exchange.sent == expected);
    CHECK_FALSE(subject.exchange.headers.Contains("X-Accel-Redirect"));
    CHECK(subject.exchange.Header("X-Sendfile").find(path) == std::string::npos);
  }
}

TEST_CASE("Sendfile: a field that nginx would drop keeps the file here") {
  HandingOver subject(SendfileHeader::kXAccelRedirect);
  subject.response.SetHeader("ETag", "\"mine\"");
  subject.response.WriteFile(subject.Write("f", "text"));
  subject.response.Complete();
  CHECK(subject.exchange.sent == "text");
  CHECK(subject.exchange.Header("Content-Length") == "4");
}

}  // namespace
}  // namespace weft
