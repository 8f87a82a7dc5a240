#include "host/tools/web_handler_files.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <chrono>

#include <filesystem>
#include <string>
#include <vector>

#include "mappings/loader.hpp"
#include "tests/support/temporary_folder.hpp"

using weft::host::tools::CheckWebHandlerFiles;
using weft::host::tools::HandlerTypes;
using weft::host::tools::WalkLimits;
using weft::test::TemporaryFolder;

namespace {

/// What is told of a site, by the built-in mappings; the folder's own name is cut off.
std::vector<std::string> Told(const TemporaryFolder& folder, const WalkLimits& limits = {}) {
  const auto loaded = weft::mappings::Load({});
  REQUIRE(loaded.table);
  HandlerTypes types({}, std::chrono::seconds{60});
  std::vector<weft::mappings::Problem> problems;
  CheckWebHandlerFiles(*loaded.table, {}, folder.Path().string() + "//", types, problems, limits);
  std::vector<std::string> told;
  for (const auto& problem : problems) {
    auto text = problem.ToString();
    REQUIRE(text.starts_with(folder.Path().string()));
    told.push_back(text.substr(folder.Path().string().size()));
  }
  return told;
}

constexpr std::string_view kWrong = "<%@ WebHandler %>";

}  // namespace

TEST_CASE("CheckWebHandlerFiles: what is wrong with a file is told at its place") {
  const TemporaryFolder folder;
  folder.Write("good.ashx", "<%@ WebHandler Class=\"weft::StaticFileHandler\" %>");
  folder.Write("wrong.ashx", "\n<%@ WebHandler Class=\"weft::StaticFile\" %>");
  folder.Write("wrong.html", kWrong);
  std::filesystem::create_directory(folder / "folder.ashx");
  REQUIRE(mkfifo((folder / "fifo.ashx").c_str(), 0600) == 0);
  CHECK(Told(folder) ==
        std::vector<std::string>{"/wrong.ashx:2:23: error: No class \"weft::StaticFile\" is built "
                                 "in; did you mean \"weft::StaticFileHandler\"?"});
}

TEST_CASE("CheckWebHandlerFiles: a link to a folder that it lies in leads nowhere") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "a/b");
  std::filesystem::create_directory_symlink(folder.Path(), folder / "a/b/up");
  std::filesystem::create_directory_symlink(folder / "a", folder / "a/b/again");
  folder.Write("a/b/wrong.ashx", kWrong);
  CHECK(Told(folder).size() == 1);
}

TEST_CASE("CheckWebHandlerFiles: where there is too much, that is told once") {
  const TemporaryFolder folder;
  for (const std::string name : {"a", "b", "c"}) {
    std::filesystem::create_directory(folder / name);
    folder.Write(name + "/wrong.ashx", kWrong);
  }
  CHECK(Told(folder).size() == 3);
  const auto told = Told(folder, {.files = 2, .folders = 100});
  REQUIRE(told.size() == 3);
  CHECK(told[2].find("warning: There are more than 2 files below the document root") !=
        std::string::npos);
  const auto less = Told(folder, {.files = 100, .folders = 2});
  REQUIRE(!less.empty());
  CHECK(less.back().find("warning: There are more than 2 folders") != std::string::npos);
}
