#include "mappings/request_path.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using weft::mappings::NormalisedPath;
using weft::mappings::NormalisePath;
using weft::mappings::PathFault;
using namespace std::string_view_literals;

namespace {

// The normal form, or "" for a faulty path. Checks on the way that a normal form is normal.
std::string Normal(std::string_view path) {
  const NormalisedPath result = NormalisePath(path);
  if (result.fault != PathFault::kNone) {
    CHECK_FALSE(result.changed);
    return "";
  }
  std::string normal = result.changed.value_or(std::string(path));
  const NormalisedPath again = NormalisePath(normal);
  CHECK(again.fault == PathFault::kNone);
  CHECK_FALSE(again.changed);
  return normal;
}

PathFault Fault(std::string_view path) { return NormalisePath(path).fault; }

}  // namespace

TEST_CASE("NormalisePath: a normal path is left as it is") {
  for (const std::string_view path :
       {"/", "/a", "/a/", "/a/b.ashx", "/.well-known/x", "/a/...", "/a/..b", "/a/b..", "/.a/.b",
        "/a b", "/\xff\xfe", "/caf\u00e9", "/~joe", "/a;x=1"}) {
    CAPTURE(path);
    const NormalisedPath result = NormalisePath(path);
    CHECK(result.fault == PathFault::kNone);
    CHECK_FALSE(result.changed);
  }
}

TEST_CASE("NormalisePath: runs of slashes become one") {
  CHECK(Normal("//") == "/");
  CHECK(Normal("//a") == "/a");
  CHECK(Normal("/a//b") == "/a/b");
  CHECK(Normal("/a///b////") == "/a/b/");
}

TEST_CASE("NormalisePath: a dot segment goes") {
  CHECK(Normal("/.") == "/");
  CHECK(Normal("/./") == "/");
  CHECK(Normal("/./a") == "/a");
  CHECK(Normal("/a/./b") == "/a/b");
  CHECK(Normal("/a/.") == "/a/");
  CHECK(Normal("/a/././") == "/a/");
}

TEST_CASE("NormalisePath: a double dot takes the segment before it along") {
  CHECK(Normal("/a/..") == "/");
  CHECK(Normal("/a/../") == "/");
  CHECK(Normal("/a/../b") == "/b");
  CHECK(Normal("/a/b/..") == "/a/");
  CHECK(Normal("/a/b/../..") == "/");
  CHECK(Normal("/a/b/../../c/./d/../e") == "/c/e");
  CHECK(Normal("/a//../b") == "/b");
  CHECK(Normal("/a/./../b") == "/b");
  CHECK(Normal("/.../../a") == "/a");
}

TEST_CASE("NormalisePath: climbing above the root is a fault, even in passing") {
  for (const std::string_view path :
       {"/..", "/../", "/../a", "/a/../..", "/a/../../a", "/./..", "//..", "/a//../.."}) {
    CAPTURE(path);
    CHECK(Fault(path) == PathFault::kAboveRoot);
  }
}

TEST_CASE("NormalisePath: a NUL, a backslash and a missing first slash are faults") {
  CHECK(Fault("/a\0"sv) == PathFault::kNul);
  CHECK(Fault("/a\0.ashx"sv) == PathFault::kNul);
  CHECK(Fault("/a\\b") == PathFault::kBackslash);
  CHECK(Fault("/..\\b") == PathFault::kBackslash);
  CHECK(Fault("") == PathFault::kNotAbsolute);
  CHECK(Fault("a") == PathFault::kNotAbsolute);
  CHECK(Fault("*") == PathFault::kNotAbsolute);
  CHECK(Fault("http://a/") == PathFault::kNotAbsolute);
}

TEST_CASE("NormalisePath: percent signs are characters like any other") {
  CHECK(Normal("/%2e%2e/a") == "/%2e%2e/a");
  CHECK(Normal("/a%2f../b") == "/a%2f../b");
  CHECK(Normal("/a%00") == "/a%00");
}

TEST_CASE("NormalisePath: a path of a megabyte of dots and slashes") {
  std::string up;
  std::string down;
  for (int i = 0; i < 1 << 17; ++i) {
    down += "/ab";
    up += "//./..";
  }
  CHECK(Normal(down + up) == "/");
  CHECK(Fault(down + up + "/..") == PathFault::kAboveRoot);
}
