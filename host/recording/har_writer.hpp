#pragma once

#include <span>
#include <string>
#include <string_view>

#include "host/recording/recording.hpp"

namespace weft::host::recording {

/// Recordings as one file in the HTTP Archive format 1.2, in their order, for tools that show or send them.
///
/// HAR has no word for parameters that are neither of the URL nor a header, which are lost, and none for times that nobody
/// measured, which are 0. A recording without a response has the status 0, as browsers write what was not answered. Bytes
/// that are no text are base64, those of a request under the name that the drafts of HAR 1.3 have for it.
///
/// `creator_version`: of Weft. Nothing is masked: Redact() is for that.
[[nodiscard]] std::string WriteHar(std::span<const Recording> recordings,
                                   std::string_view creator_version);

}  // namespace weft::host::recording
