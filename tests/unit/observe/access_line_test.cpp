#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "host/observe/request_record.hpp"
#include "host/options/access_format.hpp"
#include "tests/unit/observe/timestamp_shape.hpp"

namespace weft::host::observe {
namespace {

RequestRecord Example() {
  RequestRecord record;
  record.id = 17;
  record.request_id = "r-17";
  record.remote_address = "192.0.2.1";
  record.method = "GET";
  record.raw_url = "/a?b=c";
  record.status = 200;
  record.body_bytes_sent = 1234;
  record.header_bytes_sent = 100;
  record.body_bytes_received = 7;
  record.duration = std::chrono::microseconds(1'234'567);
  record.queue_time = std::chrono::microseconds(1'500);
  record.entry = "GET *.report";
  record.type = "shop::Report";
  record.cause = "mapped";
  record.log_text = "item=tea";
  return record;
}

std::string Line(std::string_view format, const RequestRecord& record = Example()) {
  return FormatAccessLine(options::ParseAccessFormat(format), record);
}

TEST_CASE("FormatAccessLine: Apache's placeholders") {
  CHECK(Line("%h %l %u \"%r\" %>s %b") == "192.0.2.1 - - \"GET /a?b=c\" 200 1234");
  CHECK(Line("%m %U %q %B %O %I") == "GET /a ?b=c 1234 1334 7");
  CHECK(Line("%T %D %{ms}T %{us}T %{s}T") == "1 1234567 1234 1234567 1");
  CHECK(Line("%P %X %L %R %k") == std::to_string(getpid()) + " - r-17 shop::Report -");
  auto record = Example();
  record.body_bytes_sent = 0;
  record.outcome = Outcome::kAborted;
  CHECK(Line("%b %B %X", record) == "- 0 X");
  CHECK(Line("%200s %!200s %404,500b %!404m") == "200 - - GET");
}

TEST_CASE("FormatAccessLine: php-fpm's placeholders") {
  CHECK(Line("fpm:%R - %u \"%m %r%Q%q\" %s %p %P") == "192.0.2.1 - - \"GET /a?b=c\" 200 " +
                                                          std::to_string(getpid()) + " " +
                                                          std::to_string(getppid()));
  CHECK(Line("fpm:%d %{milli}d %{miliseconds}d %{microseconds}d %l") ==
        "1.234 1234.567 1234.567 1234567 0");
  auto record = Example();
  record.raw_url = "/a";
  CHECK(Line("fpm:[%Q%q]", record) == "[]");
}

TEST_CASE("FormatAccessLine: Weft's own") {
  CHECK(Line("%{request_id}w %{number}w %{handler}w \"%{entry}w\" %{cause}w %{outcome}w %{log}w "
             "%{duration_ms}w %{queue_ms}w") ==
        "r-17 17 shop::Report \"GET *.report\" mapped completed item=tea 1234.567 1.500");
  auto record = Example();
  record.queue_time = std::chrono::nanoseconds(-1);
  CHECK(Line("%{queue_ms}w", record) == "-");
}

TEST_CASE(
    "FormatAccessLine: a time is in the zone of the process, of the begin unless it says end") {
  setenv("TZ", "XYZ-5:30", 1);
  tzset();
  const auto line = Line("%t");
  CHECK(line.size() == std::string_view("[10/Oct/2000:13:55:36 -0700]").size());
  CHECK(line.ends_with(" +0530]"));
  setenv("TZ", "UTC", 1);
  tzset();
  auto record = Example();
  record.duration = std::chrono::hours(24 * 400);
  const auto begin = std::stoll(Line("%{sec}t", record));
  const auto end = std::stoll(Line("%{end:sec}t", record));
  CHECK(end - begin == 400 * 24 * 3600);
  CHECK(Line("%{%Y}t", record) != Line("%{end:%Y}t", record));
  CHECK(Line("%{msec_frac}t").size() == 3);
  CHECK(Line("%{usec_frac}t").size() == 6);
}

TEST_CASE(
    "FormatAccessLine: nothing that a client sends forges a line, a field or a terminal's code") {
  auto record = Example();
  record.raw_url = "/\"\\\n\r\t\x1b\x7f\xc2\x9b\xff";
  CHECK(Line("\"%U\"", record) == R"("/\"\\\n\r\t\x1b\x7f\xc2\x9b\xff")");
}

TEST_CASE("FormatAccessLine: a record of nothing has dashes") {
  CHECK(Line("combined", RequestRecord()).ends_with(R"(] "-" 0 - "-" "-")"));
  CHECK(Line("%{X}e %{X}o %{X}C %v %p %H %f", RequestRecord()) == "- - - - - - -");
}

TEST_CASE("FormatAccessLine: json is one object") {
  auto record = Example();
  record.raw_url = "/\"\n\xff";
  const auto json = nlohmann::json::parse(Line("json", record));
  CHECK(test::IsTimestamp(json.at("time").get<std::string>()));
  CHECK(json.at("pid") == getpid());
  CHECK(json.at("id") == 17);
  CHECK(json.at("request") == "r-17");
  CHECK(json.at("url") == "/\"\n\xef\xbf\xbd");
  CHECK(json.at("status") == 200);
  CHECK(json.at("bytes") == 1234);
  CHECK(json.at("ms") == doctest::Approx(1234.567));
  CHECK(json.at("queue_ms") == doctest::Approx(1.5));
  CHECK(json.at("outcome") == "completed");
  CHECK_FALSE(json.contains("user"));
}

}  // namespace
}  // namespace weft::host::observe
