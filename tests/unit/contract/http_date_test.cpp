#include <weft/http_date.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace weft {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

/// RFC 9110's own example.
constexpr sys_seconds kExample = sys_days(1994y / std::chrono::November / 6) + 8h + 49min + 37s;
constexpr sys_seconds kNow = sys_days(2026y / std::chrono::November / 23) + 12h;

TEST_CASE("FormatHttpDate: the RFC's own example, and the ends of the years") {
  CHECK(FormatHttpDate(kExample) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(FormatHttpDate(kExample + 999ms) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(FormatHttpDate(sys_seconds(-1s)) == "Wed, 31 Dec 1969 23:59:59 GMT");
  CHECK(FormatHttpDate(sys_days(2000y / std::chrono::February / 29)) ==
        "Tue, 29 Feb 2000 00:00:00 GMT");
}

TEST_CASE("ParseHttpDate: the three forms of RFC 9110, section 5.6.7") {
  for (const std::string_view text :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994"}) {
    CAPTURE(text);
    CHECK(ParseHttpDate(text, kNow) == kExample);
  }
  CHECK(ParseHttpDate("Wed Nov 16 08:49:37 1994", kNow) == kExample + 240h);
}

TEST_CASE("ParseHttpDate: what was formatted is read again") {
  for (auto time = sys_seconds(0s); time < kNow; time += 1234567s) {
    CHECK(ParseHttpDate(FormatHttpDate(time)) == time);
  }
}

TEST_CASE("ParseHttpDate: a year of two digits is at most 50 years ahead") {
  const auto year_of = [](std::string_view year, sys_seconds now) {
    const auto date = ParseHttpDate("Monday, 01-Jan-" + std::string(year) + " 00:00:00 GMT", now);
    REQUIRE(date);
    return static_cast<int>(
        std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(*date)).year());
  };
  CHECK(year_of("26", kNow) == 2026);
  CHECK(year_of("75", kNow) == 2075);
  CHECK(year_of("76", kNow) == 2076);
  CHECK(year_of("77", kNow) == 1977);
  CHECK(year_of("99", kNow) == 1999);
  const sys_seconds new_year = sys_days(2026y / std::chrono::January / 1);
  CHECK(year_of("76", new_year - 1s) == 1976);  // 50 years and a second
  CHECK(year_of("10", sys_days(2090y / std::chrono::June / 1)) == 2110);
}

TEST_CASE("ParseHttpDate: dates that the clock has no numbers for can be compared with it") {
  const auto last = ParseHttpDate("Fri, 31 Dec 9999 23:59:59 GMT");
  const auto first = ParseHttpDate("Sat, 01 Jan 0000 00:00:00 GMT");
  REQUIRE((last && first));
  CHECK((*last > std::chrono::system_clock::now()));
  CHECK((*first < std::chrono::system_clock::now()));
  CHECK(FormatHttpDate(*last).find(" 2262 ") != std::string::npos);
  CHECK(FormatHttpDate(*first).find(" 1677 ") != std::string::npos);
}

TEST_CASE("ParseHttpDate: a leap second is the second before it") {
  CHECK(ParseHttpDate("Sat, 31 Dec 2016 23:59:60 GMT") ==
        ParseHttpDate("Sat, 31 Dec 2016 23:59:59 GMT"));
}

TEST_CASE("ParseHttpDate: anything else is no date") {
  for (const std::string_view text :
       {"",
        " ",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Thu, 30 Feb 1995 00:00:00 GMT",
        "Thu, 00 Feb 1995 00:00:00 GMT",
        "Wed, 29 Feb 1995 00:00:00 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov 06 08:49:37 94",
        "0",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseHttpDate(text, kNow));
  }
  CHECK_FALSE(ParseHttpDate(std::string_view("Sun, 06 Nov 1994\0 08:49:37 GMT", 30), kNow));
  CHECK_FALSE(ParseHttpDate(std::string(1 << 20, '1'), kNow));
}

}  // namespace
}  // namespace weft
