#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "mappings/level.hpp"
#include "tests/support/json_schema.hpp"
#include "tests/unit/mappings/support.hpp"

using nlohmann::json;
using weft::mappings::testing::ToldOf;
using weft::test::Properties;
using weft::test::ReadSchema;

namespace {

json Schema() { return ReadSchema(WEFT_MAPPING_SCHEMA); }

// What the loader tells of an object with all these keys, as far as it is about keys.
std::set<std::string> Unknown(const std::set<std::string>& keys, std::string_view before,
                              std::string_view after) {
  json object;
  for (const std::string& key : keys) {
    object[key] = nullptr;
  }
  std::set<std::string> unknown;
  for (const std::string& line : ToldOf(std::string(before) + object.dump() + std::string(after))) {
    if (line.find("Unknown key") != std::string::npos ||
        line.find("does not stand") != std::string::npos) {
      unknown.insert(line);
    }
  }
  return unknown;
}

}  // namespace

TEST_CASE("mapping.schema.json: the loader knows every key that the schema knows") {
  const json schema = Schema();
  const json& defs = schema.at("$defs");
  CHECK(Unknown(Properties(schema), "", "").empty());
  CHECK(Unknown(Properties(defs.at("location")), "{\"locations\":{\"a\":", "}}").empty());
  CHECK(Unknown(Properties(defs.at("httpRuntime")), "{\"httpRuntime\":", "}").empty());
  CHECK(Unknown(Properties(defs.at("directive")), "{\"httpHandlers\":[", "]}").empty());
  CHECK(Unknown(Properties(defs.at("add")), "{\"httpHandlers\":[{\"add\":", "}]}").empty());
  CHECK(Unknown(Properties(defs.at("remove")), "{\"httpHandlers\":[{\"remove\":", "}]}").empty());
}

TEST_CASE("mapping.schema.json: its keys are the ones that the loader lists") {
  const json schema = Schema();
  const json& defs = schema.at("$defs");
  CHECK(Properties(schema) == std::set<std::string>{"$schema", "application", "defaultDocuments",
                                                    "httpHandlers", "httpRuntime", "locations",
                                                    "redirectToFolder", "sections"});
  CHECK(Properties(defs.at("location")) == std::set<std::string>{"defaultDocuments", "httpHandlers",
                                                                 "httpRuntime", "redirectToFolder",
                                                                 "sections"});
  CHECK(Properties(defs.at("httpRuntime")) ==
        std::set<std::string>{"executionTimeoutSeconds", "maxQueryStringBytes", "maxRequestBytes",
                              "maxRequests", "maxUrlBytes", "responseBufferBytes",
                              "slowLogThresholdMs", "stackBytes"});
  CHECK(Properties(defs.at("directive")) == std::set<std::string>{"add", "clear", "remove"});
  CHECK(Properties(defs.at("add")) == std::set<std::string>{"lock", "maxRequests", "name", "path",
                                                            "resourceType", "stackBytes", "type",
                                                            "validate", "verb"});
  CHECK(Properties(defs.at("remove")) == std::set<std::string>{"path", "verb"});
}

TEST_CASE("mapping.schema.json: its bounds are the loader's") {
  const json schema = Schema();
  const json& runtime = schema.at("$defs").at("httpRuntime").at("properties");
  CHECK(runtime.at("executionTimeoutSeconds").at("minimum") == 1);
  CHECK(runtime.at("executionTimeoutSeconds").at("maximum") ==
        weft::mappings::kMaxExecutionTimeoutSeconds);
  CHECK(runtime.at("maxRequestBytes").at("minimum") == 0);
  CHECK(runtime.at("maxRequestBytes").at("maximum") == weft::mappings::kMaxRequestBytesLimit);
  CHECK(runtime.at("slowLogThresholdMs").at("minimum") == 0);
  CHECK(runtime.at("slowLogThresholdMs").at("maximum") == weft::mappings::kMaxSlowLogThresholdMs);
  for (const char* name : {"maxUrlBytes", "maxQueryStringBytes", "responseBufferBytes"}) {
    CHECK(runtime.at(name).at("maximum") == weft::mappings::kMaxBytesSetting);
  }
  for (const char* owner : {"httpRuntime", "add"}) {
    const json& bound = schema.at("$defs").at(owner).at("properties").at("maxRequests");
    CHECK(bound.at("minimum") == 1);
    CHECK(bound.at("maximum") == weft::mappings::kMaxRequestsSetting);
    const json& stack = schema.at("$defs").at(owner).at("properties").at("stackBytes");
    CHECK(stack.at("minimum") == weft::mappings::kMinStackBytes);
    CHECK(stack.at("maximum") == weft::mappings::kMaxStackBytes);
  }
  CHECK(schema.at("$defs").at("defaultDocuments").at("maxItems") ==
        weft::mappings::kMaxDefaultDocuments);
  CHECK(schema.at("$defs").at("add").at("properties").at("name").at("maxLength") ==
        weft::mappings::kMaxEntryNameLength);
}
