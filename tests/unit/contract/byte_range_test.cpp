#include <weft/byte_range.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft {
namespace {

using namespace std::chrono_literals;
using Kind = RangeSelection::Kind;
using Ranges = std::vector<ByteRange>;

constexpr std::uint64_t kLength = 10'000;
constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();

Ranges Parts(std::string_view field, std::uint64_t length = kLength) {
  const auto selection = SelectRanges(field, length);
  CHECK((selection.kind == Kind::kParts) == !selection.ranges.empty());
  return selection.ranges;
}

Kind KindOf(std::string_view field, std::uint64_t length = kLength) {
  return SelectRanges(field, length).kind;
}

TEST_CASE("SelectRanges: the examples of RFC 9110, section 14.1.2") {
  CHECK((Parts("bytes=0-499") == Ranges{{0, 499}}));
  CHECK((Parts("bytes=500-999") == Ranges{{500, 999}}));
  CHECK((Parts("bytes=-500") == Ranges{{9500, 9999}}));
  CHECK((Parts("bytes=9500-") == Ranges{{9500, 9999}}));
  CHECK((Parts("bytes=0-0,-1") == Ranges{{0, 0}, {9999, 9999}}));
  CHECK((Parts("bytes= 0-999, 4500-5499, -1000") == Ranges{{0, 999}, {4500, 5499}, {9000, 9999}}));
  CHECK((Parts("bytes=500-600,601-999") == Ranges{{500, 999}}));
  CHECK((Parts("bytes=500-700,601-999") == Ranges{{500, 999}}));
}

TEST_CASE("SelectRanges: ends beyond the content's are its end") {
  CHECK((Parts("bytes=9999-20000") == Ranges{{9999, 9999}}));
  CHECK((Parts("bytes=-20000") == Ranges{{0, 9999}}));
  CHECK((Parts("bytes=0-", 1) == Ranges{{0, 0}}));
  CHECK((Parts("bytes=0-99999999999999999999999999") == Ranges{{0, 9999}}));
  CHECK((Parts("bytes=-99999999999999999999999999") == Ranges{{0, 9999}}));
  CHECK((Parts("bytes=0-18446744073709551615") == Ranges{{0, 9999}}));
  CHECK((Parts("bytes=00000000000000000000000000005-0000000000000000000000000000006") ==
         Ranges{{5, 6}}));
}

TEST_CASE("SelectRanges: none of it is there") {
  for (const std::string_view field :
       {"bytes=10000-", "bytes=10000-10001", "bytes=-0", "bytes=20000-,-0,10000-10000",
        "bytes=99999999999999999999999999-", "bytes=18446744073709551616-18446744073709551617"}) {
    CAPTURE(field);
    CHECK(KindOf(field) == Kind::kUnsatisfiable);
  }
  // What is there is sent, the rest passed over.
  CHECK((Parts("bytes=10000-, 5-6, -0") == Ranges{{5, 6}}));
}

TEST_CASE("SelectRanges: an empty content") {
  CHECK(KindOf("bytes=0-", 0) == Kind::kUnsatisfiable);
  CHECK(KindOf("bytes=0-0", 0) == Kind::kUnsatisfiable);
  CHECK(KindOf("bytes=-0", 0) == Kind::kUnsatisfiable);
  CHECK(KindOf("bytes=-1", 0) == Kind::kWhole);
}

TEST_CASE("SelectRanges: the longest content") {
  CHECK((Parts("bytes=-1", kMost / 2) == Ranges{{kMost / 2 - 1, kMost / 2 - 1}}));
  CHECK((Parts("bytes=0-0,9223372036854775000-", kMost / 2) ==
         Ranges{{0, 0}, {9'223'372'036'854'775'000u, kMost / 2 - 1}}));
  CHECK((Parts("bytes=0-", kMost) == Ranges{{0, kMost / 2 - 1}}));
}

TEST_CASE("SelectRanges: letter case of the unit does not count") {
  CHECK((Parts("BYTES=1-2") == Ranges{{1, 2}}));
  CHECK((Parts("Bytes=1-2") == Ranges{{1, 2}}));
}

TEST_CASE("SelectRanges: a unit that is not known, and what is malformed, count for nothing") {
  for (const std::string_view field : {"",
                                       "bytes",
                                       "bytes=",
                                       "bytes=,",
                                       "bytes= ",
                                       "seconds=1-2",
                                       "byte=1-2",
                                       "bytess=1-2",
                                       "bytes =1-2",
                                       "bytes:1-2",
                                       "bytes=1",
                                       "bytes=-",
                                       "bytes=--1",
                                       "bytes=1--2",
                                       "bytes=2-1",
                                       "bytes=a-b",
                                       "bytes=1-b",
                                       "bytes=1-2;",
                                       "bytes=1-2 3-4",
                                       "bytes=1-2-3",
                                       "bytes=+1-2",
                                       "bytes=1 -2",
                                       "bytes=1- 2",
                                       "bytes=0x1-2",
                                       "bytes=1-2, bytes=3-4",
                                       "bytes=1-2,x",
                                       "bytes=1-2,4-3",
                                       "bytes=1.0-2",
                                       "1-2",
                                       "=1-2",
                                       "none",
                                       "bytes=\"1-2\"",
                                       "bytes=1-\xb2"}) {
    CAPTURE(field);
    CHECK(KindOf(field) == Kind::kWhole);
  }
  CHECK(KindOf(std::string_view("bytes=1-2\0", 10)) == Kind::kWhole);
}

TEST_CASE("SelectRanges: empty members and blanks around commas are passed over") {
  CHECK((Parts("bytes=,, 1-2 ,\t, 5000-5001 ,") == Ranges{{1, 2}, {5000, 5001}}));
}

TEST_CASE("SelectRanges: the client's order, but for what becomes one") {
  CHECK((Parts("bytes=5000-5001,0-1,9000-9001") == Ranges{{5000, 5001}, {0, 1}, {9000, 9001}}));
  CHECK((Parts("bytes=5000-5001,0-1,5001-5002,4999-5000") == Ranges{{4999, 5002}, {0, 1}}));
  CHECK((Parts("bytes=-1,0-,5-6") == Ranges{{0, 9999}}));
}

TEST_CASE("SelectRanges: ranges that are nearer than a header is long become one") {
  CHECK((Parts("bytes=0-0,129-130") == Ranges{{0, 130}}));
  CHECK((Parts("bytes=129-130,0-0") == Ranges{{0, 130}}));
  CHECK((Parts("bytes=0-0,130-130") == Ranges{{0, 0}, {130, 130}}));
}

TEST_CASE("SelectRanges: more ranges than are allowed count for nothing") {
  std::string field = "bytes=0-0";
  for (std::size_t i = 1; i < kDefaultMaxRanges; ++i) {
    field += "," + std::to_string(i * 200) + "-" + std::to_string(i * 200);
  }
  CHECK(Parts(field, 1'000'000).size() == kDefaultMaxRanges);
  CHECK(KindOf(field + ",999999-", 1'000'000) == Kind::kWhole);
  // Those that are not there count as well: they cost the same.
  CHECK(KindOf(field + ",2000000-", 1'000'000) == Kind::kWhole);
  CHECK(SelectRanges("bytes=1-2", kLength, 0).kind == Kind::kWhole);
  CHECK(SelectRanges("bytes=1-2", kLength, 1).kind == Kind::kParts);
  CHECK(SelectRanges("bytes=1-2,3-4", kLength, 1).kind == Kind::kWhole);
  std::string many = "bytes=";
  for (int i = 0; i < 1'000'000; ++i) {
    many += "0-,";
  }
  CHECK(KindOf(many) == Kind::kWhole);
}

TEST_CASE(
    "SelectRanges: whatever is asked for is sent, once, and at most a header's length beside it") {
  std::mt19937 random(9110);
  const auto pick = [&](std::uint64_t below) { return random() % below; };
  for (int round = 0; round < 3'000; ++round) {
    const auto length = 1 + pick(3'000);
    std::string field = "bytes=";
    std::vector<bool> asked(length, false);
    const auto count = 1 + pick(12);
    for (std::uint64_t i = 0; i < count; ++i) {
      auto first = pick(length + 200);
      auto last = first + pick(300);
      switch (pick(3)) {
        case 0:
          field += std::to_string(first) + "-" + std::to_string(last) + ",";
          break;
        case 1:
          field += std::to_string(first) + "-,";
          last = length - 1;
          break;
        default: {
          const auto suffix = pick(400);
          field += "-" + std::to_string(suffix) + ",";
          first = length - std::min(suffix, length);
          last = length - 1;
        }
      }
      for (auto at = first; at <= last && at < length; ++at) {
        asked[at] = true;
      }
    }
    CAPTURE(field);
    CAPTURE(length);
    const auto selection = SelectRanges(field, length);
    std::vector<int> sent(length, 0);
    for (const auto& range : selection.ranges) {
      REQUIRE(range.first <= range.last);
      REQUIRE(range.last < length);
      // It begins and ends with what was asked for.
      CHECK(asked[range.first]);
      CHECK(asked[range.last]);
      for (auto at = range.first; at <= range.last; ++at) {
        ++sent[at];
      }
    }
    const bool any = std::find(asked.begin(), asked.end(), true) != asked.end();
    REQUIRE(selection.kind == (any ? Kind::kParts : Kind::kUnsatisfiable));
    std::uint64_t beside = 0;  // in a row
    for (std::uint64_t at = 0; at < length; ++at) {
      REQUIRE(sent[at] <= 1);
      REQUIRE((!asked[at] || sent[at] == 1));
      beside = sent[at] == 1 && !asked[at] ? beside + 1 : 0;
      REQUIRE(beside <= 128);
    }
  }
}

TEST_CASE("SelectRanges: texts of its own alphabet never break it") {
  std::mt19937 random(14);
  constexpr std::string_view kAlphabet = "0192-,, \t=bx";
  for (int round = 0; round < 50'000; ++round) {
    std::string field = "bytes=";
    for (auto left = random() % 24; left > 0; --left) {
      field += kAlphabet[random() % kAlphabet.size()];
    }
    CAPTURE(field);
    for (const std::uint64_t length : {0ull, 1ull, 20ull, 9'223'372'036'854'775'807ull}) {
      for (const auto& range : SelectRanges(field, length).ranges) {
        REQUIRE(range.first <= range.last);
        REQUIRE(range.last < length);
      }
    }
  }
}

TEST_CASE("ContentRangeOf: as RFC 9110, section 14.4 has it") {
  CHECK(ContentRangeOf({42, 1233}, 1234) == "bytes 42-1233/1234");
  CHECK(UnsatisfiedContentRange(47'022) == "bytes */47022");
}

TEST_CASE(
    "MultipartByteRanges: the layout of RFC 9110, section 14.6, with the length that it tells") {
  const std::string content = "0123456789abcdefghij";
  const Ranges ranges{{0, 4}, {18, 19}};
  const MultipartByteRanges multipart("text/plain", content.size(), "THIS_STRING_SEPARATES");
  CHECK(multipart.ContentType() == "multipart/byteranges; boundary=THIS_STRING_SEPARATES");
  std::string body;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    body += multipart.PartHeader(i, ranges[i]) + content.substr(ranges[i].first, ranges[i].size());
  }
  body += multipart.End();
  CHECK(body ==
        "--THIS_STRING_SEPARATES\r\n"
        "Content-Type: text/plain\r\n"
        "Content-Range: bytes 0-4/20\r\n"
        "\r\n"
        "01234\r\n"
        "--THIS_STRING_SEPARATES\r\n"
        "Content-Type: text/plain\r\n"
        "Content-Range: bytes 18-19/20\r\n"
        "\r\n"
        "ij\r\n"
        "--THIS_STRING_SEPARATES--\r\n");
  CHECK(multipart.ContentLength(ranges) == body.size());
  const MultipartByteRanges untyped("", content.size(), "x");
  CHECK(untyped.PartHeader(0, ranges[0]) == "--x\r\nContent-Range: bytes 0-4/20\r\n\r\n");
}

TEST_CASE("MultipartByteRanges: no two boundaries are the same") {
  const MultipartByteRanges one("text/plain", 1);
  const MultipartByteRanges other("text/plain", 1);
  CHECK(one.ContentType().size() ==
        std::string_view("multipart/byteranges; boundary=").size() + 32);
  CHECK(one.ContentType() != other.ContentType());
}

TEST_CASE("SelectContent: conditions before ranges, and ranges for GET alone") {
  constexpr std::chrono::sys_seconds kNow =
      std::chrono::sys_days(2026y / std::chrono::November / 23) + 12h;
  const Validators current{.etag = EntityTag("a"), .last_modified = kNow - 1h};
  RequestConditions conditions;
  std::string_view method = "GET";
  std::optional<std::string_view> range;
  const auto status = [&] {
    const auto selection =
        SelectContent(method, conditions, range, current, 10, kDefaultMaxRanges, kNow);
    CHECK((selection.status == 206) == !selection.ranges.empty());
    return selection.status;
  };
  CHECK(status() == 200);
  range = "bytes=1-2";
  CHECK(status() == 206);
  range = "bytes=10-";
  CHECK(status() == 416);
  range = "bytes=x";
  CHECK(status() == 200);
  range = "bytes=10-";
  conditions.if_none_match = "\"a\"";
  CHECK(status() == 304);
  conditions = {};
  conditions.if_match = "\"b\"";
  CHECK(status() == 412);
  conditions = {};
  conditions.if_range = "\"b\"";
  CHECK(status() == 200);  // and not 416: the range is of another content
  conditions.if_range = "\"a\"";
  CHECK(status() == 416);
  range = "bytes=1-2";
  CHECK(status() == 206);
  CHECK(SelectContent("GET", {}, range, current, 10, 0, kNow).status == 200);
  method = "HEAD";
  CHECK(status() == 200);
  method = "POST";
  CHECK(status() == 200);
}

}  // namespace
}  // namespace weft
