#pragma once

#include <optional>
#include <string_view>

namespace weft::detail {

/// What HttpContext::GetSection() looks in: the host's mapping files. Threads: any.
class IConfigSections {
 public:
  virtual ~IConfigSections() = default;

  /// The section's text; absent where there is none of that name. Lifetime: the sections'.
  virtual std::optional<std::string_view> Find(std::string_view name) const noexcept = 0;
};

}  // namespace weft::detail
