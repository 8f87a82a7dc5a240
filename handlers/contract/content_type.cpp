#include "handlers/contract/content_type.hpp"

#include <weft/http_headers.hpp>
#include "handlers/contract/field_text.hpp"

namespace weft {

using detail::Trim;

namespace {

/// Where the parameter that begins behind `at` ends: at the next `;` outside quotes.
std::size_t EndOfParameter(std::string_view text, std::size_t at) {
  bool quoted = false;
  for (; at < text.size() && (quoted || text[at] != ';'); ++at) {
    if (text[at] == '"') {
      quoted = !quoted;
    } else if (quoted && text[at] == '\\') {
      ++at;
    }
  }
  return at < text.size() ? at : text.size();
}

}  // namespace

CharsetParameter FindCharset(std::string_view content_type) {
  auto begin = content_type.find(';');
  while (begin != std::string_view::npos && begin < content_type.size()) {
    const auto end = EndOfParameter(content_type, begin + 1);
    const auto parameter = content_type.substr(begin + 1, end - begin - 1);
    const auto equals = parameter.find('=');
    if (equals != std::string_view::npos &&
        EqualsIgnoreCase(Trim(parameter.substr(0, equals)), "charset")) {
      auto value = Trim(parameter.substr(equals + 1));
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
        value = value.substr(1, value.size() - 2);
      }
      return {begin, end, value};
    }
    begin = end;
  }
  return {std::string_view::npos, std::string_view::npos};
}

bool IsText(std::string_view content_type) {
  const auto type = Trim(content_type.substr(0, content_type.find(';')));
  const auto ends_with = [type](std::string_view end) {
    return type.size() > end.size() && EqualsIgnoreCase(type.substr(type.size() - end.size()), end);
  };
  return EqualsIgnoreCase(type.substr(0, 5), "text/") || ends_with("+xml") || ends_with("/xml") ||
         ends_with("/javascript");
}

}  // namespace weft
