#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <weft/export.hpp>

namespace weft {

/// A date of a header field in the form to be sent, `Sun, 06 Nov 1994 08:49:37 GMT` (IMF-fixdate, RFC 9110, section
/// 5.6.7), whatever the locale. Parts of a second are cut off.
WEFT_API std::string FormatHttpDate(std::chrono::system_clock::time_point time);

/// Reads a date of a header field in any of the three forms that a recipient takes (RFC 9110, section 5.6.7): the one that
/// FormatHttpDate() makes, that of RFC 850, whose year of two digits is never more than 50 years after `now`, and that of
/// asctime(). Absent where it is none of them, to the letter, or no date that there is; the name of the day is not compared
/// with the date. A leap second counts as the second before it. What the system's clock has no numbers for is held to
/// its first or last second, in 1677 and 2262.
WEFT_API std::optional<std::chrono::sys_seconds> ParseHttpDate(
    std::string_view text,
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

}  // namespace weft
