#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "handlers/contract/temporary_file.hpp"

namespace weft::detail {

/// Keeps a request's body: in memory, and in a temporary file as soon as it is longer than a bound.
///
/// The file is written and read where that may block (RunFileWork()), in pieces.
/// Throws: HttpException with a cause where a file cannot be made or written: 507 where there is no room, for that passes and
/// is not the request's fault; 500 for any other failure, which somebody must mend.
/// Threads: one at a time, a fiber included.
class BodyStore {
 public:
  /// `folder` outlives it; as TemporaryFile has it.
  BodyStore(std::size_t memory_bytes, const std::string& folder) noexcept
      : memory_bytes_(memory_bytes), folder_(folder) {}
  BodyStore(const BodyStore&) = delete;
  BodyStore& operator=(const BodyStore&) = delete;
  ~BodyStore();

  /// So many bytes may come.
  void Reserve(std::size_t bytes) { memory_.reserve(bytes); }
  /// Room for the next bytes, at most `bytes` and at least 1. Lifetime: until the next call of any member.
  std::span<char> Room(std::size_t bytes);
  /// So many bytes were put there.
  void Commit(std::size_t count);
  void Append(std::string_view bytes);
  /// The body is whole.
  void Finish();

  std::uint64_t Size() const noexcept { return size_; }
  /// What it takes of the worker's memory, and of its disk.
  std::size_t MemoryBytes() const noexcept;
  std::uint64_t FileBytes() const noexcept { return file_ ? size_ : 0; }
  bool IsInFile() const noexcept { return file_ != nullptr; }

  // Of what is whole.

  /// Copies at most `buffer.size()` bytes from there; 0 is the end.
  std::size_t ReadAt(std::uint64_t offset, std::span<char> buffer) const;
  /// All of it. Lifetime: that of the store.
  std::string_view View() const;
  /// Null where it is in memory.
  const TemporaryFile* File() const noexcept { return file_.get(); }

 private:
  void WriteOut();

  const std::size_t memory_bytes_;
  const std::string& folder_;
  std::uint64_t size_ = 0;
  std::string memory_;              // while there is no file
  std::size_t used_ = 0;            // of it, or of the buffer
  std::unique_ptr<char[]> buffer_;  // of what is written next
  std::unique_ptr<TemporaryFile> file_;
};

}  // namespace weft::detail
