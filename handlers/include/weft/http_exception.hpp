#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include <weft/cause.hpp>
#include <weft/export.hpp>

namespace weft {

/// An answer with an error status, thrown by a handler or by the host.
///
/// The client sees the status and `public_text`, never what(). The operator's log holds both.
class WEFT_API HttpException : public std::runtime_error {
 public:
  /// `status` is 400 to 599; anything else is answered as 500. An empty `public_text` becomes the
  /// status's own phrase (RFC 9110, section 15). `detail` is for the log alone.
  explicit HttpException(int status, std::string public_text = {}, std::string detail = {});
  ~HttpException() override;

  /// Says why, for the access log: `throw HttpException(404).WithCause(cause::kFileNotFound)`.
  HttpException& WithCause(CauseName cause) noexcept {
    cause_ = cause;
    return *this;
  }

  int StatusCode() const noexcept { return status_; }
  const std::string& PublicText() const noexcept { return public_text_; }
  /// Empty where none was given. Lifetime: static storage.
  std::string_view Cause() const noexcept { return cause_.Text(); }

 private:
  int status_;
  std::string public_text_;
  CauseName cause_;
};

/// The phrase that RFC 9110 (and the registry that continues it) gives a status, or "Unknown".
///
/// Lifetime: static storage.
WEFT_API std::string_view StatusDescriptionOf(int status) noexcept;

}  // namespace weft
