#include "handlers/builtin/web_handler_directive.hpp"

#include <doctest/doctest.h>

#include <string>

namespace weft::builtin {
namespace {

/// What is said of a text that is refused; "taken: TYPE" for one that is not.
std::string Told(std::string_view text) {
  try {
    return "taken: " + ParseWebHandlerDirective(text).type;
  } catch (const DirectiveError& error) {
    return error.what();
  }
}

bool Says(std::string_view text, std::string_view part) {
  return Told(text).find(part) != std::string::npos;
}

TEST_CASE("WebHandler directive: the form of the documentation is taken") {
  CHECK(Told(R"(<%@ WebHandler Class="shop::Hello, shop" %>)") == "taken: shop::Hello, shop");
}

TEST_CASE("WebHandler directive: the value stands in double quotes, in single quotes, or bare") {
  CHECK(Told(R"(<%@ WebHandler Class="a::B, m" %>)") == "taken: a::B, m");
  CHECK(Told(R"(<%@ WebHandler Class='a::B, m' %>)") == "taken: a::B, m");
  CHECK(Told(R"(<%@ WebHandler Class=a::B,m %>)") == "taken: a::B,m");
  // A quote of the other kind belongs to the value.
  CHECK(Told(R"(<%@ WebHandler Class="it's" %>)") == "taken: it's");
  CHECK(Told(R"(<%@ WebHandler Class='"x"' %>)") == R"(taken: "x")");
  // So do the directive's own signs.
  CHECK(Told(R"(<%@ WebHandler Class="%> = <%@" %>)") == "taken: %> = <%@");
}

TEST_CASE("WebHandler directive: a bare value ends at a blank, and where the directive ends") {
  CHECK(Told("<%@ WebHandler Class=a::B%>") == "taken: a::B");
  CHECK(Told("<%@ WebHandler Class=a::B\t%>") == "taken: a::B");
  CHECK(Told("<%@ WebHandler Class=a::B\nLanguage=C++%>") == "taken: a::B");
}

TEST_CASE("WebHandler directive: blanks are free everywhere between the parts") {
  CHECK(Told("<%@WebHandler Class=\"a\"%>") == "taken: a");
  CHECK(Told("  \r\n\t<%\n@\nWebHandler\nClass\n=\n\"a\"\n%>\n  \r\n") == "taken: a");
  CHECK(Told("<%  @  WebHandler Class=\"a\" %>") == "taken: a");
  CHECK(Told("<%@ WebHandler Class=\"a\"Language=\"C++\"%>") == "taken: a");
}

TEST_CASE("WebHandler directive: blanks within a quoted value stay") {
  CHECK(Told("<%@ WebHandler Class=\" a \" %>") == "taken:  a ");
}

TEST_CASE("WebHandler directive: its name may be left out") {
  CHECK(Told(R"(<%@ Class="a" %>)") == "taken: a");
  CHECK(Told(R"(<%@ Language="C++" Class="a" %>)") == "taken: a");
}

TEST_CASE("WebHandler directive: names ignore letter case, values do not") {
  CHECK(Told(R"(<%@ webhandler CLASS="A::b" %>)") == "taken: A::b");
  CHECK(Told(R"(<%@ WEBHANDLER class="A::B" LANGUAGE="c++" %>)") == "taken: A::B");
}

TEST_CASE("WebHandler directive: text before it and between directives is passed over") {
  CHECK(Told("\xEF\xBB\xBF<%@ WebHandler Class=\"a\" %>") == "taken: a");
  CHECK(Told("\xEF\xBB\xBF\n <%@ Class=\"a\" %>") == "taken: a");
  CHECK(Told("<!-- x -->\n<%-- y --%> z <% <%@ Class=\"a\" %>") == "taken: a");
  CHECK(Told("// x\n<%@ Class=\"a\" %>\n// y\n<%@ Assembly Name=\"b\" %>\n") == "taken: a");
  CHECK(Told("<%@ Assembly Name=\"b\" %> y <%@ Class=\"a\" %>") == "taken: a");
}

TEST_CASE("WebHandler directive: the attributes for a compiler are taken and not used") {
  CHECK(Told(R"(<%@ WebHandler Language="C++" CodeBehind="x.cpp" Description="y" Debug="True"
                 WarningLevel="4" CompilerOptions="-O2" Class="a" %>)") == "taken: a");
  CHECK(Told(R"(<%@ Debug=false WarningLevel=0 CompilerOptions='' CodeBehind='' Class=a %>)") ==
        "taken: a");
  CHECK(Says(R"(<%@ Class="a" Debug="yes" %>)", "Debug is 'yes', and can only be true or false"));
  CHECK(Says(R"(<%@ Class="a" Debug="" %>)", "Debug is ''"));
  for (const std::string level : {"", "high", "4x", "-1", "99999999999"}) {
    CHECK(Says("<%@ Class=\"a\" WarningLevel=\"" + level + "\" %>",
               "WarningLevel is '" + level + "', and can only be a number"));
  }
}

TEST_CASE("WebHandler directive: Assembly has a name, and nothing to compile") {
  CHECK(Told(R"(<%@ Assembly Name="a" %><%@ assembly NAME='b' %><%@ Class="c" %>)") == "taken: c");
  CHECK(Says(R"(<%@ Class="c" %><%@ Assembly %>)", "Assembly has either Name or Src"));
  CHECK(Says(R"(<%@ Class="c" %><%@ Assembly Name="a" Src="b" %>)", "either Name or Src"));
  CHECK(Says(R"(<%@ Class="c" %><%@ Assembly Name="" %>)", "Name is empty"));
  CHECK(Says(R"(<%@ Class="c" %><%@ Assembly Name="a" Name="b" %>)", "Name is given twice"));
  CHECK(Says(R"(<%@ Class="c" %><%@ Assembly Nam="a" %>)", "'Nam' is no attribute of Assembly"));
  const auto told = Told(R"(<%@ Class="c" %><%@ Assembly Src="shop.cpp" %>)");
  CHECK(told.starts_with("1:35: Assembly Src names source code"));
  CHECK(told.find("compile it into a module, NAME.so") != std::string::npos);
}

TEST_CASE("WebHandler directive: a language other than C++ is refused by its name") {
  CHECK(Says(R"(<%@ WebHandler Language="C#" Class="a" %>)", "Language is 'C#'"));
  CHECK(Says(R"(<%@ WebHandler Language="" Class="a" %>)", "Language is ''"));
}

TEST_CASE("WebHandler directive: Class is required, and not empty") {
  CHECK(Says("<%@ WebHandler %>", "Class is missing or empty"));
  CHECK(Says("<%@ %>", "Class is missing or empty"));
  CHECK(Says(R"(<%@ WebHandler Class="" %>)", "Class is missing or empty"));
  CHECK(Says("<%@ WebHandler Class= %>", "Class is missing or empty"));
  CHECK(Says(R"(<%@ WebHandler Language="C++" %>)", "Class is missing or empty"));
}

TEST_CASE("WebHandler directive: what is given twice is refused") {
  CHECK(Says(R"(<%@ WebHandler Class="a" Class="b" %>)", "Class is given twice"));
  CHECK(Says(R"(<%@ WebHandler Class="a" class='a' %>)", "Class is given twice"));
  CHECK(Says(R"(<%@ WebHandler Class="" Class="b" %>)", "Class is given twice"));
  CHECK(Says(R"(<%@ WebHandler Language="C++" Language="C++" Class="a" %>)",
             "Language is given twice"));
  CHECK(Says(R"(<%@ CodeBehind=x Class=a codebehind=x %>)", "CodeBehind is given twice"));
  CHECK(Says(R"(<%@ Class="a" %><%@ Class="a" %>)", "this is the second WebHandler directive"));
  CHECK(
      Says(R"(<%@ WebHandler Class="a" %> <%@ WebHandler Class="b" %>)", "the second WebHandler"));
}

TEST_CASE("WebHandler directive: an unknown attribute is refused by its name") {
  CHECK(Says(R"(<%@ WebHandler Class="a" Debugging="true" %>)", "'Debugging' is no attribute"));
  CHECK(Says(R"(<%@ WebHandler Klass="a" %>)", "'Klass' is no attribute"));
  CHECK(Says(R"(<%@ WebHandler="x" Class="a" %>)", "'WebHandler' is no attribute"));
  CHECK(Says(R"(<%@ WebHandler x:Class="a" %>)", "'x:Class' is no attribute"));
}

TEST_CASE("WebHandler directive: another directive is refused by its name") {
  CHECK(Says(R"(<%@ WebService Class="a" %>)", "'WebService' is no directive"));
  CHECK(Says(R"(<%@ Page Language="C++" %>)", "'Page' is no directive"));
  CHECK(Says(R"(<%@ Class="a" %><%@ Page Language="C++" %>)", "'Page' is no directive"));
}

TEST_CASE("WebHandler directive: its name is the first item without a value, wherever it stands") {
  CHECK(Told(R"(<%@ Class="a" WebHandler %>)") == "taken: a");
  CHECK(Says(R"(<%@ WebHandler WebHandler Class="a" %>)", "'WebHandler' is no attribute"));
  CHECK(Says(R"(<%@ WebHandler Class %>)", "Class has no value"));
  CHECK(Says(R"(<%@ Class="a" Page %>)", "'Page' is no directive"));
}

TEST_CASE("WebHandler directive: source code behind it is refused, with where to put it") {
  const auto told = Told("<%@ WebHandler Class=\"a\" %>\n\n  class a {};");
  CHECK(told ==
        "3:3: source code follows the directive: nothing is compiled here; compile it into a "
        "module, NAME.so in a folder of --modules, and write Class=\"Class, NAME\"");
  CHECK(Says("<%@ Class=\"a\" %>x", "source code follows"));
  CHECK(Says("<%@ Class=\"a\" %><%@ Assembly Name=\"b\" %>x", "source code follows"));
  // Not a directive, and so code.
  CHECK(Says("<%@ Class=\"a\" %><% x %>", "source code follows"));
}

TEST_CASE("WebHandler directive: a file without one is refused, with the form") {
  for (const std::string text : {"", " \n ", "class A {};", "<", "<%", "<% Class=\"a\" %>",
                                 "<%-- x --%>", "<%@ Assembly Name=\"a\" %>"}) {
    CAPTURE(text);
    CHECK(Told(text) ==
          "1:1: the file has no WebHandler directive; the form is <%@ WebHandler "
          "Class=\"Class, module\" %>");
  }
}

TEST_CASE("WebHandler directive: one that does not end is refused") {
  CHECK(Says("<%@", "does not end with `%>`"));
  CHECK(Says("<%@ Class=\"a\"", "does not end with `%>`"));
  CHECK(Says("<%@ Class=\"a\" >", "does not end with `%>`"));
  CHECK(Says("<%@ Class=\"a\" %", "does not end with `%>`"));
  CHECK(Says("<%@ Class=\"a\" % >", "does not end with `%>`"));
  CHECK(Says("<%@ Class=\"a %>", "a quoted value does not end"));
  CHECK(Says("<%@ Class='a\" %>", "a quoted value does not end"));
  CHECK(Says("<%@ Class=\"", "a quoted value does not end"));
  CHECK(Says("<%@ Class=", "does not end with `%>`"));
  CHECK(Says("<%@ =\"a\" %>", "does not end with `%>`"));
}

TEST_CASE("WebHandler directive: every prefix of a good one is refused, with a sentence") {
  const std::string whole =
      "\xEF\xBB\xBF<%@ WebHandler\n Class='a::B, m' Language=\"C++\" CodeBehind=x %>";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(Told(whole.substr(0, size)).starts_with("1:") !=
          Told(whole.substr(0, size)).starts_with("2:"));
  }
  CHECK(Told(whole) == "taken: a::B, m");
}

TEST_CASE(
    "WebHandler directive: any byte in place of any other is taken or refused, and nothing worse") {
  const std::string whole = "<%@ WebHandler Class='a' Language=C++ %>\n";
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      auto text = whole;
      text[at] = static_cast<char>(byte);
      const auto told = Told(text);
      CHECK((told.starts_with("taken: ") || told.starts_with("1:") || told.starts_with("2:")));
    }
  }
}

TEST_CASE("WebHandler directive: a message begins with line and column, counted in code points") {
  CHECK(
      Told("\n<%@ WebHandler\n Class=\"a\"\n Debugging=\"1\" %>").starts_with("4:2: 'Debugging'"));
  CHECK(Told("<%@\n\nClass=\"a %>\n\n").starts_with("3:7: a quoted value"));
  CHECK(
      Told("<%@ WebHandler\r\n Class=\"a\"\r\n Class=\"b\" %>").starts_with("3:2: Class is given"));
  CHECK(Told("<%@ WebService\n\n Class=\"a\" %>").starts_with("1:5: 'WebService' is no directive"));
  CHECK(Told("<%@ Class=\"a\" Language=\"C#\" %>").starts_with("1:25: Language is 'C#'"));
  CHECK(Told("\xEF\xBB\xBF<%@ Page %>").starts_with("1:5: "));
  CHECK(Told("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80<%@ Page %>").starts_with("1:8: "));
  CHECK(Told("x <%@ %>").starts_with("1:3: Class is missing"));
}

TEST_CASE("WebHandler directive: the place of the class is told") {
  const auto directive = ParseWebHandlerDirective("\n\n <%@ Class = 'shop::Hello' %>");
  CHECK(directive.type == "shop::Hello");
  CHECK(directive.type_place.ToString() == "3:15");
}

}  // namespace
}  // namespace weft::builtin
