#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/export.hpp>

namespace weft {

/// True when both are equal, ASCII letter case ignored (RFC 9110, section 5.1, for field names).
WEFT_API bool EqualsIgnoreCase(std::string_view a, std::string_view b) noexcept;

/// True for a token (RFC 9110, section 5.6.2): what methods and field names are.
WEFT_API bool IsToken(std::string_view text) noexcept;

/// Header fields in their order; names ignore letter case (RFC 9110, section 5).
///
/// Lifetime: texts are copied; those that are given may view the collection's own fields.
/// Threads: as a standard container.
class WEFT_API HttpHeaders {
 public:
  using Field = std::pair<std::string, std::string>;

  /// The first field of that name. Lifetime: until the collection changes.
  std::optional<std::string_view> Find(std::string_view name) const noexcept;
  bool Contains(std::string_view name) const noexcept { return Find(name).has_value(); }

  /// Adds a field, beside others of that name.
  ///
  /// Throws std::invalid_argument when `name` is no token (RFC 9110, section 5.6.2), or `value` holds CR, LF,
  /// NUL or another control character than TAB (section 5.5): nothing can be smuggled into a response.
  void Append(std::string_view name, std::string_view value);
  /// Replaces every field of that name by one. Throws as Append().
  void Set(std::string_view name, std::string_view value);
  /// Removes every field of that name; says whether there was one.
  bool Remove(std::string_view name) noexcept;
  void Clear() noexcept { fields_.clear(); }

  bool empty() const noexcept { return fields_.empty(); }
  std::size_t size() const noexcept { return fields_.size(); }
  std::vector<Field>::const_iterator begin() const noexcept { return fields_.begin(); }
  std::vector<Field>::const_iterator end() const noexcept { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

}  // namespace weft
