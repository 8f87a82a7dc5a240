#include "host/fastcgi/name_value_pairs.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace weft::host::fastcgi {

namespace {

std::string Pair(std::string_view name, std::string_view value) {
  std::string bytes;
  AppendPair(bytes, name, value);
  return bytes;
}

}  // namespace

TEST_CASE("NameValuePairs: lengths of one and of four bytes are read back as they were written") {
  for (const std::size_t length : {0, 1, 127, 128, 129, 255, 256, 65535, 65536}) {
    const std::string name(length, 'n');
    const std::string value(length, 'v');
    const auto bytes = Pair(name, value) + Pair(value, name);
    NameValuePairs pairs(bytes);
    auto pair = pairs.Next();
    REQUIRE(pair);
    CHECK(pair->name == name);
    CHECK(pair->value == value);
    pair = pairs.Next();
    REQUIRE(pair);
    CHECK(pair->name == value);
    CHECK_FALSE(pairs.Next());
    CHECK(pairs.Complete());
  }
}

TEST_CASE("NameValuePairs: bytes cut anywhere inside a pair give no pair and are not complete") {
  const auto bytes = Pair(std::string(200, 'n'), std::string(300, 'v'));
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    NameValuePairs pairs(std::string_view(bytes).substr(0, cut));
    CHECK_FALSE(pairs.Next());
    CHECK_FALSE(pairs.Complete());
  }
}

TEST_CASE("NameValuePairs: lengths whose sum passes any integer's range are refused") {
  using namespace std::string_literals;
  const std::vector<std::string> lengths{
      "\xff\xff\xff\xff\xff\xff\xff\xff"s, "\xff\xff\xff\xfe\x00"s,
      "\xc0\x00\x00\x00\xc0\x00\x00\x00"s, "\xff\x7f\x7f\x7f\xff\x7f\x7f\x7f"s,
      "\xff\x00\x00\x00\x81\x00\x00\x00"s};
  for (const auto& announced : lengths) {
    const auto bytes = announced + std::string(200, 'x');
    NameValuePairs pairs(bytes);
    CHECK_FALSE(pairs.Next());
    CHECK_FALSE(pairs.Complete());
  }
}

TEST_CASE("CheckParams: what is well formed and within the bound passes") {
  CHECK_FALSE(CheckParams("", 10));
  CHECK_FALSE(CheckParams(Pair("A", "") + Pair("B", "x=y"), 2));
}

TEST_CASE("CheckParams: one parameter too many is 431 and names the option") {
  const auto problem = CheckParams(Pair("A", "1") + Pair("B", "2") + Pair("C", "3"), 2);
  REQUIRE(problem);
  CHECK(problem->status == 431);
  CHECK(problem->detail == "more than 2 parameters (--max-params)");
}

TEST_CASE("CheckParams: names that are empty or hold = or NUL, and values that hold NUL, are 400") {
  using namespace std::string_literals;
  CHECK(CheckParams(Pair("", "x"), 9)->status == 400);
  CHECK(CheckParams(Pair("A=B", "x"), 9)->status == 400);
  CHECK(CheckParams(Pair("A\0B"s, "x"), 9)->status == 400);
  CHECK(CheckParams(Pair("A", "x\0y"s), 9)->status == 400);
}

TEST_CASE("CheckParams: an announced length beyond what is there is 400 and names the parameter") {
  const auto problem = CheckParams(Pair("A", "1") + std::string("\x05\x05"
                                                                "abc",
                                                                5),
                                   9);
  REQUIRE(problem);
  CHECK(problem->status == 400);
  CHECK(problem->detail == "parameter 2 announces more bytes than the parameters have");
}

}  // namespace weft::host::fastcgi
