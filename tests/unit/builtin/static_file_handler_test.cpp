#include "handlers/builtin/static_file_handler.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <exception>
#include <string>
#include <system_error>

#include <weft/http_exception.hpp>
#include "tests/support/as_nobody.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/in_place_runtime.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::builtin {
namespace {

using test::AsNobody;
using test::MemoryExchange;
using test::TemporaryFolder;
using Call = MemoryExchange::Call;

constexpr std::size_t kBufferBytes = 64 * 1024;

/// Has `handler` serve one request for a file below `root`. What it throws is thrown here.
void ServeBy(StaticFileHandler& handler, MemoryExchange& exchange, const TemporaryFolder& root,
             std::string_view path, std::string_view method = "GET",
             std::string_view path_info = {}) {
  const auto folder = root.Path().string();
  HttpContext context(test::MakeVariables({{"REQUEST_METHOD", method},
                                           {"SCRIPT_NAME", path},
                                           {"PATH_INFO", path_info},
                                           {"DOCUMENT_ROOT", folder}}),
                      exchange, {}, kBufferBytes);
  handler.ProcessRequest(context);
  context.Response().Complete();
}

/// The same, by a handler of its own, in place.
void Serve(MemoryExchange& exchange, const TemporaryFolder& root, std::string_view path,
           std::string_view method = "GET", std::string_view path_info = {}) {
  const test::InPlaceRuntime runtime;
  StaticFileHandler handler;
  ServeBy(handler, exchange, root, path, method, path_info);
}

/// The status with which a request for a file is refused; 0 when it is not.
int Refusal(const TemporaryFolder& root, std::string_view path, std::string_view path_info = {}) {
  MemoryExchange exchange;
  try {
    Serve(exchange, root, path, "GET", path_info);
  } catch (const HttpException& error) {
    CHECK(exchange.calls.empty());
    // Where the file lies is nobody's business.
    CHECK(error.PublicText().find(root.Path().string()) == std::string::npos);
    return error.StatusCode();
  }
  return 0;
}

std::string Pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>((i * 7 + i / 509) & 0xff);
  }
  return text;
}

/// Gives a file this time of its last change, in seconds since 1970.
void SetDate(const std::filesystem::path& path, time_t seconds) {
  const timespec date{seconds, 0};
  const timespec times[] = {date, date};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

TEST_CASE("StaticFileHandler: a file is served whole, with its length, type and date") {
  const TemporaryFolder root;
  const auto path = root.Write("a/page.html", "<p>hello</p>");
  SetDate(path, 784'111'777);  // the date that RFC 9110, section 5.6.7 has as its example
  MemoryExchange exchange;
  Serve(exchange, root, "/a/page.html");
  CHECK(exchange.status == 200);
  CHECK(exchange.sent == "<p>hello</p>");
  CHECK(exchange.Header("Content-Length") == "12");
  CHECK(exchange.Header("Content-Type") == "text/html; charset=utf-8");
  CHECK(exchange.Header("Last-Modified") == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(exchange.Header("X-Content-Type-Options") == "nosniff");
}

TEST_CASE("StaticFileHandler: a date in the future is not told") {
  const TemporaryFolder root;
  const auto path = root.Write("f.txt", "x");
  SetDate(path, 32'503'680'000);  // the year 3000
  MemoryExchange exchange;
  Serve(exchange, root, "/f.txt");
  CHECK(exchange.Header("Last-Modified").find("3000") == std::string::npos);
  CHECK(exchange.Header("Last-Modified").ends_with(" GMT"));
}

TEST_CASE("StaticFileHandler: HEAD tells what GET would, and reads nothing") {
  const TemporaryFolder root;
  root.Write("f.txt", Pattern(100'000));
  MemoryExchange exchange;
  Serve(exchange, root, "/f.txt", "HEAD");
  CHECK(exchange.status == 200);
  CHECK(exchange.Header("Content-Length") == "100000");
  CHECK(exchange.Header("Content-Type") == "text/plain; charset=utf-8");
  CHECK(exchange.sent.empty());
  CHECK(exchange.Count(Call::kSendBody) == 0);
}

TEST_CASE("StaticFileHandler: the disk is waited for on the pool, the client on the fiber") {
  const TemporaryFolder root;
  root.Write("file.bin", std::string(3 * 64 * 1024 + 1, 'x'));
  test::InPlaceRuntime runtime;
  MemoryExchange exchange;
  exchange.before_call = [&](Call) { CHECK_FALSE(runtime.running); };
  StaticFileHandler handler;
  ServeBy(handler, exchange, root, "/file.bin");
  CHECK(exchange.sent.size() == 3 * 64 * 1024 + 1);
  // Opened, then a call for each piece.
  CHECK(runtime.calls == 3);
}

TEST_CASE("StaticFileHandler: a small file is opened and read in one call of the pool") {
  const TemporaryFolder root;
  root.Write("file.bin", std::string(32 * 1024, 'x'));
  test::InPlaceRuntime runtime;
  MemoryExchange exchange;
  StaticFileHandler handler;
  ServeBy(handler, exchange, root, "/file.bin");
  CHECK(runtime.calls == 1);
}

TEST_CASE("StaticFileHandler: a body that comes with the request is not read") {
  const TemporaryFolder root;
  root.Write("file.txt", "text");
  MemoryExchange exchange;
  exchange.body = {"unread"};
  Serve(exchange, root, "/file.txt");
  CHECK(exchange.Count(Call::kReadBody) == 0);
  CHECK(exchange.sent == "text");
}

TEST_CASE("StaticFileHandler: a file of no bytes is an answer of no bytes") {
  const TemporaryFolder root;
  root.Write("empty.css", "");
  for (const std::string method : {"GET", "HEAD"}) {
    MemoryExchange exchange;
    Serve(exchange, root, "/empty.css", method);
    CHECK(exchange.status == 200);
    CHECK(exchange.Header("Content-Length") == "0");
    CHECK(exchange.Header("Content-Type") == "text/css; charset=utf-8");
    CHECK(exchange.calls == std::vector<Call>{Call::kSendHeaders});
  }
}

TEST_CASE("StaticFileHandler: sizes around a piece's arrive whole") {
  const TemporaryFolder root;
  for (const std::size_t size :
       {1ul, 32'767ul, 32'768ul, 32'769ul, 131'071ul, 131'072ul, 131'073ul}) {
    CAPTURE(size);
    const auto content = Pattern(size);
    root.Write("f.bin", content);
    MemoryExchange exchange;
    Serve(exchange, root, "/f.bin");
    CHECK((exchange.sent == content));
    CHECK(exchange.Header("Content-Length") == std::to_string(size));
  }
}

TEST_CASE("StaticFileHandler: a large file streams in pieces of a constant size") {
  const TemporaryFolder root;
  const auto content = Pattern(5'000'000);
  root.Write("large.zip", content);
  MemoryExchange exchange;
  Serve(exchange, root, "/large.zip");
  CHECK((exchange.sent == content));
  CHECK(exchange.Header("Content-Length") == "5000000");
  CHECK(exchange.calls.front() == Call::kSendHeaders);
  // One that is read before the header block, the rest through a pipe.
  REQUIRE(exchange.pieces.size() == 11);
  CHECK(exchange.pieces[0] == 131'072);
  for (std::size_t i = 1; i + 1 < exchange.pieces.size(); ++i) {
    CHECK(exchange.pieces[i] == 524'288);
  }
}

TEST_CASE(
    "StaticFileHandler: a file that grows while it is sent is cut to the length that was "
    "promised") {
  const TemporaryFolder root;
  const auto path = root.Write("log.txt", Pattern(200'000));
  MemoryExchange exchange;
  bool grown = false;
  exchange.before_call = [&](Call) {
    if (!grown) {
      grown = true;
      REQUIRE(truncate(path.c_str(), 300'000) == 0);
    }
  };
  Serve(exchange, root, "/log.txt");
  CHECK(exchange.Header("Content-Length") == "200000");
  CHECK((exchange.sent == Pattern(200'000)));
}

TEST_CASE(
    "StaticFileHandler: a file that shrinks while it is sent fails, for the promise cannot be "
    "kept") {
  const TemporaryFolder root;
  const auto path = root.Write("log.txt", Pattern(200'000));
  MemoryExchange exchange;
  bool shrunk = false;
  exchange.before_call = [&](Call) {
    if (!shrunk) {
      shrunk = true;
      REQUIRE(truncate(path.c_str(), 70'000) == 0);
    }
  };
  try {
    Serve(exchange, root, "/log.txt");
    FAIL_CHECK("it looked whole");
  } catch (const std::exception& error) {
    CHECK(std::string(error.what()).find(path.string()) != std::string::npos);
  }
  CHECK(exchange.sent.size() < 200'000);
}

TEST_CASE("StaticFileHandler: the type goes by the name's last ending, letter case ignored") {
  const TemporaryFolder root;
  const auto type = [&root](std::string_view name) {
    root.Write(name, "x");
    MemoryExchange exchange;
    Serve(exchange, root, "/" + std::string(name));
    return exchange.Header("Content-Type");
  };
  CHECK(type("a.html") == "text/html; charset=utf-8");
  CHECK(type("a.HTM") == "text/html; charset=utf-8");
  CHECK(type("a.Js") == "text/javascript; charset=utf-8");
  CHECK(type("a.json") == "application/json");
  CHECK(type("a.svg") == "image/svg+xml");
  CHECK(type("a.JPEG") == "image/jpeg");
  CHECK(type("a.woff2") == "font/woff2");
  CHECK(type("a.tar.zip") == "application/zip");
  CHECK(type("a.html.bak") == "application/octet-stream");
  CHECK(type("html") == "application/octet-stream");
  CHECK(type("a.") == "application/octet-stream");
  CHECK(type("dir.html/noending") == "application/octet-stream");
}

TEST_CASE("StaticFileHandler: a name that no file has is not found") {
  const TemporaryFolder root;
  root.Write("file.txt", "x");
  CHECK(Refusal(root, "/none.txt") == 404);
  CHECK(Refusal(root, "/none/none.txt") == 404);
  CHECK(Refusal(root, "/file.txt/below") == 404);
  CHECK(Refusal(root, "/" + std::string(300, 'x')) == 404);
  CHECK(Refusal(root, "/FILE.txt") == 404);
}

TEST_CASE("StaticFileHandler: a symbolic link is followed, a loop and a dead one are not found") {
  const TemporaryFolder root;
  root.Write("file.txt", "x");
  std::filesystem::create_symlink("file.txt", root / "link.txt");
  std::filesystem::create_symlink("loop.txt", root / "loop.txt");
  std::filesystem::create_symlink("nowhere", root / "dead.txt");
  CHECK(Refusal(root, "/link.txt") == 0);
  CHECK(Refusal(root, "/loop.txt") == 404);
  CHECK(Refusal(root, "/dead.txt") == 404);
}

TEST_CASE("StaticFileHandler: a directory is not found, with and without a slash") {
  const TemporaryFolder root;
  root.Write("folder/file.txt", "x");
  CHECK(Refusal(root, "/folder") == 404);
  CHECK(Refusal(root, "/folder/") == 404);
  CHECK(Refusal(root, "/") == 404);
  CHECK(Refusal(root, "/folder/file.txt/") == 404);
}

TEST_CASE("StaticFileHandler: a name of which a segment begins with a dot is not found") {
  const TemporaryFolder root;
  root.Write(".htpasswd", "x");
  root.Write(".git/config", "x");
  root.Write("a/.b/c.txt", "x");
  root.Write("a/b.c", "x");
  root.Write("a/b.", "x");
  CHECK(Refusal(root, "/.htpasswd") == 404);
  CHECK(Refusal(root, "/.git/config") == 404);
  CHECK(Refusal(root, "/a/.b/c.txt") == 404);
  CHECK(Refusal(root, "/a/../a/b.c") == 404);
  CHECK(Refusal(root, "/a/b.c") == 0);
  CHECK(Refusal(root, "/a/b.") == 0);
}

TEST_CASE("StaticFileHandler: each way in which there is no file has a cause of its own") {
  const TemporaryFolder root;
  root.Write("file.txt", "x");
  std::filesystem::create_directory(root / "folder");
  const auto cause_of = [&](std::string_view path, std::string_view path_info = {}) {
    MemoryExchange exchange;
    try {
      Serve(exchange, root, path, "GET", path_info);
    } catch (const HttpException& error) {
      return std::string(error.Cause());
    }
    return std::string();
  };
  CHECK(cause_of("/file.txt").empty());
  CHECK(cause_of("/none.txt") == "file_not_found");
  CHECK(cause_of("/file.txt/below") == "file_not_found");
  CHECK(cause_of("/folder") == "not_a_file");
  CHECK(cause_of("/folder/") == "not_a_file");
  CHECK(cause_of("/.htpasswd") == "file_hidden");
  CHECK(cause_of("/file.txt", "/tail") == "file_has_path_info");
}

TEST_CASE("StaticFileHandler: a tail behind the file's name is not found") {
  const TemporaryFolder root;
  root.Write("file.txt", "x");
  CHECK(Refusal(root, "/file.txt", "/tail") == 404);
  CHECK(Refusal(root, "/file.txt", "/") == 404);
  CHECK(Refusal(root, "/file.txt") == 0);
}

TEST_CASE("StaticFileHandler: a FIFO is not found, and nobody waits for its writer") {
  const TemporaryFolder root;
  REQUIRE(mkfifo((root / "pipe.txt").c_str(), 0644) == 0);
  CHECK(Refusal(root, "/pipe.txt") == 404);
}

TEST_CASE("StaticFileHandler: sockets and devices are not found") {
  const TemporaryFolder root;
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(descriptor >= 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto path = (root / "s").string();
  REQUIRE(path.size() < sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  REQUIRE(bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  CHECK(Refusal(root, "/s") == 404);
  close(descriptor);
  std::filesystem::create_symlink("/dev/null", root / "null.txt");
  CHECK(Refusal(root, "/null.txt") == 404);
}

TEST_CASE("StaticFileHandler: what may not be read is forbidden") {
  const TemporaryFolder root;
  const auto file = root.Write("secret.txt", "x");
  root.Write("closed/file.txt", "x");
  REQUIRE(chmod(file.c_str(), 0) == 0);
  REQUIRE(chmod((root / "closed").c_str(), 0) == 0);
  int of_file = 0;
  int in_folder = 0;
  {
    const AsNobody nobody;
    of_file = Refusal(root, "/secret.txt");
    in_folder = Refusal(root, "/closed/file.txt");
  }
  REQUIRE(chmod((root / "closed").c_str(), 0755) == 0);
  CHECK(of_file == 403);
  CHECK(in_folder == 403);
}

TEST_CASE("StaticFileHandler: without a document root nothing is found") {
  MemoryExchange exchange;
  HttpContext context(
      test::MakeVariables({{"REQUEST_METHOD", "GET"}, {"SCRIPT_NAME", "/etc/passwd"}}), exchange,
      {}, kBufferBytes);
  const test::InPlaceRuntime runtime;
  StaticFileHandler handler;
  CHECK_THROWS_AS(handler.ProcessRequest(context), HttpException);
}

#if !defined(__SANITIZE_ADDRESS__)  // the sanitizers need descriptors themselves, to look at types
TEST_CASE("StaticFileHandler: an open that fails for want of descriptors is no 404") {
  const TemporaryFolder root;
  const auto path = root.Write("file.txt", "x");
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  // Looked at when there are descriptors again: the sanitizers need some to look at an exception.
  std::exception_ptr thrown;
  try {
    MemoryExchange exchange;
    Serve(exchange, root, "/file.txt");
  } catch (...) {
    thrown = std::current_exception();
  }
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(thrown != nullptr);
  try {
    std::rethrow_exception(thrown);
  } catch (const HttpException& error) {
    CHECK(error.StatusCode() == 503);
    CHECK(error.Cause() == cause::kOverloaded.Text());
    CHECK(std::string(error.what()).find(path.string()) != std::string::npos);
  }
}
#endif

TEST_CASE("StaticFileHandler: a mapping file is never served, in whatever letters") {
  const TemporaryFolder root;
  for (const char* name : {"/mapping.json", "/machine.json", "/Mapping.JSON", "/a/mapping.json"}) {
    CAPTURE(name);
    root.Write(name + 1, "{}");
    CHECK(Refusal(root, name) == 404);
  }
  root.Write("my-mapping.json", "{}");
  CHECK(Refusal(root, "/my-mapping.json") == 0);
}

TEST_CASE(
    "StaticFileHandler: a client that leaves ends the sending, and no descriptor stays open") {
  const TemporaryFolder root;
  root.Write(
      "f.bin",
      Pattern(
          700'000));  // four calls: the header block, one piece that is read, two through a pipe
  const int free_before = dup(0);
  REQUIRE(free_before >= 0);
  close(free_before);
  for (std::size_t call = 1; call <= 4; ++call) {
    MemoryExchange exchange;
    exchange.fail_at = call;
    CHECK_THROWS_AS(Serve(exchange, root, "/f.bin"), std::system_error);
  }
  const int free_after = dup(0);
  close(free_after);
  CHECK(free_after == free_before);
}

TEST_CASE("StaticFileHandler: one instance serves one file after another") {
  const TemporaryFolder root;
  root.Write("a.txt", "a");
  root.Write("b.txt", "bb");
  StaticFileHandler handler;
  CHECK(handler.IsReusable());
  const test::InPlaceRuntime runtime;
  MemoryExchange first;
  ServeBy(handler, first, root, "/a.txt");
  CHECK(first.sent == "a");
  MemoryExchange refused;
  CHECK_THROWS_AS(ServeBy(handler, refused, root, "/none.txt"), HttpException);
  MemoryExchange last;
  ServeBy(handler, last, root, "/b.txt");
  CHECK(last.sent == "bb");
}

}  // namespace
}  // namespace weft::builtin
