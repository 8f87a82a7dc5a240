#include "handlers/builtin/web_handler_directive.hpp"

#include <doctest/doctest.h>

#include <string>

namespace weft::builtin {
namespace {

/// What is said of a text that is refused; "taken: TYPE" for one that is not.
std::string Told(std::string_view text) {
  try {
    return "taken: " + ParseWebHandlerDirective(text);
  } catch (const DirectiveError& error) {
    return error.what();
  }
}

bool Says(std::string_view text, std::string_view part) {
  return Told(text).find(part) != std::string::npos;
}

TEST_CASE("WebHandler directive: the form of the documentation is taken") {
  CHECK(ParseWebHandlerDirective(R"(<%@ WebHandler Class="shop::Hello, shop" %>)") ==
        "shop::Hello, shop");
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

TEST_CASE(
    "WebHandler directive: a byte order mark at the beginning is passed over, one elsewhere is "
    "not") {
  CHECK(Told("\xEF\xBB\xBF<%@ WebHandler Class=\"a\" %>") == "taken: a");
  CHECK(Told("\xEF\xBB\xBF\n <%@ Class=\"a\" %>") == "taken: a");
  CHECK(Says(" \xEF\xBB\xBF<%@ Class=\"a\" %>", "does not begin with a directive"));
  CHECK(Says("\xEF\xBB\xBF\xEF\xBB\xBF<%@ Class=\"a\" %>", "does not begin with a directive"));
  CHECK(Says("\xEF\xBB\xBF", "does not begin with a directive"));
}

TEST_CASE("WebHandler directive: Language, CodeBehind and Description are taken and not used") {
  CHECK(Told(R"(<%@ WebHandler Language="C++" CodeBehind="x.cpp" Description="y" Class="a" %>)") ==
        "taken: a");
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
}

TEST_CASE("WebHandler directive: an unknown attribute is refused by its name") {
  CHECK(Says(R"(<%@ WebHandler Class="a" Debug="true" %>)", "'Debug' is no attribute"));
  CHECK(Says(R"(<%@ WebHandler Klass="a" %>)", "'Klass' is no attribute"));
  CHECK(Says(R"(<%@ WebHandler="x" Class="a" %>)", "'WebHandler' is no attribute"));
  CHECK(Says(R"(<%@ WebHandler x:Class="a" %>)", "'x:Class' is no attribute"));
}

TEST_CASE("WebHandler directive: another directive is refused by its name") {
  CHECK(Says(R"(<%@ WebService Class="a" %>)", "'WebService' is no directive"));
  CHECK(Says(R"(<%@ Page Language="C++" %>)", "'Page' is no directive"));
  // The directive's name stands first, and once.
  CHECK(Says(R"(<%@ WebHandler WebHandler Class="a" %>)", "'WebHandler' is no directive"));
  CHECK(Says(R"(<%@ Class="a" WebHandler %>)", "'WebHandler' is no directive"));
}

TEST_CASE("WebHandler directive: source code behind it is refused, with the reason") {
  CHECK(Says("<%@ WebHandler Class=\"a\" %>\nclass a {};", "something follows the directive"));
  CHECK(Says("<%@ Class=\"a\" %><%@ Class=\"b\" %>", "something follows the directive"));
  CHECK(Says("<%@ Class=\"a\" %>x", "compiled into modules"));
}

TEST_CASE("WebHandler directive: a file that does not begin with one is refused") {
  CHECK(Says("", "does not begin with a directive"));
  CHECK(Says(" \n ", "does not begin with a directive"));
  CHECK(Says("class A {};", "does not begin with a directive"));
  CHECK(Says("<", "does not begin with a directive"));
  CHECK(Says("<!-- x --><%@ Class=\"a\" %>", "does not begin with a directive"));
  CHECK(Says("<%-- x --%><%@ Class=\"a\" %>", "not followed by `@`"));
  CHECK(Says("<%", "not followed by `@`"));
  CHECK(Says("<% Class=\"a\" %>", "not followed by `@`"));
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
    CHECK(Told(whole.substr(0, size)).starts_with("line "));
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
      CHECK((told.starts_with("taken: ") || told.starts_with("line ")));
    }
  }
}

TEST_CASE("WebHandler directive: a message begins with the line and ends with the form") {
  CHECK(Told("x").starts_with("line 1: "));
  CHECK(Told("x").ends_with("; the form is <%@ WebHandler Class=\"Class, module\" %>"));
  CHECK(Told("\n\nx").starts_with("line 3: "));
  CHECK(Told("\n<%@ WebHandler\n Class=\"a\"\n Debug=\"1\" %>").starts_with("line 4: 'Debug'"));
  CHECK(Told("<%@\n\nClass=\"a %>\n\n").starts_with("line 3: a quoted value"));
  CHECK(Told("<%@ Class=\"a\" %>\n\n\nint x;").starts_with("line 4: something follows"));
  CHECK(Told("<%@ WebHandler\r\n Class=\"a\"\r\n Class=\"b\" %>")
            .starts_with("line 3: Class is given"));
}

TEST_CASE(
    "WebHandler directive: an unknown directive is told at its own line, not at the next part's") {
  CHECK(Told("<%@ WebService\n\n Class=\"a\" %>")
            .starts_with("line 1: 'WebService' is no directive"));
}

}  // namespace
}  // namespace weft::builtin
