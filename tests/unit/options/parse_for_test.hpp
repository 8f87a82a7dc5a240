#pragma once

#include <string>
#include <vector>

#include "host/options/parse.hpp"

namespace weft::host::options {

/// Parse() for the arguments behind the program's name.
inline ParseResult ParseArguments(const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& environment = {}) {
  std::vector<const char*> argv{"weft"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::vector<const char*> variables;
  for (const std::string& variable : environment) variables.push_back(variable.c_str());
  variables.push_back(nullptr);
  return Parse(static_cast<int>(argv.size()), argv.data(), variables.data());
}

/// Parse() for the arguments behind `weft serve`.
inline ParseResult ParseServe(std::vector<std::string> arguments,
                              const std::vector<std::string>& environment = {}) {
  arguments.insert(arguments.begin(), "serve");
  return ParseArguments(arguments, environment);
}

}  // namespace weft::host::options
