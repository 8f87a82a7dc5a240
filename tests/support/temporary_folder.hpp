#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace weft::test {

/// A folder that lives as long as the object. Other users may enter and list it: see AsNobody.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  const std::filesystem::path& Path() const noexcept { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  /// Writes a file, and the folders that it lies in; returns its path.
  std::filesystem::path Write(std::string_view name, std::string_view text) const;

 private:
  std::filesystem::path path_;
};

/// The whole of a file. Throws std::runtime_error when it cannot be read.
std::string ReadWholeFile(const std::filesystem::path& path);

}  // namespace weft::test
