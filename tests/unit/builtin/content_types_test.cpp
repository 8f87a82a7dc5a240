#include "handlers/builtin/content_types.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <system_error>

#include "tests/support/temporary_folder.hpp"

namespace weft::builtin {
namespace {

TEST_CASE("ContentTypes: what pages are made of is built in") {
  const ContentTypes types;
  CHECK(types.Of("/a.html") == "text/html; charset=utf-8");
  CHECK(types.Of("a.JS") == "text/javascript; charset=utf-8");
  CHECK(types.Of("a.woff2") == "font/woff2");
  CHECK(types.Of("a.webmanifest") == "application/manifest+json");
  CHECK(types.Of("a.xml") == "application/xml");
  CHECK(types.Of("a.tar.gz") == "application/gzip");
  for (const auto* const name : {"a", "a.", ".html/a", "a.none", "", "a.html~"}) {
    CAPTURE(name);
    CHECK(types.Of(name) == "application/octet-stream");
  }
  CHECK(types.Of("a." + std::string(1000, 'x')) == "application/octet-stream");
}

TEST_CASE("ContentTypes: a list wins, and adds") {
  const ContentTypes types(
      "# comment\n"
      "text/x-own\t\town OWN2 # of ours\r\n"
      "TEXT/Plain html\n"
      "text/xml xml\n"
      "model/stl\n"
      "   application/x-late  late\n"
      "text/second own");
  CHECK(types.Of("a.own") == "text/x-own; charset=utf-8");  // the first of two
  CHECK(types.Of("a.own2") == "text/x-own; charset=utf-8");
  CHECK(types.Of("a.html") == "text/plain; charset=utf-8");
  CHECK(types.Of("a.xml") == "text/xml");
  CHECK(types.Of("a.late") == "application/x-late");
  CHECK(types.Of("a.of") == "application/octet-stream");
  CHECK(types.Of("a.css") == "text/css; charset=utf-8");
}

TEST_CASE("ContentTypes: what is malformed in a list is passed over") {
  const ContentTypes types(
      "notype a\n"
      "/x b\n"
      "x/ c\n"
      "a/b/c d\n"
      "text/ht\x01ml e\n"
      "text/good f\n" +
      std::string(200, 'x') + "/y g\n" + "text/long " + std::string(100, 'h') + "\n");
  for (const auto* const name : {"a.a", "a.b", "a.c", "a.d", "a.e", "a.g"}) {
    CAPTURE(name);
    CHECK(types.Of(name) == "application/octet-stream");
  }
  CHECK(types.Of("a.f") == "text/good; charset=utf-8");
}

TEST_CASE("ContentTypes: a list is read from a file, of a bounded size") {
  const test::TemporaryFolder folder;
  const auto types = ContentTypes::Read(folder.Write("types", "text/x-own own\n").string());
  CHECK(types.Of("a.own") == "text/x-own; charset=utf-8");
  CHECK_THROWS_AS(ContentTypes::Read((folder / "none").string()), std::system_error);
  CHECK_THROWS_AS(ContentTypes::Read(folder.Path().string()), std::system_error);
  CHECK_THROWS_AS(
      ContentTypes::Read(folder.Write("large", std::string((4u << 20) + 1, '#')).string()),
      std::length_error);
}

}  // namespace
}  // namespace weft::builtin
