#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <weft/export.hpp>
#include <weft/name_value_collection.hpp>

namespace weft {

/// Whether JavaScriptStringEncode() puts its result in quotes.
enum class JavaScriptQuotes {
  kNone,    ///< the text alone, for a literal whose quotes are written already
  kDouble,  ///< the whole literal, in double quotes
};

/// Encodes texts for the places where they are put, and decodes them again.
///
/// Text is UTF-8. Where characters count (HTML, JavaScript) bytes that are no UTF-8 come out as U+FFFD, one for
/// each sequence that breaks off, as browsers read them; where bytes count (URLs) every byte is kept, so that
/// decoding gives back any text, UTF-8 or not.
/// The results are those of ASP.NET's HttpUtility, but where a member says otherwise.
///
/// Threads: any. Time: linear in the length of the text. Nothing is thrown but std::bad_alloc, unless a member
/// says otherwise.
class WEFT_API HttpUtility {
 public:
  /// For text between tags, and in an attribute's quotes: `<`, `>`, `"`, `'` and `&` become `&lt;`, `&gt;`, `&quot;`,
  /// `&#39;` and `&amp;`; U+00A0 to U+00FF and what is above U+FFFF become `&#NUMBER;`. The rest stays, controls too.
  static std::string HtmlEncode(std::string_view text);
  /// For an attribute's value in quotes of either kind: `"`, `'`, `&` and `<` alone are encoded. A value without quotes
  /// is made safe by nothing.
  static std::string HtmlAttributeEncode(std::string_view text);
  /// Undoes HtmlEncode(): `&NAME;` of HTML 4's names and `apos`, `&#NUMBER;` and `&#xNUMBER;`. What is no such reference
  /// stays as it is: a name without `;`, an unknown one, a surrogate's number, one above U+10FFFF. Bytes that are no UTF-8
  /// stay too.
  ///
  /// Other than the original: `&#0;` gives U+FFFD (as in HTML), and a number has digits only, no sign and no blanks.
  static std::string HtmlDecode(std::string_view text);

  /// For a name or value of a query or a form: letters, digits and `-_.!*()` stay, a blank becomes `+`, every other byte
  /// `%xx` in small letters.
  static std::string UrlEncode(std::string_view text);
  /// Undoes UrlEncode(): `+` is a blank, `%XX` a byte. A `%` without two hexadecimal digits stays; ParseQueryString()
  /// refuses it.
  ///
  /// Other than the original: `%uXXXX` stays, for no standard knows it and filters before Weft do not see through it;
  /// and bytes that are no UTF-8 stay.
  static std::string UrlDecode(std::string_view text);
  /// For a whole path or URL that may hold what no URL may, a Location say: blanks become `%20`, controls and all that is
  /// not ASCII `%xx`, in small letters. Delimiters and `%XX` stay, so that encoding twice changes nothing more, and so
  /// that this is not for data: see EscapeDataString().
  ///
  /// Other than the original, what comes out holds only characters that a URL may have (RFC 3986): `"<>\^{|}`, a
  /// backquote, and a `%` without two hexadecimal digits are encoded too, and the query and the fragment as the path is.
  static std::string UrlPathEncode(std::string_view text);

  /// For a segment of a path, or any other part of a URL: all but RFC 3986's unreserved characters (letters, digits and
  /// `-._~`) become `%XX`, in capitals. As System.Uri's function of this name.
  static std::string EscapeDataString(std::string_view text);
  /// Undoes EscapeDataString(): as UrlDecode(), but `+` stays.
  static std::string UnescapeDataString(std::string_view text);

  /// For bytes in a URL or a cookie: Base64 with `-` and `_` (RFC 4648, section 5), and behind it a digit that tells how
  /// many `=` are left out. Nothing gives nothing.
  static std::string UrlTokenEncode(std::string_view bytes);
  /// Undoes UrlTokenEncode(). Absent where it cannot have made `token`.
  static std::optional<std::string> UrlTokenDecode(std::string_view token);

  /// For a JavaScript literal in quotes of either kind, also inside a `<script>`: `\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`,
  /// and `\uxxxx` for other controls, `'`, `<`, `>`, `&`, U+0085, U+2028 and U+2029. Not for template literals (backquotes).
  static std::string JavaScriptStringEncode(std::string_view text,
                                            JavaScriptQuotes quotes = JavaScriptQuotes::kNone);

  /// As weft::ParseQueryString().
  static NameValueCollection ParseQueryString(std::string_view text) {
    return weft::ParseQueryString(text);
  }

 protected:
  HttpUtility() = default;
};

}  // namespace weft
