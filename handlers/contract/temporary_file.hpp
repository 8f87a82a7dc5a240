#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace weft::detail {

/// A file without a name: it goes with its descriptor, however the process ends.
///
/// Throws: std::system_error, with what was done and to which folder. Threads: one at a time; it blocks.
class TemporaryFile {
 public:
  /// `folder` is empty for TMPDIR, or /tmp.
  explicit TemporaryFile(std::string folder);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();

  /// Writes at the end.
  void Append(std::string_view bytes);
  /// Copies at most `buffer.size()` bytes from there; 0 is the end.
  std::size_t ReadAt(std::uint64_t offset, std::span<char> buffer) const;
  /// The whole, as the kernel keeps it: pages are read as they are touched, and given back under pressure. Made once.
  /// Lifetime: that of the file.
  std::string_view Map() const;

  int Descriptor() const noexcept { return descriptor_; }

 private:
  std::string folder_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  mutable void* mapped_ = nullptr;
};

}  // namespace weft::detail
