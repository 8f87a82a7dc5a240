#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

namespace weft::mappings {

/// Tells whether the mapping files below a folder have changed, without reading them.
///
/// A fingerprint is made of what stat(2) says of the files that Load() reads, of those with a wrong
/// letter case that it warns of, of the folders and of the symbolic links: names, kind, owner and
/// permissions, which file it is, and for a file its size and the times of its last changes, to the
/// nanosecond. Symbolic links are followed, so one that is swapped anywhere on the way shows.
/// Other files, an editor's for instance, do not count.
///
/// Not seen: a second change of a file in place, to the same size, within one tick of the file
/// system's clock (4 ms as a rule, seconds on some network file systems) after a look.
///
/// Cost: the first look lists every folder; a further one lists those that have changed and asks
/// stat(2) once for each folder and each file (docs/decisions/0008-reload.md has figures).
///
/// Threads: any, one at a time; it blocks on files.
class Fingerprinter {
 public:
  /// `directory`: as for Load(). Nothing is looked at yet. Folders beyond `max_folders` are not
  /// looked at: Load() refuses them.
  explicit Fingerprinter(std::filesystem::path directory, std::size_t max_folders = 100'000);
  ~Fingerprinter();
  Fingerprinter(const Fingerprinter&) = delete;
  Fingerprinter& operator=(const Fingerprinter&) = delete;

  /// Looks at the files. Two equal values mean that nothing has changed between. What cannot be
  /// looked at counts by its error, a folder that is missing as well. Throws std::bad_alloc.
  [[nodiscard]] std::uint64_t Take();

 private:
  struct Node;
  struct Look;

  void Visit(Node& node, Look& look);
  static void List(Node& node, const Look& look);

  std::filesystem::path directory_;
  std::size_t max_folders_;
  std::unique_ptr<Node> top_;
};

}  // namespace weft::mappings
