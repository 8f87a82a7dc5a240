#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include <weft/server_variables.hpp>

namespace weft::test {

using VariableList = std::vector<std::pair<std::string_view, std::string_view>>;

/// The variables as a web server would send them, in this order.
ServerVariableCollection MakeVariables(const VariableList& list);

}  // namespace weft::test
