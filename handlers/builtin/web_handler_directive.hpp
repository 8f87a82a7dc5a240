#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace weft::builtin {

/// A place in a `.ashx` file.
///
/// Units: both count from 1; the column counts UTF-8 code points, as editors do.
struct DirectivePlace {
  std::size_t line = 1;
  std::size_t column = 1;

  /// `line:column`.
  std::string ToString() const;
};

/// What is wrong with a `.ashx` file, or the class that it names. what() is `line:column: sentence`.
class DirectiveError : public std::runtime_error {
 public:
  DirectiveError(const DirectivePlace& place, const std::string& sentence);

  const DirectivePlace& Place() const noexcept { return place_; }
  /// What what() says behind the place. Lifetime: this.
  std::string_view Sentence() const noexcept;

 private:
  DirectivePlace place_;
};

/// What a `.ashx` file says.
struct WebHandlerDirective {
  std::string type;           ///< the value of Class: `Class, module`, or a class that is built in
  DirectivePlace type_place;  ///< where that value stands
};

/// Reads `<%@ WebHandler Class="shop::Hello, shop" %>`.
///
/// The grammar is ASP.NET's. A directive is `<%`, blanks, `@`, items, `%>`. An item is a name (word characters, and
/// colons behind the first), or a name, `=` and a value in double quotes, in single quotes, or bare (without blanks,
/// quotes, `%` and `>`). The first item that is only a name is the directive's; where there is none it is WebHandler.
/// Names ignore letter case. Text before and between directives is passed over.
///
/// There is one WebHandler. Of its attributes Class is needed; Language must be C++, Debug true or false and
/// WarningLevel a number, and they are not used, nor are CodeBehind, Description and CompilerOptions. Any number of
/// `Assembly Name="..."` is passed over: all modules are loaded. What asks for a compiler, source code behind the last
/// directive or `Assembly Src="..."`, is refused with where to put it. So is anything else.
///
/// Throws DirectiveError.
WebHandlerDirective ParseWebHandlerDirective(std::string_view text);

}  // namespace weft::builtin
