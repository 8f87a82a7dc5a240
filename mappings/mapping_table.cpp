#include "mappings/mapping_table.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <unordered_set>
#include <utility>

#include "mappings/host_name.hpp"
#include "mappings/request_path.hpp"
#include "mappings/sources.hpp"

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
  bool asked_disk = false;
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
    // The location of the path up to the first name in the folder, and where that ends; or null.
    const Folder* file = nullptr;
    std::size_t file_end = 0;
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
      Step& last = steps_[size_ - 1];
      last.file = nullptr;
      if ((last.folder->children.empty() && last.folder->files.empty()) ||
          last.begin > path.size()) {
        return;
      }
      const std::size_t slash = std::min(path.find('/', last.begin), path.size());
      const std::string_view name = path.substr(last.begin, slash - last.begin);
      if (const auto file = last.folder->files.find(name); file != last.folder->files.end()) {
        last.file = &folders_[file->second];
        last.file_end = slash;
      }
      const auto child = last.folder->children.find(name);
      if (slash == path.size() || child == last.folder->children.end()) {
        return;
      }
      steps_[size_++] = {&folders_[child->second], slash + 1};
    }
  }

  [[nodiscard]] std::string_view Path() const { return path_; }
  [[nodiscard]] std::size_t Size() const { return size_; }
  [[nodiscard]] const Step& operator[](std::size_t i) const { return steps_[i]; }
  /// What the whole path is in.
  [[nodiscard]] const Folder& Last() const {
    const Step& last = steps_[size_ - 1];
    return last.file != nullptr && last.file_end == path_.size() ? *last.file : *last.folder;
  }

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
  NumberTypes();
}

void MappingTable::IndexChains(std::vector<Chain> chains) {
  for (std::size_t i = 0; i < chains.size(); ++i) {
    chains[i].inherited.insert(chains[i].inherited.begin(), {i, nullptr});
  }
  TakeOutUnused(chains);
  for (Chain& chain : chains) {
    indices_.emplace_back(std::move(chain.own));
  }
  for (Chain& chain : chains) {
    SearchedChain searched{std::move(chain.inherited), 0};
    for (const Inherited& part : searched.parts) {
      searched.glob_words += indices_[part.chain].GlobWords(Skipped(part));
    }
    chains_.push_back(std::move(searched));
  }
}

/// Puts null in the place of each entry that no folder's chain has.
void MappingTable::TakeOutUnused(std::vector<Chain>& chains) {
  // Of each chain's own entries, those that every folder skips whose chain has a part in them; absent: there is no such folder.
  std::vector<std::optional<std::vector<std::uint32_t>>> unused(chains.size());
  std::vector<bool> seen(chains.size());
  for (const Folder& folder : folders_) {
    if (seen[folder.chain]) {
      continue;
    }
    seen[folder.chain] = true;
    for (const Inherited& part : chains[folder.chain].inherited) {
      const EntryIndex::Places skipped = Skipped(part);
      auto& places = unused[part.chain];
      if (!places) {
        places.emplace(skipped.begin(), skipped.end());
      } else {
        std::erase_if(*places, [skipped](std::uint32_t place) {
          return !std::ranges::binary_search(skipped, place);
        });
      }
    }
  }
  std::unordered_set<const Entry*> used;
  for (std::size_t i = 0; i < chains.size(); ++i) {
    if (!unused[i]) {
      chains[i].own.clear();
      continue;
    }
    for (const std::uint32_t place : *unused[i]) {
      chains[i].own[place] = nullptr;
    }
    used.insert(chains[i].own.begin(), chains[i].own.end());
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

std::string_view MappingTable::SiteName(std::string_view host) const {
  const auto site = sites_.find(HostName(host));
  return site == sites_.end() ? kDefaultSite : std::string_view(site->first);
}

MappingTable::Match MappingTable::Search(const Folder& folder, std::string_view verb,
                                         std::string_view path, IResources* resources) const {
  ResourceProbe probe(resources, path);
  Match match;
  match.folder = &folder;
  for (const Inherited& part : chains_[folder.chain].parts) {
    indices_[part.chain].Search(verb, path, probe, match, Skipped(part));
    if (match.entry != nullptr && match.specific) {
      break;  // nothing behind it can change the answer
    }
  }
  match.asked_disk = probe.Asked();
  return match;
}

std::size_t MappingTable::LongestSpecificPrefix(const Folder& folder, std::string_view path,
                                                std::size_t min_end, std::size_t max_end) const {
  std::size_t longest = 0;
  for (const Inherited& part : chains_[folder.chain].parts) {
    const std::size_t min = std::max(min_end, longest + 1);
    if (min > max_end) {
      break;
    }
    longest = std::max(
        longest, indices_[part.chain].LongestSpecificPrefix(path, min, max_end, Skipped(part)));
  }
  return longest;
}

MappingTable::Split MappingTable::LongestSpecificPrefix(const Way& way, std::size_t max_end) const {
  // Deepest first: its prefixes are the longest. Of those in a folder the shortest may have a location of its own.
  for (std::size_t i = way.Size(); i-- > 0;) {
    const Way::Step& step = way[i];
    const std::size_t min = step.file != nullptr ? step.file_end + 1 : step.begin;
    const std::size_t max = std::min(way.End(i), max_end);
    if (const std::size_t end = LongestSpecificPrefix(*step.folder, way.Path(), min, max)) {
      return {end, step.folder};
    }
    if (step.file != nullptr && step.file_end <= max &&
        LongestSpecificPrefix(*step.file, way.Path(), step.file_end, step.file_end) != 0) {
      return {step.file_end, step.file};
    }
  }
  return {};
}

bool MappingTable::IsTooLong(const Way& way) const {
  std::uint64_t steps = 0;
  for (std::size_t i = 0; i < way.Size(); ++i) {
    steps += std::uint64_t{chains_[way[i].folder->chain].glob_words} * way.End(i);
    if (way[i].file != nullptr) {
      steps += std::uint64_t{chains_[way[i].file->chain].glob_words} * way[i].file_end;
    }
  }
  return steps > kMaxGlobSteps;
}

// A verb is served when the first entry that matches it is not a refusal; what stands behind a
// refusal of all verbs is never reached.
std::string MappingTable::Allow(const Folder& folder, std::string_view path,
                                IResources* resources) const {
  const CandidatePath candidate(path);
  ResourceProbe probe(resources, path);
  std::vector<std::string_view> allowed;
  std::vector<std::string_view> refused;
  const auto add_verbs = [&](const Entry& entry) {
    if (!entry.pattern.Matches(candidate) || !probe.Satisfies(entry.resource_type)) {
      return true;
    }
    if (entry.refuses_method && entry.verbs.MatchesEverything()) {
      return false;
    }
    for (const std::string& name : entry.verbs.Names()) {
      if (!Contains(allowed, name) && !Contains(refused, name)) {
        (entry.refuses_method ? refused : allowed).push_back(name);
      }
    }
    return true;
  };
  for (const Inherited& part : chains_[folder.chain].parts) {
    if (!indices_[part.chain].ForEachEntry(Skipped(part), add_verbs)) {
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
                          std::string_view path_info, IResources* resources,
                          Resolution& resolution) const {
  resolution.file_path = file_path;
  resolution.path_info = path_info;
  resolution.specific = match.specific;
  resolution.settings = match.folder->settings.get();
  resolution.chain = match.folder->chain;
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
    resolution.allow = Allow(*match.folder, file_path, resources);
  }
}

void MappingTable::Refuse(Resolution::Outcome outcome, std::string_view cause, std::size_t site,
                          Resolution& resolution) const {
  resolution.outcome = outcome;
  resolution.cause = cause;
  resolution.settings = folders_[site].settings.get();
}

void MappingTable::Route(std::size_t site, std::string_view verb, std::string_view script_path,
                         std::string_view path_info, IResources* resources, ResolutionCache* cache,
                         Resolution& resolution) const {
  Way way(folders_, site, script_path);
  if (cache == nullptr || chains_[way.Last().chain].glob_words < kCachedGlobWords) {
    RouteAnew(way, site, verb, script_path, path_info, resources, resolution);
    return;
  }
  cache->SetRequest(site, verb, script_path, path_info);
  if (const auto* const known = cache->Find()) {
    const bool as_split = known->file_path_bytes == script_path.size();
    resolution.outcome = static_cast<Resolution::Outcome>(known->outcome);
    resolution.cause = known->cause;
    resolution.entry = known->entry;
    resolution.file_path = script_path.substr(0, known->file_path_bytes);
    resolution.path_info = as_split ? path_info : script_path.substr(known->file_path_bytes);
    resolution.allow = known->allow;
    resolution.specific = known->specific;
    resolution.settings = known->settings;
    return;
  }
  const bool keep = RouteAnew(way, site, verb, script_path, path_info, resources, resolution);
  // The text of another split is not at hand when it is found again.
  if (keep && (path_info.empty() || resolution.file_path.size() == script_path.size())) {
    // Without the disk nothing was waited for: the cache still is at this request.
    cache->Offer({resolution.entry, resolution.settings, resolution.cause, resolution.allow,
                  static_cast<std::uint32_t>(resolution.file_path.size()),
                  static_cast<std::uint8_t>(resolution.outcome), resolution.specific});
  }
}

bool MappingTable::RouteAnew(Way& way, std::size_t site, std::string_view verb,
                             std::string_view script_path, std::string_view path_info,
                             IResources* resources, Resolution& resolution) const {
  if (IsTooLong(way)) {
    Refuse(Resolution::Outcome::kPathTooLong, cause::kPathTooLong, site, resolution);
    return false;
  }
  Match script;
  if (!script_path.empty()) {
    script = Search(way.Last(), verb, script_path, resources);
    if (script.specific) {
      Finish(script, script_path, path_info, resources, resolution);
      return !script.asked_disk;
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
      return false;
    }
  }
  if (const Split split = LongestSpecificPrefix(way, max_end); split.end > 0) {
    const std::string_view file_path = whole.substr(0, split.end);
    const Match match = Search(*split.folder, verb, file_path, resources);
    Finish(match, file_path, whole.substr(split.end), resources, resolution);
    return !script.asked_disk && !match.asked_disk;
  }
  if (path_info.empty() || script.path_matched) {
    Finish(script, script_path, path_info, resources, resolution);
    return !script.asked_disk;
  }
  const Match match = Search(way.Last(), verb, whole, resources);
  Finish(match, whole, {}, resources, resolution);
  return !script.asked_disk && !match.asked_disk;
}

std::vector<const Entry*> MappingTable::EntriesOf(const Resolution& resolution) const {
  std::vector<const Entry*> entries;
  if (resolution.chain == Resolution::kNoChain) {
    return entries;
  }
  for (const Inherited& part : chains_[resolution.chain].parts) {
    indices_[part.chain].ForEachEntry(Skipped(part), [&entries](const Entry& entry) {
      entries.push_back(&entry);
      return true;
    });
  }
  return entries;
}

Resolution MappingTable::Resolve(std::string_view host, std::string_view verb,
                                 std::string_view script_path, std::string_view path_info,
                                 IResources* resources, ResolutionCache* cache) const {
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
  Route(site, verb, script_path, path_info, resources, cache, resolution);
  return resolution;
}

}  // namespace weft::mappings
