#include "handlers/builtin/regular_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include <weft/http_exception.hpp>

namespace weft::builtin {

RegularFile::RegularFile(std::string path)
    : path_(std::move(path)),
      descriptor_(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
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
  if (fstat(descriptor_, &status_) != 0) {
    const int error = errno;
    close(descriptor_);
    throw std::system_error(error, std::generic_category(), "fstat " + path_);
  }
  if (!S_ISREG(status_.st_mode)) {
    close(descriptor_);
    throw HttpException(404, {}, path_ + " is no file").WithCause(cause::kNotAFile);
  }
}

RegularFile::~RegularFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
}

FileVersion RegularFile::Version() const noexcept {
  const auto since_epoch = [](const timespec& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  return {status_.st_dev, status_.st_ino, status_.st_size, since_epoch(status_.st_mtim),
          since_epoch(status_.st_ctim)};
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

}  // namespace weft::builtin
