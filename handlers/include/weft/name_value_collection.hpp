#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/export.hpp>

namespace weft {

/// A multi-map of names and values in their order; names ignore ASCII letter case.
class WEFT_API NameValueCollection {
 public:
  using Item = std::pair<std::string, std::string>;

  /// The first value of that name. Lifetime: until the collection changes.
  std::optional<std::string_view> Find(std::string_view name) const noexcept;
  /// The first value of that name, or `fallback`.
  std::string_view Get(std::string_view name, std::string_view fallback = {}) const noexcept;
  /// Every value of that name, in order.
  std::vector<std::string_view> FindAll(std::string_view name) const;
  void Append(std::string name, std::string value);

  bool empty() const noexcept { return items_.empty(); }
  std::size_t size() const noexcept { return items_.size(); }
  std::vector<Item>::const_iterator begin() const noexcept { return items_.begin(); }
  std::vector<Item>::const_iterator end() const noexcept { return items_.end(); }

 private:
  std::vector<Item> items_;
};

/// Parses `a=1&b=2` as application/x-www-form-urlencoded: `+` is a blank, %XX are decoded, an item without
/// `=` has an empty value, empty items are passed over.
///
/// Throws HttpException(400) for a broken percent-escape, for what a peer sent is never guessed at (cause
/// `query_malformed`), and for more than `max_fields` fields (`too_many_fields`).
WEFT_API NameValueCollection ParseQueryString(
    std::string_view text, std::size_t max_fields = std::numeric_limits<std::size_t>::max());

}  // namespace weft
