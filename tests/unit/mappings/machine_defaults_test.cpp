#include "mappings/machine_defaults.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <string_view>

#include "mappings/loader.hpp"
#include "tests/unit/mappings/support.hpp"

using weft::mappings::Load;
using weft::mappings::MachineDefaults;
using weft::mappings::MappingTable;
using weft::mappings::TypeUse;
using weft::mappings::testing::Routed;
using weft::mappings::testing::ToldOf;

TEST_CASE("MachineDefaults: they load without a problem") {
  CHECK(ToldOf(MachineDefaults()).empty());
  CHECK(Load({}).problems.empty());
}

TEST_CASE("MachineDefaults: they name built-in classes only") {
  std::set<std::string> classes;
  const auto table = Load({}).table;
  for (const TypeUse& use : table->Types()) {
    CHECK(use.type.module.empty());
    CHECK(use.validate);
    CHECK(use.first_use.file.empty());
    classes.insert(use.type.class_name);
  }
  CHECK(classes == std::set<std::string>{"weft::HttpForbiddenHandler",
                                         "weft::HttpMethodNotAllowedHandler",
                                         "weft::SimpleHandlerFactory", "weft::StaticFileHandler"});
}

TEST_CASE("MachineDefaults: what they serve") {
  const auto table = Load({}).table;
  CHECK(Routed(*table, "POST", "/a/b.ashx") == "weft::SimpleHandlerFactory /a/b.ashx");
  CHECK(Routed(*table, "GET", "/index.html") == "weft::StaticFileHandler /index.html");
  CHECK(Routed(*table, "HEAD", "/") == "weft::StaticFileHandler /");
  CHECK(Routed(*table, "POST", "/index.html") ==
        "weft::HttpMethodNotAllowedHandler /index.html (GET, HEAD, OPTIONS)");
}

TEST_CASE("MachineDefaults: what they never serve") {
  const auto table = Load({}).table;
  for (const std::string_view path :
       {"/mapping.json", "/a/Mapping.JSON", "/machine.json", "/web.config",    "/x.dll.config",
        "/a.ini",        "/bin/shop.so",    "/.htpasswd",    "/a.cpp",         "/a.HPP",
        "/a.h",          "/a.cc",           "/a.c",          "/a.cs",          "/a.vb",
        "/a.java",       "/a.sitemap",      "/a.mdf",        "/a.sdmDocument", "/a.lddprototype"}) {
    CAPTURE(path);
    CHECK(Routed(*table, "GET", path) == "weft::HttpForbiddenHandler " + std::string(path));
    CHECK(Routed(*table, "POST", path) == "weft::HttpForbiddenHandler " + std::string(path));
    CHECK(Routed(*table, "GET", std::string(path) + "/x") ==
          "weft::HttpForbiddenHandler " + std::string(path) + "|/x");
  }
}
