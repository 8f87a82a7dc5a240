#pragma once

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "host/options/settings.hpp"

/// How option values are read and shown. Every Parse function throws BadValue; what a Format
/// function prints, its Parse function reads back as the same value.
namespace weft::host::options {

/// A value that an option does not take. what() says what is wrong and what to give instead; the
/// caller puts the place in front of it.
class BadValue : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The text in single quotes, fit for one line of a message: what is not printable ASCII is
/// escaped as \xNN, and a long text is cut.
[[nodiscard]] std::string Quoted(std::string_view text);

/// A whole number in decimal digits, without a sign.
[[nodiscard]] std::size_t ParseCount(std::string_view text);

/// Bytes: digits, then nothing or one of K, M, G (times 1024, 1024^2, 1024^3; letter case ignored).
[[nodiscard]] std::size_t ParseSize(std::string_view text);
[[nodiscard]] std::string FormatSize(std::size_t bytes);

/// Digits, then ms, s, m or h. A bare number is refused: seconds to one reader are milliseconds to
/// the next.
[[nodiscard]] std::chrono::milliseconds ParseDuration(std::string_view text);
[[nodiscard]] std::string FormatDuration(std::chrono::milliseconds duration);

/// Permission bits in octal, with or without a leading 0.
[[nodiscard]] unsigned ParseFileMode(std::string_view text);
[[nodiscard]] std::string FormatFileMode(unsigned mode);

/// `NAME=SOFT[:HARD]`, both of them as setrlimit(2) takes them, or `unlimited`; sizes also with K, M, G. One number is both.
[[nodiscard]] ResourceLimit ParseResourceLimit(std::string_view text);

/// `static`, `dynamic` or `ondemand`.
[[nodiscard]] ProcessModel ParseProcessModel(std::string_view text);
[[nodiscard]] std::string_view FormatProcessModel(ProcessModel model);

/// `N/TIME`: so many, at least one, within that time, at least a second.
[[nodiscard]] CrashLimit ParseCrashLimit(std::string_view text);

/// on, yes, true, 1, or off, no, false, 0.
[[nodiscard]] bool ParseSwitch(std::string_view text);

[[nodiscard]] LogLevel ParseLogLevel(std::string_view text);
[[nodiscard]] std::string FormatLogLevel(LogLevel level);

/// `stderr`, `journald`, `journald:/PATH` or a path.
[[nodiscard]] LogTarget ParseLogTarget(std::string_view text);

/// `unix:/PATH`, `tcp:HOST:PORT`, `tcp:[ADDRESS]:PORT`, `tcp:*:PORT` or `fd:N`.
[[nodiscard]] ListenAddress ParseListenAddress(std::string_view text);

/// `DIR`, or `HOST=DIR` for the site of that host. A text that begins with `/` or `.` is all DIR, whatever is in it.
[[nodiscard]] mappings::DocumentRoot ParseDocumentRoot(std::string_view text);

}  // namespace weft::host::options
