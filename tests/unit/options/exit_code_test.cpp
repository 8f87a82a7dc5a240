#include "host/options/exit_code.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <system_error>

namespace weft::host::options {
namespace {

TEST_CASE("ExitCodeFor: what this user may not is 77, whatever else the system refuses is 71") {
  for (const int error : {EACCES, EPERM}) {
    CAPTURE(error);
    CHECK(ExitCodeFor({error, std::generic_category()}) == kExitNoPermission);
    CHECK(ExitCodeFor({error, std::system_category()}) == kExitNoPermission);
  }
  for (const int error : {EMFILE, ENFILE, ENOMEM, EAGAIN, EIO}) {
    CAPTURE(error);
    CHECK(ExitCodeFor({error, std::system_category()}) == kExitSystem);
  }
}

}  // namespace
}  // namespace weft::host::options
