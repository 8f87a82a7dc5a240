#pragma once

#include <string>

#include "tests/support/temporary_folder.hpp"

namespace weft::test {

/// While it lives, standard error goes to a file.
class CapturedStderr {
 public:
  CapturedStderr();
  CapturedStderr(const CapturedStderr&) = delete;
  CapturedStderr& operator=(const CapturedStderr&) = delete;
  ~CapturedStderr();

  std::string Text() const;

 private:
  TemporaryFolder folder_;
  int before_;
};

}  // namespace weft::test
