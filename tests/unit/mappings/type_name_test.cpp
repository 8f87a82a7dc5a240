#include "mappings/type_name.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <variant>

using weft::mappings::ParseTypeName;
using weft::mappings::TypeName;
using weft::mappings::TypeNameFault;

namespace {

TypeName Parsed(std::string_view text) {
  const auto result = ParseTypeName(text);
  REQUIRE(std::holds_alternative<TypeName>(result));
  return std::get<TypeName>(result);
}

std::string Fault(std::string_view text) {
  const auto result = ParseTypeName(text);
  return std::holds_alternative<TypeNameFault>(result) ? std::get<TypeNameFault>(result).sentence
                                                       : "";
}

}  // namespace

TEST_CASE("TypeName: a class with its module, and one without") {
  CHECK(Parsed("shop::ReportHandler, shop") == TypeName{"shop::ReportHandler", "shop"});
  CHECK(Parsed("Hello,hello-1.2+x") == TypeName{"Hello", "hello-1.2+x"});
  CHECK(Parsed("weft::StaticFileHandler") == TypeName{"weft::StaticFileHandler", ""});
}

TEST_CASE("TypeName: blanks around the parts are ignored") {
  CHECK(Parsed(" \ta::B\t,  m ") == TypeName{"a::B", "m"});
}

TEST_CASE("TypeName: a class must be a qualified C++ name") {
  for (const std::string_view text :
       {"", "1A", "a:B", "a::", "::a", "a::::b", "a b", "a.b", "A<int>", "a-b", ", m"}) {
    CAPTURE(text);
    CHECK(Fault(text).find("is no C++ class name") != std::string::npos);
  }
}

TEST_CASE("TypeName: a module is a name, never a path") {
  for (const std::string_view text :
       {"A, /lib/x", "A, ../x", "A, a/b", "A, ..", "A, x..y", "A, ./x"}) {
    CAPTURE(text);
    CHECK(Fault(text).find("is a path") != std::string::npos);
  }
}

TEST_CASE("TypeName: other malformed modules") {
  CHECK(Fault("A,").find("names no module behind its comma") != std::string::npos);
  CHECK(Fault("A, shop.so").find("Write \"shop\".") != std::string::npos);
  CHECK(Fault("A, b, c").find("more than one comma") != std::string::npos);
  CHECK(Fault("A, .hidden").find("is no module name") != std::string::npos);
  CHECK(Fault("A, -x").find("is no module name") != std::string::npos);
  CHECK(Fault("A, b c").find("is no module name") != std::string::npos);
  CHECK(Fault("A, " + std::string(253, 'm')).find("longer than 252 bytes") != std::string::npos);
}
