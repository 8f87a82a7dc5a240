#include "handlers/contract/body_store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <weft/http_exception.hpp>
#include "handlers/contract/blocking.hpp"

namespace weft::detail {

namespace {

/// What is written at once: a change of threads, which each write from a fiber costs, is small beside it; and so much is in
/// memory of each body that is being written.
constexpr std::size_t kWriteBytes = 128 * 1024;

/// Does something with the file. Its failure is an answer.
template <typename F>
void OnFile(F&& function) {
  try {
    RunFileWork(function);
  } catch (const std::system_error& error) {
    const int number = error.code().value();
    if (number == ENOSPC || number == EDQUOT || number == EFBIG) {
      throw HttpException(507, {},
                          std::string("the body has no room on the disk: ") + error.what() +
                              " (--temporary-folder)")
          .WithCause(cause::kBodyStorageFull);
    }
    throw HttpException(
        500, {}, std::string("the body cannot be kept: ") + error.what() + " (--temporary-folder)")
        .WithCause(cause::kBodyStorageFailed);
  }
}

}  // namespace

BodyStore::~BodyStore() {
  if (!file_) {
    return;
  }
  // To give back the blocks of a large file takes its time, which nobody needs to wait for.
  RunFileWorkLater([file = file_.release()] { delete file; });
}

std::span<char> BodyStore::Room(std::size_t bytes) {
  if (file_) {
    if (used_ == kWriteBytes) {
      WriteOut();
    }
    return {buffer_.get() + used_, std::min(bytes, kWriteBytes - used_)};
  }
  memory_.resize(used_ + bytes);
  return {memory_.data() + used_, bytes};
}

void BodyStore::Commit(std::size_t count) {
  used_ += count;
  size_ += count;
  if (!file_) {
    memory_.resize(used_);
    if (used_ > memory_bytes_) {
      buffer_ = std::make_unique_for_overwrite<char[]>(kWriteBytes);
      OnFile([this] {
        auto file = std::make_unique<TemporaryFile>(folder_);
        file->Append(memory_);
        file_ = std::move(file);
      });
      used_ = 0;
      std::string().swap(memory_);
    }
  } else if (used_ == kWriteBytes) {
    WriteOut();
  }
}

void BodyStore::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto room = Room(bytes.size());
    const auto count = bytes.copy(room.data(), room.size());
    Commit(count);
    bytes.remove_prefix(count);
  }
}

void BodyStore::WriteOut() {
  OnFile([this] { file_->Append({buffer_.get(), used_}); });
  used_ = 0;
}

void BodyStore::Finish() {
  if (file_) {
    if (used_ != 0) {
      WriteOut();
    }
    buffer_.reset();
  }
}

std::size_t BodyStore::MemoryBytes() const noexcept {
  return file_ ? (buffer_ ? kWriteBytes : 0) : used_;
}

std::size_t BodyStore::ReadAt(std::uint64_t offset, std::span<char> buffer) const {
  if (offset >= size_ || buffer.empty()) {
    return 0;
  }
  if (!file_) {
    return memory_.copy(buffer.data(), buffer.size(), static_cast<std::size_t>(offset));
  }
  std::size_t count = 0;
  RunFileWork([&] { count = file_->ReadAt(offset, buffer); });
  return count;
}

std::string_view BodyStore::View() const { return file_ ? file_->Map() : memory_; }

}  // namespace weft::detail
