#include "mappings/mapping_table.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_set>
#include <utility>

#include "mappings/host_name.hpp"
#include "mappings/request_path.hpp"

namespace weft::mappings {
namespace {

std::string_view CauseOf(PathFault fault) {
  switch (fault) {
    case PathFault::kNone:
      break;
    case PathFault::kNotAbsolute:
      return cause::kPathNotAbsolute;
    case PathFault::kNul:
      return cause::kPathHasNul;
    case PathFault::kBackslash:
      return cause::kPathHasBackslash;
    case PathFault::kAboveRoot:
      return cause::kPathAboveRoot;
  }
  return {};
}

bool Contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

/// What a folder's chain says about a path.
struct MappingTable::Match : EntryIndex::Match {
  const Folder* folder = nullptr;
};

/// Where a path is split, and the folder that its first part lies in.
struct MappingTable::Split {
  std::size_t end = 0;  // 0: nowhere
  const Folder* folder = nullptr;
};

/// The folders of the table that a path leads through, from its site's root down.
class MappingTable::Way {
 public:
  struct Step {
    const Folder* folder;
    std::size_t begin;  // where the names in the folder begin in the path
  };

  Way(const std::vector<Folder>& folders, std::size_t site, std::string_view path)
      : folders_(folders) {
    steps_[0] = {&folders[site], 1};
    Follow(path);
  }

  /// Turns to another path of the same site.
  void Follow(std::string_view path) {
    path_ = path;
    for (size_ = 1;;) {
      const Step& last = steps_[size_ - 1];
      if (last.folder->children.empty()) {
        return;
      }
      const std::size_t slash = path.find('/', last.begin);
      if (slash == std::string_view::npos) {
        return;
      }
      const auto child = last.folder->children.find(path.substr(last.begin, slash - last.begin));
      if (child == last.folder->children.end()) {
        return;
      }
      steps_[size_++] = {&folders_[child->second], slash + 1};
    }
  }

  [[nodiscard]] std::string_view Path() const { return path_; }
  [[nodiscard]] std::size_t Size() const { return size_; }
  [[nodiscard]] const Step& operator[](std::size_t i) const { return steps_[i]; }
  [[nodiscard]] const Folder& Last() const { return *steps_[size_ - 1].folder; }

  /// Where the longest prefix ends that lies in the folder of step `i`: before the names in the
  /// next folder begin.
  [[nodiscard]] std::size_t End(std::size_t i) const {
    return i + 1 < size_ ? steps_[i + 1].begin - 1 : path_.size();
  }

 private:
  const std::vector<Folder>& folders_;
  std::string_view path_;
  std::array<Step, kMaxFolderDepth + 1> steps_;
  std::size_t size_ = 0;
};

MappingTable::MappingTable(Parts parts)
    : entries_(std::move(parts.entries)),
      folders_(std::move(parts.folders)),
      sites_(std::move(parts.sites)),
      any_other_site_(parts.any_other_site) {
  IndexChains(std::move(parts.chains));
  DropUnusedEntries();
  NumberTypes();
}

void MappingTable::IndexChains(std::vector<Chain> chains) {
  std::vector<bool> used(chains.size());
  for (const Folder& folder : folders_) {
    for (std::size_t i = folder.chain; i != Chain::kNone && !used[i]; i = chains[i].behind) {
      used[i] = true;
    }
  }
  for (std::size_t i = 0; i < chains.size(); ++i) {
    Block block{EntryIndex(used[i] ? std::move(chains[i].entries) : std::vector<const Entry*>()),
                chains[i].behind};
    block.glob_words = block.index.GlobWords() +
                       (block.behind == Chain::kNone ? 0 : blocks_[block.behind].glob_words);
    blocks_.push_back(std::move(block));
  }
}

void MappingTable::DropUnusedEntries() {
  std::unordered_set<const Entry*> used;
  for (const Block& block : blocks_) {
    used.insert(block.index.Entries().begin(), block.index.Entries().end());
  }
  std::erase_if(entries_, [&used](const auto& entry) { return !used.contains(entry.get()); });
}

void MappingTable::NumberTypes() {
  std::map<std::pair<std::string_view, std::string_view>, std::size_t> index_of_type;
  for (const std::unique_ptr<Entry>& entry : entries_) {
    const auto [known, is_new] =
        index_of_type.try_emplace({entry->type.class_name, entry->type.module}, types_.size());
    if (is_new) {
      types_.push_back({entry->type, entry->type_where, false, {}});
    }
    entry->type_index = known->second;
    TypeUse& use = types_[known->second];
    use.validate = use.validate || entry->validate;
    use.entries.push_back(entry.get());
  }
}

std::size_t MappingTable::FindSite(std::string_view host) const {
  const auto site = sites_.find(HostName(host));
  return site == sites_.end() ? any_other_site_ : site->second;
}

MappingTable::Match MappingTable::Search(const Folder& folder, std::string_view verb,
                                         std::string_view path) const {
  Match match;
  match.folder = &folder;
  for (std::size_t i = folder.chain; i != Chain::kNone; i = blocks_[i].behind) {
    blocks_[i].index.Search(verb, path, match);
    if (match.entry != nullptr && match.specific) {
      break;  // nothing behind it can change the answer
    }
  }
  return match;
}

MappingTable::Split MappingTable::LongestSpecificPrefix(const Way& way, std::size_t max_end) const {
  // Deepest first: its prefixes are the longest.
  for (std::size_t i = way.Size(); i-- > 0;) {
    const std::size_t max = std::min(way.End(i), max_end);
    std::size_t longest = 0;
    for (std::size_t at = way[i].folder->chain; at != Chain::kNone; at = blocks_[at].behind) {
      const std::size_t min = std::max(way[i].begin, longest + 1);
      if (min > max) {
        break;
      }
      longest = std::max(longest, blocks_[at].index.LongestSpecificPrefix(way.Path(), min, max));
    }
    if (longest > 0) {
      return {longest, way[i].folder};
    }
  }
  return {};
}

bool MappingTable::IsTooLong(const Way& way) const {
  std::uint64_t steps = 0;
  for (std::size_t i = 0; i < way.Size(); ++i) {
    steps += std::uint64_t{blocks_[way[i].folder->chain].glob_words} * way.End(i);
  }
  return steps > kMaxGlobSteps;
}

// A verb is served when the first entry that matches it is not a refusal; what stands behind a
// refusal of all verbs is never reached.
std::string MappingTable::Allow(const Folder& folder, std::string_view path) const {
  const CandidatePath candidate(path);
  std::vector<std::string_view> allowed;
  std::vector<std::string_view> refused;
  const auto add_verbs = [&](const std::vector<const Entry*>& entries) {
    for (const Entry* entry : entries) {
      if (!entry->pattern.Matches(candidate)) {
        continue;
      }
      if (entry->refuses_method && entry->verbs.MatchesEverything()) {
        return false;
      }
      for (const std::string& name : entry->verbs.Names()) {
        if (!Contains(allowed, name) && !Contains(refused, name)) {
          (entry->refuses_method ? refused : allowed).push_back(name);
        }
      }
    }
    return true;
  };
  for (std::size_t i = folder.chain; i != Chain::kNone; i = blocks_[i].behind) {
    if (!add_verbs(blocks_[i].index.Entries())) {
      break;
    }
  }
  std::string list;
  for (const std::string_view name : allowed) {
    list += list.empty() ? "" : ", ";
    list += name;
  }
  return list;
}

void MappingTable::Finish(const Match& match, std::string_view file_path,
                          std::string_view path_info, Resolution& resolution) const {
  resolution.file_path = file_path;
  resolution.path_info = path_info;
  resolution.runtime = match.folder->runtime;
  resolution.entry = match.entry;
  if (match.entry != nullptr) {
    resolution.outcome = Resolution::Outcome::kFound;
    resolution.cause = cause::kMapped;
  } else if (match.path_matched) {
    resolution.outcome = Resolution::Outcome::kMethodNotAllowed;
    resolution.cause = cause::kMethodNotMapped;
  } else {
    resolution.outcome = Resolution::Outcome::kNotFound;
    resolution.cause = cause::kNoMapping;
  }
  const bool refused = match.entry != nullptr ? match.entry->refuses_method : match.path_matched;
  if (refused) {
    resolution.allow = Allow(*match.folder, file_path);
  }
}

void MappingTable::Refuse(Resolution::Outcome outcome, std::string_view cause, std::size_t site,
                          Resolution& resolution) const {
  resolution.outcome = outcome;
  resolution.cause = cause;
  resolution.runtime = folders_[site].runtime;
}

void MappingTable::Route(std::size_t site, std::string_view verb, std::string_view script_path,
                         std::string_view path_info, Resolution& resolution) const {
  Way way(folders_, site, script_path);
  if (IsTooLong(way)) {
    Refuse(Resolution::Outcome::kPathTooLong, cause::kPathTooLong, site, resolution);
    return;
  }
  Match script;
  if (!script_path.empty()) {
    script = Search(way.Last(), verb, script_path);
    if (script.specific) {
      Finish(script, script_path, path_info, resolution);
      return;
    }
  }
  std::string_view whole = script_path;
  std::size_t max_end = script_path.size() - 1;  // the whole of it was just searched
  if (!path_info.empty()) {
    if (!resolution.rewritten) {
      resolution.rewritten = std::make_unique<Resolution::Rewritten>();
    }
    std::string& joined = resolution.rewritten->joined;
    joined = script_path;
    joined += script_path.ends_with('/') ? path_info.substr(1) : path_info;
    whole = joined;
    max_end = whole.size();
    way.Follow(whole);
    if (IsTooLong(way)) {
      Refuse(Resolution::Outcome::kPathTooLong, cause::kPathTooLong, site, resolution);
      return;
    }
  }
  if (const Split split = LongestSpecificPrefix(way, max_end); split.end > 0) {
    const std::string_view file_path = whole.substr(0, split.end);
    Finish(Search(*split.folder, verb, file_path), file_path, whole.substr(split.end), resolution);
  } else if (path_info.empty() || script.path_matched) {
    Finish(script, script_path, path_info, resolution);
  } else {
    Finish(Search(way.Last(), verb, whole), whole, {}, resolution);
  }
}

Resolution MappingTable::Resolve(std::string_view host, std::string_view verb,
                                 std::string_view script_path, std::string_view path_info) const {
  Resolution resolution;
  NormalisedPath script;
  NormalisedPath info;
  // A host mounted at the root of a server that splits everything off gets an empty SCRIPT_NAME.
  if (!script_path.empty() || path_info.empty()) {
    script = NormalisePath(script_path);
  }
  if (!path_info.empty()) {
    info = NormalisePath(path_info);
  }
  const PathFault fault = script.fault != PathFault::kNone ? script.fault : info.fault;
  const std::size_t site = FindSite(host);
  if (fault != PathFault::kNone) {
    Refuse(Resolution::Outcome::kBadPath, CauseOf(fault), site, resolution);
    return resolution;
  }
  if (script.changed || info.changed) {
    resolution.rewritten = std::make_unique<Resolution::Rewritten>();
    if (script.changed) {
      script_path = resolution.rewritten->script_path = std::move(*script.changed);
    }
    if (info.changed) {
      path_info = resolution.rewritten->path_info = std::move(*info.changed);
    }
  }
  Route(site, verb, script_path, path_info, resolution);
  return resolution;
}

}  // namespace weft::mappings
