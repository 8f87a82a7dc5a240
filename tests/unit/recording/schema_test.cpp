#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

#include "host/recording/reader.hpp"
#include "tests/support/json_schema.hpp"

using nlohmann::json;
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
  const auto& base64 = schema.at("$defs").at("body").at("oneOf").at(1);
  CHECK(Properties(schema) == std::set<std::string>{"$schema", "version", "request", "params",
                                                    "headers", "body", "response"});
  CHECK(Properties(response) == std::set<std::string>{"status", "headers", "body"});
  CHECK(Properties(base64) == std::set<std::string>{"base64"});
}

TEST_CASE("recording.schema.json: its patterns take what the reader takes") {
  const auto schema = Schema();
  const auto& properties = schema.at("properties");
  for (const std::string text :
       {"GET /", "M-SEARCH /a?b", "GET /%41?%", "GET /%", "GET /%4", "GET /%00", "GET /\u00e4",
        "get /", "GET", "GET ", "GET  /", "GET / ", "GET a", "GET /#", "GET /?#", "GET /?a?b",
        "GET /a\n", ""}) {
    CheckPattern(properties.at("request"), text, {{"version", 1}, {"request", text}});
  }
  const auto& pair = properties.at("params").at("items").at("prefixItems");
  for (const std::string& text : {std::string("A"), std::string(), std::string("A=B"),
                                  std::string("A B"), std::string("A\0", 2)}) {
    CheckPattern(pair.at(0), text, Params(text, "x"));
    CheckPattern(pair.at(1), text, Params("A", text));
  }
  const auto& defs = schema.at("$defs");
  for (const std::string text :
       {"A", "", "a-b_c", "A B", "A:", "\u00e4", "a\tb", "a\rb", "a\x7f"}) {
    json recording = {{"version", 1}, {"request", "GET /"}};
    recording["headers"] = json::object({{text, "x"}});
    CheckPattern(defs.at("headerName"), text, recording);
    recording["headers"] = json::object({{"A", text}});
    CheckPattern(defs.at("headerValue"), text, recording);
  }
  const auto& base64 = defs.at("body").at("oneOf").at(1).at("properties").at("base64");
  for (const std::string text : {"", "AA==", "AAA=", "AAAA", "AAAAAA==", "A", "AA",
                                 "A===", "====", "AA=A", "AA==AAAA", "AA-_", "AA A", "+/9z"}) {
    CheckPattern(base64, text,
                 {{"version", 1}, {"params", json::array()}, {"body", {{"base64", text}}}});
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
