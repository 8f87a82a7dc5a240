#include <weft/detail/regular_file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <weft/http_exception.hpp>

namespace weft::detail {

namespace {

/// Held to what nanoseconds of 64 bits can say, which end in 2262: file systems go further.
std::chrono::nanoseconds SinceEpoch(const timespec& time) {
  using std::chrono::nanoseconds;
  using std::chrono::seconds;
  constexpr auto kMost = std::chrono::floor<seconds>(nanoseconds::max()) - seconds(1);
  return std::clamp(seconds(time.tv_sec), -kMost, kMost) + nanoseconds(time.tv_nsec);
}

}  // namespace

RegularFile::RegularFile(std::string path)
    : RegularFile(path, open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}

RegularFile::RegularFile(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {
  if (descriptor_ < 0) {
    const int error = errno;
    const auto text = path_ + ": " + std::generic_category().message(error);
    if (error == EACCES || error == EPERM) {
      throw HttpException(403, {}, text).WithCause(cause::kFileForbidden);
    }
    if (error == ENXIO) {  // a socket
      throw HttpException(404, {}, text).WithCause(cause::kNotAFile);
    }
    if (error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG || error == ELOOP) {
      throw HttpException(404, {}, text).WithCause(cause::kFileNotFound);
    }
    if (error == EMFILE || error == ENFILE || error == ENOMEM) {
      throw HttpException(503, {}, text).WithCause(cause::kOverloaded);
    }
    throw std::system_error(error, std::generic_category(), "open " + path_);
  }
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) {
    const int error = errno;
    close(descriptor_);
    throw std::system_error(error, std::generic_category(), "fstat " + path_);
  }
  if (!S_ISREG(status.st_mode)) {
    close(descriptor_);
    throw HttpException(404, {}, path_ + " is no file").WithCause(cause::kNotAFile);
  }
  version_ = {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
              SinceEpoch(status.st_mtim), SinceEpoch(status.st_ctim)};
}

RegularFile::~RegularFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
}

std::size_t RegularFile::Read(char* buffer, std::size_t size) {
  for (;;) {
    const auto count = read(descriptor_, buffer, size);
    if (count >= 0) {
      return static_cast<std::size_t>(count);
    }
    if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "read " + path_);
    }
  }
}

std::size_t RegularFile::ReadAt(std::uint64_t offset, char* buffer, std::size_t size) const {
  std::size_t filled = 0;
  while (filled < size) {
    const auto count =
        pread(descriptor_, buffer + filled, size - filled, static_cast<off_t>(offset + filled));
    if (count == 0) {
      break;
    }
    if (count > 0) {
      filled += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "read " + path_);
    }
  }
  return filled;
}

}  // namespace weft::detail
