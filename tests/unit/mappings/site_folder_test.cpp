#include "mappings/site_folder.hpp"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.hpp"

namespace weft::mappings {
namespace {

TEST_CASE("SiteFolder: says what is at a path of the site") {
  const test::TemporaryFolder folder;
  folder.Write("shop/index.html", "x");
  for (const char* const end : {"", "/", "//"}) {
    SiteFolder files(folder.Path().string() + end);
    CHECK(files.At("/shop/index.html") == Resource::kFile);
    CHECK(files.At("/shop") == Resource::kDirectory);
    CHECK(files.At("/shop/none") == Resource::kNone);
    CHECK(files.PathOf("/shop/none") == folder.Path().string() + "/shop/none");
  }
}

TEST_CASE("SiteFolder: the first name that is a file is the folder's") {
  const test::TemporaryFolder folder;
  folder.Write("shop/b.html", "x");
  folder.Write("shop/c.html", "x");
  folder.Write("shop/a.html/file", "x");
  SiteFolder files(folder.Path().string());
  CHECK(files.FirstFile("/shop/", {"a.html", "b.html", "c.html"}) == "/shop/b.html");
  CHECK_FALSE(files.FirstFile("/shop/", {"a.html"}));
}

TEST_CASE("SiteFolder: the machine's root is a document root, and nothing is known without one") {
  SiteFolder root("/");
  CHECK(root.At("/proc/self/maps") == Resource::kFile);
  SiteFolder none("");
  CHECK(none.At("/proc/self/maps") == Resource::kNone);
  CHECK_FALSE(none.FirstFile("/proc/self/", {"maps"}));
}

}  // namespace
}  // namespace weft::mappings
