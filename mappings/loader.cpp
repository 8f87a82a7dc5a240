#include "mappings/loader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "mappings/ascii.hpp"
#include "mappings/chain.hpp"
#include "mappings/host_name.hpp"
#include "mappings/level.hpp"
#include "mappings/machine_defaults.hpp"
#include "mappings/reachability.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMappingFile = "mapping.json";
constexpr std::string_view kMachineFile = "machine.json";
constexpr std::string_view kDefaultSite = "default";

std::string LastReason() { return std::error_code(errno, std::generic_category()).message(); }

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int Value() const { return descriptor_; }

 private:
  int descriptor_;
};

struct FileText {
  std::string text;
  std::optional<std::string> fault;  // a sentence
};

FileText ReadMappingFile(const fs::path& path, std::size_t max_bytes) {
  // Without O_NONBLOCK a FIFO under this name would wait for a writer.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.Value() < 0) {
    return {"", "This file cannot be opened: " + LastReason() + "."};
  }
  struct stat status {};
  if (::fstat(file.Value(), &status) != 0) {
    return {"", "This file cannot be examined: " + LastReason() + "."};
  }
  if (!S_ISREG(status.st_mode)) {
    return {"", S_ISDIR(status.st_mode)
                    ? "This is a folder, and must be a file. Rename it or remove it."
                    : "This is no regular file. Replace it by one, or remove it."};
  }
  // A byte more than it should have: to see its end, and whether it grows. What grows is read on, by doubling.
  const std::size_t most = max_bytes + 1;
  std::string text(std::min(most, static_cast<std::size_t>(status.st_size) + 1), '\0');
  std::size_t size = 0;
  while (size < most) {
    if (size == text.size()) {
      text.resize(std::min(most, 2 * text.size()));
    }
    const ssize_t count = ::read(file.Value(), text.data() + size, text.size() - size);
    if (count == 0) {
      break;
    }
    if (count < 0 && errno != EINTR) {
      return {"", "This file cannot be read: " + LastReason() + "."};
    }
    size += count > 0 ? static_cast<std::size_t>(count) : 0;
  }
  if (size > max_bytes) {
    return {"", "This file is larger than " + std::to_string(max_bytes) +
                    " bytes, the most that is read. Split it over folders."};
  }
  text.resize(size);
  return {std::move(text), std::nullopt};
}

/// What was found on the disk: the sites' folders, parents before children.
struct FoundFolder {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  fs::path path;
  fs::path real_path;  // without symbolic links
  std::string name;
  std::size_t parent = kNone;  // a site's root has none
  std::size_t depth = 0;
  std::optional<Level> level;
  bool needed = false;  // it or a folder below it has a mapping file
};

struct Found {
  std::optional<Level> machine;
  std::vector<FoundFolder> folders;
};

/// Reads all files below a directory, in the order of their names.
class Scanner {
 public:
  Scanner(const LoadLimits& limits, std::vector<Problem>& problems)
      : limits_(limits), problems_(problems) {}

  Found Scan(const fs::path& directory) {
    std::error_code error;
    const fs::file_status status = fs::status(directory, error);
    if (status.type() == fs::file_type::not_found) {
      Error(directory, "There is no such folder. Create it, or correct the option that names it.");
    } else if (error) {
      Error(directory, "This folder cannot be examined: " + error.message() + ".");
    } else if (!fs::is_directory(status)) {
      Error(directory,
            "This must be the folder that holds machine.json and the sites, not a file.");
    } else {
      top_real_path_ = fs::canonical(directory, error);
      ScanTop(directory);
      for (std::size_t next = 0; next < found_.folders.size() && !stopped_; ++next) {
        ScanFolder(next);
      }
    }
    return std::move(found_);
  }

 private:
  struct Item {
    std::string name;
    fs::path path;
    fs::file_type type = fs::file_type::none;
    bool is_link = false;
    std::error_code error;
  };

  // Of the folders in one folder, so that two with one name but for letter case are noticed.
  using Siblings = NameMap<std::string>;

  void Error(const fs::path& path, std::string sentence) {
    problems_.push_back({{path.string(), 0, 0}, Problem::Severity::kError, std::move(sentence)});
  }

  void Warn(const fs::path& path, std::string sentence) {
    problems_.push_back({{path.string(), 0, 0}, Problem::Severity::kWarning, std::move(sentence)});
  }

  std::vector<Item> List(const fs::path& directory) {
    std::vector<Item> items;
    std::error_code error;
    fs::directory_iterator at(directory, error);
    for (; !error && at != fs::directory_iterator(); at.increment(error)) {
      Item item;
      item.path = at->path();
      item.name = item.path.filename().string();
      if (item.name.starts_with("..")) {
        continue;
      }
      std::error_code link_error;
      item.is_link = at->is_symlink(link_error);
      item.type = at->status(item.error).type();
      items.push_back(std::move(item));
    }
    if (error) {
      Error(directory, "This folder cannot be listed: " + error.message() + ".");
    }
    std::ranges::sort(items, {}, &Item::name);
    return items;
  }

  void ScanTop(const fs::path& directory) {
    Siblings siblings;
    for (const Item& item : List(directory)) {
      if (item.name == kMachineFile) {
        found_.machine = ReadFile(item.path);
      } else if (item.name.starts_with('.')) {
        continue;
      } else if (item.type == fs::file_type::directory) {
        CheckSiteName(item);
        AddFolder(item, FoundFolder::kNone, siblings);
      } else if (EqualsIgnoringCase(item.name, kMappingFile)) {
        Warn(item.path,
             "This file is not read here. Name it machine.json to have it apply to all sites, or "
             "move it into a site's folder.");
      } else {
        WarnOfFile(item, kMachineFile);
      }
    }
  }

  void CheckSiteName(const Item& item) {
    const std::string_view host = HostName(item.name);
    if (host != item.name && IsHostName(host)) {
      Error(item.path,
            "A site's folder bears the host name alone, without port or final dot. "
            "Rename it to " +
                Quoted(host) + ".");
    } else if (!IsHostName(item.name)) {
      Warn(item.path,
           "No request reaches this folder, as its name is no host name. Rename it, or move it out "
           "of here.");
    }
  }

  void ScanFolder(std::size_t index) {
    Siblings siblings;
    for (const Item& item : List(found_.folders[index].path)) {
      if (item.name == kMappingFile) {
        found_.folders[index].level = ReadFile(item.path);
        found_.folders[index].needed = true;
      } else if (item.type == fs::file_type::directory) {
        AddFolder(item, index, siblings);
      } else if (EqualsIgnoringCase(item.name, kMachineFile)) {
        Warn(item.path,
             "This file is not read here. In the folders of a site it must be named mapping.json.");
      } else {
        WarnOfFile(item, kMappingFile);
      }
    }
  }

  // Of files that may have been meant to be read.
  void WarnOfFile(const Item& item, std::string_view right_name) {
    if (EqualsIgnoringCase(item.name, right_name)) {
      Warn(item.path, "This file is not read. Its name must be in small letters: " +
                          std::string(right_name) + ".");
    } else if (item.is_link && item.error && !item.name.starts_with('.')) {
      Warn(item.path, "This symbolic link cannot be followed: " + item.error.message() + ".");
    }
  }

  void AddFolder(const Item& item, std::size_t parent, Siblings& siblings) {
    if (stopped_) {
      return;
    }
    if (found_.folders.size() >= limits_.folders) {
      Error(item.path, "There are more than " + std::to_string(limits_.folders) +
                           " folders; this one and all further ones were not read. Remove some, or "
                           "a symbolic link that multiplies them.");
      stopped_ = true;
      return;
    }
    const bool is_site = parent == FoundFolder::kNone;
    FoundFolder folder;
    folder.path = item.path;
    folder.name = item.name;
    folder.parent = parent;
    folder.depth = is_site ? 0 : found_.folders[parent].depth + 1;
    folder.real_path = (is_site ? top_real_path_ : found_.folders[parent].real_path) / item.name;
    if (item.is_link) {
      std::error_code error;
      folder.real_path = fs::canonical(item.path, error);
    }
    if (folder.depth > MappingTable::kMaxFolderDepth) {
      Error(item.path, "This folder is deeper than " +
                           std::to_string(MappingTable::kMaxFolderDepth) +
                           " levels below its site's. Move it up.");
      return;
    }
    if (LeadsBack(folder)) {
      Error(item.path,
            "This folder is, by way of a symbolic link, one that it lies in. Remove the link.");
      return;
    }
    const auto [sibling, is_new] = siblings.try_emplace(item.name, item.name);
    if (!is_new) {
      Error(item.path, "This folder and " + Quoted(sibling->second) +
                           " beside it differ in letter case only, which does not count in paths. "
                           "Merge the two.");
      return;
    }
    found_.folders.push_back(std::move(folder));
  }

  [[nodiscard]] bool LeadsBack(const FoundFolder& folder) const {
    for (std::size_t at = folder.parent; at != FoundFolder::kNone; at = found_.folders[at].parent) {
      if (found_.folders[at].real_path.native() == folder.real_path.native()) {
        return true;
      }
    }
    return folder.real_path.native() == top_real_path_.native();
  }

  Level ReadFile(const fs::path& path) {
    FileText file = ReadMappingFile(path, limits_.file_bytes);
    if (file.fault) {
      Error(path, std::move(*file.fault));
      Level level;
      level.complete = false;
      return level;
    }
    return ReadLevel(file.text, path.string(), problems_);
  }

  const LoadLimits& limits_;
  std::vector<Problem>& problems_;
  fs::path top_real_path_;
  Found found_;
  bool stopped_ = false;
};

/// Turns what was found into the table: applies the levels, each to the chain above it.
class Assembler {
 public:
  explicit Assembler(std::vector<Problem>& problems) : problems_(problems) {}

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
    return std::make_shared<const MappingTable>(std::move(parts_));
  }

  /// Builds the same, for what can be told of it. Returns the types that it names.
  std::vector<TypeMention> Inspect(Level defaults, Found found) {
    BuildFolders(defaults, found);
    const std::vector<SearchedChain> chains = SearchedChains();
    TellUnreachable(chains, ReadEntries(found), AllFilesRead(), problems_);
    TellRepeatedNames(chains, problems_);
    return TypesIn(chains);
  }

 private:
  static constexpr std::size_t kNoFolder = static_cast<std::size_t>(-1);

  void BuildFolders(Level& defaults, Found& found) {
    found_ = &found;
    Below top = Apply({}, defaults.block, defaults.complete);
    Waiting waiting;
    if (found.machine) {
      RefuseApplication(*found.machine);
      top = Apply(top, found.machine->block, found.machine->complete);
      Await(*found.machine, waiting);
    }
    ListChildren();
    parts_.any_other_site = kNoFolder;
    for (std::size_t i = 0; i < found.folders.size(); ++i) {
      if (found.folders[i].parent == FoundFolder::kNone) {
        const std::size_t site = BuildFolder(top, waiting, {i, "/", 0});
        parts_.sites.emplace(found.folders[i].name, site);
        if (EqualsIgnoringCase(found.folders[i].name, kDefaultSite)) {
          parts_.any_other_site = site;
        }
      }
    }
    if (parts_.any_other_site == kNoFolder) {
      parts_.any_other_site = BuildFolder(top, waiting, {FoundFolder::kNone, "/", 0});
    }
  }

  /// What the files down to a folder amount to.
  struct Below {
    std::size_t chain = MappingTable::Chain::kNone;  // into chains_, and parts_.chains
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
    std::size_t found;  // into found_->folders; kNone: there are only locations for it
    std::string path;   // in the URL space, with a final slash
    std::size_t depth;
  };

  /// A chain as the files have it, and with each `~/` in its place, entry by entry.
  struct BuiltChain {
    Chain written;
    Chain rooted;
    std::string root;
    bool used = false;     // by a folder
    bool complete = true;  // for each of these
  };

  Below Apply(const Below& above, const Block& block, bool complete) {
    Below below;
    below.complete = above.complete && complete;
    below.settings = std::make_shared<const FolderSettings>(Extend(*above.settings, block));
    const bool first = above.chain == MappingTable::Chain::kNone;
    // Where an entry may be missing for an error already told, a warning about it would mislead.
    Chain written = Extend(first ? Chain() : chains_[above.chain].written, block.directives,
                           {problems_, below.complete});
    below.chain = AddChain(std::move(written), above.chain, below.settings->application_root);
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
    below.chain = AddChain(chains_[above.chain].written, above.chain, path);
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

  // A level that takes nothing away stands before the chain above it, which then serves both.
  std::size_t AddChain(Chain written, std::size_t above, const std::string& root) {
    BuiltChain chain;
    chain.written = std::move(written);
    chain.root = root;
    chain.rooted.reserve(chain.written.size());
    for (Entry* entry : chain.written) {
      chain.rooted.push_back(Rooted(*entry, root));
    }
    std::size_t own = chain.rooted.size();
    std::size_t behind = MappingTable::Chain::kNone;
    if (above != MappingTable::Chain::kNone && !chains_[above].rooted.empty() &&
        EndsIn(chain.rooted, chains_[above].rooted)) {
      own -= chains_[above].rooted.size();
      behind = above;
      if (own == 0) {
        return above;
      }
    }
    parts_.chains.push_back(
        {{chain.rooted.begin(), chain.rooted.begin() + static_cast<std::ptrdiff_t>(own)}, behind});
    chains_.push_back(std::move(chain));
    return chains_.size() - 1;
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
      parts_.entries.push_back(std::make_unique<Entry>(entry, root));
      known->second = parts_.entries.back().get();
    }
    return known->second;
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
    const FoundFolder* folder =
        place.found == FoundFolder::kNone ? nullptr : &found_->folders[place.found];
    if (folder != nullptr && folder->level) {
      if (folder->level->application) {
        below = BeginApplication(below, *folder->level, place.path);
      }
      below = Apply(below, folder->level->block, folder->level->complete);
      Await(*folder->level, waiting);
    }
    const std::size_t index = AddFolder(below);
    for (auto& [name, child] : ChildrenOf(place, waiting)) {
      BuildChild(below, child, {child.found, place.path + name + "/", place.depth + 1}, name,
                 index);
    }
    return index;
  }

  struct Child {
    std::size_t found = FoundFolder::kNone;
    Waiting waiting;
  };

  /// What lies in a folder, or is spoken of by a location above.
  std::map<std::string, Child, LessIgnoringCase> ChildrenOf(const Place& place,
                                                            const Waiting& waiting) const {
    std::map<std::string, Child, LessIgnoringCase> children;
    if (place.found != FoundFolder::kNone) {
      for (const std::size_t found : children_[place.found]) {
        children[found_->folders[found].name].found = found;
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
      const std::size_t file = AddFolder(below);
      parts_.folders[parent].files.emplace(name, file);
    }
    const std::size_t folder = BuildFolder(std::move(below), std::move(waiting), place);
    parts_.folders[parent].children.emplace(name, folder);
  }

  std::size_t AddFolder(const Below& below) {
    MappingTable::Folder folder;
    folder.chain = below.chain;
    folder.settings = below.settings;
    chains_[below.chain].used = true;
    chains_[below.chain].complete = chains_[below.chain].complete && below.complete;
    parts_.folders.push_back(std::move(folder));
    return parts_.folders.size() - 1;
  }

  // Only folders with a mapping file in or below them. They are listed parents first, so from the back every child
  // is seen before its parent.
  void ListChildren() {
    auto& folders = found_->folders;
    children_.resize(folders.size());
    for (std::size_t i = folders.size(); i-- > 0;) {
      if (folders[i].needed && folders[i].parent != FoundFolder::kNone) {
        folders[folders[i].parent].needed = true;
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

  // The chains of folders, parents' before children's.
  [[nodiscard]] std::vector<SearchedChain> SearchedChains() const {
    std::vector<SearchedChain> searched;
    for (const BuiltChain& chain : chains_) {
      if (!chain.used) {
        continue;
      }
      searched.push_back({{}, chain.root, chain.complete});
      for (std::size_t i = 0; i < chain.written.size(); ++i) {
        searched.back().places.push_back({chain.written[i], chain.rooted[i]});
      }
    }
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
    for (const SearchedChain& chain : chains) {
      for (const SearchedChain::Place& place : chain.places) {
        const Entry& entry = *place.written;
        if (!entry.where.file.empty() && seen.insert(&entry).second) {
          types.push_back({entry.type, entry.validate, entry.type_where});
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
  Found* found_ = nullptr;
  std::vector<std::vector<std::size_t>> children_;  // of the found folders, by their numbers
  std::vector<BuiltChain> chains_;
  std::map<std::pair<const Entry*, std::string>, Entry*> rooted_;
  MappingTable::Parts parts_;
};

Found Find(const fs::path& directory, const LoadLimits& limits, std::vector<Problem>& problems) {
  return directory.empty() ? Found() : Scanner(limits, problems).Scan(directory);
}

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

LoadResult Load(const fs::path& directory, const LoadLimits& limits) {
  LoadResult result;
  Level defaults = ReadLevel(MachineDefaults(), "", result.problems);
  Found found = Find(directory, limits, result.problems);
  result.table = Assembler(result.problems).Assemble(std::move(defaults), std::move(found));
  SortProblems(result.problems);
  return result;
}

CheckResult Check(const fs::path& directory, const LoadLimits& limits) {
  CheckResult result;
  Level defaults = ReadLevel(MachineDefaults(), "", result.problems);
  Found found = Find(directory, limits, result.problems);
  result.types = Assembler(result.problems).Inspect(std::move(defaults), std::move(found));
  SortProblems(result.problems);
  return result;
}

}  // namespace weft::mappings
