#include "host/tools/recording_name.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "host/recording/reader.hpp"

using weft::host::recording::IsBodyFileName;
using weft::host::tools::RecordingName;

namespace {

std::string NameOf(const std::string& method, const std::string& path, std::size_t number = 1,
                   std::size_t total = 1) {
  return RecordingName(number, total,
                       {{{"REQUEST_METHOD", method}, {"SCRIPT_NAME", path}}, "", std::nullopt});
}

}  // namespace

TEST_CASE("RecordingName: number, method and path") {
  CHECK(NameOf("GET", "/orders.ashx", 7, 120) == "007-get-orders.ashx");
  CHECK(NameOf("M-SEARCH", "/a/B_c/d-e", 12, 12345) == "00012-m-search-a-B_c-d-e");
  CHECK(NameOf("GET", "/") == "001-get");
  CHECK(NameOf("", "") == "001");
}

TEST_CASE("RecordingName: a file in its folder, whatever the request is") {
  CHECK(NameOf("GET", "/../../etc/passwd") == "001-get-etc-passwd");
  CHECK(NameOf("GET", "/..") == "001-get");
  CHECK(NameOf("GET", "/a..b/.//\u00e4 c.") == "001-get-a.b-c");
  CHECK(NameOf("GET", std::string("/a\0/\n\xff", 6)) == "001-get-a");
  const auto longest = NameOf(std::string(100, 'G'), "/" + std::string(1000, 'a'));
  CHECK(longest == "001-" + std::string(20, 'g') + "-" + std::string(60, 'a'));
  for (int c = 0; c < 256; ++c) {
    CHECK(IsBodyFileName(NameOf("GET", std::string(3, static_cast<char>(c)))));
  }
}
