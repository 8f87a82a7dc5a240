#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <weft/export.hpp>

namespace weft {

class HttpRequest;
class HttpWorkerRequest;

namespace detail {
class BodyStore;
}

/// Bytes that are read from the first to the last.
///
/// Threads: one at a time.
class WEFT_API IInputStream {
 public:
  virtual ~IInputStream();

  /// Copies at most `buffer.size()` bytes, maybe fewer; 0 is the end. May wait.
  virtual std::size_t Read(std::span<char> buffer) = 0;
};

/// A body as it arrives. Obtained from HttpRequest::GetBufferlessInputStream() or GetBufferedInputStream().
class WEFT_API HttpInputStream final : public IInputStream {
 public:
  /// Waits for bytes and copies at most `buffer.size()` of them; 0 is the end of the body.
  /// Throws as HttpWorkerRequest.
  std::size_t Read(std::span<char> buffer) override;

 private:
  friend class HttpRequest;
  explicit HttpInputStream(HttpRequest& request) noexcept : request_(request) {}

  HttpRequest& request_;
  const detail::BodyStore* store_ = nullptr;  // the body has come already: it is read from here
  std::uint64_t position_ = 0;                // there
  bool at_end_ = false;
};

/// A body, or a file in it, that has come already: seekable, from memory or from the temporary file that it lies in.
///
/// Reading from a file may block, which an async handler's fiber leaves to another thread, as weft::Offload does.
/// Lifetime: that of the request.
class WEFT_API HttpBodyStream final : public IInputStream {
 public:
  /// Nothing.
  HttpBodyStream() noexcept = default;
  HttpBodyStream(const detail::BodyStore* store, std::uint64_t offset,
                 std::uint64_t length) noexcept
      : store_(store), offset_(offset), length_(length) {}

  /// Throws std::system_error when the temporary file cannot be read.
  std::size_t Read(std::span<char> buffer) override;
  /// In bytes, wherever it is read.
  std::uint64_t Length() const noexcept { return length_; }
  /// Where the next Read() begins.
  std::uint64_t Position() const noexcept { return position_; }
  /// Throws std::out_of_range beyond Length().
  void Seek(std::uint64_t position);

 private:
  friend class HttpPostedFile;

  const detail::BodyStore* store_ = nullptr;
  std::uint64_t offset_ = 0;
  std::uint64_t length_ = 0;
  std::uint64_t position_ = 0;
};

}  // namespace weft
