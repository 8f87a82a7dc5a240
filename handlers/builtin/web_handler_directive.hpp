#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace weft::builtin {

/// What is wrong with a `.ashx` file: a sentence that begins with the line.
class DirectiveError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads `<%@ WebHandler Class="shop::Hello, shop" %>` and returns the value of Class.
///
/// The directive's name may be left out; names ignore letter case; values stand in double quotes, single
/// quotes, or bare. Beside Class, Language (which must be C++), CodeBehind and Description are taken and not
/// used. Anything else than one directive and blanks is refused: there is no source to compile here.
///
/// Throws DirectiveError.
std::string ParseWebHandlerDirective(std::string_view text);

}  // namespace weft::builtin
