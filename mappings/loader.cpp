#include "mappings/loader.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "mappings/ascii.hpp"
#include "mappings/chain.hpp"
#include "mappings/folder_scan.hpp"
#include "mappings/level.hpp"
#include "mappings/machine_defaults.hpp"
#include "mappings/reachability.hpp"
#include "mappings/shared_chains.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

/// Turns what was found into the table: applies the levels, each to the chain above it.
class Assembler {
 public:
  Assembler(const LoadLimits& limits, std::vector<Problem>& problems)
      : problems_(problems), chains_(limits, problems) {}

  std::shared_ptr<const MappingTable> Assemble(Level defaults, Found found) {
    BuildFolders(defaults, found);
    if (HasErrors()) {
      return nullptr;
    }
    parts_.entries = chains_.TakeRooted();
    TakeEntries(defaults);
    if (found.machine) {
      TakeEntries(*found.machine);
    }
    for (FoundFolder& folder : found.folders) {
      if (folder.level) {
        TakeEntries(*folder.level);
      }
    }
    parts_.chains = chains_.TakeChains();
    return std::make_shared<const MappingTable>(std::move(parts_));
  }

  /// Builds the same, for what can be told of it. Returns the types that it names.
  std::vector<TypeMention> Inspect(Level defaults, Found found) {
    BuildFolders(defaults, found);
    if (stopped_) {
      return {};
    }
    const std::vector<SearchedChain> chains = chains_.TakeSearchedChains();
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
    std::size_t chain = SharedChains::kNone;
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

  Below Apply(const Below& above, const Block& block, bool complete) {
    Below below;
    below.complete = above.complete && complete;
    below.settings = std::make_shared<const FolderSettings>(Extend(*above.settings, block));
    // Where an entry may be missing for an error already told, a warning about it would mislead.
    below.chain = chains_.Extend(above.chain, block.directives, below.settings->application_root,
                                 /*warn=*/below.complete);
    StopIfTooMuch();
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
    below.chain = chains_.Extend(above.chain, {}, path, /*warn=*/false);
    StopIfTooMuch();
    return below;
  }

  /// The rest is not built: it would take more memory than there may be. Nothing else can be told of these mappings.
  void StopIfTooMuch() {
    if (!stopped_ && !chains_.Excess().empty()) {
      problems_.push_back(
          {{level_being_built_, 0, 0}, Problem::Severity::kError, chains_.Excess()});
      stopped_ = true;
    }
  }

  void RefuseApplication(const Level& machine) {
    if (machine.application) {
      problems_.push_back(
          {machine.application_where, Problem::Severity::kError,
           "\"application\" stands in the mapping.json of the folder that is an "
           "application's root, not in machine.json. A site's root always is one."});
    }
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
    const std::size_t known_chains = chains_.Size();
    const std::size_t index = AddFolder(below, place.path);
    for (auto& [name, child] : ChildrenOf(place, waiting)) {
      if (stopped_) {
        break;
      }
      BuildChild(below, child, {child.on_disk, place.path + name + "/", place.depth + 1}, name,
                 index);
    }
    chains_.ForgetKeysFrom(known_chains);  // nobody asks for these any more
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
    chains_.Use(below.chain, scope, below.complete);
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

  std::vector<Problem>& problems_;
  std::string level_being_built_;  // its file
  bool stopped_ = false;
  Found* found_ = nullptr;
  std::vector<std::vector<std::size_t>> children_;  // of the found folders, by their numbers
  SharedChains chains_;
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
