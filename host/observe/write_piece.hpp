#pragma once

#include <sys/types.h>

#include <string_view>

namespace weft::host::observe {

/// Writes the beginning of `text` to a descriptor that may be a pipe, a reader of which may be slow and to
/// which other processes write as well. At most PIPE_BUF bytes, which a pipe takes as one, and no more than
/// whole lines where there is one, so that those of others do not come between.
///
/// Returns how many bytes were taken; 0: none now; -1: errno says why. Does not wait for a reader; a file may
/// wait for its disk, and a terminal that somebody has stopped for him. Async-signal-safe.
ssize_t WritePiece(int descriptor, std::string_view text) noexcept;

}  // namespace weft::host::observe
