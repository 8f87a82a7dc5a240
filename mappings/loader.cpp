#include "mappings/loader.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
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
      MappingTable::Chain part{{}, std::move(chain.inherited)};
      part.own.reserve(chain.places.size());
      for (const SearchedChain::Place& place : chain.places) {
        part.own.push_back(place.searched);
      }
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
  static constexpr std::size_t kNoChain = SearchedChain::kNone;

  /// A chain shares what is left of another's own entries, unless more than one of so many is taken away: to pass over
  /// an entry costs a search a look at each request, and to copy the rest costs memory in each folder.
  static constexpr std::size_t kShareUnlessOneOf = 4;

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
    std::size_t chain = kNoChain;  // into chains_
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

  using Inherited = MappingTable::Inherited;
  using Inheritance = std::vector<Inherited>;

  /// The chain of some folders: its own entries, then what it inherits. `places` are its own, and `behind` is set at the
  /// end of Inspect() alone.
  struct BuiltChain : SearchedChain {
    Chain written;  // as `places`
    Inheritance inherited;
    // Whether a `~/` of any entry, of the inherited ones too, has the application's root in its place.
    bool rooted = false;
    std::optional<std::unordered_map<std::string_view, std::uint32_t>>
        place_of_key;  // of its own, once asked for
  };

  /// The entries of a chain, for a block below it.
  class ChainAbove final : public IInherited {
   public:
    ChainAbove(Assembler& assembler, std::size_t chain)
        : assembler_(assembler), inheritance_(assembler.InheritanceOf(chain)) {}

    Entry* Find(const std::string& key) override {
      for (const Inherited& part : inheritance_) {
        if (const auto place = assembler_.PlaceOf(key, part)) {
          return assembler_.chains_[part.chain].written[*place];
        }
      }
      return nullptr;
    }

    const Chain& All() override {
      if (!all_) {
        all_ = assembler_.LeftOf(inheritance_);
      }
      return *all_;
    }

   private:
    Assembler& assembler_;
    Inheritance inheritance_;
    std::optional<Chain> all_;
  };

  /// What a chain right below this one inherits, before it takes anything away.
  [[nodiscard]] Inheritance InheritanceOf(std::size_t chain) const {
    Inheritance inheritance;
    if (chain != kNoChain) {
      inheritance = chains_[chain].inherited;
      inheritance.insert(inheritance.begin(), {chain, nullptr});
    }
    return inheritance;
  }

  /// Where the entry of this key stands in a part; nothing where there is none, or it is skipped.
  std::optional<std::uint32_t> PlaceOf(const std::string& key, const Inherited& part) {
    BuiltChain& chain = chains_[part.chain];
    if (!chain.place_of_key) {
      chain.place_of_key.emplace();
      for (std::uint32_t place = 0; place < chain.written.size(); ++place) {
        const Entry* const entry = chain.written[place];
        auto [known, is_new] = keys_.try_emplace(entry);
        if (is_new) {
          known->second = EntryKey(entry->verb, entry->path);
        }
        chain.place_of_key->emplace(known->second, place);
      }
    }
    const auto found = chain.place_of_key->find(key);
    const bool is_there = found != chain.place_of_key->end() && !Skips(part, found->second);
    return is_there ? std::optional(found->second) : std::nullopt;
  }

  static bool Skips(const Inherited& part, std::uint32_t place) {
    return part.skipped && std::ranges::binary_search(*part.skipped, place);
  }

  /// Appends what is not skipped of a part: of `member` of its chain, which is `written` or `places`.
  template <class Member, class Left>
  void AppendLeft(const Inherited& part, Member member, Left& left) const {
    const Left& own = chains_[part.chain].*member;
    for (std::uint32_t place = 0; place < own.size(); ++place) {
      if (!Skips(part, place)) {
        left.push_back(own[place]);
      }
    }
  }

  [[nodiscard]] Chain LeftOf(const Inheritance& inheritance) const {
    Chain left;
    for (const Inherited& part : inheritance) {
      AppendLeft(part, &BuiltChain::written, left);
    }
    return left;
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

  std::size_t AddChain(Extension extension, std::size_t above, const std::string& root) {
    BuiltChain chain;
    chain.application_root = root;
    chain.written = std::move(extension.own);
    if (above != kNoChain && !extension.cleared) {
      chain.inherited = InheritanceOf(above);
      SkipTaken(extension.taken, chain.inherited);
      const bool roots_anew = chains_[above].rooted && chains_[above].application_root != root;
      const auto shared = roots_anew ? chain.inherited.end() : FirstShared(chain.inherited);
      for (auto part = chain.inherited.begin(); part != shared; ++part) {
        AppendLeft(*part, &BuiltChain::written, chain.written);
      }
      chain.inherited.erase(chain.inherited.begin(), shared);
    }
    if (chain.written.empty() && !chain.inherited.empty() && IsWholeChain(chain.inherited)) {
      return chain.inherited.front().chain;
    }
    chain.rooted = !chain.inherited.empty() && chains_[chain.inherited.front().chain].rooted;
    entries_ += chain.written.size();
    if (entries_ > limits_.entries) {
      Stop("The chains of all folders have more than " + std::to_string(limits_.entries) +
           " entries together: what a folder inherits counts once more where it takes much of it "
           "away, or is an application's root. Add fewer above such folders.");
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

  /// `taken` are entries that are not skipped yet.
  void SkipTaken(const std::unordered_set<const Entry*>& taken, Inheritance& inheritance) {
    std::vector<std::vector<std::uint32_t>> places(inheritance.size());
    for (const Entry* entry : taken) {
      const std::string& key = keys_.at(entry);  // by which it was found
      for (std::size_t i = 0; i < inheritance.size(); ++i) {
        if (const auto place = PlaceOf(key, inheritance[i])) {
          places[i].push_back(*place);
          break;
        }
      }
    }
    for (std::size_t i = 0; i < inheritance.size(); ++i) {
      if (places[i].empty()) {
        continue;  // goes on sharing what it skips
      }
      if (const auto& above = inheritance[i].skipped) {
        places[i].insert(places[i].end(), above->begin(), above->end());
      }
      std::ranges::sort(places[i]);
      entries_ += places[i].size();
      inheritance[i].skipped =
          std::make_shared<const std::vector<std::uint32_t>>(std::move(places[i]));
    }
  }

  /// The first part from which on all are shared. What stands before is copied, to stay in the order.
  [[nodiscard]] Inheritance::iterator FirstShared(Inheritance& inheritance) const {
    const auto copied =
        std::find_if(inheritance.rbegin(), inheritance.rend(), [this](const Inherited& part) {
          const std::size_t skipped = part.skipped ? part.skipped->size() : 0;
          return skipped * kShareUnlessOneOf > chains_[part.chain].written.size();
        });
    return copied.base();
  }

  /// Whether it is just the chain of its first part.
  [[nodiscard]] bool IsWholeChain(std::span<const Inherited> inheritance) const {
    const Inherited& first = inheritance.front();
    return !first.skipped &&
           std::ranges::equal(inheritance.subspan(1), chains_[first.chain].inherited);
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
      chains_[chain].place_of_key.reset();
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

  // Parents' before children's. Nothing is skipped in these: what is left of a part is copied, and of all parts before it.
  [[nodiscard]] std::vector<SearchedChain> TakeSearchedChains() {
    // Children first, so that the places of those above are still their own alone.
    for (std::size_t i = chains_.size(); i-- > 0;) {
      BuiltChain& chain = chains_[i];
      std::span<const Inherited> rest(chain.inherited);
      for (; !rest.empty() && !IsWholeChain(rest); rest = rest.subspan(1)) {
        AppendLeft(rest.front(), &BuiltChain::places, chain.places);
      }
      chain.behind = rest.empty() ? kNoChain : rest.front().chain;
    }
    std::vector<SearchedChain> searched;
    for (BuiltChain& chain : chains_) {
      searched.push_back(std::move(chain));
      chain = {};
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
