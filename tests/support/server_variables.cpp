#include "tests/support/server_variables.hpp"

namespace weft::test {

ServerVariableCollection MakeVariables(const VariableList& list) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : list) {
    bytes += name.size() + value.size();
  }
  ServerVariableCollection variables(list.size(), bytes);
  for (const auto& [name, value] : list) {
    variables.Add(name, value);
  }
  return variables;
}

}  // namespace weft::test
