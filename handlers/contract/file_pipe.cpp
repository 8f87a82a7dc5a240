#include "handlers/contract/file_pipe.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>

namespace weft::detail {

namespace {

/// What a pipe is asked to hold. Each filling of it costs two changes of threads; larger ones sent a file no faster.
constexpr int kPipeBytes = 512 * 1024;
/// A smaller one, which is what a user gets who has many, is worth less than a copy.
constexpr int kSmallestPipe = 64 * 1024;
/// Of a worker. Their pages are half of what Linux lets a user have before it makes his pipes small (16,384).
constexpr int kMaxPipes = 64;

std::atomic<int> g_pipes{0};

}  // namespace

std::unique_ptr<FilePipe> FilePipe::TryMake() {
  std::unique_ptr<FilePipe> pipe(new FilePipe);
  if (g_pipes.fetch_add(1) >= kMaxPipes || pipe2(pipe->ends_, O_CLOEXEC) != 0 ||
      (fcntl(pipe->ends_[1], F_SETPIPE_SZ, kPipeBytes) < 0 &&
       fcntl(pipe->ends_[1], F_GETPIPE_SZ) < kSmallestPipe)) {
    pipe.reset();
  }
  return pipe;
}

FilePipe::~FilePipe() {
  g_pipes.fetch_sub(1);
  if (ends_[0] >= 0) {
    close(ends_[0]);
    close(ends_[1]);
  }
}

std::optional<std::size_t> FilePipe::TryFill(const RegularFile& file, std::uint64_t offset,
                                             std::uint64_t bytes) const {
  std::size_t filled = 0;
  while (filled < bytes) {
    auto from = static_cast<off_t>(offset + filled);
    const auto wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes - filled, kPipeBytes));
    const auto count =
        splice(file.Descriptor(), &from, ends_[1], nullptr, wanted, SPLICE_F_NONBLOCK);
    if (count > 0) {
      filled += static_cast<std::size_t>(count);
    } else if (count == 0 || errno == EAGAIN) {
      break;  // the file's end, or no more room
    } else if (errno == EINVAL && filled == 0) {
      return std::nullopt;
    } else if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "read " + file.Path());
    }
  }
  return filled;
}

}  // namespace weft::detail
