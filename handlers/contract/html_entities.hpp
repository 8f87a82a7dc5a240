#pragma once

#include <string_view>

namespace weft::detail {

/// The character that HTML 4's `&NAME;` stands for (HTML 4.01, section 24, and `apos`); letter case counts. 0 for
/// any other name.
char32_t FindHtmlEntity(std::string_view name) noexcept;

}  // namespace weft::detail
