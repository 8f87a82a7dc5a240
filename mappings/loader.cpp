#include "mappings/loader.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "mappings/ascii.hpp"
#include "mappings/chain.hpp"
#include "mappings/folder_scan.hpp"
#include "mappings/level.hpp"
#include "mappings/machine_defaults.hpp"
#include "mappings/reachability.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

/// Turns what was found into the table: applies the levels, each to the chain above it.
class Assembler {
 public:
  Assembler(const LoadLimits& limits, std::vector<Problem>& problems)
      : limits_(limits), problems_(problems) {}

  std::shared_ptr<const MappingTable> Assemble(Level defaults, Found found) {
    BuildFolders(defaults, found);
    if (HasErrors()) {
      return nullptr;
    }
    TakeEntries(defaults);
    if (found.machine) {
      TakeEntries(*found.machine);
    }
    for (FoundFolder& folder : found.folders) {
      if (folder.level) {
        TakeEntries(*folder.level);
      }
    }
    for (BuiltChain& chain : chains_) {
      MappingTable::Chain part;
      part.entries.reserve(chain.places.size());
      for (const SearchedChain::Place& place : chain.places) {
        part.entries.push_back(place.searched);
      }
      part.behind = chain.behind;
      parts_.chains.push_back(std::move(part));
      chain = {};
    }
    return std::make_shared<const MappingTable>(std::move(parts_));
  }

  /// Builds the same, for what can be told of it. Returns the types that it names.
  std::vector<TypeMention> Inspect(Level defaults, Found found) {
    BuildFolders(defaults, found);
    if (stopped_) {
      return {};
    }
    const std::vector<SearchedChain> chains = TakeSearchedChains();
    TellUnreachable(chains, ReadEntries(found), AllFilesRead(), problems_);
    TellRepeatedNames(chains, problems_);
    return TypesIn(chains);
  }

 private:
  static constexpr std::size_t kNoFolder = static_cast<std::size_t>(-1);

  /// What is on the disk of one folder of a site, as numbers in found_->folders, in the order of its levels: the
  /// mirrored folder, and the document root's own. kNone: there is none; with neither there are only locations for it.
  using OnDisk = std::array<std::size_t, 2>;
  static constexpr OnDisk kNowhere{FoundFolder::kNone, FoundFolder::kNone};

  void BuildFolders(Level& defaults, Found& found) {
    found_ = &found;
    Below top = Apply({}, defaults.block, defaults.complete);
    Waiting waiting;
    if (found.machine) {
      RefuseApplication(*found.machine);
      level_being_built_ = found.machine->block.where.file;
      top = Apply(top, found.machine->block, found.machine->complete);
      Await(*found.machine, waiting);
    }
    ListChildren();
    parts_.any_other_site = kNoFolder;
    for (const auto& [host, site] : found.sites) {
      if (stopped_) {
        return;
      }
      const std::size_t folder =
          BuildFolder(top, waiting, {{site.mirrored, site.document_root}, "/", 0});
      parts_.sites.emplace(host, folder);
      if (EqualsIgnoringCase(host, kDefaultSite)) {
        parts_.any_other_site = folder;
      }
    }
    if (parts_.any_other_site == kNoFolder) {
      parts_.any_other_site = BuildFolder(top, waiting, {kNowhere, "/", 0});
    }
  }

  /// What the files down to a folder amount to.
  struct Below {
    std::size_t chain = SearchedChain::kNone;  // into chains_
    std::shared_ptr<const FolderSettings> settings = std::make_shared<const FolderSettings>();
    bool complete = true;  // no file on the way has errors
  };

  /// Locations of files above a folder that are for it or for paths below it, those of the uppermost file first.
  struct Awaited {
    const Location* location;
    std::size_t depth;  // how many of its segments lead to the folder
    bool complete;      // of its file
  };
  using Waiting = std::vector<Awaited>;

  /// A folder of a site.
  struct Place {
    OnDisk on_disk;
    std::string path;  // in the URL space, with a final slash
    std::size_t depth;
  };

  /// The chain of some folders: its own entries, and those of the one behind it.
  struct BuiltChain : SearchedChain {
    Chain written;  // as `places`
    // Whether a `~/` of any entry, of those behind it too, has the application's root in its place.
    bool rooted = false;
    std::optional<std::unordered_map<std::string_view, Entry*>>
        entry_of_key;  // of its own, once asked for
  };

  /// The entries of a chain, for a block below it.
  class ChainAbove final : public IInherited {
   public:
    ChainAbove(Assembler& assembler, std::size_t chain) : assembler_(assembler), chain_(chain) {}

    Entry* Find(const std::string& key) override {
      for (std::size_t at = chain_; at != SearchedChain::kNone;
           at = assembler_.chains_[at].behind) {
        const auto& known = assembler_.EntriesByKey(at);
        if (const auto found = known.find(key); found != known.end()) {
          return found->second;
        }
      }
      return nullptr;
    }

    const Chain& All() override {
      if (!all_) {
        all_ = assembler_.AllOf(chain_);
      }
      return *all_;
    }

   private:
    Assembler& assembler_;
    std::size_t chain_;
    std::optional<Chain> all_;
  };

  const std::unordered_map<std::string_view, Entry*>& EntriesByKey(std::size_t chain) {
    auto& known = chains_[chain].entry_of_key;
    if (!known) {
      known.emplace();
      for (Entry* entry : chains_[chain].written) {
        auto [key, is_new] = keys_.try_emplace(entry);
        if (is_new) {
          key->second = EntryKey(entry->verb, entry->path);
        }
        known->emplace(key->second, entry);
      }
    }
    return *known;
  }

  [[nodiscard]] Chain AllOf(std::size_t chain) const {
    Chain all;
    for (; chain != SearchedChain::kNone; chain = chains_[chain].behind) {
      all.insert(all.end(), chains_[chain].written.begin(), chains_[chain].written.end());
    }
    return all;
  }

  Below Apply(const Below& above, const Block& block, bool complete) {
    Below below;
    below.complete = above.complete && complete;
    below.settings = std::make_shared<const FolderSettings>(Extend(*above.settings, block));
    ChainAbove inherited(*this, above.chain);
    // Where an entry may be missing for an error already told, a warning about it would mislead.
    Extension extension =
        Extend(inherited, block.directives, ChainProblems{problems_, below.complete});
    below.chain = AddChain(std::move(extension), above.chain, below.settings->application_root);
    return below;
  }

  // The folder becomes an application's root: `~/` of all entries means it from here on.
  Below BeginApplication(const Below& above, const Level& level, const std::string& path) {
    if (path.find_first_of("*?,") != std::string::npos) {
      problems_.push_back({level.application_where, Problem::Severity::kError,
                           "The path " + Quoted(path) +
                               " of this application has a * ? or , in it, which patterns that "
                               "begin with ~/ cannot hold. Rename the folder."});
      return above;
    }
    Below below = above;
    auto settings = std::make_shared<FolderSettings>(*above.settings);
    settings->application_root = path;
    below.settings = std::move(settings);
    below.chain = AddChain({}, above.chain, path);
    return below;
  }

  void RefuseApplication(const Level& machine) {
    if (machine.application) {
      problems_.push_back(
          {machine.application_where, Problem::Severity::kError,
           "\"application\" stands in the mapping.json of the folder that is an "
           "application's root, not in machine.json. A site's root always is one."});
    }
  }

  // What stands behind the last entry that is taken away stays behind, and serves several chains.
  std::size_t AddChain(Extension extension, std::size_t above, const std::string& root) {
    const bool first = above == SearchedChain::kNone;
    const bool roots_anew =
        !first && chains_[above].rooted && chains_[above].application_root != root;
    BuiltChain chain;
    chain.application_root = root;
    chain.written = std::move(extension.own);
    std::size_t behind = above;
    if (!first && (extension.left || roots_anew)) {
      Chain left = extension.left ? std::move(*extension.left) : AllOf(above);
      behind = roots_anew ? SearchedChain::kNone : SplitOff(left, above);
      chain.written.insert(chain.written.end(), left.begin(), left.end());
    }
    if (behind != SearchedChain::kNone && chain.written.empty()) {
      return behind;
    }
    chain.behind = behind;
    chain.rooted = behind != SearchedChain::kNone && chains_[behind].rooted;
    entries_ += chain.written.size();
    if (entries_ > limits_.entries) {
      Stop("The chains of all folders have more than " + std::to_string(limits_.entries) +
           " entries together: what a folder inherits counts once more where it removes or clears "
           "some of it, or is an application's root. Add fewer above such folders.");
    }
    chain.places.reserve(chain.written.size());
    for (Entry* entry : chain.written) {
      chain.rooted = chain.rooted || PathPattern::IsRooted(entry->path);
      chain.places.push_back({entry, Rooted(*entry, root)});
    }
    chains_.push_back(std::move(chain));
    chains_.back().used = false;
    return chains_.size() - 1;
  }

  /// Takes from the end of `entries` what is one of the chains from `chain` on, as long as can be; returns which, or kNone.
  std::size_t SplitOff(Chain& entries, std::size_t chain) const {
    std::vector<std::size_t> way;
    for (; chain != SearchedChain::kNone; chain = chains_[chain].behind) {
      way.push_back(chain);
    }
    std::size_t behind = SearchedChain::kNone;
    for (; !way.empty() && EndsIn(entries, chains_[way.back()].written); way.pop_back()) {
      behind = way.back();
      entries.resize(entries.size() - chains_[behind].written.size());
    }
    return behind;
  }

  static bool EndsIn(const Chain& chain, const Chain& end) {
    return chain.size() >= end.size() && std::equal(end.rbegin(), end.rend(), chain.rbegin());
  }

  /// The entry as it is for the application with that root.
  Entry* Rooted(Entry& entry, const std::string& root) {
    if (root == "/" || !PathPattern::IsRooted(entry.path)) {
      return &entry;
    }
    const auto [known, is_new] = rooted_.try_emplace({&entry, root}, nullptr);
    if (is_new) {
      known->second = &entry;
      for (const std::string_view alternative : SplitAtCommas(entry.path)) {
        if (alternative.starts_with("~/") &&
            alternative.size() + root.size() > PathPattern::kMaxAlternativeBytes) {
          problems_.push_back({entry.where, Problem::Severity::kError,
                               "The pattern " + Quoted(alternative) +
                                   " is too long for the application " + Quoted(root) +
                                   ". Shorten it, or remove the entry there."});
          return &entry;
        }
      }
      if (parts_.entries.size() >= limits_.rooted_entries) {
        Stop("There are more than " + std::to_string(limits_.rooted_entries) +
             " entries whose path begins with ~/, for each application has its own of those that "
             "it inherits. Add fewer above the applications, or without ~/ where one path serves "
             "all.");
        return &entry;
      }
      parts_.entries.push_back(std::make_unique<Entry>(entry, root));
      known->second = parts_.entries.back().get();
    }
    return known->second;
  }

  /// The rest is not built: it would take more memory than there may be. Nothing else can be told of these mappings.
  void Stop(std::string sentence) {
    if (!stopped_) {
      problems_.push_back(
          {{level_being_built_, 0, 0}, Problem::Severity::kError, std::move(sentence)});
    }
    stopped_ = true;
  }

  void Await(const Level& level, Waiting& waiting) {
    for (const Location& location : level.locations) {
      if (location.segments.size() > MappingTable::kMaxFolderDepth) {
        problems_.push_back({location.block.where, Problem::Severity::kError,
                             "This location is deeper than " +
                                 std::to_string(MappingTable::kMaxFolderDepth) +
                                 " levels. Shorten it."});
      } else {
        waiting.push_back({&location, 0, level.complete});
      }
    }
  }

  /// Adds the folder and all below it; returns its number in parts_.folders.
  std::size_t BuildFolder(Below below, Waiting waiting, const Place& place) {
    for (const std::size_t found : place.on_disk) {
      if (found == FoundFolder::kNone || !found_->folders[found].level) {
        continue;
      }
      const Level& level = *found_->folders[found].level;
      level_being_built_ = level.block.where.file;
      if (level.application) {
        below = BeginApplication(below, level, place.path);
      }
      below = Apply(below, level.block, level.complete);
      Await(level, waiting);
    }
    const std::size_t known_chains = chains_.size();
    const std::size_t index = AddFolder(below, place.path);
    for (auto& [name, child] : ChildrenOf(place, waiting)) {
      if (stopped_) {
        break;
      }
      BuildChild(below, child, {child.on_disk, place.path + name + "/", place.depth + 1}, name,
                 index);
    }
    // Nobody asks for these any more.
    for (std::size_t chain = known_chains; chain < chains_.size(); ++chain) {
      chains_[chain].entry_of_key.reset();
    }
    return index;
  }

  struct Child {
    OnDisk on_disk = kNowhere;
    Waiting waiting;
  };

  /// What lies in a folder, or is spoken of by a location above.
  std::map<std::string, Child, LessIgnoringCase> ChildrenOf(const Place& place,
                                                            const Waiting& waiting) const {
    std::map<std::string, Child, LessIgnoringCase> children;
    for (std::size_t kind = 0; kind < place.on_disk.size(); ++kind) {
      if (place.on_disk[kind] != FoundFolder::kNone) {
        for (const std::size_t found : children_[place.on_disk[kind]]) {
          children[found_->folders[found].name].on_disk[kind] = found;
        }
      }
    }
    for (const Awaited& awaited : waiting) {
      children[awaited.location->segments[awaited.depth]].waiting.push_back(
          {awaited.location, awaited.depth + 1, awaited.complete});
    }
    return children;
  }

  void BuildChild(const Below& above, const Child& child, const Place& place,
                  const std::string& name, std::size_t parent) {
    if (place.depth > MappingTable::kMaxFolderDepth) {
      // Of folders this has been told; a location may add to the depth of its file's folder.
      problems_.push_back({child.waiting.front().location->block.where, Problem::Severity::kError,
                           "This location leads deeper than " +
                               std::to_string(MappingTable::kMaxFolderDepth) +
                               " levels below its site's root. Shorten it."});
      return;
    }
    Below below = above;
    Waiting waiting;
    for (const Awaited& awaited : child.waiting) {
      if (awaited.depth == awaited.location->segments.size()) {
        below = Apply(below, awaited.location->block, awaited.complete);
      } else {
        waiting.push_back(awaited);
      }
    }
    if (waiting.size() < child.waiting.size()) {
      // A location holds for the path itself, too.
      const std::size_t file =
          AddFolder(below, std::string_view(place.path).substr(0, place.path.size() - 1));
      parts_.folders[parent].files.emplace(name, file);
    }
    const std::size_t folder = BuildFolder(std::move(below), std::move(waiting), place);
    parts_.folders[parent].children.emplace(name, folder);
  }

  /// `scope` is what the paths begin with that are in it.
  std::size_t AddFolder(const Below& below, std::string_view scope) {
    MappingTable::Folder folder;
    folder.chain = below.chain;
    folder.settings = below.settings;
    BuiltChain& chain = chains_[below.chain];
    const auto shared = std::ranges::mismatch(chain.scope, scope, {}, ToLower, ToLower).in1;
    chain.scope = chain.used ? std::string(chain.scope.begin(), shared) : std::string(scope);
    chain.complete = chain.complete && below.complete;
    chain.used = true;
    parts_.folders.push_back(std::move(folder));
    return parts_.folders.size() - 1;
  }

  // Only folders with a mapping file in or below them.
  void ListChildren() {
    const auto& folders = found_->folders;
    children_.resize(folders.size());
    for (std::size_t i = 0; i < folders.size(); ++i) {
      if (folders[i].needed && folders[i].parent != FoundFolder::kNone) {
        children_[folders[i].parent].push_back(i);
      }
    }
  }

  [[nodiscard]] bool HasErrors() const {
    return std::ranges::any_of(problems_, [](const Problem& problem) {
      return problem.severity == Problem::Severity::kError;
    });
  }

  // Of a file or folder as a whole there is no line.
  [[nodiscard]] bool AllFilesRead() const {
    return std::ranges::none_of(problems_, [](const Problem& problem) {
      return problem.severity == Problem::Severity::kError && problem.where.line == 0;
    });
  }

  // Parents' before children's.
  [[nodiscard]] std::vector<SearchedChain> TakeSearchedChains() {
    std::vector<SearchedChain> searched;
    for (BuiltChain& chain : chains_) {
      chain.written = {};
      searched.push_back(std::move(chain));
    }
    chains_.clear();
    return searched;
  }

  static std::vector<const Entry*> ReadEntries(const Found& found) {
    std::vector<const Entry*> entries;
    const auto add_block = [&entries](const Block& block) {
      for (const Directive& directive : block.directives) {
        if (const auto* add = std::get_if<AddDirective>(&directive)) {
          entries.push_back(add->entry.get());
        }
      }
    };
    const auto add_level = [&add_block](const std::optional<Level>& level) {
      if (level) {
        add_block(level->block);
        for (const Location& location : level->locations) {
          add_block(location.block);
        }
      }
    };
    add_level(found.machine);
    for (const FoundFolder& folder : found.folders) {
      add_level(folder.level);
    }
    return entries;
  }

  static std::vector<TypeMention> TypesIn(const std::vector<SearchedChain>& chains) {
    std::vector<TypeMention> types;
    std::unordered_set<const Entry*> seen;
    std::vector<bool> come_to(chains.size());
    for (std::size_t i = 0; i < chains.size(); ++i) {
      for (std::size_t at = i; chains[i].used && at != SearchedChain::kNone && !come_to[at];
           at = chains[at].behind) {
        come_to[at] = true;
        for (const SearchedChain::Place& place : chains[at].places) {
          const Entry& entry = *place.written;
          if (!entry.where.file.empty() && seen.insert(&entry).second) {
            types.push_back({entry.type, entry.validate, entry.type_where});
          }
        }
      }
    }
    return types;
  }

  void TakeEntries(Level& level) {
    TakeEntries(level.block);
    for (Location& location : level.locations) {
      TakeEntries(location.block);
    }
  }

  void TakeEntries(Block& block) {
    for (Directive& directive : block.directives) {
      if (auto* add = std::get_if<AddDirective>(&directive)) {
        parts_.entries.push_back(std::move(add->entry));
      }
    }
  }

  const LoadLimits& limits_;
  std::vector<Problem>& problems_;
  std::size_t entries_ = 0;        // of all chains
  std::string level_being_built_;  // its file
  bool stopped_ = false;
  Found* found_ = nullptr;
  std::vector<std::vector<std::size_t>> children_;  // of the found folders, by their numbers
  std::vector<BuiltChain> chains_;
  std::unordered_map<const Entry*, std::string> keys_;  // of entries whose chain was asked for one
  std::map<std::pair<const Entry*, std::string>, Entry*> rooted_;
  MappingTable::Parts parts_;
};

}  // namespace

void SortProblems(std::vector<Problem>& problems) {
  const auto place = [](const Problem& problem) {
    return std::tuple(std::string_view(problem.where.file), problem.where.line,
                      problem.where.column, std::string_view(problem.sentence));
  };
  std::ranges::stable_sort(problems, {}, place);
  // What machine.json says of a location is found wrong once for each site.
  const auto repeated = std::ranges::unique(problems, {}, place);
  problems.erase(repeated.begin(), repeated.end());
}

LoadResult Load(const MappingSources& sources, const LoadLimits& limits) {
  LoadResult result;
  Level defaults = ReadLevel(MachineDefaults(), "", result.problems);
  Found found = FindFiles(sources, limits, result.problems);
  result.table = Assembler(limits, result.problems).Assemble(std::move(defaults), std::move(found));
  SortProblems(result.problems);
  return result;
}

CheckResult Check(const MappingSources& sources, const LoadLimits& limits) {
  CheckResult result;
  Level defaults = ReadLevel(MachineDefaults(), "", result.problems);
  Found found = FindFiles(sources, limits, result.problems);
  result.types = Assembler(limits, result.problems).Inspect(std::move(defaults), std::move(found));
  SortProblems(result.problems);
  return result;
}

}  // namespace weft::mappings
