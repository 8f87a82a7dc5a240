#pragma once

#include <sys/resource.h>

#include <csignal>
#include <stdexcept>

namespace weft::test {

/// While it lives, no file of this process becomes longer than so many bytes, as with `ulimit -f`. What a write beyond that does
/// besides its failure, `on_excess` says: nothing, or, with SIG_DFL, the end of the process.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes, void (*on_excess)(int) = SIG_IGN)
      : handler_before_(std::signal(SIGXFSZ, on_excess)) {
    const bool is_known = ::getrlimit(RLIMIT_FSIZE, &before_) == 0;
    const rlimit limit{bytes, before_.rlim_max};
    if (!is_known || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) {
      throw std::runtime_error("the size of files cannot be limited");
    }
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_before_);
  }

 private:
  void (*handler_before_)(int);
  rlimit before_{};
};

}  // namespace weft::test
