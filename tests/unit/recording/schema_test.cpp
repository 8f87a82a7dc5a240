#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

#include "host/recording/reader.hpp"
#include "tests/support/json_schema.hpp"

using nlohmann::json;
using weft::host::recording::IsBodyFileName;
using weft::host::recording::ParseRecording;
using weft::test::Properties;
using weft::test::ReadSchema;

namespace {

json Schema() { return ReadSchema(WEFT_RECORDING_SCHEMA); }

/// Whether the reader takes a text where the schema has this pattern, and whether the pattern does.
void CheckPattern(const json& schema, const std::string& text, const json& recording) {
  CAPTURE(text);
  // ECMAScript, the dialect of JSON Schema. Its $ would also match before a line's end.
  const std::regex pattern(schema.at("pattern").get<std::string>());
  const bool taken = ParseRecording(recording.dump(), "f").recording.has_value();
  CHECK(std::regex_match(text, pattern) == taken);
}

json Params(const std::string& name, const std::string& value) {
  return {{"version", 1}, {"params", json::array({json::array({name, value})})}};
}

}  // namespace

TEST_CASE("recording.schema.json: its keys are the ones that the reader knows") {
  const auto schema = Schema();
  const auto& response = schema.at("properties").at("response");
  const auto& file = schema.at("$defs").at("body").at("oneOf").at(2);
  CHECK(Properties(schema) == std::set<std::string>{"$schema", "version", "request", "params",
                                                    "headers", "body", "response"});
  CHECK(Properties(response) == std::set<std::string>{"status", "headers", "body"});
  CHECK(Properties(schema.at("$defs").at("bytes")) == std::set<std::string>{"base64"});
  CHECK(Properties(file) == std::set<std::string>{"file"});
}

TEST_CASE("recording.schema.json: its patterns take what the reader takes") {
  const auto schema = Schema();
  const auto& properties = schema.at("properties");
  for (const std::string text : {"GET /",
                                 "M-SEARCH /a?b",
                                 "GET /%41?%",
                                 "GET /%",
                                 "GET /%4",
                                 "GET /%00",
                                 "GET /\u00e4",
                                 "GET http://h/",
                                 "GET https://[::1]:8080/a?b",
                                 "GET https://a_b.-:1/",
                                 "GET http:///",
                                 "GET http://h",
                                 "GET http://h?a",
                                 "GET ftp://h/",
                                 "GET http://u@h/",
                                 "GET http://h:/",
                                 "GET http://h:123456/",
                                 "GET http://[::1/",
                                 "GET http://[g]/",
                                 "GET HTTP://h/",
                                 "get /",
                                 "GET",
                                 "GET ",
                                 "GET  /",
                                 "GET / ",
                                 "GET a",
                                 "GET /#",
                                 "GET /?#",
                                 "GET /?a?b",
                                 "GET /a\n",
                                 ""}) {
    CheckPattern(properties.at("request"), text, {{"version", 1}, {"request", text}});
  }
  const auto& pair = properties.at("params").at("items").at("prefixItems");
  for (const std::string& text : {std::string("A"), std::string(), std::string("A=B"),
                                  std::string("A B"), std::string("A\0", 2)}) {
    CheckPattern(pair.at(0).at("oneOf").at(0), text, Params(text, "x"));
    CheckPattern(pair.at(1).at("oneOf").at(0), text, Params("A", text));
  }
  const auto& defs = schema.at("$defs");
  for (const std::string text :
       {"A", "", "a-b_c", "A B", "A:", "\u00e4", "a\tb", "a\rb", "a\x7f"}) {
    json recording = {{"version", 1}, {"request", "GET /"}};
    recording["headers"] = json::object({{text, "x"}});
    CheckPattern(defs.at("headerName"), text, recording);
    recording["headers"] = json::object({{"A", text}});
    CheckPattern(defs.at("headerValue").at("oneOf").at(0), text, recording);
  }
  const auto& base64 = defs.at("bytes").at("properties").at("base64");
  for (const std::string text : {"", "AA==", "AAA=", "AAAA", "AAAAAA==", "A", "AA",
                                 "A===", "====", "AA=A", "AA==AAAA", "AA-_", "AA A", "+/9z"}) {
    CheckPattern(base64, text,
                 {{"version", 1}, {"params", json::array()}, {"body", {{"base64", text}}}});
  }
  const auto& file = defs.at("body").at("oneOf").at(2).at("properties").at("file");
  const std::regex pattern(file.at("pattern").get<std::string>());
  for (const std::string& text :
       {std::string("a"), std::string("A-b_c.d"), std::string(), std::string("."),
        std::string("-a"), std::string("_a"), std::string("a/b"), std::string("a\n"),
        std::string(255, 'a'), std::string(256, 'a')}) {
    CAPTURE(text);
    CHECK(std::regex_match(text, pattern) == IsBodyFileName(text));
  }
}

TEST_CASE("recording.schema.json: its bounds are the reader's") {
  const auto schema = Schema();
  const auto& status = schema.at("properties").at("response").at("properties").at("status");
  const auto taken = [](int number) {
    const json recording = {
        {"version", 1}, {"params", json::array()}, {"response", {{"status", number}}}};
    return ParseRecording(recording.dump(), "f").recording.has_value();
  };
  const int least = status.at("minimum");
  const int most = status.at("maximum");
  CHECK((taken(least) && !taken(least - 1) && taken(most) && !taken(most + 1)));
}
