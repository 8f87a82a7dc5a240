#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/ascii.hpp"
#include "mappings/entry.hpp"
#include "mappings/entry_index.hpp"
#include "mappings/folder_settings.hpp"
#include "mappings/problem.hpp"
#include "mappings/resolution_cache.hpp"
#include "mappings/resources.hpp"
#include "mappings/type_name.hpp"

namespace weft::mappings {

/// A type that the table needs, and the entries that name it.
struct TypeUse {
  TypeName type;
  SourceLocation first_use;  ///< The type text of the first entry.
  bool validate = false;     ///< Whether any of the entries asks for it when the table is built.
  /// In the order of the levels, and of each file. Lifetime: owned by the table.
  std::vector<const Entry*> entries;
};

/// What the table has to say about a request.
///
/// Lifetime: `entry` lives as long as the table; `file_path` and `path_info` view the arguments of
/// Resolve() or, where those were not normal, this object.
struct Resolution {
  enum class Outcome {
    kFound,
    kNotFound,          ///< No entry matches the path: 404.
    kMethodNotAllowed,  ///< Entries match the path, none of them the verb: 405.
    kBadPath,           ///< The path has no normal form: 400.
    kPathTooLong,       ///< To try its folder's patterns on it would take too long: 414.
  };

  Outcome outcome = Outcome::kNotFound;
  /// For logs and metrics: one of the constants in `cause`, which keep their text in all versions.
  std::string_view cause;
  const Entry* entry = nullptr;  ///< Not null exactly when the outcome is kFound.
  /// Normalised; what the entry matched. Empty for a path that was refused.
  std::string_view file_path;
  std::string_view path_info;  ///< Normalised; empty, or begins with `/`.
  /// `GET, HEAD`: the verbs that are served here, for the Allow header. Filled for
  /// kMethodNotAllowed, and for an entry whose type is weft::HttpMethodNotAllowedHandler.
  std::string allow;
  /// Whether an entry's pattern other than a bare `*` matches the file path, under whatever verb.
  bool specific = false;
  /// Of the file path's folder; of the site's for a path that was refused. Never null. Lifetime: the table's.
  const FolderSettings* settings = nullptr;
  /// For MappingTable::EntriesOf(): the number of a chain, or kNoChain.
  std::size_t chain = kNoChain;
  static constexpr std::size_t kNoChain = static_cast<std::size_t>(-1);

  /// What `file_path` and `path_info` view when they are no part of the arguments.
  struct Rewritten {
    std::string script_path;
    std::string path_info;
    std::string joined;
  };
  std::unique_ptr<Rewritten> rewritten;
};

/// The causes of a Resolution.
namespace cause {
inline constexpr std::string_view kMapped = "mapped";
inline constexpr std::string_view kNoMapping = "no_mapping";
inline constexpr std::string_view kMethodNotMapped = "method_not_mapped";
inline constexpr std::string_view kPathNotAbsolute = "path_not_absolute";
inline constexpr std::string_view kPathHasNul = "path_has_nul";
inline constexpr std::string_view kPathHasBackslash = "path_has_backslash";
inline constexpr std::string_view kPathAboveRoot = "path_above_root";
inline constexpr std::string_view kPathTooLong = "path_too_long";
}  // namespace cause

/// Which handler serves a request: everything that the mapping files say, ready to be searched.
///
/// Threads: immutable; any number at once.
class MappingTable {
 public:
  /// The deepest folder below a site's that may hold a mapping file. Resolve() keeps one step for
  /// each on its stack.
  static constexpr std::size_t kMaxFolderDepth = 64;

  /// The most steps that trying patterns with wildcards inside on a path may take: for each such
  /// alternative in the chain of the path's folder one step for each byte of the path, and for each
  /// further 64 bytes of the alternative one more. A longer path is refused.
  /// Why: it is work on the reactor's thread, some 20 ms of it. 2,048 such alternatives are tried on
  /// paths of 8 KiB, the longest that web servers let through by default, and a hundred on 160 KiB.
  static constexpr std::size_t kMaxGlobSteps = std::size_t{1} << 24U;

  /// From so many of these alternatives in a folder's chain on (those of 64 bytes or more count as above) a cache is
  /// used: to try them takes longer than to look there.
  static constexpr std::size_t kCachedGlobWords = 4;

  /// The own entries of a chain, as they stand in one below it.
  struct Inherited {
    /// Places in Chain::own, in ascending order. Null: none.
    using Places = std::shared_ptr<const std::vector<std::uint32_t>>;

    std::size_t chain = 0;  ///< Into Parts::chains.
    Places skipped;         ///< What is taken away.

    friend bool operator==(const Inherited&, const Inherited&) = default;
  };

  /// The entries for a folder, in the order in which they are tried: its own, then those that it shares with chains
  /// above it.
  struct Chain {
    std::vector<const Entry*> own;
    std::vector<Inherited> inherited;
  };

  /// A folder of a site's URL space, in the form that the loader builds.
  struct Folder {
    std::size_t chain = 0;                           ///< Into Parts::chains.
    std::shared_ptr<const FolderSettings> settings;  ///< Not null.
    NameMap<std::size_t> children;                   ///< By name, into Parts::folders.
    /// What a path is in that ends in the name, into Parts::folders; of those without an own location, nothing.
    NameMap<std::size_t> files;
  };

  struct Parts {
    std::vector<std::unique_ptr<Entry>> entries;
    std::vector<Chain> chains;
    std::vector<Folder> folders;
    NameMap<std::size_t> sites;      ///< Root folders by host name, into `folders`.
    std::size_t any_other_site = 0;  ///< The root folder for every other host.
  };

  /// Numbers the types, and drops the entries that are in no folder's chain. Indices and places in `parts` are in
  /// range, and no folder is deeper than kMaxFolderDepth.
  explicit MappingTable(Parts parts);

  MappingTable(const MappingTable&) = delete;
  MappingTable& operator=(const MappingTable&) = delete;

  /// Finds the entry for a request.
  ///
  /// `host` is the Host header as it came: letter case, port and trailing dot do not matter.
  /// `script_path` and `path_info` are SCRIPT_NAME and PATH_INFO, percent-decoded once. Where the
  /// web server split the path, its split holds if an entry other than by a bare `*` matches
  /// `script_path`. Otherwise, and where it did not split: the longest prefix of the whole path,
  /// ending at a segment, that an entry other than by a bare `*` matches (whatever its verb) is the
  /// file path, and the rest is path info. Where there is none, the web server's split holds if
  /// any entry matches `script_path`; else the whole path is the file path.
  ///
  /// The entries are those of the file path's own location where it has one, else of its folder: the deepest folder
  /// with a mapping file, or a location, on the way to it.
  ///
  /// Cost: a search of the path for each mapping file on the way to its folder (EntryIndex),
  /// whatever the number of entries. Patterns with wildcards inside are tried one by one within
  /// kMaxGlobSteps, at most four times: on the script path, the whole path, the file path, and for
  /// Allow. Entries that match the path under other verbs cost a look each, and every entry does
  /// where Allow is needed. No allocation for a normal path that is found without a web server's
  /// split being undone.
  /// Where a path is split is decided by patterns alone; then `resources` is asked, once for a path, where an entry
  /// has a resource type. Null: nothing exists. What it throws is thrown here. `cache`, of this table alone, keeps
  /// answers that took long and did not depend on the disk; it may be null.
  [[nodiscard]] Resolution Resolve(std::string_view host, std::string_view verb,
                                   std::string_view script_path, std::string_view path_info,
                                   IResources* resources = nullptr,
                                   ResolutionCache* cache = nullptr) const;

  /// The entries that the file path of one of this table's resolutions was looked for among, in the order in which they
  /// are searched; none for a path that was refused, nor for what a cache knew. Lifetime: the table's.
  [[nodiscard]] std::vector<const Entry*> EntriesOf(const Resolution& resolution) const;

  /// The name of the site that requests for a host belong to: as its folder, or its document root's host, has it;
  /// kDefaultSite for every host without a site of its own. `host` is as for Resolve(). Lifetime: the table's.
  [[nodiscard]] std::string_view SiteName(std::string_view host) const;

  /// The types that any entry names, each once; Entry::type_index points here.
  [[nodiscard]] const std::vector<TypeUse>& Types() const { return types_; }

 private:
  class Way;
  struct Match;
  struct Split;

  /// A chain, searchable.
  struct SearchedChain {
    std::vector<Inherited> parts;  // its own entries, too
    std::size_t glob_words = 0;    // of all parts
  };

  [[nodiscard]] static EntryIndex::Places Skipped(const Inherited& part) {
    return part.skipped ? EntryIndex::Places(*part.skipped) : EntryIndex::Places();
  }

  [[nodiscard]] Match Search(const Folder& folder, std::string_view verb, std::string_view path,
                             IResources* resources) const;
  [[nodiscard]] Split LongestSpecificPrefix(const Way& way, std::size_t max_end) const;
  [[nodiscard]] bool IsTooLong(const Way& way) const;
  [[nodiscard]] std::size_t FindSite(std::string_view host) const;
  [[nodiscard]] std::size_t LongestSpecificPrefix(const Folder& folder, std::string_view path,
                                                  std::size_t min_end, std::size_t max_end) const;
  [[nodiscard]] std::string Allow(const Folder& folder, std::string_view path,
                                  IResources* resources) const;
  void Route(std::size_t site, std::string_view verb, std::string_view script_path,
             std::string_view path_info, IResources* resources, ResolutionCache* cache,
             Resolution& resolution) const;
  /// False: the answer is not to be kept.
  bool RouteAnew(Way& way, std::size_t site, std::string_view verb, std::string_view script_path,
                 std::string_view path_info, IResources* resources, Resolution& resolution) const;
  void Finish(const Match& match, std::string_view file_path, std::string_view path_info,
              IResources* resources, Resolution& resolution) const;
  void Refuse(Resolution::Outcome outcome, std::string_view cause, std::size_t site,
              Resolution& resolution) const;
  void IndexChains(std::vector<Chain> chains);
  void TakeOutUnused(std::vector<Chain>& chains);
  void NumberTypes();

  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<SearchedChain> chains_;
  std::vector<EntryIndex> indices_;  // of the chains' own entries, by the chains' numbers
  std::vector<Folder> folders_;
  NameMap<std::size_t> sites_;
  std::size_t any_other_site_;
  std::vector<TypeUse> types_;
};

}  // namespace weft::mappings
