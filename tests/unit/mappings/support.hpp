#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mappings/loader.hpp"
#include "mappings/problem.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::mappings::testing {

/// A folder of mapping files that lives as long as the object.
class TemporaryTree {
 public:
  TemporaryTree() = default;
  TemporaryTree(std::initializer_list<std::pair<std::string_view, std::string_view>> files);

  [[nodiscard]] const std::filesystem::path& Root() const { return folder_.Path(); }
  [[nodiscard]] std::filesystem::path operator/(std::string_view path) const {
    return folder_ / path;
  }

  /// Creates the file, and the folders that it lies in.
  void Write(std::string_view path, std::string_view text) const;
  void MakeFolder(std::string_view path) const;
  void Link(std::string_view path, const std::filesystem::path& target) const;

  /// Loads it. The root's own path is cut off the files' names in the problems.
  [[nodiscard]] LoadResult Load(const LoadLimits& limits = {}) const;
  /// The same of folders in it.
  [[nodiscard]] LoadResult Load(const MappingSources& sources, const LoadLimits& limits = {}) const;

 private:
  test::TemporaryFolder folder_;
};

/// Each problem as its ToString().
[[nodiscard]] std::vector<std::string> Told(const std::vector<Problem>& problems);

/// What is told of a mapping file with this text, under the name "f".
[[nodiscard]] std::vector<std::string> ToldOf(std::string_view text);

/// A mapping file with one `add` for each of the (verb, path, type) given.
struct Mapped {
  std::string_view verb;
  std::string_view path;
  std::string_view type;
};
[[nodiscard]] std::string File(std::initializer_list<Mapped> adds, std::string_view before = "");

/// A machine.json that clears the built-in defaults, then adds.
[[nodiscard]] std::string Only(std::initializer_list<Mapped> adds);

/// "Class /file/path|/path/info", or the outcome where there is no entry.
[[nodiscard]] std::string Routed(const MappingTable& table, std::string_view verb,
                                 std::string_view script_path, std::string_view path_info = "",
                                 std::string_view host = "example.org");

}  // namespace weft::mappings::testing

namespace doctest {

template <>
struct StringMaker<std::vector<std::string>> {
  // NOLINTNEXTLINE(readability-identifier-naming): the name is doctest's.
  static String convert(const std::vector<std::string>& lines);
};

}  // namespace doctest
