#include "handlers/contract/http_response_files.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_worker_request.hpp>

namespace weft {

namespace {

/// Files are read and sent in pieces of this size, which is also what one costs while its client reads slowly. The rate
/// levels off here (docs/benchmarks.md, transmit).
constexpr std::size_t kPieceBytes = 128 * 1024;
/// Each holds a descriptor open, and a worker has a bounded number of those: at that many the body is sent piece by piece.
constexpr std::size_t kMaxHeldFiles = 64;

/// The piece of a file that is sent next.
class Piece {
 public:
  explicit Piece(std::size_t capacity)
      : capacity_(capacity), bytes_(std::make_unique_for_overwrite<char[]>(capacity)) {}

  /// Reads what comes at `offset` of a file, `bytes` of it or as many as there is room for. Waits for the disk.
  std::string_view Read(const detail::RegularFile& file, std::uint64_t offset,
                        std::uint64_t bytes) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, capacity_));
    const auto count = Offload([&] { return file.ReadAt(offset, bytes_.get(), wanted); });
    if (count < wanted) {
      // What was promised cannot be kept, and the answer must not look whole.
      throw HttpException(500, {}, file.Path() + " became shorter while it was sent")
          .WithCause(cause::kFileChanged);
    }
    return {bytes_.get(), count};
  }

 private:
  std::size_t capacity_;
  std::unique_ptr<char[]> bytes_;
};

std::shared_ptr<const detail::RegularFile> Open(const std::string& path) {
  if (path.empty()) {
    throw HttpException(404, {}, "the web server sent neither SCRIPT_FILENAME nor DOCUMENT_ROOT")
        .WithCause(cause::kNoDocumentRoot);
  }
  if (path.front() != '/') {
    throw std::invalid_argument("HttpResponse::WriteFile(): '" + path +
                                "' is no absolute path; HttpRequest::MapPath() makes one");
  }
  if (path.find('\0') != std::string::npos) {
    throw HttpException(404, {}, "a path with a NUL names no file").WithCause(cause::kFileNotFound);
  }
  return Offload([&] { return std::make_shared<const detail::RegularFile>(path); });
}

}  // namespace

void HttpResponse::WriteFile(const std::string& path) {
  auto file = Open(path);
  const auto bytes = file->Version().bytes;
  WriteFile(std::move(file), 0, bytes);
}

void HttpResponse::WriteFile(const std::string& path, std::uint64_t offset, std::uint64_t bytes) {
  WriteFile(Open(path), offset, bytes);
}

void HttpResponse::WriteFile(std::shared_ptr<const detail::RegularFile> file, std::uint64_t offset,
                             std::uint64_t bytes) {
  if (completed_) {
    throw std::logic_error("HttpResponse::WriteFile() after the response was completed");
  }
  const auto size = file->Version().bytes;
  if (offset > size || bytes > size - offset) {
    throw std::out_of_range("HttpResponse::WriteFile(): " + std::to_string(bytes) + " bytes from " +
                            std::to_string(offset) + " on, but " + file->Path() + " has " +
                            std::to_string(size));
  }
  bytes_written_ += bytes;
  if (head_) {
    head_bytes_ += bytes;
    return;
  }
  if (!HasBody() || bytes == 0) {
    return;
  }
  if (files_ == nullptr) {
    files_ = std::make_unique<Files>();
  }
  files_->ranges.push_back({std::move(file), offset, bytes, buffer_.size()});
  if (buffer_bytes_ == 0 || files_->ranges.size() >= kMaxHeldFiles) {
    if (!headers_written_) {
      CheckLength(BufferedBytes());
    }
    SendBuffer();
  }
}

std::uint64_t HttpResponse::BufferedBytes() const noexcept {
  std::uint64_t bytes = buffer_.size();
  if (files_ != nullptr) {
    for (const auto& range : files_->ranges) {
      bytes += range.bytes;
    }
  }
  return bytes;
}

void HttpResponse::SendBufferWithFiles() {
  std::uint64_t largest = 0;
  for (const auto& range : files_->ranges) {
    largest = std::max(largest, range.bytes);
  }
  Piece piece(static_cast<std::size_t>(std::min<std::uint64_t>(largest, kPieceBytes)));
  // Before the header block: a disk that fails, or no thread to read it with, is an answer of its own then.
  auto read = piece.Read(*files_->ranges.front().file, files_->ranges.front().offset,
                         files_->ranges.front().bytes);
  SendHeaders();
  if (files_ == nullptr) {
    SendBuffer();  // a status without a body, or what a callback wrote instead
    return;
  }
  const auto files = std::exchange(files_, nullptr);
  std::size_t sent = 0;
  const auto send_text = [&](std::size_t end) {
    if (end > sent) {
      Send(std::string_view(buffer_).substr(sent, end - sent));
      sent = end;
    }
  };
  for (auto& range : files->ranges) {
    send_text(range.position);
    while (range.bytes > 0) {
      if (read.empty()) {
        read = piece.Read(*range.file, range.offset, range.bytes);
      }
      Send(read);
      range.offset += read.size();
      range.bytes -= read.size();
      read = {};
    }
    range.file.reset();
  }
  send_text(buffer_.size());
  buffer_.clear();
}

}  // namespace weft
