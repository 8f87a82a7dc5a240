#pragma once

#include <string>
#include <string_view>

namespace weft::host::worker {

/// The frames of a stack (runtime::Symbolise()) without those of the host that called the handler: they are the same for
/// every request.
inline std::string WithoutCallers(std::string_view frames) {
  // The outermost: handlers may execute others.
  constexpr std::string_view kCaller = "weft::host::handling::HandlerLease::ProcessRequest(";
  const auto caller = frames.rfind(kCaller);
  if (caller == std::string_view::npos) {
    return std::string(frames);
  }
  const auto line = frames.rfind('\n', caller);
  return std::string(line == std::string_view::npos ? frames : frames.substr(0, line + 1));
}

}  // namespace weft::host::worker
