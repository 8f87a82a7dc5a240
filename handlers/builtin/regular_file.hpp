#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <string>
#include <utility>

namespace weft::builtin {

/// A file of the site, open for reading.
///
/// Every member blocks as the file system does. Threads: one at a time.
class RegularFile {
 public:
  /// Throws HttpException(404) where there is no such file or it is no regular one, HttpException(403) where it
  /// may not be read, and std::system_error for anything else. It waits for no other end of a FIFO.
  explicit RegularFile(std::string path);
  RegularFile(RegularFile&& other) noexcept
      : path_(std::move(other.path_)),
        descriptor_(std::exchange(other.descriptor_, -1)),
        status_(other.status_) {}
  RegularFile& operator=(RegularFile&&) = delete;
  ~RegularFile();

  const struct stat& Status() const noexcept { return status_; }
  /// The next bytes, at most `size`; 0 at the end. Throws std::system_error.
  std::size_t Read(char* buffer, std::size_t size);

 private:
  std::string path_;
  int descriptor_;
  struct stat status_ = {};
};

}  // namespace weft::builtin
