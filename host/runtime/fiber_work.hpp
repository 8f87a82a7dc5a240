#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string_view>

namespace weft::host::runtime {

/// What a fiber works for, as the stall watch and `weft stacks` tell it.
class IFiberWork {
 public:
  virtual ~IFiberWork() = default;
  /// Writes a text, cut where it does not fit, and returns its bytes: "request 4-17 GET /a?b=c".
  ///
  /// Async-signal-safe. Threads: on the fiber's own, and on one that works for it while it waits.
  virtual std::size_t Describe(std::span<char> into) const noexcept = 0;
  /// Writes the request's id, and returns its bytes; 0: it has none. As Describe().
  virtual std::size_t RequestId(std::span<char> /*into*/) const noexcept { return 0; }
  virtual std::chrono::steady_clock::time_point Started() const noexcept = 0;
  /// Whether it is a task of weft::Async(), and no request.
  virtual bool IsTask() const noexcept { return false; }
};

/// What a text of a fixed room is made of. Async-signal-safe.
class TextRoom {
 public:
  explicit TextRoom(std::span<char> room) noexcept : room_(room) {}

  void Append(std::string_view text) noexcept {
    used_ += text.copy(room_.data() + used_, room_.size() - used_);
  }
  std::span<char> Rest() const noexcept { return room_.subspan(used_); }
  /// So much was written into Rest().
  void Grow(std::size_t bytes) noexcept { used_ += bytes; }
  std::size_t Used() const noexcept { return used_; }

 private:
  std::span<char> room_;
  std::size_t used_ = 0;
};

}  // namespace weft::host::runtime
