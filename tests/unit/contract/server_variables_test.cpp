#include <weft/server_variables.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/doctest_values.hpp"

namespace weft {
namespace {

TEST_CASE("ServerVariableCollection: variables keep their order and their duplicates") {
  ServerVariableCollection variables(3, 100);
  CHECK(variables.empty());
  variables.Add("A", "1");
  variables.Add("B", "");
  variables.Add("A", "2");
  REQUIRE(variables.size() == 3);
  CHECK(variables.Find("A") == "1");
  CHECK(variables.Find("B") == "");
  auto at = variables.begin();
  CHECK(*at++ == ServerVariableCollection::Variable("A", "1"));
  CHECK(*at++ == ServerVariableCollection::Variable("B", ""));
  CHECK(*at++ == ServerVariableCollection::Variable("A", "2"));
  CHECK(at == variables.end());
}

TEST_CASE("ServerVariableCollection: letter case of names counts") {
  ServerVariableCollection variables(1, 100);
  variables.Add("PATH", "x");
  CHECK_FALSE(variables.Find("Path").has_value());
  CHECK_FALSE(variables.Find("PAT").has_value());
  CHECK(variables.Get("Path").empty());
  CHECK(variables.Get("PATH") == "x");
}

TEST_CASE("ServerVariableCollection: what was added is a copy") {
  ServerVariableCollection variables(1, 100);
  {
    std::string name = "NAME";
    std::string value = "value";
    variables.Add(name, value);
    name.assign(name.size(), '?');
    value.assign(value.size(), '?');
  }
  CHECK(variables.Get("NAME") == "value");
}

TEST_CASE(
    "ServerVariableCollection: views stay valid while variables are added up to the reserve") {
  constexpr std::size_t kCount = 500;
  ServerVariableCollection variables(kCount, kCount * 6);
  variables.Add("000", "000");
  const auto first = *variables.Find("000");
  const auto* const data = first.data();
  for (std::size_t i = 1; i < kCount; ++i) {
    const auto number = std::to_string(1000 + i).substr(1);
    variables.Add(number, number);
  }
  CHECK(first == "000");
  CHECK(variables.Find("000")->data() == data);
  CHECK(variables.Get("499") == "499");
}

TEST_CASE("ServerVariableCollection: views stay valid when it is moved") {
  ServerVariableCollection from(2, 100);
  from.Add("A", "a value");
  const auto view = *from.Find("A");
  ServerVariableCollection to(std::move(from));
  CHECK(view == "a value");
  CHECK(to.Find("A")->data() == view.data());
  // The reserve went along.
  to.Add("B", "b");
  CHECK(to.Get("B") == "b");

  ServerVariableCollection again(1, 1);
  again = std::move(to);
  CHECK(view == "a value");
  CHECK(again.Find("A")->data() == view.data());
  CHECK(again.size() == 2);
}

TEST_CASE("ServerVariableCollection: adding beyond the reserved bytes throws and changes nothing") {
  ServerVariableCollection variables(2, 4);
  variables.Add("AB", "C");
  SUBCASE("a name that does not fit") {
    CHECK_THROWS_AS(variables.Add("DE", ""), std::length_error);
  }
  SUBCASE("a value that does not fit") {
    CHECK_THROWS_AS(variables.Add("D", "E"), std::length_error);
  }
  SUBCASE("sizes that would wrap around when they are added") {
    const std::string_view name("D", 1);
    const std::string huge(1024, 'x');
    CHECK_THROWS_AS(variables.Add(name, huge), std::length_error);
    CHECK_THROWS_AS(variables.Add(huge, name), std::length_error);
  }
  CHECK(variables.size() == 1);
  // The last byte is there for the taking.
  variables.Add("D", "");
  CHECK(variables.size() == 2);
  CHECK_THROWS_AS(variables.Add("E", ""), std::length_error);
}

TEST_CASE("ServerVariableCollection: one without a reserve takes no byte") {
  ServerVariableCollection variables;
  CHECK_THROWS_AS(variables.Add("A", ""), std::length_error);
  CHECK(variables.empty());
  CHECK_FALSE(variables.Find("A").has_value());
}

TEST_CASE("ServerVariableCollection: one that was moved from is empty, and has no reserve") {
  ServerVariableCollection from(2, 100);
  from.Add("A", "1");
  ServerVariableCollection to(std::move(from));
  CHECK(to.size() == 1);
  // NOLINTNEXTLINE(bugprone-use-after-move): this is what is tested.
  CHECK(from.empty());
  CHECK_THROWS_AS(from.Add("A", "1"), std::length_error);
  CHECK(from.empty());

  ServerVariableCollection again;
  again = std::move(to);
  CHECK(again.size() == 1);
  // NOLINTNEXTLINE(bugprone-use-after-move)
  CHECK(to.empty());
  CHECK_THROWS_AS(to.Add("A", "1"), std::length_error);
  to = ServerVariableCollection(1, 2);
  to.Add("B", "2");
  CHECK(to.Get("B") == "2");
}

TEST_CASE("ServerVariableCollection: moved to itself, it stays as it is") {
  ServerVariableCollection variables(2, 4);
  variables.Add("A", "1");
  auto& same = variables;
  variables = std::move(same);
  CHECK(variables.Get("A") == "1");
  variables.Add("B", "2");
  CHECK(variables.Get("B") == "2");
}

}  // namespace
}  // namespace weft
