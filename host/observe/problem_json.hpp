#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "mappings/problem.hpp"

namespace weft::host::observe {

/// The problem as every command and the status print it: an object with `file`, `line`, `column`, `severity` ("error" or
/// "warning") and `message`.
[[nodiscard]] nlohmann::ordered_json ToJson(const mappings::Problem& problem);

/// Reads it back; nothing where it is not of that form. Throws std::bad_alloc alone.
[[nodiscard]] std::optional<mappings::Problem> ProblemFromJson(const nlohmann::ordered_json& json);

}  // namespace weft::host::observe
