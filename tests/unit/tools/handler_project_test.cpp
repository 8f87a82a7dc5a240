#include "host/tools/handler_project.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>

namespace weft::host::tools {
namespace {

std::string Refusal(std::string_view text) {
  try {
    const auto name = ParseHandlerName(text);
    return "taken as " + name.qualified + ", " + name.module;
  } catch (const BadHandlerName& error) {
    return error.what();
  }
}

TEST_CASE("HandlerName: the module is called like the class, or as it is said") {
  const auto name = ParseHandlerName("shop::web::OrderList");
  CHECK(name.qualified == "shop::web::OrderList");
  CHECK(name.scope == "shop::web");
  CHECK(name.class_name == "OrderList");
  CHECK(name.module == "order_list");
  CHECK(name.file == "order_list");
  const auto said = ParseHandlerName("shop::OrderList , shop-web");
  CHECK(said.qualified == "shop::OrderList");
  CHECK(said.module == "shop-web");
  CHECK(said.file == "order_list");
  CHECK(ParseHandlerName("Hello").scope.empty());
}

TEST_CASE("HandlerName: a class's words are those of its file") {
  for (const auto& [name, file] :
       {std::pair("HTTPProbe", "http_probe"), std::pair("Hello", "hello"),
        std::pair("order_list", "order_list"), std::pair("Order_List", "order_list"),
        std::pair("V2Orders", "v2_orders"), std::pair("ID", "id")}) {
    CHECK(ParseHandlerName(name).file == file);
  }
}

TEST_CASE("HandlerName: what cannot be a class is refused with the reason") {
  constexpr const char* kHowTo =
      "; write it like OrderList, shop::OrderList or 'shop::OrderList, shop'";
  for (const auto& [text, reason] :
       {std::pair("", "a name is missing"), std::pair("shop::", "a name is missing"),
        std::pair("::Hello", "a name is missing"), std::pair("a::::B", "a name is missing"),
        std::pair("2fast", "'2fast' begins with a digit"),
        std::pair("shop:Hello", "'shop:Hello' has other characters than letters, digits and _"),
        std::pair("Hello.cpp", "'Hello.cpp' has other characters than letters, digits and _"),
        std::pair("../Hello", "'../Hello' has other characters than letters, digits and _"),
        std::pair("shop::new", "'new' is a word of C++"),
        std::pair("class", "'class' is a word of C++"),
        std::pair("_Hello", "C++ keeps names that begin with _, or hold __, for itself"),
        std::pair("a__b", "C++ keeps names that begin with _, or hold __, for itself"),
        std::pair("std::Hello", "'std' is taken"), std::pair("weft", "'weft' is taken"),
        std::pair("shop::errno", "'errno' is a macro"),
        std::pair("WEFT_MODULE", "'WEFT_MODULE' is a macro")}) {
    CHECK(Refusal(text) == "'" + std::string(text) + "' is no name of a class: " + reason + kHowTo);
  }
  CHECK(Refusal("shop::weft") ==
        "'shop::weft': a module cannot be called 'weft', for CMake or the host has something of "
        "that name: write 'shop::weft, NAME'");
  CHECK(Refusal("Test, install") ==
        "'Test, install': a module cannot be called 'install', for CMake or the host has something "
        "of that name: choose another behind the comma");
  CHECK(Refusal("Test, ../x").starts_with("'../x' in 'Test, ../x' is no name of a module"));
  CHECK(Refusal("Test,").starts_with("'' in 'Test,' is no name of a module"));
  CHECK(Refusal("A, b, c").starts_with("'b, c' in 'A, b, c' is no name of a module"));
}

std::string TextOf(const std::vector<ProjectFile>& files, std::string_view path) {
  const auto found = std::find_if(files.begin(), files.end(),
                                  [path](const ProjectFile& file) { return file.path == path; });
  REQUIRE(found != files.end());
  return found->text;
}

TEST_CASE("HandlerProject: no placeholder is left, in any file or path") {
  for (const auto* const name : {"Hello", "shop::OrderList, shop"}) {
    for (const auto kind : {HandlerKind::kPlain, HandlerKind::kAsync}) {
      const auto files = MakeHandlerProject(ParseHandlerName(name), kind);
      CHECK(files.size() == 13);
      for (const auto& file : files) {
        CAPTURE(file.path);
        CHECK(file.path.find('@') == std::string::npos);
        for (const auto* const placeholder :
             {"@class@", "@name@", "@module@", "@file@", "@version@", "@namespace"}) {
          CHECK(file.text.find(placeholder) == std::string::npos);
        }
        CHECK(file.text.ends_with('\n'));
        CHECK_FALSE(file.text.ends_with("\n\n"));
        CHECK(file.text.find("\n\n\n") == std::string::npos);
      }
    }
  }
}

TEST_CASE("HandlerProject: the class is where its name says, and runs as was said") {
  const auto plain = MakeHandlerProject(ParseHandlerName("Hello"), HandlerKind::kPlain);
  const auto header = TextOf(plain, "src/hello.hpp");
  CHECK(header.find("namespace") == std::string::npos);
  CHECK(header.find("class Hello : public weft::IHttpHandler {") != std::string::npos);
  CHECK(header.ends_with("};\n"));
  const auto async = MakeHandlerProject(ParseHandlerName("shop::Hello, s"), HandlerKind::kAsync);
  CHECK(TextOf(async, "src/hello.hpp").find("class Hello : public weft::IHttpAsyncHandler {") !=
        std::string::npos);
  CHECK(TextOf(async, "src/hello.cpp").find("\n\nnamespace shop {\n\nvoid Hello::") !=
        std::string::npos);
  CHECK(TextOf(async, "site/www/hello.ashx") == "<%@ WebHandler Class=\"shop::Hello, s\" %>\n");
}

}  // namespace
}  // namespace weft::host::tools
