#include "handlers/contract/http_response_files.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_worker_request.hpp>
#include "handlers/contract/file_pipe.hpp"
#include "handlers/contract/http_response_details.hpp"
#include "handlers/contract/percent_encoding.hpp"
#include "handlers/contract/site_path.hpp"

namespace weft {

namespace {

/// Files are read and sent in pieces of this size, which is also what one costs while its client reads slowly. The rate
/// levels off here (docs/benchmarks.md, transmit).
constexpr std::size_t kPieceBytes = 128 * 1024;
/// Each holds a descriptor open, and a worker has a bounded number of those: at that many the body is sent piece by piece.
constexpr std::size_t kMaxHeldFiles = 64;

/// What was promised cannot be kept, and the answer must not look whole.
[[noreturn]] void BecameShorter(const detail::RegularFile& file) {
  throw HttpException(500, {}, file.Path() + " became shorter while it was sent")
      .WithCause(cause::kFileChanged);
}

/// The piece of a file that is sent next.
class Piece {
 public:
  explicit Piece(std::size_t capacity) : capacity_(capacity) {}

  /// Reads what comes at `offset` of a file, `bytes` of it or as many as there is room for. Waits for the disk.
  std::string_view Read(const detail::RegularFile& file, std::uint64_t offset,
                        std::uint64_t bytes) {
    if (bytes_ == nullptr) {
      bytes_ = std::make_unique_for_overwrite<char[]>(capacity_);
    }
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, capacity_));
    const auto count = Offload([&] { return file.ReadAt(offset, bytes_.get(), wanted); });
    if (count < wanted) {
      BecameShorter(file);
    }
    return {bytes_.get(), count};
  }
  /// What was read is not needed any more.
  void Release() noexcept { bytes_.reset(); }

 private:
  std::size_t capacity_;
  std::unique_ptr<char[]> bytes_;
};

/// The same without a copy, for what goes to the web server as it is.
class SplicedPiece {
 public:
  /// Puts what comes there into the pipe, and says how much that is; 0: it has to be read. Waits for the disk.
  std::size_t Fill(const detail::RegularFile& file, std::uint64_t offset, std::uint64_t bytes) {
    if (!std::exchange(tried_, true)) {
      pipe_ = detail::FilePipe::TryMake();
    }
    if (pipe_ == nullptr) {
      return 0;
    }
    const auto count = Offload([&] { return pipe_->TryFill(file, offset, bytes); });
    if (!count) {
      pipe_.reset();
      return 0;
    }
    if (*count == 0) {
      BecameShorter(file);
    }
    return *count;
  }
  int Pipe() const noexcept { return pipe_->ReadEnd(); }

 private:
  bool tried_ = false;
  std::unique_ptr<detail::FilePipe> pipe_;
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
  RequireNotSendingHeaders("WriteFile()");
  const auto size = file->Version().bytes;
  if (offset > size || bytes > size - offset) {
    throw std::out_of_range("HttpResponse::WriteFile(): " + std::to_string(bytes) + " bytes from " +
                            std::to_string(offset) + " on, but " + file->Path() + " has " +
                            std::to_string(size));
  }
  bytes_written_ += bytes;
  if (head_) {
    head_bytes_ += bytes;
    if (settings_ == nullptr || settings_->sendfile_header == SendfileHeader::kNone) {
      return;
    }
    // GET's header fields may be the web server's to tell.
  }
  if (suppress_content_ || !StatusAllowsBody() || bytes == 0) {
    return;
  }
  if (files_ == nullptr) {
    files_ = std::make_unique<Files>();
  }
  files_->ranges.push_back({std::move(file), offset, bytes, buffer_.size()});
  if (buffer_bytes_ == 0 || files_->ranges.size() >= kMaxHeldFiles) {
    if (!headers_written_ && !head_) {
      CheckLength(BufferedBytes());
    }
    SendBuffer();
    if (buffer_bytes_ == 0 && !head_) {
      FlushEncoder(false);
      sink_.Flush();
    }
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

namespace {

/// What nginx passes on of an answer with X-Accel-Redirect; it drops any other field of a handler's.
constexpr std::string_view kKeptByAccelRedirect[] = {
    "Accept-Ranges", "Cache-Control", "Content-Disposition",
    "Content-Type",  "Expires",       "Set-Cookie"};

/// All three servers decode it.
std::string PathToTell(std::string_view prefix, std::string_view path) {
  static constexpr auto kPlain = detail::AlphanumericAnd("-._~/");
  std::string text;
  for (const auto part : {prefix, path}) {
    for (const char c : part) {
      if (detail::Contains(kPlain, c)) {
        text += c;
      } else {
        detail::AppendEscape(text, c, detail::kCapitalDigits);
      }
    }
  }
  return text;
}

}  // namespace

const SendfileRoot* HttpResponse::HandOverRoot() const {
  const auto& ranges = files_->ranges;
  if (settings_ == nullptr || headers_written_ || suppress_content_ || status_ != 200 ||
      ranges.size() != 1 || !buffer_.empty()) {
    return nullptr;
  }
  const auto& range = ranges.front();
  if (range.offset != 0 || range.bytes != range.file->Version().bytes ||
      (head_ && head_bytes_ != range.bytes) || headers_.Contains("Content-Range") ||
      headers_.Contains("Content-Encoding") || headers_.Contains("X-Sendfile") ||
      headers_.Contains("X-Accel-Redirect")) {
    return nullptr;
  }
  const bool is_redirect = settings_->sendfile_header == SendfileHeader::kXAccelRedirect;
  if (is_redirect && std::any_of(headers_.begin(), headers_.end(), [](const auto& field) {
        return std::none_of(std::begin(kKeptByAccelRedirect), std::end(kKeptByAccelRedirect),
                            [&](auto kept) { return EqualsIgnoreCase(field.first, kept); }) &&
               !EqualsIgnoreCase(field.first, "Content-Length");
      })) {
    return nullptr;
  }
  const std::string_view path = range.file->Path();
  for (const auto& root : settings_->sendfile_roots) {
    const auto length = root.directory.size();
    if (path.size() > length && path.starts_with(root.directory) && path[length] == '/' &&
        IsPlainPath(path)) {
      return &root;
    }
  }
  return nullptr;
}

bool HttpResponse::TryHandOverFile() {
  const auto* const root = HandOverRoot();
  if (root == nullptr) {
    return false;
  }
  const std::string_view path = files_->ranges.front().file->Path();
  headers_.Remove("Content-Length");
  if (settings_->sendfile_header == SendfileHeader::kXAccelRedirect) {
    headers_.Set("X-Accel-Redirect",
                 PathToTell(root->prefix, path.substr(root->directory.size() + 1)));
  } else {
    headers_.Set("X-Sendfile", PathToTell({}, path));
  }
  files_.reset();
  return true;
}

void HttpResponse::SendBufferWithFiles() {
  if (head_) {
    files_.reset();
    SendHeaders();
    return;
  }
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
  SplicedPiece spliced;
  std::size_t sent = 0;
  const auto send_text = [&](std::size_t end) {
    if (end > sent) {
      SendBytes(std::string_view(buffer_).substr(sent, end - sent));
      sent = end;
    }
  };
  try {
    for (auto& range : files->ranges) {
      send_text(range.position);
      while (range.bytes > 0) {
        std::size_t count = 0;
        if (read.empty() && encoder_ == nullptr && range.bytes >= kPieceBytes) {
          count = spliced.Fill(*range.file, range.offset, range.bytes);
        }
        if (count != 0) {
          piece.Release();
          SendPiped(spliced.Pipe(), count);
        } else {
          if (read.empty()) {
            read = piece.Read(*range.file, range.offset, range.bytes);
          }
          SendBytes(read);
          count = read.size();
          read = {};
        }
        range.offset += count;
        range.bytes -= count;
      }
      range.file.reset();
    }
    send_text(buffer_.size());
  } catch (...) {
    Lazy().body_error = std::current_exception();
    throw;
  }
  buffer_.clear();
}

void HttpWorkerRequest::SendPiped(int pipe, std::size_t bytes) {
  constexpr std::size_t kReadBytes = 64 * 1024;
  const auto buffer = std::make_unique_for_overwrite<char[]>(std::min(bytes, kReadBytes));
  while (bytes != 0) {
    const auto count = ::read(pipe, buffer.get(), std::min(bytes, kReadBytes));
    if (count > 0) {
      bytes -= static_cast<std::size_t>(count);
      SendBody({buffer.get(), static_cast<std::size_t>(count)});
    } else if (count == 0) {
      throw std::logic_error("HttpWorkerRequest::SendPiped(): the pipe has fewer bytes");
    } else if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "read a pipe");
    }
  }
}

void HttpResponse::SendPiped(int pipe, std::size_t bytes) {
  CheckLengthWith(bytes);
  sink_.SendPiped(pipe, bytes);
  body_bytes_sent_ += bytes;
}

}  // namespace weft
