#include "host/tools/new_handler.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <iostream>
#include <string>

#include "host/options/exit_code.hpp"
#include "host/options/settings.hpp"
#include "host/tools/handler_project.hpp"
#include "tests/support/captured_stderr.hpp"
#include "tests/support/file_size_limit.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::host::tools {
namespace {

TEST_CASE(
    "New: where files may not become as long as they must, nothing is left and the reason is "
    "told") {
  const auto files = MakeHandlerProject(ParseHandlerName("shop::X"), HandlerKind::kPlain);
  std::size_t longest = 0;
  for (const auto& file : files) longest = std::max(longest, file.text.size());
  REQUIRE(longest > 1024);
  const test::TemporaryFolder folder;
  options::Settings settings;
  settings.output = folder / "x";
  for (const rlim_t bytes : {rlim_t{0}, rlim_t{1}, rlim_t{1024}, rlim_t{longest - 1}}) {
    CAPTURE(bytes);
    const test::CapturedStderr captured;
    int exit_code = 0;
    {
      const test::FileSizeLimit limit(bytes, SIG_DFL);
      exit_code = New(settings, {"handler", "shop::X"});
    }
    CHECK(exit_code == options::kExitSystem);
    std::cerr.clear();  // it could not write either
    const bool can_be_told = bytes > 512;
    CHECK((captured.Text().find("File too large: raise the limit of a file's size (ulimit -f)\n") !=
           std::string::npos) == can_be_told);
    CHECK(std::filesystem::is_empty(folder.Path()));
  }
  const test::FileSizeLimit limit(longest, SIG_DFL);
  CHECK(New(settings, {"handler", "shop::X"}) == options::kExitOk);
  for (const auto& file : files) {
    CHECK(test::ReadWholeFile(folder / "x" / file.path) == file.text);
  }
}

}  // namespace
}  // namespace weft::host::tools
