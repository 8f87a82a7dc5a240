#include "host/observe/line_sink.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

#include "host/observe/descriptor_packet.hpp"
#include "host/observe/write_piece.hpp"

namespace weft::host::observe {

namespace {

/// Of a write to a file: far more than a line, and a disk that is slow holds up no more than that.
constexpr std::size_t kMaxFilePiece = 256 * 1024;
constexpr std::string_view kEndOfRecord = "\n\n";

[[noreturn]] void Fail(const std::string& what, const std::string& path) {
  throw std::system_error(errno, std::generic_category(), what + " " + path);
}

bool IsFifo(const std::string& path) noexcept {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
}

/// -1: errno says why.
int Open(const std::string& path) noexcept {
  // A FIFO is opened for reading as well: it then needs no reader to be opened, a reader that leaves makes no
  // errors, and lines wait in it for the next one. O_NONBLOCK is for what takes its place meanwhile.
  const int how = IsFifo(path) ? O_RDWR : O_WRONLY | O_CREAT | O_APPEND;
  return ::open(path.c_str(), how | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);
}

/// The record without its empty line, in a file in memory that nobody can change any more: how journald takes what no
/// datagram holds. -1: errno says why.
int Sealed(std::string_view record) noexcept {
  const int file = ::memfd_create("weft-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) {
    return -1;
  }
  while (!record.empty()) {
    const auto count = ::write(file, record.data(), record.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      break;
    }
    record.remove_prefix(static_cast<std::size_t>(count));
  }
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (!record.empty() || ::fcntl(file, F_ADD_SEALS, kSeals) != 0) {
    const int error = errno;
    ::close(file);
    errno = error;
    return -1;
  }
  return file;
}

bool IsDown(int error) noexcept {
  return error == ECONNREFUSED || error == ENOTCONN || error == ECONNRESET || error == EPIPE;
}

}  // namespace

LineSink LineSink::ToDescriptor(int descriptor) { return {Kind::kDescriptor, descriptor, {}}; }

LineSink LineSink::ToFile(const std::string& path, const std::string& what) {
  const int descriptor = Open(path);
  if (descriptor < 0) {
    Fail(what, path);
  }
  LineSink sink(Kind::kFile, descriptor, path);
  sink.LookAtFile();
  return sink;
}

LineSink LineSink::ToJournal(std::string path) {
  LineSink sink(Kind::kJournal, -1, std::move(path));
  sink.Connect();
  return sink;
}

void LineSink::CheckFile(const std::string& path, const std::string& what) {
  if (!IsFifo(path)) {
    const int descriptor = Open(path);
    if (descriptor < 0) {
      Fail(what, path);
    }
    ::close(descriptor);
  } else if (::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS) != 0) {
    Fail(what, path);
  }
}

LineSink LineSink::Duplicate() const {
  if (kind_ == Kind::kDescriptor || descriptor_ < 0) {
    return {kind_, descriptor_, path_};
  }
  const int descriptor = ::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  if (descriptor < 0) {
    Fail("duplicating", path_);
  }
  LineSink sink(kind_, descriptor, path_);
  sink.is_regular_ = is_regular_;
  return sink;
}

LineSink::LineSink(LineSink&& other) noexcept
    : kind_(other.kind_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      is_regular_(other.is_regular_),
      path_(std::move(other.path_)) {}

LineSink::~LineSink() {
  if (kind_ != Kind::kDescriptor && descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

void LineSink::LookAtFile() noexcept {
  struct stat status {};
  is_regular_ = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
}

ssize_t LineSink::Write(std::string_view lines) noexcept {
  if (kind_ == Kind::kJournal) {
    return SendRecord(lines);
  }
  if (!is_regular_) {
    return WritePiece(descriptor_, lines);
  }
  auto piece = lines.substr(0, kMaxFilePiece);
  if (piece.size() < lines.size()) {
    // A line that is longer goes whole.
    const auto end = piece.rfind('\n') != std::string_view::npos ? piece.rfind('\n')
                                                                 : lines.find('\n', piece.size());
    piece = lines.substr(0, end == std::string_view::npos ? end : end + 1);
  }
  const auto count = ::write(descriptor_, piece.data(), piece.size());
  return count < 0 && errno == EINTR ? 0 : count;
}

std::size_t LineSink::Count(std::string_view lines) const noexcept {
  if (kind_ != Kind::kJournal) {
    return static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
  }
  std::size_t count = 0;
  for (auto at = lines.find(kEndOfRecord); at != std::string_view::npos;
       at = lines.find(kEndOfRecord, at + kEndOfRecord.size())) {
    ++count;
  }
  return count;
}

bool LineSink::Connect() noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  path_.copy(address.sun_path, path_.size());
  // Connected, so that poll() tells whether journald has room.
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0 ||
      ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (socket >= 0) {
      ::close(socket);
    }
    errno = error;
    return false;
  }
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
  descriptor_ = socket;
  return true;
}

ssize_t LineSink::SendRecord(std::string_view lines) noexcept {
  const auto end = lines.find(kEndOfRecord);
  const auto bytes = end == std::string_view::npos ? lines.size() : end + kEndOfRecord.size();
  // With the end of its last field.
  const auto record = lines.substr(0, end == std::string_view::npos ? lines.size() : end + 1);
  if (descriptor_ < 0 && !Connect()) {
    return -1;
  }
  for (bool is_again = false;; is_again = true) {
    auto count = ::send(descriptor_, record.data(), record.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && (errno == EMSGSIZE || errno == ENOBUFS)) {
      if (const int file = Sealed(record); file >= 0) {
        count = SendWithDescriptors(descriptor_, {}, std::span(&file, 1), MSG_DONTWAIT);
        const int error = errno;
        ::close(file);
        errno = error;
      }
    }
    if (count >= 0) {
      return static_cast<ssize_t>(bytes);
    }
    if (errno == EAGAIN || errno == EINTR) {
      return 0;
    }
    if (is_again || !IsDown(errno) || !Connect()) {
      return -1;
    }
  }
}

bool LineSink::Reopen() noexcept {
  if (kind_ != Kind::kFile) {
    return true;
  }
  const int descriptor = Open(path_);
  if (descriptor < 0) {
    return false;
  }
  ::close(std::exchange(descriptor_, descriptor));
  LookAtFile();
  return true;
}

}  // namespace weft::host::observe
