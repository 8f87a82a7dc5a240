#pragma once

#include <unistd.h>

#include <utility>

namespace weft::host::observe {

/// Owns one descriptor and closes it.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) noexcept : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      Close();
      number_ = other.Release();
    }
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { Close(); }

  /// -1 when it owns none.
  [[nodiscard]] int Number() const noexcept { return number_; }
  [[nodiscard]] bool IsOpen() const noexcept { return number_ >= 0; }

  /// Gives the descriptor away; the caller closes it.
  [[nodiscard]] int Release() noexcept { return std::exchange(number_, -1); }

  void Close() noexcept {
    // EINTR is not retried: on Linux the descriptor is gone by then, and the number may be
    // another's.
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_ = -1;
};

}  // namespace weft::host::observe
