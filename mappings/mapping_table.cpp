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
struct MappingTable::Match {
  const Folder* folder = nullptr;
  const Entry* entry = nullptr;  // the first that matches verb and path
  bool path_matched = false;     // by any entry, whatever its verb
  bool specific = false;         // by an entry other than by a bare `*`, whatever its verb
};

/// The folders of the table that a path leads through, from its site's root down.
class MappingTable::Way {
 public:
  struct Step {
    const Folder* folder;
    std::size_t begin;  // where the names in the folder begin in the path
  };

  Way(const std::vector<Folder>& folders, std::size_t site, std::string_view path) {
    steps_[size_++] = {&folders[site], 1};
    for (;;) {
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
      steps_[size_++] = {&folders[child->second], slash + 1};
    }
  }

  [[nodiscard]] std::size_t Size() const { return size_; }
  [[nodiscard]] const Step& operator[](std::size_t i) const { return steps_[i]; }

 private:
  std::array<Step, kMaxFolderDepth + 1> steps_;
  std::size_t size_ = 0;
};

MappingTable::MappingTable(Parts parts) : parts_(std::move(parts)) { NumberTypes(); }

void MappingTable::NumberTypes() {
  std::unordered_set<const Entry*> used;
  for (const Folder& folder : parts_.folders) {
    const std::vector<const Entry*>& chain = parts_.chains[folder.chain];
    used.insert(chain.begin(), chain.end());
  }
  std::erase_if(parts_.entries, [&used](const auto& entry) { return !used.contains(entry.get()); });
  std::map<std::pair<std::string_view, std::string_view>, std::size_t> index_of_type;
  for (const std::unique_ptr<Entry>& entry : parts_.entries) {
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
  const auto site = parts_.sites.find(HostName(host));
  return site == parts_.sites.end() ? parts_.any_other_site : site->second;
}

MappingTable::Match MappingTable::Search(const Folder& folder, std::string_view verb,
                                         std::string_view path) const {
  const CandidatePath candidate(path);
  Match match{&folder};
  for (const Entry* entry : parts_.chains[folder.chain]) {
    const bool specifically = entry->pattern.MatchesSpecifically(candidate);
    if (!specifically && !entry->pattern.Matches(candidate)) {
      continue;
    }
    match.path_matched = true;
    match.specific = match.specific || specifically;
    if (match.entry == nullptr && entry->verbs.Matches(verb)) {
      match.entry = entry;
    }
    if (match.entry != nullptr && match.specific) {
      break;  // nothing behind it can change the answer
    }
  }
  return match;
}

MappingTable::Match MappingTable::Search(std::size_t site, std::string_view verb,
                                         std::string_view path) const {
  const Way way(parts_.folders, site, path);
  return Search(*way[way.Size() - 1].folder, verb, path);
}

std::size_t MappingTable::LongestSpecificPrefix(std::size_t site, std::string_view path,
                                                std::size_t max_end) const {
  const Way way(parts_.folders, site, path);
  // A prefix that ends before the next folder's names begin lies in this folder. Deepest first: its
  // prefixes are the longest.
  for (std::size_t i = way.Size(); i-- > 0;) {
    const std::size_t max = i + 1 < way.Size() ? way[i + 1].begin - 1 : path.size();
    std::size_t longest = 0;
    for (const Entry* entry : parts_.chains[way[i].folder->chain]) {
      const std::size_t min = std::max(way[i].begin, longest + 1);
      if (min > std::min(max, max_end)) {
        break;
      }
      longest = std::max(longest,
                         entry->pattern.LongestSpecificPrefix(path, min, std::min(max, max_end)));
    }
    if (longest > 0) {
      return longest;
    }
  }
  return 0;
}

// A verb is served when the first entry that matches it is not a refusal; what stands behind a
// refusal of all verbs is never reached.
std::string MappingTable::Allow(const Folder& folder, std::string_view path) const {
  const CandidatePath candidate(path);
  std::vector<std::string_view> allowed;
  std::vector<std::string_view> refused;
  for (const Entry* entry : parts_.chains[folder.chain]) {
    if (!entry->pattern.Matches(candidate)) {
      continue;
    }
    if (entry->refuses_method && entry->verbs.MatchesEverything()) {
      break;
    }
    for (const std::string& name : entry->verbs.Names()) {
      if (!Contains(allowed, name) && !Contains(refused, name)) {
        (entry->refuses_method ? refused : allowed).push_back(name);
      }
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

void MappingTable::Route(std::size_t site, std::string_view verb, std::string_view script_path,
                         std::string_view path_info, Resolution& resolution) const {
  Match script;
  if (!script_path.empty()) {
    script = Search(site, verb, script_path);
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
  }
  if (const std::size_t end = LongestSpecificPrefix(site, whole, max_end); end > 0) {
    const std::string_view file_path = whole.substr(0, end);
    Finish(Search(site, verb, file_path), file_path, whole.substr(end), resolution);
  } else if (path_info.empty() || script.path_matched) {
    Finish(script, script_path, path_info, resolution);
  } else {
    Finish(Search(site, verb, whole), whole, {}, resolution);
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
    resolution.outcome = Resolution::Outcome::kBadPath;
    resolution.cause = CauseOf(fault);
    resolution.runtime = parts_.folders[site].runtime;
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
