#include "host/tools/request_url.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace weft::host::tools {
namespace {

// "host path query", or "none".
std::string Parsed(std::string_view text) {
  const auto url = ParseRequestUrl(text);
  return url ? url->host + " " + url->path + " " + url->query : "none";
}

TEST_CASE("ParseRequestUrl: a path is for no host in particular") {
  CHECK(Parsed("/") == " / ");
  CHECK(Parsed("/a/b.x?c=d&e#f") == " /a/b.x c=d&e");
  CHECK(Parsed("/a#b?c") == " /a ");
  CHECK(Parsed("/a?b?c") == " /a b?c");
  CHECK(Parsed("//a") == " //a ");
}

TEST_CASE("ParseRequestUrl: a host with its port, without the user") {
  CHECK(Parsed("http://example.org/a") == "example.org /a ");
  CHECK(Parsed("HTTPS://user:pass@Example.org:8080/a?b") == "Example.org:8080 /a b");
  CHECK(Parsed("http://[::1]:80") == "[::1]:80 / ");
  CHECK(Parsed("http://h?a/b") == "h / a/b");
}

TEST_CASE("ParseRequestUrl: the path is decoded once, the query is not") {
  CHECK(Parsed("/a%20b%2fc?%41") == " /a b/c %41");
  CHECK(Parsed("/%2541+") == " /%41+ ");
  CHECK(ParseRequestUrl("/a%00")->path == std::string("/a\0", 3));
  CHECK(Parsed("/%C3%a4") == " /\xc3\xa4 ");
}

TEST_CASE("ParseRequestUrl: what is no URL of a web server") {
  for (const char* text : {"", "a", "example.org/a", "ftp://h/", "http://", "http:///a", "?a", "#a",
                           "/%", "/%4", "/%4g", "/%g4", "http://u@/a", "*"}) {
    CAPTURE(text);
    CHECK(Parsed(text) == "none");
  }
}

}  // namespace
}  // namespace weft::host::tools
