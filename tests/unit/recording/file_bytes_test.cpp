#include "host/recording/file_bytes.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>

#include "tests/support/temporary_folder.hpp"

using namespace weft::host::recording;

namespace {

std::size_t FilesIn(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("WriteFileBytes: a new file, for its owner alone") {
  const weft::test::TemporaryFolder folder;
  const mode_t mask = umask(0);
  const std::string bytes(200'000, '\0');
  WriteFileBytes(folder / "a", bytes, Existing::kKeep);
  umask(mask);
  CHECK((weft::test::ReadWholeFile(folder / "a") == bytes));
  struct stat status {};
  REQUIRE(stat((folder / "a").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  CHECK(FilesIn(folder.Path()) == 1);
}

TEST_CASE("WriteFileBytes: what is there stays, or is replaced as a whole") {
  const weft::test::TemporaryFolder folder;
  folder.Write("mine", "mine");
  std::filesystem::create_symlink("mine", folder / "a");
  try {
    WriteFileBytes(folder / "a", "new", Existing::kKeep);
    FAIL("it was replaced");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::file_exists);
  }
  CHECK(weft::test::ReadWholeFile(folder / "a") == "mine");
  WriteFileBytes(folder / "a", "new", Existing::kReplace);
  CHECK(weft::test::ReadWholeFile(folder / "a") == "new");
  // Not where the link led.
  CHECK(weft::test::ReadWholeFile(folder / "mine") == "mine");
  CHECK(FilesIn(folder.Path()) == 2);
}

TEST_CASE("WriteFileBytes: nothing is left where the file cannot be made") {
  const weft::test::TemporaryFolder folder;
  std::filesystem::create_directory(folder / "d");
  CHECK_THROWS_AS(WriteFileBytes(folder / "d", "x", Existing::kReplace), std::system_error);
  CHECK_THROWS_AS(WriteFileBytes(folder / "no" / "a", "x", Existing::kKeep), std::system_error);
  CHECK(FilesIn(folder.Path()) == 1);
}

TEST_CASE("ReadFileBytes: a byte more than the limit tells that there are more") {
  const weft::test::TemporaryFolder folder;
  const std::string bytes(200'000, 'a');
  const auto file = folder.Write("a", bytes);
  CHECK((ReadFileBytes(file, 200'000) == bytes));
  CHECK(ReadFileBytes(file, 199'999)->size() == 200'000);
  CHECK(ReadFileBytes(file, 10)->size() == 11);
  CHECK(ReadFileBytes(folder.Write("b", ""), 10) == "");
  CHECK_FALSE(ReadFileBytes(folder / "no", 10));
}
