#include "host/options/settings.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>

namespace weft::host::options {
namespace {

using std::chrono::milliseconds;

TEST_CASE("Settings: workers are as many as said, else none when spawned, else one per core") {
  Settings settings;
  CHECK(settings.WorkerCount(/*spawned=*/true) == 0);
  CHECK(settings.WorkerCount(/*spawned=*/false) >= 1);
  settings.workers = 3;
  CHECK(settings.WorkerCount(/*spawned=*/true) == 3);
  CHECK(settings.WorkerCount(/*spawned=*/false) == 3);
  settings.workers = 0;
  CHECK(settings.WorkerCount(/*spawned=*/false) == 0);
}

TEST_CASE("Settings: the drain time is as said, else short when spawned") {
  Settings settings;
  CHECK(settings.DrainTimeout(/*spawned=*/true) == milliseconds{2'000});
  CHECK(settings.DrainTimeout(/*spawned=*/false) == milliseconds{30'000});
  settings.drain_timeout = milliseconds{5};
  CHECK(settings.DrainTimeout(/*spawned=*/true) == milliseconds{5});
}

TEST_CASE("Settings: the folder of modules is as said, else beside the program's, if it exists") {
  Settings settings;
  const std::filesystem::path beside =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "modules";
  using Folders = std::vector<std::filesystem::path>;
  CHECK(settings.ModuleFolders() ==
        (std::filesystem::is_directory(beside) ? Folders{beside} : Folders{}));
  settings.modules = {"/nonexistent", "/neither"};
  CHECK(settings.ModuleFolders() == Folders{"/nonexistent", "/neither"});
}

}  // namespace
}  // namespace weft::host::options
