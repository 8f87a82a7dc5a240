#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <weft/export.hpp>

namespace weft::detail {

/// What tells a file's content from another: two that compare equal are the same file, unchanged, but for changes
/// within one tick of the file system's clock.
struct WEFT_API FileVersion {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t bytes = 0;
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
class WEFT_API RegularFile {
 public:
  /// Throws HttpException(404) where there is no such file or it is no regular one, HttpException(403) where it
  /// may not be read, both with their cause, and std::system_error for anything else. It waits for no other end of a FIFO.
  explicit RegularFile(std::string path);
  /// The same with what an open() of `path` has returned, whatever way it went; takes the descriptor over. -1: throws what
  /// errno says.
  RegularFile(std::string path, int descriptor);
  RegularFile(RegularFile&& other) noexcept
      : path_(std::move(other.path_)),
        descriptor_(std::exchange(other.descriptor_, -1)),
        version_(other.version_) {}
  RegularFile& operator=(RegularFile&&) = delete;
  ~RegularFile();

  /// As it was when the file was opened.
  const FileVersion& Version() const noexcept { return version_; }
  const std::string& Path() const noexcept { return path_; }
  /// Lifetime: that of this object.
  int Descriptor() const noexcept { return descriptor_; }
  /// The next bytes, at most `size`; 0 at the end. Throws std::system_error.
  std::size_t Read(char* buffer, std::size_t size);
  /// The bytes from `offset` on: `size` of them, fewer only where the file ends. Wherever Read() is, and it stays there.
  /// Throws std::system_error. Threads: any.
  std::size_t ReadAt(std::uint64_t offset, char* buffer, std::size_t size) const;

 private:
  std::string path_;
  int descriptor_;
  FileVersion version_;
};

}  // namespace weft::detail
