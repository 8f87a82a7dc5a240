#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <weft/export.hpp>

namespace weft {

/// Who a request is from. HttpContext::User().
struct WEFT_API HttpPrincipal {
  std::string name;                 ///< empty: nobody said who
  std::string authentication_type;  ///< how it was found out: `Basic`, or a handler's own word
  std::vector<std::string> roles;

  bool IsAuthenticated() const noexcept { return !name.empty(); }
  /// Ignores ASCII letter case, as the original's GenericPrincipal does.
  bool IsInRole(std::string_view role) const noexcept;
};

}  // namespace weft
