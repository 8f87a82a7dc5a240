#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <weft/detail/regular_file.hpp>

namespace weft::detail {

/// A pipe for bytes of files on their way to a socket: the kernel keeps the pages that they lie in, and nobody copies them.
///
/// Threads: one at a time, a fiber included.
class FilePipe {
 public:
  /// Null where the system has none of a useful size to give, or as many are in use as may be: each takes two
  /// descriptors, and pages that the system counts by user.
  static std::unique_ptr<FilePipe> TryMake();
  FilePipe(const FilePipe&) = delete;
  FilePipe& operator=(const FilePipe&) = delete;
  ~FilePipe();

  /// Puts bytes of `file` from `offset` on into the pipe, which is empty: `bytes`, or as many as there is room for, or
  /// as the file has. Nothing: its file system cannot do that. Waits for the disk. Throws std::system_error.
  std::optional<std::size_t> TryFill(const RegularFile& file, std::uint64_t offset,
                                     std::uint64_t bytes) const;
  /// The descriptor that the bytes are taken from.
  int ReadEnd() const noexcept { return ends_[0]; }

 private:
  FilePipe() noexcept = default;

  int ends_[2] = {-1, -1};
};

}  // namespace weft::detail
