#pragma once

#include <string>
#include <string_view>

namespace weft::host::tools {

/// Ends a command: what to say, and the exit code.
struct Refusal {
  int exit_code;
  std::string sentence;
};

/// What the supervisor that listens on `path` (--control) answers to a request. Throws Refusal: 64 for no path, or a
/// wrong one, 69 when nobody answers within some seconds, 77 when this user may not ask.
[[nodiscard]] std::string AskHost(const std::string& path, std::string_view request);

}  // namespace weft::host::tools
