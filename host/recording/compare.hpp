#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "host/recording/recording.hpp"

namespace weft::host::recording {

/// One item in which an answer is not the recorded one.
struct Difference {
  /// "status", "header Allow", "body, line 3"; in JSON "body at /a/0", "body at /a/-" for one more at the end.
  std::string item;
  /// Texts are quoted as in JSON; of a long one, the part around the difference.
  std::string expected;
  std::string got;

  /// The item, and below it the two, each on a line of its own.
  [[nodiscard]] std::string ToString() const;
};

/// Of two JSON bodies, so many differences are told: one mistake may show in every element of a list.
inline constexpr std::size_t kMaxJsonDifferences = 20;

/// Compares status, each header that is listed (all its fields, in their order), and the body.
///
/// Not compared are Date, headers that are not listed, and the body where none is recorded. A body is compared by
/// structure where the answer's type is JSON and both texts are: then blanks, the order of keys, and 1 or 1.0 make
/// no difference. Any other is compared byte by byte.
[[nodiscard]] std::vector<Difference> Compare(const ExpectedResponse& expected, const Answer& got);

}  // namespace weft::host::recording
