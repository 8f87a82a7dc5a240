#include "host/observe/request_record.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>

#include "host/observe/log.hpp"
#include "tests/unit/observe/timestamp_shape.hpp"

namespace weft::host::observe {
namespace {

/// The line without its time and process, which differ from run to run, after a look at both.
std::string Line(const RequestRecord& record) {
  const auto line = FormatAccessLine(record);
  const auto rest = line.find(" id=");
  REQUIRE(line.starts_with("time="));
  REQUIRE(rest != std::string::npos);
  CHECK(test::IsTimestamp(line.substr(5, 24)));
  CHECK(line.substr(29, rest - 29) == " pid=" + std::to_string(getpid()));
  return line.substr(rest + 1);
}

RequestRecord Example() {
  RequestRecord record;
  record.id = 17;
  record.remote_address = "192.0.2.1";
  record.method = "GET";
  record.raw_url = "/a?b=c";
  record.status = 200;
  record.body_bytes_sent = 1234;
  record.duration = std::chrono::microseconds(1500);
  return record;
}

TEST_CASE("FormatAccessLine: one line of key=value pairs") {
  CHECK(
      Line(Example()) ==
      R"(id=17 remote="192.0.2.1" method="GET" url="/a?b=c" status=200 bytes=1234 ms=1.500 outcome=completed)");
}

TEST_CASE("FormatAccessLine: the request's id stands there where it is known") {
  auto record = Example();
  record.request_id = "a=b-\"17\"";
  CHECK(Line(record).starts_with(R"(id=17 request="a=b-\"17\"" remote="192.0.2.1" )"));
}

TEST_CASE("FormatAccessLine: entry, type and cause stand there where they are known") {
  auto record = Example();
  record.entry = "GET,HEAD *.report";
  record.type = "shop::Report, shop";
  record.cause = "no_mapping";
  record.outcome = Outcome::kAborted;
  CHECK(Line(record).ends_with(
      R"( ms=1.500 entry="GET,HEAD *.report" type="shop::Report, shop" cause=no_mapping outcome=aborted)"));
}

TEST_CASE("FormatAccessLine: a record of nothing is a whole line too") {
  CHECK(Line(RequestRecord()) ==
        R"(id=0 remote="" method="" url="" status=0 bytes=0 ms=0.000 outcome=completed)");
}

TEST_CASE("FormatAccessLine: nothing that a peer sends ends the value or the line") {
  auto record = Example();
  record.remote_address = "\" status=200";
  record.method = "GET\r\nid=99";
  record.raw_url = std::string("/a\0b\x7f\\\"\t", 8);
  record.entry = "* \"x\"";
  record.type = "T\n";
  record.log_text = "a\" b\n";
  const auto line = Line(record);
  CHECK(
      line ==
      R"(id=17 remote="\" status=200" method="GET\u000d\u000aid=99" url="/a\u0000b\u007f\\\"\u0009" )"
      R"(status=200 bytes=1234 ms=1.500 entry="* \"x\"" type="T\u000a" outcome=completed log="a\" b\u000a")");
}

TEST_CASE("FormatAccessLine: no byte of a value breaks the line") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    auto record = Example();
    record.raw_url = std::string(1, static_cast<char>(byte));
    const auto line = FormatAccessLine(record);
    for (const char c : line) {
      CHECK((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
    }
  }
}

TEST_CASE("FormatAccessLine: large numbers and long texts stand whole") {
  auto record = Example();
  record.id = 18'446'744'073'709'551'615u;
  record.body_bytes_sent = 18'446'744'073'709'551'615u;
  record.duration = std::chrono::hours(24);
  record.raw_url = std::string(100'000, 'x');
  const auto line = Line(record);
  CHECK(line.starts_with("id=18446744073709551615 "));
  CHECK(line.find(" bytes=18446744073709551615 ms=86400000.000 ") != std::string::npos);
  CHECK(line.size() > 100'000);
}

TEST_CASE("Outcome: each has a name of its own") {
  CHECK(ToString(Outcome::kCompleted) == "completed");
  CHECK(ToString(Outcome::kAborted) == "aborted");
  CHECK(ToString(Outcome::kClientGone) == "client-gone");
  CHECK(ToString(Outcome::kFinished) == "finished");
  CHECK(ToString(Outcome::kRefused) == "refused");
}

TEST_CASE(
    "Escaped: control characters, quotes and backslashes are escaped as in JSON, the rest stays") {
  CHECK(Escaped("").empty());
  CHECK(Escaped("plain text, \xC3\xA4") == "plain text, \xC3\xA4");
  CHECK(Escaped("\"\\") == R"(\"\\)");
  CHECK(Escaped("\r\n\t\x1b[31m") == R"(\u000d\u000a\u0009\u001b[31m)");
  CHECK(Escaped(std::string("\0", 1)) == R"(\u0000)");
  CHECK(Escaped("\x1f \x7f") == R"(\u001f \u007f)");
}

TEST_CASE(
    "Escaped: the control characters of Unicode beyond ASCII are escaped, their neighbours stay") {
  CHECK(Escaped("\xC2\x80\xC2\x9B"
                "31m\xC2\x9F") == R"(\u0080\u009b31m\u009f)");
  CHECK(Escaped("\xC2\xA0\xC2\xBF\xC3\x80") == "\xC2\xA0\xC2\xBF\xC3\x80");
  // Not a whole character: nothing is made up, nothing is lost.
  CHECK(Escaped("\xC2") == "\xC2");
  CHECK(Escaped("\xC2\"") == "\xC2\\\"");
  CHECK(Escaped("\xC2\n") == "\xC2\\u000a");
}

}  // namespace
}  // namespace weft::host::observe
