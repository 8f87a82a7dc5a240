#include <weft/http_cookie.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include <weft/http_date.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_headers.hpp>
#include <weft/http_utility.hpp>
#include "handlers/contract/field_text.hpp"
#include "handlers/contract/percent_encoding.hpp"

namespace weft {

using detail::IsControl;
using detail::Trim;

namespace {

constexpr std::string_view kSecurePrefix = "__Secure-";
constexpr std::string_view kHostPrefix = "__Host-";

/// cookie-octet (RFC 6265bis, section 4.1.1).
bool IsCookieOctet(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\';
}

/// av-octet.
bool IsAttributeOctet(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x7f && c != ';';
}

/// Letters, digits, hyphens and underscores, divided by dots.
bool IsDomain(std::string_view text) {
  char before = '.';
  for (const char c : text) {
    const bool is_of_label = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                             (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
    if (!is_of_label && (c != '.' || before == '.')) {
      return false;
    }
    before = c;
  }
  return before != '.';
}

std::string_view WithoutDot(std::string_view domain) {
  return domain.substr(0, 1) == "." ? domain.substr(1) : domain;
}

bool HasPrefix(std::string_view name, std::string_view prefix) {
  return EqualsIgnoreCase(name.substr(0, prefix.size()), prefix);
}

[[noreturn]] void Refuse(const HttpCookie& cookie, const std::string& why) {
  // Not the value: it may be a secret, and this goes to a log.
  throw std::invalid_argument("the cookie '" + cookie.name + "' " + why);
}

void CheckAttribute(const HttpCookie& cookie, const char* attribute, std::string_view value) {
  if (value.size() > HttpCookie::kMaxAttributeBytes) {
    Refuse(cookie, std::string("has a ") + attribute + " of " + std::to_string(value.size()) +
                       " bytes: browsers drop what has more than " +
                       std::to_string(HttpCookie::kMaxAttributeBytes));
  }
  if (!std::all_of(value.begin(), value.end(), IsAttributeOctet)) {
    Refuse(cookie, std::string("has a ") + attribute +
                       " with a byte that is not allowed there: a control character, ';', or what "
                       "is not ASCII");
  }
}

void CheckPrefix(const HttpCookie& cookie) {
  const bool is_of_host = HasPrefix(cookie.name, kHostPrefix);
  if ((is_of_host || HasPrefix(cookie.name, kSecurePrefix)) && !cookie.secure) {
    Refuse(cookie, "needs Secure for the prefix of its name");
  }
  if (is_of_host && (cookie.path != "/" || !cookie.domain.empty())) {
    Refuse(cookie, "needs the path '/', and no domain, for the prefix of its name");
  }
}

void Check(const HttpCookie& cookie) {
  if (!IsToken(cookie.name)) {
    Refuse(cookie, "has a name that is no token: use letters, digits and hyphens");
  }
  if (!std::all_of(cookie.value.begin(), cookie.value.end(), IsCookieOctet)) {
    Refuse(cookie,
           "has a value with a byte that is not allowed there: use HttpCookie::EncodeValue()");
  }
  if (cookie.name.size() + cookie.value.size() > HttpCookie::kMaxNameAndValueBytes) {
    Refuse(cookie, "has a name and value of " +
                       std::to_string(cookie.name.size() + cookie.value.size()) +
                       " bytes: browsers drop what has more than " +
                       std::to_string(HttpCookie::kMaxNameAndValueBytes));
  }
  CheckAttribute(cookie, "path", cookie.path);
  if (!cookie.path.empty() && cookie.path.front() != '/') {
    Refuse(cookie,
           "has a path that does not begin with '/': browsers would put another in its "
           "place");
  }
  CheckAttribute(cookie, "domain", cookie.domain);
  if (!cookie.domain.empty() && !IsDomain(WithoutDot(cookie.domain))) {
    Refuse(cookie, "has the domain '" + cookie.domain + "', which is none");
  }
  if (cookie.same_site == HttpCookie::SameSitePolicy::kNone && !cookie.secure) {
    Refuse(cookie, "needs Secure for SameSite=None");
  }
  if (cookie.partitioned && !cookie.secure) {
    Refuse(cookie, "needs Secure for Partitioned");
  }
  CheckPrefix(cookie);
}

void AppendLifetime(std::string& text, const HttpCookie& cookie) {
  if (cookie.max_age) {
    const auto seconds =
        std::clamp(*cookie.max_age, std::chrono::seconds(0), HttpCookie::kMaxLifetime);
    text += "; Max-Age=" + std::to_string(seconds.count());
  }
  if (cookie.expires) {
    const auto latest = std::chrono::system_clock::now() + HttpCookie::kMaxLifetime;
    // The epoch: an earlier date is over as well, and some browsers cannot read one.
    const auto time = std::clamp(*cookie.expires, std::chrono::system_clock::time_point(), latest);
    text += "; Expires=" + FormatHttpDate(time);
  }
}

constexpr detail::ByteSet kPlainInValue = detail::AlphanumericAnd("!#$&'()*+-./:<=>?@[]^_`{|}~");

}  // namespace

std::string HttpCookie::ToHeaderValue() const {
  Check(*this);
  std::string text = name + "=" + value;
  if (!path.empty()) {
    text += "; Path=" + path;
  }
  if (!domain.empty()) {
    text.append("; Domain=").append(WithoutDot(domain));
  }
  AppendLifetime(text, *this);
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
  if (partitioned) {
    text += "; Partitioned";
  }
  return text;
}

std::string HttpCookie::EncodeValue(std::string_view text) {
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (detail::Contains(kPlainInValue, c)) {
      encoded += c;
    } else {
      detail::AppendEscape(encoded, c, detail::kCapitalDigits);
    }
  }
  return encoded;
}

std::string HttpCookie::DecodeValue(std::string_view text) {
  return HttpUtility::UnescapeDataString(text);
}

NameValueCollection HttpCookie::Values() const { return ParseQueryString(value); }

void HttpCookie::SetValues(const NameValueCollection& values) {
  std::string text;
  for (const auto& [key, sub_value] : values) {
    text.append(text.empty() ? "" : "&").append(HttpUtility::UrlEncode(key)).append("=");
    text.append(HttpUtility::UrlEncode(sub_value));
  }
  value = std::move(text);
}

bool HttpCookie::IsSameAs(const HttpCookie& other) const noexcept {
  return name == other.name && path == other.path &&
         EqualsIgnoreCase(WithoutDot(domain), WithoutDot(other.domain));
}

namespace {

/// `text` is trimmed. As section 5.6.2 of RFC 6265bis.
std::optional<std::chrono::seconds> ParseMaxAge(std::string_view text) {
  const bool is_negative = text.substr(0, 1) == "-";
  const auto digits = text.substr(is_negative ? 1 : 0);
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  std::int64_t count = 0;
  const auto error = std::from_chars(digits.data(), digits.data() + digits.size(), count).ec;
  if (is_negative) {
    count = 0;
  } else if (error != std::errc() || count > HttpCookie::kMaxLifetime.count()) {
    count = HttpCookie::kMaxLifetime.count();
  }
  return std::chrono::seconds(count);
}

/// A date of HTTP, also with the hyphens that old servers put between its parts.
std::optional<std::chrono::system_clock::time_point> ParseExpires(std::string_view text) {
  auto date = ParseHttpDate(text);
  if (!date) {
    std::string plain(text);
    std::replace(plain.begin(), plain.end(), '-', ' ');
    date = ParseHttpDate(plain);
  }
  return date ? std::optional<std::chrono::system_clock::time_point>(*date) : std::nullopt;
}

void ReadAttribute(HttpCookie& cookie, std::string_view name, std::string_view value) {
  using SameSite = HttpCookie::SameSitePolicy;
  if (value.size() > HttpCookie::kMaxAttributeBytes) {
    return;
  }
  if (EqualsIgnoreCase(name, "Path")) {
    cookie.path = value.substr(0, 1) == "/" ? value : std::string_view();
  } else if (EqualsIgnoreCase(name, "Domain")) {
    cookie.domain = WithoutDot(value);
  } else if (EqualsIgnoreCase(name, "Max-Age")) {
    if (const auto age = ParseMaxAge(value)) {
      cookie.max_age = age;
    }
  } else if (EqualsIgnoreCase(name, "Expires")) {
    if (const auto date = ParseExpires(value)) {
      cookie.expires = date;
    }
  } else if (EqualsIgnoreCase(name, "Secure")) {
    cookie.secure = true;
  } else if (EqualsIgnoreCase(name, "HttpOnly")) {
    cookie.http_only = true;
  } else if (EqualsIgnoreCase(name, "Partitioned")) {
    cookie.partitioned = true;
  } else if (EqualsIgnoreCase(name, "SameSite")) {
    cookie.same_site = EqualsIgnoreCase(value, "Lax")      ? SameSite::kLax
                       : EqualsIgnoreCase(value, "Strict") ? SameSite::kStrict
                       : EqualsIgnoreCase(value, "None")   ? SameSite::kNone
                                                           : SameSite::kUnset;
  }
}

}  // namespace

std::optional<HttpCookie> HttpCookie::TryParse(std::string_view set_cookie) {
  const auto is_control = [](char c) { return IsControl(c) && c != '\t'; };
  if (std::any_of(set_cookie.begin(), set_cookie.end(), is_control)) {
    return std::nullopt;
  }
  const auto next = [&set_cookie] {
    const auto end = set_cookie.find(';');
    const auto part = set_cookie.substr(0, end);
    set_cookie = end == std::string_view::npos ? std::string_view() : set_cookie.substr(end + 1);
    const auto equals = part.find('=');
    return std::pair(Trim(part.substr(0, equals)), equals == std::string_view::npos
                                                       ? std::string_view()
                                                       : Trim(part.substr(equals + 1)));
  };
  const bool has_equals = set_cookie.substr(0, set_cookie.find(';')).find('=') != set_cookie.npos;
  const auto [name, value] = next();
  if (!has_equals || name.empty() || name.size() + value.size() > kMaxNameAndValueBytes) {
    return std::nullopt;
  }
  HttpCookie cookie;
  cookie.name = name;
  cookie.value = value;
  cookie.path.clear();
  while (!set_cookie.empty()) {
    const auto [attribute, attribute_value] = next();
    ReadAttribute(cookie, attribute, attribute_value);
  }
  return cookie;
}

NameValueCollection ParseCookies(std::string_view header, std::size_t max_fields) {
  const auto is_control = [](char c) { return IsControl(c) && c != '\t'; };
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
