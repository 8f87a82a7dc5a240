#include "host/observe/access_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace weft::host::observe {

namespace {

int Open(const std::string& target) {
  const int descriptor =
      open(target.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
  if (descriptor < 0) {
    throw std::system_error(errno, std::generic_category(), "access log " + target);
  }
  return descriptor;
}

}  // namespace

void AccessLog::Check(const std::string& target) {
  if (!target.empty() && target != "-") {
    close(Open(target));
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
