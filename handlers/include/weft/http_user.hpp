#pragma once

#include <string_view>

namespace weft {

/// Who sent a request, as the web server has found out; Weft itself checks no password.
///
/// Lifetime: views the request's variables.
class HttpUser {
 public:
  constexpr HttpUser() noexcept = default;
  constexpr HttpUser(std::string_view name, std::string_view authentication_type) noexcept
      : name_(name), authentication_type_(authentication_type) {}

  /// REMOTE_USER; empty where nobody has logged in.
  constexpr std::string_view Name() const noexcept { return name_; }
  /// AUTH_TYPE: `Basic`, `Digest`, or what else the web server knows. Empty where nobody has logged in, and where the
  /// web server does not say.
  constexpr std::string_view AuthenticationType() const noexcept { return authentication_type_; }
  constexpr bool IsAuthenticated() const noexcept { return !name_.empty(); }

 private:
  std::string_view name_;
  std::string_view authentication_type_;
};

}  // namespace weft
