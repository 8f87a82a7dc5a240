#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace weft::test {

/// A JSON Schema of the repository. Fails the test where it cannot be read, or names another dialect.
inline nlohmann::json ReadSchema(const char* path) {
  std::ifstream file(path);
  REQUIRE(file.good());
  auto schema = nlohmann::json::parse(file);
  CHECK(schema.at("$schema") == "https://json-schema.org/draft/2020-12/schema");
  return schema;
}

/// The keys that a schema lets an object have. Fails the test where it lets it have others.
inline std::set<std::string> Properties(const nlohmann::json& object) {
  CHECK(object.at("additionalProperties") == false);
  std::set<std::string> names;
  for (const auto& [name, value] : object.at("properties").items()) {
    names.insert(name);
  }
  return names;
}

}  // namespace weft::test
