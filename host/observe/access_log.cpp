#include "host/observe/access_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace weft::host::observe {

namespace {

[[noreturn]] void Fail(const std::string& target) {
  throw std::system_error(errno, std::generic_category(), "access log " + target);
}

bool IsFifo(const std::string& target) {
  struct stat status {};
  return stat(target.c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
}

int Open(const std::string& target) {
  // A FIFO is opened for reading as well: it then needs no reader to be opened, a reader that leaves makes no
  // errors, and lines wait in it for the next one. O_NONBLOCK is for what takes its place meanwhile.
  const int how = IsFifo(target) ? O_RDWR : O_WRONLY | O_CREAT | O_APPEND;
  const int descriptor = open(target.c_str(), how | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);
  if (descriptor < 0) {
    Fail(target);
  }
  return descriptor;
}

}  // namespace

void AccessLog::Check(const std::string& target) {
  if (target.empty() || target == "-") {
    return;
  }
  if (!IsFifo(target)) {
    close(Open(target));
  } else if (faccessat(AT_FDCWD, target.c_str(), R_OK | W_OK, AT_EACCESS) != 0) {
    Fail(target);
  }
}

void AccessLog::Flush() noexcept {
  if (writer_) {
    writer_->Flush();
  }
}

AccessLog::AccessLog(const std::string& target) {
  if (target.empty()) {
    return;
  }
  if (target == "-") {
    writer_ = std::make_unique<LineWriter>(STDERR_FILENO);
    return;
  }
  descriptor_ = Open(target);
  writer_ = std::make_unique<LineWriter>(descriptor_, "the access log " + target);
}

AccessLog::~AccessLog() {
  writer_.reset();
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
}

void AccessLog::Write(const RequestRecord& record) noexcept {
  if (!writer_) {
    return;
  }
  try {
    writer_->Write(FormatAccessLine(record));
  } catch (...) {
    // No memory for a line: the request itself went well.
  }
}

}  // namespace weft::host::observe
