#include "mappings/fingerprint.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mappings/ascii.hpp"
#include "mappings/descriptor.hpp"
#include "mappings/folder_scan.hpp"
#include "mappings/mapping_table.hpp"

namespace weft::mappings {
namespace {

using Clock = std::chrono::steady_clock;

/// Of the clock that file systems with nanoseconds take their times from: a tick of the kernel, at
/// most 10 ms, and room.
constexpr std::chrono::milliseconds kSlowestTick{50};

bool SameTime(const timespec& left, const timespec& right) {
  return left.tv_sec == right.tv_sec && left.tv_nsec == right.tv_nsec;
}

bool SameFile(const struct stat& left, const struct stat& right) {
  return left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

class Directory {
 public:
  Directory(int top, const std::string& path) {
    const int descriptor = ::openat(top, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    stream_ = descriptor < 0 ? nullptr : ::fdopendir(descriptor);
    if (stream_ == nullptr && descriptor >= 0) {
      const int error = errno;
      ::close(descriptor);
      errno = error;
    }
  }
  ~Directory() {
    if (stream_ != nullptr) {
      ::closedir(stream_);
    }
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] bool IsOpen() const { return stream_ != nullptr; }
  [[nodiscard]] int Value() const { return ::dirfd(stream_); }
  /// Null at the end, with errno 0, and after an error, with errno.
  [[nodiscard]] const dirent* Next() const {
    errno = 0;
    return ::readdir(stream_);  // of a stream that no other thread reads
  }

 private:
  DIR* stream_ = nullptr;
};

/// Some file systems do not say in a listing what there is.
unsigned char TypeOf(const dirent& entry, const Directory& directory) {
  struct stat status {};
  if (entry.d_type != DT_UNKNOWN ||
      ::fstatat(directory.Value(), static_cast<const char*>(entry.d_name), &status,
                AT_SYMLINK_NOFOLLOW) != 0) {
    return entry.d_type;
  }
  return static_cast<unsigned char>(IFTODT(status.st_mode));
}

/// What a path leads to without links; empty if that cannot be said.
std::string RealPath(const std::string& path) {
  std::array<char, PATH_MAX> real_path{};
  return ::realpath(path.c_str(), real_path.data()) == nullptr ? std::string() : real_path.data();
}

}  // namespace

/// Of a chain of numbers; each changes all that follow.
class Fingerprinter::Hash {
 public:
  void Add(std::uint64_t number) {
    value_ = (value_ ^ number) * 0x9E3779B97F4A7C15U;
    value_ ^= value_ >> 32U;
  }
  void Add(const timespec& time) {
    Add(static_cast<std::uint64_t>(time.tv_sec));
    Add(static_cast<std::uint64_t>(time.tv_nsec));
  }
  void Add(std::string_view text) {
    for (const char c : text) {
      value_ = (value_ ^ static_cast<unsigned char>(c)) * 1099511628211U;
    }
    Add(text.size());
  }
  [[nodiscard]] std::uint64_t Value() const { return value_; }

 private:
  std::uint64_t value_ = 14695981039346656037U;
};

struct Fingerprinter::Status : stat {};

/// A name in a folder: a folder, a mapping file, or a link that may be either or nothing.
struct Fingerprinter::Node {
  std::string path;  // below the top folder; "." is that itself
  std::string name;
  bool is_link = false;
  const Node* parent = nullptr;
  std::size_t depth = 0;
  std::string real_path;  // of the top folder and of links, as of this round

  [[nodiscard]] std::string RealPath() const {
    return parent == nullptr || is_link ? real_path : parent->RealPath() + "/" + name;
  }

  // Of a folder, as it was when it was listed.
  Status status{};
  bool was_listed = false;
  Clock::time_point seen{};  // with these times, at first
  /// Listed so soon after that a change within the same tick of the file system's clock may have
  /// come later, which its times would not show: it is listed once more.
  bool was_fresh = true;
  int error = 0;                             // of the listing
  std::vector<std::unique_ptr<Node>> items;  // in the order of their names
};

/// The folder of MappingSources::directory, or a document root.
struct Fingerprinter::Tree {
  std::string directory;
  bool is_document_root = false;
  std::unique_ptr<Node> top;
};

/// One look at all trees.
struct Fingerprinter::Round {
  const Tree* tree = nullptr;  // the one that is looked at
  int top = -1;                // its folder
  Clock::time_point now = Clock::now();
  std::size_t folders = 0;
  bool has_too_many = false;
  Hash hash{};

  /// Whether the loader reads a file of this name, or warns of it.
  [[nodiscard]] bool IsRead(std::string_view name) const {
    return EqualsIgnoringCase(name, "mapping.json") ||
           (!tree->is_document_root && EqualsIgnoringCase(name, "machine.json"));
  }
};

Fingerprinter::Fingerprinter(const MappingSources& sources, std::size_t max_folders)
    : max_folders_(max_folders) {
  if (!sources.directory.empty()) {
    trees_.push_back({sources.directory.string(), false, nullptr});
  }
  for (const DocumentRoot& root : sources.document_roots) {
    trees_.push_back({root.directory.string(), true, nullptr});
  }
}

Fingerprinter::~Fingerprinter() = default;

std::uint64_t Fingerprinter::Take() {
  Round round;
  try {
    for (Tree& tree : trees_) {
      Look(tree, round);
    }
  } catch (...) {
    for (Tree& tree : trees_) {
      tree.top.reset();
    }
    throw;
  }
  // Beyond the bound nothing is seen any more: the loader is to say so.
  round.hash.Add(round.has_too_many ? 1U : 0U);
  return round.hash.Value();
}

void Fingerprinter::Look(Tree& tree, Round& round) {
  // Opened anew each time: it may be a link that was swapped.
  const Descriptor top(::open(tree.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (top.Value() < 0) {
    round.hash.Add(static_cast<std::uint64_t>(errno));
    tree.top.reset();
    return;
  }
  if (!tree.top) {
    tree.top = std::make_unique<Node>();
    tree.top->path = ".";
  }
  tree.top->real_path = RealPath(tree.directory);
  round.tree = &tree;
  round.top = top.Value();
  Visit(*tree.top, round, round.hash);
}

/// Adds what there is to the hash, and returns true; or neither, where it does not count.
/// Recursive: as deep as the loader lets folders be, in a document root as deep as paths may be long.
bool Fingerprinter::Visit(Node& node, Round& round, Hash& hash) {
  Status status{};
  Hash own;
  own.Add(node.name);
  bool counts = !round.tree->is_document_root || round.IsRead(node.name) || node.parent == nullptr;
  if (::fstatat(round.top, node.path.c_str(), &status, 0) != 0) {
    own.Add(static_cast<std::uint64_t>(errno));
  } else {
    own.Add(status.st_dev);
    own.Add(status.st_ino);
    own.Add(status.st_mode);
    own.Add((std::uint64_t{status.st_uid} << 32U) | status.st_gid);
    if (S_ISDIR(status.st_mode)) {
      counts = VisitItems(node, status, round, own) || counts;
    } else if (round.IsRead(node.name)) {
      own.Add(static_cast<std::uint64_t>(status.st_size));
      own.Add(status.st_mtim);
      own.Add(status.st_ctim);
    }
  }
  if (counts) {
    hash.Add(own.Value());
  }
  return counts;
}

/// Whether any of them counts.
bool Fingerprinter::VisitItems(Node& node, const Status& status, Round& round, Hash& hash) {
  const bool is_mirrored_top = node.parent == nullptr && !round.tree->is_document_root;
  if (!is_mirrored_top && ++round.folders > max_folders_) {
    round.has_too_many = true;
  }
  const bool is_too_deep =
      !round.tree->is_document_root && node.depth > MappingTable::kMaxFolderDepth + 1;
  if (round.has_too_many || is_too_deep || (node.is_link && LeadsBack(node, round))) {
    node.items.clear();
    node.was_listed = false;
    return false;
  }
  const bool is_same = node.was_listed && SameFile(node.status, status) &&
                       SameTime(node.status.st_mtim, status.st_mtim) &&
                       SameTime(node.status.st_ctim, status.st_ctim);
  // Times without nanoseconds are those of a file system with slow ticks.
  const bool is_coarse = status.st_mtim.tv_nsec == 0;
  if (!is_same || node.was_fresh || is_coarse || node.error != 0) {
    if (!is_same) {
      node.seen = round.now;
    }
    node.status = status;
    List(node, round);
    node.was_fresh = round.now - node.seen < kSlowestTick;
  }
  hash.Add(static_cast<std::uint64_t>(node.error));
  bool counts = node.error != 0;
  for (const auto& item : node.items) {
    counts = Visit(*item, round, hash) || counts;
  }
  return counts;
}

/// As the loader sees it, which does not follow such a link.
bool Fingerprinter::LeadsBack(Node& link, const Round& round) {
  link.real_path = mappings::RealPath(round.tree->directory + "/" + link.path);
  bool leads_back = link.real_path.empty();
  for (const Node* at = link.parent; at != nullptr && !leads_back; at = at->parent) {
    leads_back = IsAtOrAbove(link.real_path, at->RealPath());
  }
  return leads_back;
}

std::unique_ptr<Fingerprinter::Node> Fingerprinter::ItemIn(const Node& folder,
                                                           std::string_view name, bool is_link) {
  auto item = std::make_unique<Node>();
  item->name = name;
  item->path = folder.parent == nullptr ? item->name : folder.path + "/" + item->name;
  item->is_link = is_link;
  item->parent = &folder;
  item->depth = folder.depth + 1;
  return item;
}

void Fingerprinter::List(Node& node, const Round& round) {
  const bool is_top = node.parent == nullptr;
  auto before = std::exchange(node.items, {});
  node.was_listed = true;
  node.error = 0;
  const Directory directory(round.top, node.path);
  if (!directory.IsOpen()) {
    node.error = errno;
    if (round.tree->is_document_root) {
      // The loader looks for it by its name.
      node.items.push_back(ItemIn(node, "mapping.json", false));
    }
    return;
  }
  const dirent* entry = nullptr;
  while ((entry = directory.Next()) != nullptr) {
    const std::string_view name(static_cast<const char*>(entry->d_name));
    // What the loader passes over.
    const bool is_hidden =
        name.starts_with(is_top || round.tree->is_document_root ? "." : "..") || name == ".";
    if (is_hidden) {
      continue;
    }
    const unsigned char type = TypeOf(*entry, directory);
    if (type != DT_DIR && type != DT_LNK && !round.IsRead(name)) {
      continue;
    }
    node.items.push_back(ItemIn(node, name, type == DT_LNK));
  }
  node.error = errno;
  std::ranges::sort(
      node.items, {}, [](const auto& item) -> auto& { return item->name; });
  // What was known already is not listed again.
  auto old = before.begin();
  for (auto& item : node.items) {
    while (old != before.end() && (*old)->name < item->name) {
      ++old;
    }
    if (old != before.end() && (*old)->name == item->name && (*old)->is_link == item->is_link) {
      item = std::move(*old++);
    }
  }
}

}  // namespace weft::mappings
