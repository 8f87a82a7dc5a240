#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "mappings/sources.hpp"

namespace weft::mappings {

/// Tells whether mapping files have changed, without reading them.
///
/// A fingerprint is made of what stat(2) says of the files that Load() reads, of those with a wrong
/// letter case that it warns of, of the folders and of the symbolic links: names, kind, owner and
/// permissions, which file it is, and for a file its size and the times of its last changes, to the
/// nanosecond. Symbolic links are followed, so one that is swapped anywhere on the way shows.
/// Other files, an editor's for instance, do not count. Of a document root neither do folders count
/// without a mapping file in them or below, for there folders come and go for other reasons.
///
/// Not seen: a second change of a file in place, to the same size, within one tick of the file
/// system's clock (4 ms as a rule, seconds on some network file systems) after a look.
///
/// Cost: the first look lists every folder; a further one lists those that have changed and asks
/// stat(2) once for each folder and each file (docs/decisions/0009-reload.md has figures).
///
/// Threads: any, one at a time; it blocks on files.
class Fingerprinter {
 public:
  /// `sources`: as for Load(). Nothing is looked at yet. Folders beyond `max_folders` are not
  /// looked at: Load() refuses them.
  explicit Fingerprinter(const MappingSources& sources,
                         std::size_t max_folders = LoadLimits{}.folders);
  ~Fingerprinter();
  Fingerprinter(const Fingerprinter&) = delete;
  Fingerprinter& operator=(const Fingerprinter&) = delete;

  /// Looks at the files. Two equal values mean that nothing has changed between. What cannot be
  /// looked at counts by its error, a folder that is missing as well. Throws std::bad_alloc.
  [[nodiscard]] std::uint64_t Take();

 private:
  struct Node;
  struct Tree;
  struct Round;
  struct Status;
  class Hash;

  void Look(Tree& tree, Round& round);
  bool Visit(Node& node, Round& round, Hash& hash);
  bool VisitItems(Node& node, const Status& status, Round& round, Hash& hash);
  static bool LeadsBack(Node& link, const Round& round);
  static std::unique_ptr<Node> ItemIn(const Node& folder, std::string_view name, bool is_link);
  static void List(Node& node, const Round& round);

  std::size_t max_folders_;
  std::vector<Tree> trees_;
};

}  // namespace weft::mappings
