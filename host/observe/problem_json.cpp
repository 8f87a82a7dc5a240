#include "host/observe/problem_json.hpp"

#include <string>

namespace weft::host::observe {

using mappings::Problem;

nlohmann::ordered_json ToJson(const Problem& problem) {
  return {{"file", problem.where.file},
          {"line", problem.where.line},
          {"column", problem.where.column},
          {"severity", problem.severity == Problem::Severity::kError ? "error" : "warning"},
          {"message", problem.sentence}};
}

std::optional<Problem> ProblemFromJson(const nlohmann::ordered_json& json) {
  try {
    const auto& severity = json.at("severity").get_ref<const std::string&>();
    if (severity != "error" && severity != "warning") {
      return std::nullopt;
    }
    const auto& line = json.at("line");
    const auto& column = json.at("column");
    if (!line.is_number_integer() || !column.is_number_integer()) {
      return std::nullopt;
    }
    return Problem{{json.at("file").get<std::string>(), line.get<int>(), column.get<int>()},
                   severity == "error" ? Problem::Severity::kError : Problem::Severity::kWarning,
                   json.at("message").get<std::string>()};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace weft::host::observe
