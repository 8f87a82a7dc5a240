#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <weft/export.hpp>
#include <weft/name_value_collection.hpp>

namespace weft {

/// A cookie of a response, in its first form (RFC 6265bis, section 4.1).
struct WEFT_API HttpCookie {
  enum class SameSitePolicy { kUnset, kLax, kStrict, kNone };

  std::string name;
  std::string value;
  std::string path = "/";
  std::string domain;                           ///< empty: the host alone
  std::optional<std::chrono::seconds> max_age;  ///< absent: until the browser closes
  bool secure = false;
  bool http_only = false;
  SameSitePolicy same_site = SameSitePolicy::kUnset;

  /// The value of a Set-Cookie field.
  ///
  /// Throws std::invalid_argument when name, value, path or domain hold a character that would end or split
  /// the cookie (RFC 6265bis, section 4.1.1).
  std::string ToHeaderValue() const;
};

/// Splits a Cookie field (RFC 6265bis, section 4.2) into names and values, values as they were sent. What has no name
/// is passed over. For a value of several, `a=1&b=2`: ParseQueryString().
///
/// Throws HttpException(400) for a control character, which no client may send (cause `cookie_malformed`), and for
/// more than `max_fields` cookies (`too_many_fields`).
WEFT_API NameValueCollection ParseCookies(
    std::string_view header, std::size_t max_fields = std::numeric_limits<std::size_t>::max());

}  // namespace weft
