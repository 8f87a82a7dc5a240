#pragma once

#include <sys/fsuid.h>

namespace weft::test {

/// While it lives, this thread may do with files what user `nobody` may, even when the tests run as root. For any other
/// user who runs them it changes nothing, and a file with no permissions is closed to that one too.
class AsNobody {
 public:
  AsNobody() : before_(setfsuid(65534)) {}
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;
  ~AsNobody() { setfsuid(static_cast<uid_t>(before_)); }

 private:
  int before_;
};

}  // namespace weft::test
