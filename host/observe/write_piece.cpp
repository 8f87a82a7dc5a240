#include "host/observe/write_piece.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace weft::host::observe {

namespace {

/// The descriptor was writable a moment ago. Another process may have filled the pipe since, and write() would
/// wait; the flag that makes a descriptor not wait is shared with all who have it, so it is asked for this call
/// alone. Linux knows that for pipes from 6.4 on; before, the gap remains.
ssize_t WriteWritable(int descriptor, std::string_view piece) noexcept {
  struct stat status {};
  if (fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode)) {
    const iovec one{const_cast<char*>(piece.data()), piece.size()};
    const auto count = pwritev2(descriptor, &one, 1, -1, RWF_NOWAIT);
    if (count >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) {
      return count;
    }
  }
  return write(descriptor, piece.data(), piece.size());
}

}  // namespace

ssize_t WritePiece(int descriptor, std::string_view text) noexcept {
  // A pipe is writable when it has room for PIPE_BUF bytes. What has lost its reader is, too, and says so.
  pollfd writable{descriptor, POLLOUT, 0};
  if (poll(&writable, 1, 0) <= 0) {
    return 0;
  }
  auto piece = text.substr(0, PIPE_BUF);
  if (const auto end = piece.rfind('\n'); end != std::string_view::npos) {
    piece = piece.substr(0, end + 1);
  }
  const auto count = WriteWritable(descriptor, piece);
  return count < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : count;
}

}  // namespace weft::host::observe
