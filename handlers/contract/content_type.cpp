#include "handlers/contract/content_type.hpp"

#include <algorithm>
#include <array>

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

/// Without the parameters.
std::string_view MediaTypeOf(std::string_view content_type) noexcept {
  return Trim(content_type.substr(0, content_type.find(';')));
}

bool BeginsWithText(std::string_view type) noexcept {
  return EqualsIgnoreCase(type.substr(0, 5), "text/");
}

bool EndsWith(std::string_view type, std::string_view end) noexcept {
  return type.size() > end.size() && EqualsIgnoreCase(type.substr(type.size() - end.size()), end);
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

bool IsText(std::string_view content_type) noexcept {
  const auto type = MediaTypeOf(content_type);
  return BeginsWithText(type) || EndsWith(type, "+xml") || EndsWith(type, "/xml") ||
         EndsWith(type, "/javascript");
}

bool IsCompressible(std::string_view content_type) noexcept {
  const auto type = MediaTypeOf(content_type);
  constexpr std::array<std::string_view, 7> kTypes = {"application/javascript",
                                                      "application/json",
                                                      "application/wasm",
                                                      "application/xml",
                                                      "font/otf",
                                                      "font/ttf",
                                                      "image/bmp"};
  return BeginsWithText(type) || EndsWith(type, "+json") || EndsWith(type, "+xml") ||
         std::any_of(kTypes.begin(), kTypes.end(),
                     [type](auto known) { return EqualsIgnoreCase(type, known); });
}

}  // namespace weft
