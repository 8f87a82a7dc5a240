#include "host/options/values.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace weft::host::options {
namespace {

using std::chrono::milliseconds;

TEST_CASE("FormatSize: is read back as the same size") {
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{1023}, std::size_t{1024}, std::size_t{131'072},
        std::size_t{30'000'000}, std::size_t{1} << 30, std::size_t{1} << 40}) {
    CAPTURE(bytes);
    CHECK(ParseSize(FormatSize(bytes)) == bytes);
  }
  CHECK(FormatSize(131'072) == "128K");
  CHECK(FormatSize(std::size_t{1} << 30) == "1G");
  CHECK(FormatSize(30'000'000) == "30000000");
}

TEST_CASE("ParseSize: the largest size that fits is read, and the next one is refused") {
  CHECK(ParseSize("18446744073709551615") == SIZE_MAX);
  CHECK_THROWS_AS((void)ParseSize("18446744073709551616"), BadValue);
  CHECK_THROWS_AS((void)ParseSize("17179869184G"), BadValue);
}

TEST_CASE("FormatDuration: is read back as the same duration") {
  for (const milliseconds duration : {milliseconds{0}, milliseconds{1}, milliseconds{1'500},
                                      milliseconds{120'000}, milliseconds{86'400'000}}) {
    CHECK(ParseDuration(FormatDuration(duration)) == duration);
  }
  CHECK(FormatDuration(milliseconds{0}) == "0s");
  CHECK(FormatDuration(milliseconds{1'500}) == "1500ms");
  CHECK(FormatDuration(milliseconds{120'000}) == "120s");
  CHECK(FormatDuration(milliseconds{86'400'000}) == "24h");
}

TEST_CASE("FormatFileMode: is read back as the same mode") {
  for (const unsigned mode : {0U, 07U, 0600U, 0660U, 0777U}) {
    CHECK(ParseFileMode(FormatFileMode(mode)) == mode);
  }
  CHECK(FormatFileMode(0660) == "0660");
}

TEST_CASE("ParseSwitch: takes the usual words") {
  for (const char* const word : {"on", "yes", "true", "1"}) CHECK(ParseSwitch(word));
  for (const char* const word : {"off", "no", "false", "0"}) CHECK_FALSE(ParseSwitch(word));
}

TEST_CASE("FormatLogLevel: is read back as the same level") {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    CHECK(ParseLogLevel(FormatLogLevel(level)) == level);
  }
}

TEST_CASE("ToString: is read back as the same address") {
  for (const std::string address :
       {"unix:/run/weft.sock", "tcp:localhost:9000", "tcp:127.0.0.1:0", "tcp:*:65535",
        "tcp:[::]:9000", "tcp:[fe80::1%eth0]:9000", "fd:0", "fd:3"}) {
    CHECK(ToString(ParseListenAddress(address)) == address);
  }
}

TEST_CASE("Quoted: stays on one line and short") {
  CHECK(Quoted("a\nb\x1b[0m\xc3\xa4") == "'a\\x0ab\\x1b[0m\\xc3\\xa4'");
  CHECK(Quoted(std::string(121, 'a')) == "'" + std::string(120, 'a') + "...'");
}

}  // namespace
}  // namespace weft::host::options
