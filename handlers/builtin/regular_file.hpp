#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

namespace weft::builtin {

/// What tells a file's content from another: two that compare equal are the same file, unchanged, but for changes
/// within one tick of the file system's clock.
struct FileVersion {
  dev_t device = 0;
  ino_t inode = 0;
  off_t bytes = 0;
  std::chrono::nanoseconds modified{0};  ///< since 1970; who writes the file may set it at will
  std::chrono::nanoseconds changed{
      0};  ///< since 1970; of the file's attributes as well, set by the system alone

  /// The later of the two.
  std::chrono::nanoseconds ChangedAt() const noexcept { return std::max(modified, changed); }

  friend bool operator==(const FileVersion&, const FileVersion&) = default;
};

/// A file of the site, open for reading.
///
/// Every member blocks as the file system does. Threads: one at a time.
class RegularFile {
 public:
  /// Throws HttpException(404) where there is no such file or it is no regular one, HttpException(403) where it
  /// may not be read, both with their cause, and std::system_error for anything else. It waits for no other end of a FIFO.
  explicit RegularFile(std::string path);
  RegularFile(RegularFile&& other) noexcept
      : path_(std::move(other.path_)),
        descriptor_(std::exchange(other.descriptor_, -1)),
        status_(other.status_) {}
  RegularFile& operator=(RegularFile&&) = delete;
  ~RegularFile();

  const struct stat& Status() const noexcept { return status_; }
  /// As it was when the file was opened.
  FileVersion Version() const noexcept;
  /// The next bytes, at most `size`; 0 at the end. Throws std::system_error.
  std::size_t Read(char* buffer, std::size_t size);

 private:
  std::string path_;
  int descriptor_;
  struct stat status_ = {};
};

}  // namespace weft::builtin
