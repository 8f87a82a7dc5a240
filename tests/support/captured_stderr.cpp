#include "tests/support/captured_stderr.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace weft::test {

CapturedStderr::CapturedStderr() : before_(dup(STDERR_FILENO)) {
  const int file = open((folder_ / "stderr").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (before_ < 0 || file < 0 || dup2(file, STDERR_FILENO) < 0) {
    throw std::system_error(errno, std::generic_category(), "capturing standard error");
  }
  close(file);
}

CapturedStderr::~CapturedStderr() {
  dup2(before_, STDERR_FILENO);
  close(before_);
}

std::string CapturedStderr::Text() const { return ReadWholeFile(folder_ / "stderr"); }

}  // namespace weft::test
