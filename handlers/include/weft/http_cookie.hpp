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

/// A cookie of a response (RFC 6265bis, section 4.1).
///
/// The members are plain values; ToHeaderValue(), and with it HttpResponse::AppendCookie() and SetCookie(), refuses what a
/// browser would drop or read as something else.
struct WEFT_API HttpCookie {
  enum class SameSitePolicy { kUnset, kLax, kStrict, kNone };

  /// What browsers keep at most, of name and value together, and of an attribute (RFC 6265bis, section 5.6).
  static constexpr std::size_t kMaxNameAndValueBytes = 4096;
  static constexpr std::size_t kMaxAttributeBytes = 1024;
  /// How long they keep it at most (section 5.5).
  static constexpr std::chrono::seconds kMaxLifetime = std::chrono::hours(24 * 400);

  std::string name;
  /// Printable ASCII without blank, `"`, `,`, `;` and `\`: for any other text see EncodeValue().
  std::string value;
  std::string path = "/";  ///< begins with `/`; empty: the folder of the request
  std::string domain;      ///< empty: the host alone; else it and all below it
  std::optional<std::chrono::seconds> max_age;  ///< absent: as `expires` says. It wins over that
  bool secure = false;
  bool http_only = false;
  SameSitePolicy same_site = SameSitePolicy::kUnset;
  std::optional<std::chrono::system_clock::time_point>
      expires{};             ///< absent: until the browser closes
  bool partitioned = false;  ///< one for each site that embeds this one (CHIPS)

  /// The value of a Set-Cookie field. A lifetime of more than kMaxLifetime from now is sent as that, for browsers cut it to
  /// that anyway; one that is over already as Max-Age=0. A domain's leading dot, which means nothing, is left out.
  ///
  /// Throws std::invalid_argument for:
  /// - a name that is no token (RFC 9110, section 5.6.2);
  /// - a byte in value, path or domain that may not stand there: a control character, `;`, what is not ASCII, and what the
  ///   members say; a path that does not begin with `/`, a domain that is none;
  /// - more than kMaxNameAndValueBytes or kMaxAttributeBytes;
  /// - SameSite=None or Partitioned without Secure; a name that begins with `__Secure-` without Secure, with `__Host-`
  ///   without Secure, with a domain, or with another path than `/` (section 4.1.3; letter case is ignored).
  std::string ToHeaderValue() const;

  /// For a value of any bytes: those that may not stand in one, and `%`, become `%XX`, in capitals.
  static std::string EncodeValue(std::string_view text);
  /// Undoes EncodeValue(). A `%` without two hexadecimal digits stays.
  static std::string DecodeValue(std::string_view text);

  /// Whether the value has sub-values: there is a `=` in it.
  bool HasKeys() const noexcept { return value.find('=') != std::string::npos; }
  /// The sub-values of `a=1&b=2`, decoded. Throws HttpException(400) for a broken percent-escape.
  NameValueCollection Values() const;
  /// Makes the value of sub-values, encoded.
  void SetValues(const NameValueCollection& values);

  /// Whether a browser holds both for one and the same cookie: name, domain and path are equal.
  bool IsSameAs(const HttpCookie& other) const noexcept;

  /// Reads the value of a Set-Cookie field as browsers do (section 5.6): attributes ignore letter case, the last of a kind
  /// counts, unknown ones do not, and malformed ones are as if they were not there. What is read need not be fit to be sent.
  /// Absent for a control character, no name, and more than kMaxNameAndValueBytes.
  static std::optional<HttpCookie> TryParse(std::string_view set_cookie);
};

/// Splits a Cookie field (RFC 6265bis, section 4.2) into names and values, values as they were sent. What has no name
/// is passed over. For a value of several, `a=1&b=2`: ParseQueryString().
///
/// Throws HttpException(400) for a control character, which no client may send (cause `cookie_malformed`), and for
/// more than `max_fields` cookies (`too_many_fields`).
WEFT_API NameValueCollection ParseCookies(
    std::string_view header, std::size_t max_fields = std::numeric_limits<std::size_t>::max());

}  // namespace weft
