#include "mappings/folder_scan.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include "mappings/ascii.hpp"
#include "mappings/descriptor.hpp"
#include "mappings/host_name.hpp"
#include "mappings/mapping_table.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMappingFile = "mapping.json";
constexpr std::string_view kMachineFile = "machine.json";

std::string LastReason() { return std::error_code(errno, std::generic_category()).message(); }

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
/// Reads all files below the folders of one MappingSources.
class Scanner {
 public:
  Scanner(const LoadLimits& limits, std::vector<Problem>& problems)
      : limits_(limits), problems_(problems) {}

  Found Scan(const MappingSources& sources) {
    has_document_roots_ = !sources.document_roots.empty();
    if (!sources.directory.empty() &&
        IsFolder(sources.directory,
                 "This must be the folder that holds machine.json and the sites, not a file.")) {
      top_real_path_ = RealPath(sources.directory.string());
      ScanTop(sources.directory.string());
    }
    for (const DocumentRoot& root : sources.document_roots) {
      AddDocumentRoot(root);
    }
    for (std::size_t next = 0; next < found_.folders.size() && !stopped_; ++next) {
      if (found_.folders[next].in_document_root) {
        ScanServedFolder(next);
      } else {
        ScanFolder(next);
      }
    }
    MarkNeeded();
    TellServedFoldersOfOneName();
    return std::move(found_);
  }

 private:
  struct Item {
    std::string name;
    std::string path;
    bool is_folder = false;  // or a link to one
    bool is_link = false;
    std::error_code error;  // of following the link
  };

  struct Listing {
    std::vector<Item> items;
    std::error_code error;
  };

  // Of the folders in one folder, so that two with one name but for letter case are noticed.
  using Siblings = NameMap<std::string>;

  void Error(const std::string& path, std::string sentence) {
    problems_.push_back({{path, 0, 0}, Problem::Severity::kError, std::move(sentence)});
  }

  void Warn(const std::string& path, std::string sentence) {
    problems_.push_back({{path, 0, 0}, Problem::Severity::kWarning, std::move(sentence)});
  }

  bool IsFolder(const fs::path& path, std::string_view if_file) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_directory(status)) {
      return true;
    }
    if (status.type() == fs::file_type::not_found) {
      Error(path.string(),
            "There is no such folder. Create it, or correct the option that names it.");
    } else if (error) {
      Error(path.string(), "This folder cannot be examined: " + error.message() + ".");
    } else {
      Error(path.string(), std::string(if_file));
    }
    return false;
  }

  static std::string RealPath(const std::string& path) {
    std::error_code error;
    const fs::path real_path = fs::canonical(path, error);
    return error ? path : real_path.string();  // it went this moment
  }

  /// Folders, links and what may be meant as a mapping file: the rest is not even asked what it is.
  static Listing List(const std::string& directory) {
    Listing listing;
    fs::directory_iterator at(directory, listing.error);
    for (; !listing.error && at != fs::directory_iterator(); at.increment(listing.error)) {
      Item item;
      item.path = at->path().string();
      item.name = item.path.substr(item.path.rfind('/') + 1);
      if (item.name.starts_with("..")) {
        continue;
      }
      std::error_code ignored;
      item.is_link = at->is_symlink(ignored);
      item.is_folder = at->is_directory(item.error);
      if (item.is_folder || item.is_link || EqualsIgnoringCase(item.name, kMappingFile) ||
          EqualsIgnoringCase(item.name, kMachineFile)) {
        listing.items.push_back(std::move(item));
      }
    }
    std::ranges::sort(listing.items, {}, &Item::name);
    return listing;
  }

  std::vector<Item> ListOrTell(const std::string& directory) {
    Listing listing = List(directory);
    if (listing.error) {
      Error(directory, "This folder cannot be listed: " + listing.error.message() + ".");
    }
    return std::move(listing.items);
  }

  void ScanTop(const std::string& directory) {
    Siblings siblings;
    for (const Item& item : ListOrTell(directory)) {
      if (item.name == kMachineFile) {
        found_.machine = ReadFile(item.path);
      } else if (item.name.starts_with('.')) {
        continue;
      } else if (item.is_folder) {
        CheckSiteName(item);
        AddMirroredFolder(item, FoundFolder::kNone, siblings);
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
    for (const Item& item : ListOrTell(found_.folders[index].path)) {
      if (item.name == kMappingFile) {
        found_.folders[index].level = ReadFile(item.path);
      } else if (item.is_folder) {
        AddMirroredFolder(item, index, siblings);
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

  void AddMirroredFolder(const Item& item, std::size_t parent, Siblings& siblings) {
    const bool is_site = parent == FoundFolder::kNone;
    FoundFolder folder = FolderIn(item, parent);
    if (folder.depth > MappingTable::kMaxFolderDepth) {
      Error(item.path, "This folder is deeper than " +
                           std::to_string(MappingTable::kMaxFolderDepth) +
                           " levels below its site's. Move it up.");
      return;
    }
    if (item.is_link && LeadsBack(folder)) {
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
    if (Add(std::move(folder)) && is_site) {
      found_.sites[item.name].mirrored = found_.folders.size() - 1;
    }
  }

  // --- Document roots. They are full of other things: what has no effect on a mapping is not told.

  void AddDocumentRoot(const DocumentRoot& root) {
    if (!IsFolder(root.directory, "This must be the folder of a site's files, not a file.")) {
      return;
    }
    FoundFolder folder;
    folder.path = root.directory.string();
    folder.real_path = RealPath(folder.path);
    folder.name = root.host;
    folder.in_document_root = true;
    if (Add(std::move(folder))) {
      found_.sites[root.host].document_root = found_.folders.size() - 1;
    }
  }

  void ScanServedFolder(std::size_t index) {
    const std::string path = found_.folders[index].path;
    const Listing listing = List(path);
    if (listing.error) {
      TellUnlisted(index, listing.error);
      return;
    }
    for (const Item& item : listing.items) {
      if (item.name == kMappingFile) {
        ReadServedFile(index, item.path);
      } else if (item.name.starts_with('.')) {
        continue;  // no page's folder: of version control, of editors, of the web server
      } else if (item.is_folder) {
        AddServedFolder(item, index);
      } else if (EqualsIgnoringCase(item.name, kMappingFile)) {
        WarnOfFile(item, kMappingFile);
      }
    }
  }

  void ReadServedFile(std::size_t index, const std::string& path) {
    // Told of files, not of folders: only these need to be moved.
    if (found_.folders[index].depth > MappingTable::kMaxFolderDepth) {
      Error(path, "The folder of this file is deeper than " +
                      std::to_string(MappingTable::kMaxFolderDepth) +
                      " levels below the document root. Move it up.");
      return;
    }
    found_.folders[index].level = ReadFile(path);
  }

  /// Whoever may not list a folder may serve few files of it, and there are such in many a document root (lost+found):
  /// an error would take all other mappings away for them. Not so where the system itself is in need, for then there
  /// may be files that any other day would count.
  void TellUnlisted(std::size_t index, const std::error_code& error) {
    const std::string& path = found_.folders[index].path;
    const bool is_root = found_.folders[index].parent == FoundFolder::kNone;
    const bool may_not =
        error == std::errc::permission_denied || error == std::errc::operation_not_permitted;
    // Nobody serves it under this path either.
    const bool is_gone = error == std::errc::no_such_file_or_directory ||
                         error == std::errc::not_a_directory ||
                         error == std::errc::filename_too_long;
    if (!is_root && is_gone) {
      return;
    }
    if (is_root || !may_not) {
      Error(path, "This folder cannot be listed: " + error.message() + ".");
      return;
    }
    // With the permission to search alone its files can be opened by their names.
    const std::string file = path + "/" + std::string(kMappingFile);
    std::error_code of_file;
    const auto type = fs::symlink_status(file, of_file).type();
    if (type != fs::file_type::none && type != fs::file_type::not_found) {
      ReadServedFile(index, file);
    }
    Warn(path, "This folder cannot be listed: " + error.message() + ". Mapping files " +
                   (type == fs::file_type::none ? "in it and below it" : "below it") +
                   " are not read. If there are any, let Weft's user list it.");
  }

  void AddServedFolder(const Item& item, std::size_t parent) {
    FoundFolder folder = FolderIn(item, parent);
    if (item.is_link && LeadsBack(folder)) {
      Warn(item.path,
           "This folder is, by way of a symbolic link, one that it lies in: mapping files are not "
           "looked for below the link.");
      return;
    }
    Add(std::move(folder));
  }

  // Only where both have mapping files is it a question which of them holds.
  void TellServedFoldersOfOneName() {
    auto& folders = found_.folders;
    NameMap<std::string> siblings;
    std::size_t parent = FoundFolder::kNone;
    for (const FoundFolder& folder : folders) {
      if (!folder.in_document_root || !folder.needed || folder.parent == FoundFolder::kNone) {
        continue;
      }
      if (folder.parent != parent) {
        siblings.clear();
        parent = folder.parent;
      }
      const auto [sibling, is_new] = siblings.try_emplace(folder.name, folder.name);
      if (!is_new) {
        Error(folder.path,
              "This folder and " + Quoted(sibling->second) +
                  " beside it differ in letter case only, which does not count in paths, and both "
                  "have mapping files in them or below. Merge the two, or rename one.");
      }
    }
  }

  // --- Both kinds.

  [[nodiscard]] FoundFolder FolderIn(const Item& item, std::size_t parent) const {
    const bool is_site = parent == FoundFolder::kNone;
    FoundFolder folder;
    folder.path = item.path;
    folder.name = item.name;
    folder.parent = parent;
    folder.depth = is_site ? 0 : found_.folders[parent].depth + 1;
    folder.in_document_root = !is_site && found_.folders[parent].in_document_root;
    folder.real_path =
        item.is_link
            ? RealPath(item.path)
            : (is_site ? top_real_path_ : found_.folders[parent].real_path) + "/" + item.name;
    return folder;
  }

  bool Add(FoundFolder folder) {
    if (stopped_) {
      return false;
    }
    if (found_.folders.size() >= limits_.folders) {
      Error(folder.path,
            "There are more than " + std::to_string(limits_.folders) + " folders" +
                (has_document_roots_ ? " in the mappings and the document roots together" : "") +
                "; this one and all further ones were not read. Remove some, or a symbolic link "
                "that multiplies them" +
                (has_document_roots_
                     ? "; or take the largest root out of --document-root-mappings, and keep its "
                       "mapping files below --mappings."
                     : "."));
      stopped_ = true;
      return false;
    }
    found_.folders.push_back(std::move(folder));
    return true;
  }

  // By way of a link one comes back to a folder if that lies at the link's target or below it.
  [[nodiscard]] bool LeadsBack(const FoundFolder& link) const {
    for (std::size_t at = link.parent; at != FoundFolder::kNone; at = found_.folders[at].parent) {
      if (IsAtOrAbove(link.real_path, found_.folders[at].real_path)) {
        return true;
      }
    }
    return !link.in_document_root && IsAtOrAbove(link.real_path, top_real_path_);
  }

  // Parents stand before their children, so from the back every child is seen before its parent.
  void MarkNeeded() {
    auto& folders = found_.folders;
    for (std::size_t i = folders.size(); i-- > 0;) {
      folders[i].needed = folders[i].needed || folders[i].level.has_value();
      if (folders[i].needed && folders[i].parent != FoundFolder::kNone) {
        folders[folders[i].parent].needed = true;
      }
    }
  }

  Level ReadFile(const std::string& path) {
    FileText file = ReadMappingFile(path, limits_.file_bytes);
    if (file.fault) {
      Error(path, std::move(*file.fault));
      Level level;
      level.complete = false;
      return level;
    }
    return ReadLevel(file.text, path, problems_);
  }

  const LoadLimits& limits_;
  std::vector<Problem>& problems_;
  bool has_document_roots_ = false;
  std::string top_real_path_;
  Found found_;
  bool stopped_ = false;
};

}  // namespace

Found FindFiles(const MappingSources& sources, const LoadLimits& limits,
                std::vector<Problem>& problems) {
  return Scanner(limits, problems).Scan(sources);
}

bool IsAtOrAbove(std::string_view folder, std::string_view path) {
  return path.starts_with(folder) &&
         (path.size() == folder.size() || folder.ends_with('/') || path[folder.size()] == '/');
}

}  // namespace weft::mappings
