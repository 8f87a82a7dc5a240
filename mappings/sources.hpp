#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace weft::mappings {

/// The site of all hosts that have none of their own.
inline constexpr std::string_view kDefaultSite = "default";

/// The document root of a site, whose folders may hold mapping files beside what the site serves.
struct DocumentRoot {
  std::string host;  ///< The site's name; kDefaultSite for all hosts without a site of their own.
  std::filesystem::path directory;

  friend bool operator==(const DocumentRoot&, const DocumentRoot&) = default;
};

/// Where mapping files lie.
struct MappingSources {
  /// The folder of `machine.json` and of one folder for each site. Empty: there is none.
  std::filesystem::path directory = {};
  /// At most one for a host, whose letter case does not count.
  std::vector<DocumentRoot> document_roots = {};

  /// Whether there are the built-in defaults alone.
  [[nodiscard]] bool Empty() const { return directory.empty() && document_roots.empty(); }
};

/// What is read of them at most.
struct LoadLimits {
  /// The largest file: some ten thousand entries. What is larger is another file under this name,
  /// and reading it would only fill memory.
  std::size_t file_bytes = 1'048'576;
  /// The most folders of all sites and document roots together, which bounds what symbolic links can
  /// multiply. It is ten folders each for ten thousand sites.
  std::size_t folders = 100'000;
  /// The most entries of all folders' chains together. What a folder inherits counts once more where it takes much of it
  /// away, or is an application's root: such a chain is one of its own. Where it takes little away, that little counts.
  /// Some thirty bytes each.
  std::size_t entries = 16'000'000;
  /// The most of these that are copies, about a kilobyte each: an entry whose path begins with `~/` is another one in each
  /// application.
  std::size_t rooted_entries = 1'000'000;
};

}  // namespace weft::mappings
