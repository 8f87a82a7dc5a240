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
#include "mappings/host_name.hpp"
#include "mappings/mapping_table.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMappingFile = "mapping.json";
constexpr std::string_view kMachineFile = "machine.json";

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
}  // namespace

Found FindFiles(const fs::path& directory, const LoadLimits& limits,
                std::vector<Problem>& problems) {
  return directory.empty() ? Found() : Scanner(limits, problems).Scan(directory);
}

}  // namespace weft::mappings
