#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <weft/http_date.hpp>
#include <weft/http_exception.hpp>
#include "handlers/builtin/static_file_handler.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/in_place_runtime.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/builtin/test_clock.hpp"

namespace weft::builtin {
namespace {

using namespace std::chrono_literals;
using test::LaterSystemClock;
using test::MemoryExchange;
using test::TemporaryFolder;
using test::VariableList;

/// Some of the time after a file was written: its entity tag is strong then.
constexpr auto kLater = 10s;

constexpr time_t kDateSeconds = 784'111'777;  // RFC 9110's example
constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";

struct Site {
  Site() { settings->types = ContentTypes("text/plain txt\n"); }

  /// An answer to a request with these fields, `HTTP_...`.
  MemoryExchange Ask(std::string_view path, VariableList fields = {},
                     std::string_view method = "GET") const {
    MemoryExchange exchange;
    const test::InPlaceRuntime runtime;
    const auto folder = root.Path().string();
    fields.emplace_back("REQUEST_METHOD", method);
    fields.emplace_back("SCRIPT_NAME", path);
    fields.emplace_back("DOCUMENT_ROOT", folder);
    HttpContext context(test::MakeVariables(fields), exchange, {}, 64 * 1024);
    context.Response().SetSettings(&of_response);
    StaticFileHandler(settings).ProcessRequest(context);
    context.Response().Complete();
    cause = context.Response().Cause();
    return exchange;
  }
  std::string Write(const std::string& name, std::string_view content) const {
    const auto path = root.Write(name, content).string();
    SetDate(path, kDateSeconds);
    return path;
  }
  static void SetDate(const std::string& path, time_t seconds, long nanoseconds = 0) {
    const timespec date{seconds, nanoseconds};
    const timespec times[] = {date, date};
    REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  }

  TemporaryFolder root;
  std::shared_ptr<StaticFileSettings> settings = std::make_shared<StaticFileSettings>();
  HttpResponseSettings of_response;
  mutable std::string cause;
};

std::vector<std::string> Names(const MemoryExchange& exchange) {
  std::vector<std::string> names;
  for (const auto& [name, value] : exchange.headers) {
    names.push_back(name);
  }
  return names;
}

TEST_CASE("StaticFileHandler: a file has a strong entity tag, which changes with it") {
  const Site site;
  const auto path = site.Write("f.txt", "hello");
  const LaterSystemClock later(kLater);
  const auto tag = [&] {
    const auto text = site.Ask("/f.txt").Header("ETag");
    const auto parsed = EntityTag::Parse(text);
    REQUIRE(parsed.has_value());
    CHECK_FALSE(parsed->IsWeak());
    return text;
  };
  const auto first = tag();
  CHECK(tag() == first);
  // The same size and the same date, written in place, as tools do that keep dates.
  site.Write("f.txt", "HELLO");
  const auto second = tag();
  CHECK(second != first);
  // Another file of the same size and date in its place.
  std::filesystem::rename(site.Write("g.txt", "World"), path);
  CHECK(tag() != second);
  // The number of the inode is nobody's business.
  struct stat status {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK(tag().find(std::to_string(status.st_ino)) == std::string::npos);
}

TEST_CASE("StaticFileHandler: the entity tag of a file that was changed just now is weak") {
  const Site site;
  site.Write("f.txt", "hello");
  const auto fresh = site.Ask("/f.txt").Header("ETag");
  CHECK(fresh.starts_with("W/\""));
  const LaterSystemClock later(kLater);
  CHECK("W/" + site.Ask("/f.txt").Header("ETag") == fresh);
}

TEST_CASE("EntityTagOf: two seconds by the clock of the file, whatever its date says") {
  const auto now = std::chrono::system_clock::time_point(1'000'000s);
  detail::FileVersion version{.bytes = 1, .modified = 5'000'000s, .changed = 999'998s};
  CHECK_FALSE(EntityTagOf(version, "", now).IsWeak());
  version.changed = 999'998s + 1ns;
  CHECK(EntityTagOf(version, "", now).IsWeak());
  CHECK(EntityTagOf(version, ".gz", now).Opaque() ==
        EntityTagOf(version, "", now).Opaque() + ".gz");
}

TEST_CASE("StaticFileHandler: a whole answer tells its validators, and that there are parts") {
  const Site site;
  site.Write("f.txt", "hello");
  const auto answer = site.Ask("/f.txt");
  CHECK(Names(answer) == std::vector<std::string>{"ETag", "Last-Modified", "X-Content-Type-Options",
                                                  "Accept-Ranges", "Content-Type",
                                                  "Content-Length"});
  CHECK(answer.Header("Last-Modified") == kDate);
  CHECK(answer.Header("Accept-Ranges") == "bytes");
  const auto head = site.Ask("/f.txt", {}, "HEAD");
  CHECK(head.headers.size() == answer.headers.size());
  CHECK(head.Header("Content-Length") == "5");
  CHECK(head.sent.empty());
}

TEST_CASE("StaticFileHandler: 304 has the fields of RFC 9110, section 15.4.5 alone") {
  const Site site;
  site.Write("f.txt", "hello");
  const LaterSystemClock later(kLater);
  const auto tag = site.Ask("/f.txt").Header("ETag");
  const std::string weak = "W/" + tag;
  for (const auto* const method : {"GET", "HEAD"}) {
    for (const auto& fields :
         {VariableList{{"HTTP_IF_NONE_MATCH", tag}}, VariableList{{"HTTP_IF_NONE_MATCH", weak}},
          VariableList{{"HTTP_IF_NONE_MATCH", "*"}},
          VariableList{{"HTTP_IF_MODIFIED_SINCE", kDate}},
          VariableList{{"HTTP_IF_NONE_MATCH", tag}, {"HTTP_RANGE", "bytes=0-1"}}}) {
      const auto answer = site.Ask("/f.txt", fields, method);
      CHECK(answer.status == 304);
      CHECK(Names(answer) == std::vector<std::string>{"ETag"});
      CHECK(answer.Header("ETag") == tag);
      CHECK(answer.sent.empty());
    }
  }
}

TEST_CASE("StaticFileHandler: what the client has is of another state: the whole") {
  const Site site;
  site.Write("f.txt", "hello");
  for (const auto& fields :
       {VariableList{{"HTTP_IF_NONE_MATCH", "\"other\""}},
        VariableList{{"HTTP_IF_NONE_MATCH", "\"other\""}, {"HTTP_IF_MODIFIED_SINCE", kDate}},
        VariableList{{"HTTP_IF_MODIFIED_SINCE", "Sun, 06 Nov 1994 08:49:36 GMT"}},
        VariableList{{"HTTP_IF_MODIFIED_SINCE", "nonsense"}}}) {
    const auto answer = site.Ask("/f.txt", fields);
    CHECK(answer.status == 200);
    CHECK(answer.sent == "hello");
  }
}

TEST_CASE("StaticFileHandler: 412, and why") {
  const Site site;
  site.Write("f.txt", "hello");
  for (const auto& fields :
       {VariableList{{"HTTP_IF_MATCH", "\"other\""}},
        VariableList{{"HTTP_IF_UNMODIFIED_SINCE", "Sun, 06 Nov 1994 08:49:36 GMT"}},
        VariableList{{"HTTP_IF_MATCH", "\"other\""}, {"HTTP_IF_NONE_MATCH", "*"}}}) {
    const auto answer = site.Ask("/f.txt", fields);
    CHECK(answer.status == 412);
    CHECK(answer.sent == "412 Precondition Failed\n");
    CHECK_FALSE(answer.headers.Contains("ETag"));
    CHECK(site.cause == "precondition_failed");
  }
}

TEST_CASE("StaticFileHandler: parts of a file") {
  const Site site;
  site.Write("f.txt", "0123456789");
  struct Case {
    std::string_view range;
    std::string_view content_range;
    std::string_view sent;
  };
  for (const auto& [range, content_range, sent] :
       {Case{"bytes=0-0", "bytes 0-0/10", "0"}, Case{"bytes=2-4", "bytes 2-4/10", "234"},
        Case{"bytes=8-", "bytes 8-9/10", "89"}, Case{"bytes=-3", "bytes 7-9/10", "789"},
        Case{"bytes=0-99", "bytes 0-9/10", "0123456789"},
        Case{"bytes=7-,0-1", "bytes 0-9/10", "0123456789"}}) {
    CAPTURE(range);
    const auto answer = site.Ask("/f.txt", {{"HTTP_RANGE", range}});
    CHECK(answer.status == 206);
    CHECK(answer.Header("Content-Range") == content_range);
    CHECK(answer.Header("Content-Length") == std::to_string(sent.size()));
    CHECK(answer.Header("Content-Type") == "text/plain; charset=utf-8");
    CHECK(answer.headers.Contains("ETag"));
    CHECK(answer.headers.Contains("Last-Modified"));
    CHECK(answer.sent == sent);
  }
}

TEST_CASE("StaticFileHandler: a Range that counts for nothing") {
  Site site;
  site.Write("f.txt", "0123456789");
  for (const auto* const range : {"lines=1-2", "bytes=x", "bytes=3-2", ""}) {
    const auto answer = site.Ask("/f.txt", {{"HTTP_RANGE", range}});
    CHECK(answer.status == 200);
    CHECK(answer.sent == "0123456789");
  }
  const auto head = site.Ask("/f.txt", {{"HTTP_RANGE", "bytes=0-1"}}, "HEAD");
  CHECK(head.status == 200);
  CHECK(head.Header("Content-Length") == "10");
  site.settings->max_ranges = 0;
  const auto whole = site.Ask("/f.txt", {{"HTTP_RANGE", "bytes=0-1"}});
  CHECK(whole.status == 200);
  CHECK(whole.Header("Accept-Ranges") == "none");
}

TEST_CASE("StaticFileHandler: 416 tells the length, and why") {
  const Site site;
  site.Write("f.txt", "0123456789");
  site.Write("empty.txt", "");
  auto answer = site.Ask("/f.txt", {{"HTTP_RANGE", "bytes=10-"}});
  CHECK(answer.status == 416);
  CHECK(answer.Header("Content-Range") == "bytes */10");
  CHECK(answer.sent == "416 Range Not Satisfiable\n");
  CHECK_FALSE(answer.headers.Contains("ETag"));
  CHECK(site.cause == "range_not_satisfiable");
  answer = site.Ask("/empty.txt", {{"HTTP_RANGE", "bytes=0-"}});
  CHECK(answer.status == 416);
  CHECK(answer.Header("Content-Range") == "bytes */0");
  CHECK(site.Ask("/empty.txt", {{"HTTP_RANGE", "bytes=-1"}}).status == 200);
}

TEST_CASE("StaticFileHandler: several parts are a multipart/byteranges, in the client's order") {
  const Site site;
  std::string content(1'000'000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<char>('a' + i / 7 % 26);
  }
  site.Write("f.txt", content);
  const auto answer = site.Ask("/f.txt", {{"HTTP_RANGE", "bytes=900000-,0-99999,500000-500000"}});
  CHECK(answer.status == 206);
  CHECK_FALSE(answer.headers.Contains("Content-Range"));
  const auto type = answer.Header("Content-Type");
  constexpr std::string_view kType = "multipart/byteranges; boundary=";
  REQUIRE(type.starts_with(kType));
  const auto boundary = type.substr(kType.size());
  CHECK(answer.Header("Content-Length") == std::to_string(answer.sent.size()));
  const auto part = [&](std::uint64_t first, std::uint64_t last) {
    return "--" + boundary +
           "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes " +
           std::to_string(first) + "-" + std::to_string(last) + "/1000000\r\n\r\n" +
           content.substr(first, last - first + 1) + "\r\n";
  };
  CHECK((answer.sent == part(900'000, 999'999) + part(0, 99'999) + part(500'000, 500'000) + "--" +
                            boundary + "--\r\n"));
  // In pieces of a constant size.
  CHECK(*std::max_element(answer.pieces.begin(), answer.pieces.end()) <= 128 * 1024);
}

TEST_CASE(
    "StaticFileHandler: If-Range lets parts of the same state through, and sends another whole") {
  const Site site;
  site.Write("f.txt", "0123456789");
  const auto status = [&](std::string_view if_range) {
    return site.Ask("/f.txt", {{"HTTP_RANGE", "bytes=0-1"}, {"HTTP_IF_RANGE", if_range}}).status;
  };
  const auto fresh = site.Ask("/f.txt").Header("ETag");
  CHECK(status(fresh) == 200);  // weak
  const LaterSystemClock later(kLater);
  const auto tag = site.Ask("/f.txt").Header("ETag");
  CHECK(status(tag) == 206);
  CHECK(status("W/" + tag) == 200);
  CHECK(status("\"other\"") == 200);
  CHECK(status(kDate) == 206);
  CHECK(status("Sun, 06 Nov 1994 08:49:38 GMT") == 200);
  CHECK(status("nonsense") == 200);
}

TEST_CASE("StaticFileHandler: a Range or If-Range that comes twice counts for nothing") {
  const Site site;
  site.Write("f.txt", "0123456789");
  const LaterSystemClock later(kLater);
  const auto tag = site.Ask("/f.txt").Header("ETag");
  const auto answer =
      site.Ask("/f.txt", {{"HTTP_RANGE", "bytes=0-1"}, {"HTTP_RANGE", "bytes=4-5"}});
  CHECK(answer.status == 200);
  CHECK(answer.sent == "0123456789");
  CHECK(site.Ask("/f.txt", {{"HTTP_RANGE", "bytes=0-1"}, {"HTTP_IF_RANGE", tag}}).status == 206);
  CHECK(site.Ask("/f.txt", {{"HTTP_RANGE", "bytes=0-1"},
                            {"HTTP_IF_RANGE", tag},
                            {"HTTP_IF_RANGE", "\"other\""}})
            .status == 200);
}

TEST_CASE("StaticFileHandler: lists of several lines are read to their ends") {
  const Site site;
  site.settings->precompressed = {ContentCoding::kGzip};
  site.Write("f.txt", "0123456789");
  site.Write("f.txt.gz", "compressed");
  const LaterSystemClock later(kLater);
  const auto tag = site.Ask("/f.txt").Header("ETag");
  CHECK(site.Ask("/f.txt", {{"HTTP_IF_NONE_MATCH", "\"x\""}, {"HTTP_IF_NONE_MATCH", tag}}).status ==
        304);
  CHECK(site.Ask("/f.txt", {{"HTTP_IF_MATCH", "\"x\""}, {"HTTP_IF_MATCH", tag}}).status == 200);
  CHECK(site.Ask("/f.txt", {{"HTTP_ACCEPT_ENCODING", "br"}, {"HTTP_ACCEPT_ENCODING", "gzip"}})
            .Header("Content-Encoding") == "gzip");
}

TEST_CASE("StaticFileHandler: a small part is one call of the pool, whatever the file's size") {
  const Site site;
  site.Write("f.txt", std::string(1'000'000, 'x'));
  const auto answer = site.Ask("/f.txt", {{"HTTP_RANGE", "bytes=500000-500009"}});
  CHECK(answer.pieces == std::vector<std::size_t>{10});
}

TEST_CASE("StaticFileHandler: OPTIONS tells the methods, and any other is refused with them") {
  const Site site;
  site.Write("f.txt", "x");
  const auto answer = site.Ask("/f.txt", {}, "OPTIONS");
  CHECK(answer.status == 204);
  CHECK(Names(answer) == std::vector<std::string>{"Allow"});
  CHECK(answer.Header("Allow") == "GET, HEAD, OPTIONS");
  for (const auto* const method : {"POST", "PUT", "DELETE", "PATCH", "get", "PROPFIND"}) {
    CAPTURE(method);
    MemoryExchange exchange;
    const auto folder = site.root.Path().string();
    HttpContext context(
        test::MakeVariables(
            {{"REQUEST_METHOD", method}, {"SCRIPT_NAME", "/f.txt"}, {"DOCUMENT_ROOT", folder}}),
        exchange, {}, 1024);
    try {
      StaticFileHandler().ProcessRequest(context);
      FAIL_CHECK("it was served");
    } catch (const HttpException& error) {
      CHECK(error.StatusCode() == 405);
      CHECK(context.Response().Headers().Find("Allow") == "GET, HEAD, OPTIONS");
    }
  }
}

TEST_CASE(
    "StaticFileHandler: what is below /.well-known/ is served, and nothing else that is hidden") {
  const Site site;
  site.Write(".well-known/acme-challenge/token", "x");
  site.Write(".well-known/security.txt", "x");
  site.Write(".well-known/.hidden", "x");
  site.Write("a/.well-known/x", "x");
  site.Write(".well-known.txt", "x");
  CHECK(site.Ask("/.well-known/acme-challenge/token").status == 200);
  CHECK(site.Ask("/.well-known/security.txt").status == 200);
  for (const auto* const path :
       {"/.well-known/.hidden", "/a/.well-known/x", "/.well-known.txt", "/.well-known/../.git/x"}) {
    CAPTURE(path);
    CHECK_THROWS_AS(site.Ask(path), HttpException);
  }
}

TEST_CASE("StaticFileHandler: a link out of the root is not followed, one within it is") {
  Site site;
  site.Write("f.txt", "inside");
  const TemporaryFolder elsewhere;
  elsewhere.Write("secret.txt", "outside");
  std::filesystem::create_symlink("f.txt", site.root / "in.txt");
  std::filesystem::create_symlink(elsewhere / "secret.txt", site.root / "out.txt");
  CHECK(site.Ask("/in.txt").sent == "inside");
  try {
    site.Ask("/out.txt");
    FAIL_CHECK("it was served");
  } catch (const HttpException& error) {
    CHECK(error.StatusCode() == 404);
    CHECK(error.Cause() == "file_link_refused");
    CHECK(error.PublicText() == "Not Found");
  }
  site.settings->follow_links = FollowLinks::kOn;
  CHECK(site.Ask("/out.txt").sent == "outside");
  site.settings->follow_links = FollowLinks::kOff;
  CHECK_THROWS_AS(site.Ask("/in.txt"), HttpException);
}

TEST_CASE("StaticFileHandler: a NUL in a path is no end of it") {
  const Site site;
  site.Write("f.txt", "x");
  CHECK_THROWS_AS(site.Ask(std::string_view("/f.txt\0.html", 12)), HttpException);
}

struct CompressedSite : Site {
  CompressedSite() {
    settings->precompressed = {ContentCoding::kBrotli, ContentCoding::kZstd, ContentCoding::kGzip};
    Write("f.txt", "plain text");
    Write("f.txt.gz", "gzip");
    Write("f.txt.br", "brotli");
  }
  /// Content-Encoding, and the content.
  std::string Coding(std::string_view accept_encoding) const {
    const auto answer = Ask("/f.txt", {{"HTTP_ACCEPT_ENCODING", accept_encoding}});
    CHECK(answer.status == 200);
    CHECK(answer.Header("Vary") == "Accept-Encoding");
    CHECK(answer.Header("Content-Type") == "text/plain; charset=utf-8");
    CHECK(answer.Header("Content-Length") == std::to_string(answer.sent.size()));
    return answer.Header("Content-Encoding") + ":" + answer.sent;
  }
};

TEST_CASE(
    "StaticFileHandler: the compressed file beside is chosen by Accept-Encoding and its weights") {
  const CompressedSite site;
  CHECK(site.Coding("") == ":plain text");
  CHECK(site.Coding("gzip") == "gzip:gzip");
  CHECK(site.Coding("x-gzip") == "gzip:gzip");
  CHECK(site.Coding("GZip") == "gzip:gzip");
  CHECK(site.Coding("br") == "br:brotli");
  CHECK(site.Coding("gzip, deflate, br") == "br:brotli");
  CHECK(site.Coding("gzip;q=1, br;q=0.5") == "gzip:gzip");
  CHECK(site.Coding("gzip;q=0.1, br;q=0") == "gzip:gzip");
  CHECK(site.Coding("gzip;q=0") == ":plain text");
  CHECK(site.Coding("*") == "br:brotli");
  CHECK(site.Coding("*, br;q=0") == "gzip:gzip");
  CHECK(site.Coding("identity, gzip;q=0.5") == ":plain text");
  CHECK(site.Coding("identity;q=0.5, gzip;q=0.5") == "gzip:gzip");
  CHECK(site.Coding("identity;q=0") == ":plain text");    // better than nothing
  CHECK(site.Coding("zstd, gzip;q=0.5") == "gzip:gzip");  // there is no f.txt.zst
  CHECK(site.Coding("deflate") == ":plain text");
}

TEST_CASE(
    "StaticFileHandler: nothing compressed is looked for unless it was asked for by the operator") {
  CompressedSite site;
  site.settings->precompressed.clear();
  const auto answer = site.Ask("/f.txt", {{"HTTP_ACCEPT_ENCODING", "gzip"}});
  CHECK(answer.sent == "plain text");
  CHECK_FALSE(answer.headers.Contains("Vary"));
}

TEST_CASE(
    "StaticFileHandler: a compressed file that is older than the file is of another content") {
  const CompressedSite site;
  Site::SetDate((site.root / "f.txt.br").string(), kDateSeconds - 1);
  CHECK(site.Coding("br, gzip") == "gzip:gzip");
  Site::SetDate((site.root / "f.txt.gz").string(), kDateSeconds + 1);
  CHECK(site.Coding("br, gzip") == "gzip:gzip");
}

TEST_CASE("StaticFileHandler: what lies beside is no way around what is refused") {
  const CompressedSite site;
  const TemporaryFolder elsewhere;
  elsewhere.Write("secret.gz", "secret");
  std::filesystem::remove(site.root / "f.txt.gz");
  std::filesystem::create_symlink(elsewhere / "secret.gz", site.root / "f.txt.gz");
  CHECK(site.Coding("gzip") == ":plain text");
  std::filesystem::remove(site.root / "f.txt.gz");
  REQUIRE(mkfifo((site.root / "f.txt.gz").c_str(), 0644) == 0);
  CHECK(site.Coding("gzip") == ":plain text");
  // Without the file itself there is nothing.
  site.Write("only.txt.gz", "x");
  CHECK_THROWS_AS(site.Ask("/only.txt", {{"HTTP_ACCEPT_ENCODING", "gzip"}}), HttpException);
  CHECK(site.Ask("/f.txt.br").Header("Content-Type") == "application/octet-stream");
}

TEST_CASE(
    "StaticFileHandler: a compressed file has an entity tag, conditions and parts of its own") {
  const CompressedSite site;
  const LaterSystemClock later(kLater);
  const auto plain = site.Ask("/f.txt").Header("ETag");
  const auto brotli = site.Ask("/f.txt", {{"HTTP_ACCEPT_ENCODING", "br"}}).Header("ETag");
  const auto gzip = site.Ask("/f.txt", {{"HTTP_ACCEPT_ENCODING", "gzip"}}).Header("ETag");
  CHECK(plain != brotli);
  CHECK(brotli != gzip);
  auto answer =
      site.Ask("/f.txt", {{"HTTP_ACCEPT_ENCODING", "br"}, {"HTTP_IF_NONE_MATCH", brotli}});
  CHECK(answer.status == 304);
  CHECK(Names(answer) == std::vector<std::string>{"ETag", "Vary"});
  CHECK(site.Ask("/f.txt", {{"HTTP_IF_NONE_MATCH", brotli}}).status == 200);
  answer = site.Ask(
      "/f.txt",
      {{"HTTP_ACCEPT_ENCODING", "br"}, {"HTTP_RANGE", "bytes=1-2"}, {"HTTP_IF_RANGE", brotli}});
  CHECK(answer.status == 206);
  CHECK(answer.Header("Content-Range") == "bytes 1-2/6");
  CHECK(answer.Header("Content-Encoding") == "br");
  CHECK(answer.sent == "ro");
  CHECK(site.Ask("/f.txt", {{"HTTP_ACCEPT_ENCODING", "br"},
                            {"HTTP_RANGE", "bytes=1-2"},
                            {"HTTP_IF_RANGE", plain}})
            .status == 200);
}

TEST_CASE(
    "StaticFileHandler: a 304, and a part, tell what a 200 would that is compressed as it is "
    "sent") {
  Site site;
  site.of_response.compression = {ContentCoding::kGzip};
  site.Write("f.txt", std::string(5000, 'x'));
  const LaterSystemClock later(kLater);
  const std::pair<std::string_view, std::string_view> accept = {"HTTP_ACCEPT_ENCODING", "gzip"};
  const auto whole = site.Ask("/f.txt", {accept});
  CHECK(whole.Header("Content-Encoding") == "gzip");
  const auto tag = whole.Header("ETag");
  CHECK(tag.substr(0, 2) == "W/");
  for (const auto* const method : {"GET", "HEAD"}) {
    const auto answer = site.Ask("/f.txt", {accept, {"HTTP_IF_NONE_MATCH", tag}}, method);
    CHECK(answer.status == 304);
    CHECK(Names(answer) == std::vector<std::string>{"ETag", "Vary"});
    CHECK(answer.Header("ETag") == tag);
    CHECK(answer.sent.empty());
  }
  for (const auto* const ranges : {"bytes=0-1", "bytes=0-1,4000-4001"}) {
    const auto part = site.Ask("/f.txt", {accept, {"HTTP_RANGE", ranges}});
    CHECK(part.status == 206);
    CHECK(part.Header("Vary") == "Accept-Encoding");
    CHECK(part.Header("Content-Encoding").empty());
  }
}

TEST_CASE("StaticFileHandler: several parts of a compressed file are sent as the whole") {
  const CompressedSite site;
  site.Write("f.txt.br", std::string(1000, 'b'));
  const auto answer =
      site.Ask("/f.txt", {{"HTTP_ACCEPT_ENCODING", "br"}, {"HTTP_RANGE", "bytes=0-0,900-900"}});
  CHECK(answer.status == 200);
  CHECK(answer.sent.size() == 1000);
}

TEST_CASE("StaticFileHandler: a file that shrinks before its part is read is not answered half") {
  const Site site;
  const auto path = site.Write("f.txt", std::string(100'000, 'x'));
  MemoryExchange exchange;
  test::InPlaceRuntime runtime;
  const auto folder = site.root.Path().string();
  HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "GET"},
                                           {"SCRIPT_NAME", "/f.txt"},
                                           {"DOCUMENT_ROOT", folder},
                                           {"HTTP_RANGE", "bytes=0-50000"}}),
                      exchange, {}, 1024);
  runtime.meanwhile = [&] { REQUIRE(truncate(path.c_str(), 10) == 0); };
  StaticFileHandler(site.settings).ProcessRequest(context);
  CHECK_THROWS_AS(context.Response().Complete(), HttpException);
  CHECK(exchange.calls.empty());
}

}  // namespace
}  // namespace weft::builtin
