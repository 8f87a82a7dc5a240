#include <weft/json.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <weft/http_context.hpp>
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

struct Subject {
  explicit Subject(std::string body, std::string type = "application/json")
      : context(test::MakeVariables({{"REQUEST_METHOD", "POST"}, {"CONTENT_TYPE", type}}), exchange,
                {}, 65536) {
    exchange.body = {std::move(body)};
  }

  test::MemoryExchange exchange;
  HttpContext context;
};

/// "STATUS CAUSE: public text"; empty where nothing was thrown.
std::string Refusal(const std::function<void()>& function) {
  try {
    function();
  } catch (const HttpException& error) {
    return std::to_string(error.StatusCode()) + " " + std::string(error.Cause()) + ": " +
           error.PublicText();
  }
  return {};
}

std::string RefusalOf(std::string body) {
  Subject subject(std::move(body));
  return Refusal([&] { static_cast<void>(ReadJson(subject.context.Request())); });
}

TEST_CASE("ReadJson: the body's value") {
  Subject subject(R"({"a": [1, 2.5, "\u00e4"], "b": null, "a ": true})");
  const auto json = ReadJson(subject.context.Request());
  CHECK(json["a"][2] == "\xC3\xA4");
  CHECK(json.size() == 3);
  Subject ordered(R"({"b": 1, "a": 2, "b": 3})");
  CHECK(ReadJson<nlohmann::ordered_json>(ordered.context.Request()).begin().key() == "b");
}

TEST_CASE("ReadJson: the content types of JSON, and no others") {
  for (const std::string type : {"application/json", "Application/JSON ; charset=UTF-8",
                                 "application/json; charset=\"utf-8\"", "text/json",
                                 "application/problem+json", "application/vnd.api+JSON;v=1"}) {
    CAPTURE(type);
    Subject subject("1", type);
    CHECK(ReadJson(subject.context.Request()) == 1);
  }
  for (const std::string type :
       {"", "application", "json", "text/plain", "application/jsonx", "application/+json",
        "application/x-www-form-urlencoded", "application/json/x", "application/json, text/plain",
        "application/json; charset=iso-8859-1", "application/json; charset=utf-16"}) {
    CAPTURE(type);
    Subject subject("1", type);
    CHECK(Refusal([&] { static_cast<void>(ReadJson(subject.context.Request())); }) ==
          "415 content_type_unsupported: The body must be JSON: Content-Type: application/json.");
  }
}

TEST_CASE("ReadJson: what is no JSON is 400, with the place") {
  const auto at = [](const std::string& place) {
    return "400 json_malformed: The body is no valid JSON: " + place + ".";
  };
  CHECK(RefusalOf("") == at("line 1, column 1 (byte 0)"));
  CHECK(RefusalOf("x") == at("line 1, column 1 (byte 0)"));
  CHECK(RefusalOf("[1,]") == at("line 1, column 4 (byte 3)"));
  CHECK(RefusalOf("{\n  \"a\": 1,\n  b}") == at("line 3, column 3 (byte 14)"));
  CHECK(RefusalOf("[1] 2") == at("line 1, column 5 (byte 4)"));
  CHECK(RefusalOf("[1") == at("line 1, column 3 (byte 2)"));
  CHECK(RefusalOf("\"\xFF\"") == at("line 1, column 2 (byte 1)"));
  CHECK(RefusalOf("\"\n\"").substr(0, 18) == "400 json_malformed");
  CHECK(RefusalOf("1e999").substr(0, 18) == "400 json_malformed");
  CHECK(RefusalOf("// a comment\n1").substr(0, 18) == "400 json_malformed");
  CHECK(RefusalOf("NaN").substr(0, 18) == "400 json_malformed");
}

TEST_CASE("ReadJson: no deeper than its bound, whatever stands in texts") {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  CHECK(RefusalOf(nested(64)).empty());
  CHECK(RefusalOf(nested(65)) ==
        "400 json_malformed: The body is no valid JSON: line 1, column 65 (byte 64).");
  CHECK(RefusalOf(nested(10'000)).substr(0, 18) == "400 json_malformed");
  CHECK(RefusalOf(std::string(10'000'000, '[')).substr(0, 18) == "400 json_malformed");
  CHECK(RefusalOf("[\"" + std::string(1000, '[') + "\\\"[\"]").empty());
  CHECK(RefusalOf("[\"\\\\\", " + nested(62) + "]").empty());
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) {
    wide += "{\"a\": []}, ";
  }
  CHECK(RefusalOf(wide + "1]").empty());
  Subject subject("[[1]]");
  CHECK(Refusal([&] { static_cast<void>(ReadJson(subject.context.Request(), 1)); }).substr(0, 18) ==
        "400 json_malformed");
}

TEST_CASE("WriteJson: writes, and says what it is") {
  Subject subject("");
  auto& response = subject.context.Response();
  WriteJson(response, nlohmann::json{{"a", 1}});
  response.Complete();
  CHECK(subject.exchange.sent == "{\"a\":1}");
  CHECK(subject.exchange.Header("Content-Type") == "application/json");

  Subject other("");
  other.context.Response().SetContentType("application/problem+json");
  WriteJson(other.context.Response(), nlohmann::json{{"a", 1}}, 1);
  other.context.Response().Complete();
  CHECK(other.exchange.sent == "{\n \"a\": 1\n}");
  CHECK(other.exchange.Header("Content-Type") == "application/problem+json");
}

TEST_CASE("WriteJson: what is no UTF-8 becomes U+FFFD, and what is too deep writes nothing") {
  Subject subject("");
  auto& response = subject.context.Response();
  auto deep = nlohmann::json::array();
  for (int i = 0; i < 600; ++i) {
    deep = nlohmann::json::array({std::move(deep)});
  }
  CHECK_THROWS_AS(WriteJson(response, deep), std::invalid_argument);
  WriteJson(response, nlohmann::json("a\xFFz"));
  response.Complete();
  CHECK(subject.exchange.sent == "\"a\xEF\xBF\xBDz\"");
}

}  // namespace
}  // namespace weft
