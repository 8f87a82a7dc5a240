#include "mappings/fingerprint.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mappings/ascii.hpp"
#include "mappings/mapping_table.hpp"

namespace weft::mappings {
namespace {

using Clock = std::chrono::steady_clock;

/// Of the clock that file systems with nanoseconds take their times from: a tick of the kernel, at
/// most 10 ms, and room.
constexpr std::chrono::milliseconds kSlowestTick{50};

bool IsRead(std::string_view name) {
  return EqualsIgnoringCase(name, "mapping.json") || EqualsIgnoringCase(name, "machine.json");
}

bool SameTime(const timespec& left, const timespec& right) {
  return left.tv_sec == right.tv_sec && left.tv_nsec == right.tv_nsec;
}

bool SameFile(const struct stat& left, const struct stat& right) {
  return left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

/// Of a chain of numbers; each changes all that follow.
class Hash {
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
  /// Null at the end, with errno 0, and after an error, with errno.
  [[nodiscard]] const dirent* Next() const {
    errno = 0;
    return ::readdir(stream_);  // of a stream that no other thread reads
  }

 private:
  DIR* stream_ = nullptr;
};

}  // namespace

/// A name in a folder: a folder, a mapping file, or a link that may be either or nothing.
struct Fingerprinter::Node {
  std::string path;  // below the top folder; "." is that itself
  std::string name;
  bool is_link = false;
  const Node* parent = nullptr;
  std::size_t depth = 0;

  [[nodiscard]] bool LeadsBackTo(const struct stat& folder) const {
    const Node* at = parent;
    while (at != nullptr && !SameFile(at->status, folder)) {
      at = at->parent;
    }
    return is_link && at != nullptr;
  }

  // Of a folder, as it was when it was listed.
  struct stat status {};
  bool was_listed = false;
  Clock::time_point seen{};  // with these times, at first
  /// Listed so soon after that a change within the same tick of the file system's clock may have
  /// come later, which its times would not show: it is listed once more.
  bool was_fresh = true;
  int error = 0;                             // of the listing
  std::vector<std::unique_ptr<Node>> items;  // in the order of their names
};

struct Fingerprinter::Look {
  int top = -1;
  Clock::time_point now = Clock::now();
  std::size_t folders = 0;
  Hash hash;
};

Fingerprinter::Fingerprinter(std::filesystem::path directory, std::size_t max_folders)
    : directory_(std::move(directory)), max_folders_(max_folders) {}

Fingerprinter::~Fingerprinter() = default;

std::uint64_t Fingerprinter::Take() {
  Look look;
  // Opened anew each time: it may be a link that was swapped.
  look.top = ::open(directory_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (look.top < 0) {
    look.hash.Add(static_cast<std::uint64_t>(errno));
    top_.reset();
    return look.hash.Value();
  }
  if (!top_) {
    top_ = std::make_unique<Node>();
    top_->path = ".";
  }
  try {
    Visit(*top_, look);
  } catch (...) {
    ::close(look.top);
    top_.reset();
    throw;
  }
  ::close(look.top);
  return look.hash.Value();
}

// Recursive, as deep as the loader lets folders be.
void Fingerprinter::Visit(Node& node, Look& look) {
  struct stat status {};
  look.hash.Add(node.name);
  if (::fstatat(look.top, node.path.c_str(), &status, 0) != 0) {
    look.hash.Add(static_cast<std::uint64_t>(errno));
    return;
  }
  look.hash.Add(status.st_dev);
  look.hash.Add(status.st_ino);
  look.hash.Add(status.st_mode);
  look.hash.Add((std::uint64_t{status.st_uid} << 32U) | status.st_gid);
  if (!S_ISDIR(status.st_mode)) {
    if (IsRead(node.name)) {
      look.hash.Add(static_cast<std::uint64_t>(status.st_size));
      look.hash.Add(status.st_mtim);
      look.hash.Add(status.st_ctim);
    }
    return;
  }
  if (node.LeadsBackTo(status) || node.depth > MappingTable::kMaxFolderDepth + 1 ||
      ++look.folders > max_folders_) {
    node.items.clear();
    node.was_listed = false;
    return;
  }
  const bool is_same = node.was_listed && SameFile(node.status, status) &&
                       SameTime(node.status.st_mtim, status.st_mtim) &&
                       SameTime(node.status.st_ctim, status.st_ctim);
  // Times without nanoseconds are those of a file system with slow ticks.
  const bool is_coarse = status.st_mtim.tv_nsec == 0;
  if (!is_same || node.was_fresh || is_coarse || node.error != 0) {
    if (!is_same) {
      node.seen = look.now;
    }
    node.status = status;
    List(node, look);
    node.was_fresh = look.now - node.seen < kSlowestTick;
  }
  look.hash.Add(static_cast<std::uint64_t>(node.error));
  for (const auto& item : node.items) {
    Visit(*item, look);
  }
}

void Fingerprinter::List(Node& node, const Look& look) {
  const bool is_top = node.parent == nullptr;
  auto before = std::exchange(node.items, {});
  node.was_listed = true;
  node.error = 0;
  const Directory directory(look.top, node.path);
  if (!directory.IsOpen()) {
    node.error = errno;
    return;
  }
  const dirent* entry = nullptr;
  while ((entry = directory.Next()) != nullptr) {
    const std::string_view name(static_cast<const char*>(entry->d_name));
    // What the loader passes over.
    const bool is_hidden = name.starts_with(is_top ? "." : "..") || name == ".";
    const bool may_be_folder =
        entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN;
    if (is_hidden || (!may_be_folder && !IsRead(name))) {
      continue;
    }
    auto item = std::make_unique<Node>();
    item->name = name;
    item->path = is_top ? item->name : node.path + "/" + item->name;
    item->is_link = entry->d_type != DT_DIR;
    item->parent = &node;
    item->depth = node.depth + 1;
    node.items.push_back(std::move(item));
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
