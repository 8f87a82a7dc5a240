#pragma once

#include <string>
#include <string_view>

namespace weft::host::observe {

/// What stands where a secret was.
inline constexpr std::string_view kMasked = "(masked)";

/// Whether the value of a header field, or of the parameter that a web server makes of it (`HTTP_AUTHORIZATION`), is a secret as a
/// whole: letter case does not matter, nor whether `-` or `_` joins the words. docs/guide/trace.md has the list.
[[nodiscard]] bool IsSecretField(std::string_view name) noexcept;

/// Whether the value of a parameter of a query or a form (`password=...`) is.
[[nodiscard]] bool IsSecretParameter(std::string_view name) noexcept;

/// A text that may hold URLs, with kMasked for the values of their secret parameters, and for their passwords (`//name:password@`).
/// Throws std::bad_alloc.
[[nodiscard]] std::string WithoutSecrets(std::string_view text);

/// The value of a field or a parameter as it may be shown: masked, or without the secrets in it. Throws std::bad_alloc.
[[nodiscard]] std::string ShownValue(std::string_view name, std::string_view value);

}  // namespace weft::host::observe
