#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// Pieces of the sentences that problems are told in.
namespace weft::mappings {

/// Appends `\xNN`, the byte in two hexadecimal digits.
void AppendEscaped(std::string& to, char byte);

/// `text` in double quotes, fit for one line of a terminal or a log: control characters are
/// escaped, and what is longer than `kQuotedBytes` is cut.
[[nodiscard]] std::string Quoted(std::string_view text);

/// As much of a foreign text as a sentence repeats: enough to recognise it, too little to hide the
/// sentence.
inline constexpr std::size_t kQuotedBytes = 60;

/// `"a", "b" and "c"`.
[[nodiscard]] std::string Listed(std::span<const std::string_view> names);

/// The one of `names` that `name` was most likely meant for, letter case aside: the only one that it is the
/// start of, or else the one it is fewest slips away from; none when all are too far off.
/// Lifetime: the result views one of `names`.
[[nodiscard]] std::optional<std::string_view> NearestName(std::string_view name,
                                                          std::span<const std::string_view> names);

/// Says that `owner` ("a directive", say) has no such key, and which of `names` was meant, or may be.
[[nodiscard]] std::string UnknownKey(std::string_view key, std::string_view owner,
                                     std::span<const std::string_view> names);

}  // namespace weft::mappings
