#pragma once

#include <algorithm>
#include <string_view>

namespace weft::test {

/// Whether a text is as `2026-11-22T20:24:51.123Z`: a digit for each digit, and everything else as it is.
inline bool IsTimestamp(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00.000Z";
  return std::equal(text.begin(), text.end(), kShape.begin(), kShape.end(), [](char c, char shape) {
    return shape == '0' ? c >= '0' && c <= '9' : c == shape;
  });
}

}  // namespace weft::test
