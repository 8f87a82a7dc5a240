#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "host/pipeline/pipeline.hpp"
#include "host/recording/recording.hpp"
#include "host/runtime/runtime.hpp"

namespace weft::host::recording {

/// The longest answer; a handler that writes more sees its client leave, and the answer is cut. Answers are kept
/// in memory and compared with what people wrote.
inline constexpr std::size_t kMaxAnswerBytes = 67'108'864;

/// Sends recorded requests through a pipeline, one after another and without a socket: mapped, leased and served
/// as a web server's requests are. Returns their answers in the same order.
///
/// `document_root` becomes the DOCUMENT_ROOT of those that have none. HTTP_PROXY is dropped as it always is.
/// Deadlines hold.
///
/// Runs `runtime`, which must be the pipeline's, to its end: neither serves after it. Throws std::bad_alloc.
/// Threads: the reactor's, not on a fiber.
[[nodiscard]] std::vector<Answer> Replay(std::span<const Recording> recordings,
                                         std::string_view document_root, runtime::Runtime& runtime,
                                         pipeline::Pipeline& pipeline);

}  // namespace weft::host::recording
