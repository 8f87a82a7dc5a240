#include <weft/http_request.hpp>

#include <doctest/doctest.h>

#include <string>

#include <weft/http_exception.hpp>

#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

struct Rewrite {
  std::string_view file_path;
  std::string_view path_info;
};

/// PhysicalPath() of a request with these variables, after the mapping has split its path, where it did.
std::string PathOf(const test::VariableList& variables) {
  test::MemoryExchange exchange;
  return HttpRequest(test::MakeVariables(variables), exchange).PhysicalPath();
}

std::string PathOf(const test::VariableList& variables, const Rewrite& rewrite) {
  test::MemoryExchange exchange;
  HttpRequest request(test::MakeVariables(variables), exchange);
  request.RewritePath(rewrite.file_path, rewrite.path_info);
  return request.PhysicalPath();
}

TEST_CASE("PhysicalPath: the web server's own translation holds, for it knows of aliases") {
  CHECK(PathOf({{"SCRIPT_NAME", "/docs/a.ashx"},
                {"SCRIPT_FILENAME", "/usr/share/doc/a.ashx"},
                {"DOCUMENT_ROOT", "/var/www"}}) == "/usr/share/doc/a.ashx");
}

TEST_CASE("PhysicalPath: without a translation the file lies below the document root") {
  CHECK(PathOf({{"SCRIPT_NAME", "/a/b.ashx"}, {"DOCUMENT_ROOT", "/var/www"}}) ==
        "/var/www/a/b.ashx");
  CHECK(PathOf({{"SCRIPT_NAME", "/a"}, {"SCRIPT_FILENAME", ""}, {"DOCUMENT_ROOT", "/var/www"}}) ==
        "/var/www/a");
}

TEST_CASE("PhysicalPath: slashes at the end of the document root do not double") {
  CHECK(PathOf({{"SCRIPT_NAME", "/a"}, {"DOCUMENT_ROOT", "/var/www/"}}) == "/var/www/a");
  CHECK(PathOf({{"SCRIPT_NAME", "/a"}, {"DOCUMENT_ROOT", "/var/www///"}}) == "/var/www/a");
  CHECK(PathOf({{"SCRIPT_NAME", "/a"}, {"DOCUMENT_ROOT", "/"}}) == "/a");
}

TEST_CASE("PhysicalPath: it is empty where the web server named neither file nor document root") {
  CHECK(PathOf({{"SCRIPT_NAME", "/a"}}).empty());
  CHECK(PathOf({{"SCRIPT_NAME", "/a"}, {"DOCUMENT_ROOT", ""}}).empty());
}

TEST_CASE("PhysicalPath: path info is no part of the file's name") {
  CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx"},
                {"PATH_INFO", "/tail"},
                {"SCRIPT_FILENAME", "/srv/a.ashx"}}) == "/srv/a.ashx");
  CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx"}, {"PATH_INFO", "/tail"}, {"DOCUMENT_ROOT", "/srv"}}) ==
        "/srv/a.ashx");
}

TEST_CASE(
    "PhysicalPath: where Weft splits the path, the tail goes from the web server's file too") {
  const test::VariableList variables = {{"SCRIPT_NAME", "/docs/a.ashx/tail/x"},
                                        {"SCRIPT_FILENAME", "/usr/share/doc/a.ashx/tail/x"},
                                        {"DOCUMENT_ROOT", "/var/www"}};
  CHECK(PathOf(variables, {"/docs/a.ashx", "/tail/x"}) == "/usr/share/doc/a.ashx");
  CHECK(PathOf(variables, {"/docs/a.ashx/tail/x", ""}) == "/usr/share/doc/a.ashx/tail/x");
}

TEST_CASE("PhysicalPath: a file that does not end as the path does is not cut") {
  // An index file, say: what the web server translated is not what was mapped.
  CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx/tail"},
                {"SCRIPT_FILENAME", "/srv/index.html"},
                {"DOCUMENT_ROOT", "/var/www"}},
               {"/a.ashx", "/tail"}) == "/var/www/a.ashx");
  CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx/tail"}, {"SCRIPT_FILENAME", "/srv/index.html"}},
               {"/a.ashx", "/tail"})
            .empty());
}

TEST_CASE("PhysicalPath: where Weft undoes the web server's split, the document root decides") {
  CHECK(PathOf({{"SCRIPT_NAME", "/app"},
                {"PATH_INFO", "/a.ashx"},
                {"SCRIPT_FILENAME", "/srv/app"},
                {"DOCUMENT_ROOT", "/var/www"}},
               {"/app/a.ashx", ""}) == "/var/www/app/a.ashx");
}

TEST_CASE("PhysicalPath: a path that was normalised is looked for below the document root") {
  const test::VariableList variables = {{"SCRIPT_NAME", "/x/../a.ashx"},
                                        {"SCRIPT_FILENAME", "/srv/x/../a.ashx"},
                                        {"DOCUMENT_ROOT", "/var/www"}};
  CHECK(PathOf(variables, {"/a.ashx", ""}) == "/var/www/a.ashx");
}

TEST_CASE("PhysicalPath: what mod_proxy_fcgi puts before the file, and the query behind it, go") {
  for (const std::string prefix : {"proxy:fcgi://127.0.0.1:9000", "proxy:fcgi://[::1]:9000",
                                   "proxy:fcgi://localhost", "proxy:balancer://cluster"}) {
    CAPTURE(prefix);
    const auto plain = prefix + "/srv/a.ashx";
    CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx"}, {"SCRIPT_FILENAME", plain}}) == "/srv/a.ashx");
    const auto with_query = plain + "?x=/y?z";
    CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx"}, {"SCRIPT_FILENAME", with_query}}) == "/srv/a.ashx");
    // A host alone names no file.
    CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx"},
                  {"SCRIPT_FILENAME", prefix},
                  {"DOCUMENT_ROOT", "/var/www"}}) == "/var/www/a.ashx");
  }
}

TEST_CASE("PhysicalPath: the path of a proxy's Unix socket is no part of the file's name") {
  // The form of `SetHandler "proxy:unix:/run/weft.sock|fcgi://localhost"`.
  CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx"},
                {"SCRIPT_FILENAME", "proxy:unix:/run/weft.sock|fcgi://localhost/srv/a.ashx?q"}}) ==
        "/srv/a.ashx");
}

TEST_CASE(
    "PhysicalPath: a `?` of the path itself begins no query, behind a proxy's prefix either") {
  // The form of `SetHandler "proxy:unix:/run/weft.sock|fcgi://weft/"`.
  CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx"},
                {"SCRIPT_FILENAME", "proxy:unix:/run/weft.sock|fcgi://weft//srv/a.ashx"}}) ==
        "/srv/a.ashx");
  // `%3F` in the URL: what follows decides what the file is, and must not be cut off.
  CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx?.txt"},
                {"SCRIPT_FILENAME", "proxy:fcgi://127.0.0.1:9000/srv/a.ashx?.txt"}}) ==
        "/srv/a.ashx?.txt");
}

TEST_CASE("MapPath: no path leads out of the site") {
  test::MemoryExchange exchange;
  const HttpRequest request(
      test::MakeVariables({{"SCRIPT_NAME", "/x"}, {"DOCUMENT_ROOT", "/srv/www"}}), exchange);
  CHECK(request.MapPath("/a/../b") == "/srv/www/b");
  CHECK(request.MapPath("/a/./b/..") == "/srv/www/a/");
  CHECK(request.MapPath("/a//b/") == "/srv/www/a/b/");
  CHECK(request.MapPath("/.well-known/..a") == "/srv/www/.well-known/..a");
  CHECK(request.MapPath("/") == "/srv/www/");
  const auto cause_of = [&](std::string_view path) {
    try {
      return request.MapPath(path);
    } catch (const HttpException& error) {
      CHECK(error.StatusCode() == 400);
      return std::string(error.Cause());
    }
  };
  CHECK(cause_of("/../etc/passwd") == "path_above_root");
  CHECK(cause_of("/a/../..") == "path_above_root");
  CHECK(cause_of("-private/a") == "path_not_absolute");
  CHECK(cause_of("/a\\..\\b") == "path_has_backslash");
  CHECK(cause_of(std::string_view("/a\0.png", 7)) == "path_has_nul");
}

TEST_CASE("PhysicalPath: a `?` in a file's name stays when no proxy stands before it") {
  CHECK(PathOf({{"SCRIPT_NAME", "/a?b"}, {"SCRIPT_FILENAME", "/srv/a?b"}}) == "/srv/a?b");
}

TEST_CASE("PhysicalPath: Weft's split and a proxy's prefix together") {
  CHECK(PathOf({{"SCRIPT_NAME", "/a.ashx/tail"},
                {"SCRIPT_FILENAME", "proxy:fcgi://127.0.0.1:9000/srv/a.ashx/tail?q=1"}},
               {"/a.ashx", "/tail"}) == "/srv/a.ashx");
}

}  // namespace
}  // namespace weft
