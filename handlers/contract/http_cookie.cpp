#include <weft/http_cookie.hpp>

#include <algorithm>
#include <stdexcept>

#include <weft/http_exception.hpp>

namespace weft {

namespace {

/// What may not stand in any part of a cookie: it would end the part, or the header (RFC 6265bis, 4.1.1).
void CheckPart(const char* part, std::string_view text, std::string_view also_forbidden) {
  const auto forbidden = [also_forbidden](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f || c == ';' ||
           also_forbidden.find(c) != std::string_view::npos;
  };
  if (std::any_of(text.begin(), text.end(), forbidden)) {
    throw std::invalid_argument(std::string("the cookie's ") + part +
                                " holds a character that is not allowed there");
  }
}

std::string_view Trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

std::string HttpCookie::ToHeaderValue() const {
  if (name.empty()) {
    throw std::invalid_argument("a cookie needs a name");
  }
  CheckPart("name", name, " \t\",/:<=>?@[\\]{}()");
  CheckPart("value", value, " \t\",\\");
  CheckPart("path", path, "");
  CheckPart("domain", domain, " \t,");
  std::string text = name + "=" + value;
  if (!path.empty()) {
    text += "; Path=" + path;
  }
  if (!domain.empty()) {
    text += "; Domain=" + domain;
  }
  if (max_age) {
    text += "; Max-Age=" + std::to_string(max_age->count());
  }
  if (secure) {
    text += "; Secure";
  }
  if (http_only) {
    text += "; HttpOnly";
  }
  switch (same_site) {
    case SameSitePolicy::kUnset:
      break;
    case SameSitePolicy::kLax:
      text += "; SameSite=Lax";
      break;
    case SameSitePolicy::kStrict:
      text += "; SameSite=Strict";
      break;
    case SameSitePolicy::kNone:
      text += "; SameSite=None";
      break;
  }
  return text;
}

NameValueCollection ParseCookies(std::string_view header, std::size_t max_fields) {
  const auto is_control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  };
  if (std::any_of(header.begin(), header.end(), is_control)) {
    throw HttpException(400, "The Cookie field holds a control character.", std::string(header))
        .WithCause(cause::kCookieMalformed);
  }
  NameValueCollection cookies;
  while (!header.empty()) {
    const auto end = header.find(';');
    const auto pair = Trim(header.substr(0, end));
    header = end == std::string_view::npos ? std::string_view() : header.substr(end + 1);
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      continue;
    }
    if (cookies.size() == max_fields) {
      throw HttpException(
          400, "There are too many cookies.",
          "there are more than " + std::to_string(max_fields) + " cookies (--max-fields)")
          .WithCause(cause::kTooManyFields);
    }
    cookies.Append(std::string(Trim(pair.substr(0, equals))),
                   std::string(Trim(pair.substr(equals + 1))));
  }
  return cookies;
}

}  // namespace weft
