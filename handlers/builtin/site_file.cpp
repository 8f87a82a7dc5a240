#include "handlers/builtin/site_file.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <optional>
#include <utility>

#include <weft/http_exception.hpp>

namespace weft::builtin {

namespace {

using weft::detail::RegularFile;

constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

std::atomic<bool> g_openat2_works{true};

/// A descriptor that is closed.
class Descriptor {
 public:
  explicit Descriptor(int number) noexcept : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) {
      const int error = errno;
      close(number_);
      errno = error;
    }
  }
  int Number() const noexcept { return number_; }
  int Release() noexcept { return std::exchange(number_, -1); }

 private:
  int number_;
};

[[noreturn]] void RefuseLink(const std::string& path, std::string_view why) {
  throw HttpException(404, {}, path + ": " + std::string(why)).WithCause(cause::kFileLinkRefused);
}

Descriptor OpenRoot(const SitePath& path) {
  return Descriptor(
      open(path.root.empty() ? "/" : path.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

/// -1 and errno where it fails; ENOSYS: the system has no openat2().
int OpenBeneath(int root, const std::string& relative, std::uint64_t resolve) {
  if (!g_openat2_works.load(std::memory_order_relaxed)) {
    errno = ENOSYS;
    return -1;
  }
  open_how how{};
  how.flags = kOpenFlags;
  how.resolve = resolve;
  const auto result = syscall(SYS_openat2, root, relative.c_str(), &how, sizeof(how));
  return static_cast<int>(result);
}

/// Where an open file is.
std::optional<std::string> PathOf(int descriptor) {
  const auto link = "/proc/self/fd/" + std::to_string(descriptor);
  std::string path(PATH_MAX, '\0');
  const auto count = readlink(link.c_str(), path.data(), path.size());
  if (count <= 0 || static_cast<std::size_t>(count) == path.size()) {
    return std::nullopt;
  }
  path.resize(static_cast<std::size_t>(count));
  return path;
}

/// For links that are absolute but may lead below the root, and for systems without openat2(): finds the file without
/// opening it, asks the system where it is, and opens that very one.
RegularFile OpenWhereItIs(const SitePath& path, int root) {
  const auto text = path.Path();
  const Descriptor found(open(text.c_str(), O_PATH | O_CLOEXEC));
  if (found.Number() < 0) {
    return RegularFile(text, -1);
  }
  struct stat status {};
  if (fstat(found.Number(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw HttpException(404, {}, text + " is no file").WithCause(cause::kNotAFile);
  }
  const auto root_path = PathOf(root);
  const auto file_path = PathOf(found.Number());
  if (!root_path || !file_path) {
    RefuseLink(text, "/proc is needed to see where it leads");
  }
  const bool is_below =
      *root_path == "/" || (file_path->size() > root_path->size() &&
                            file_path->compare(0, root_path->size(), *root_path) == 0 &&
                            (*file_path)[root_path->size()] == '/');
  if (!is_below) {
    RefuseLink(text,
               "a link leads out of " + *root_path + ", to " + *file_path + " (--follow-links)");
  }
  const auto same = "/proc/self/fd/" + std::to_string(found.Number());
  return RegularFile(text, open(same.c_str(), kOpenFlags));
}

/// Folder by folder, each of which must be one itself.
RegularFile OpenWithoutLinks(const SitePath& path, Descriptor folder) {
  const auto text = path.Path();
  std::string_view rest = path.relative;
  for (;;) {
    const auto slash = rest.find('/');
    const std::string segment(rest.substr(0, slash));
    if (segment.empty() || segment == "." || segment == "..") {
      errno = ENOENT;
      return RegularFile(text, -1);
    }
    const bool is_last = slash == rest.npos;
    const int opened = openat(folder.Number(), segment.c_str(),
                              O_NOFOLLOW | (is_last ? kOpenFlags : O_PATH | O_CLOEXEC));
    if (opened < 0) {
      if (errno == ELOOP) {
        RefuseLink(text, segment + " is a link (--follow-links)");
      }
      return RegularFile(text, -1);
    }
    if (is_last) {
      return RegularFile(text, opened);
    }
    // A link is opened itself, by O_PATH and O_NOFOLLOW.
    folder = Descriptor(opened);
    struct stat status {};
    if (fstat(folder.Number(), &status) == 0 && S_ISLNK(status.st_mode)) {
      RefuseLink(text, segment + " is a link (--follow-links)");
    }
    rest.remove_prefix(slash + 1);
  }
}

bool HasNoOpenat2(int error) { return error == ENOSYS || error == EPERM || error == EINVAL; }

}  // namespace

SitePath SplitSitePath(std::string_view physical_path, std::string_view document_root,
                       std::string_view file_path) {
  while (!document_root.empty() && document_root.back() == '/') {
    document_root.remove_suffix(1);
  }
  const auto split = [physical_path](std::size_t at) {
    return SitePath{std::string(physical_path.substr(0, at)),
                    std::string(physical_path.substr(at + 1))};
  };
  if (physical_path.size() > document_root.size() + 1 &&
      physical_path.substr(0, document_root.size()) == document_root &&
      physical_path[document_root.size()] == '/' &&
      physical_path.find("/../") == physical_path.npos && !document_root.empty()) {
    return split(document_root.size());
  }
  auto root = physical_path.rfind('/');
  if (root == physical_path.npos) {
    return {".", std::string(physical_path)};
  }
  for (std::size_t common = 0;;) {
    const auto slash = file_path.substr(0, file_path.size() - common).rfind('/');
    if (slash == file_path.npos) {
      break;
    }
    const auto tail = file_path.substr(slash);
    if (!physical_path.ends_with(tail)) {
      break;
    }
    root = physical_path.size() - tail.size();
    common = tail.size();
  }
  return split(root);
}

RegularFile OpenSiteFile(const SitePath& path, FollowLinks follow_links) {
  const auto text = path.Path();
  if (follow_links == FollowLinks::kOn) {
    return RegularFile(text);
  }
  auto root = OpenRoot(path);
  if (root.Number() < 0) {
    return RegularFile(text, -1);
  }
  const bool without_links = follow_links == FollowLinks::kOff;
  const int opened =
      OpenBeneath(root.Number(), path.relative,
                  without_links ? RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
                                : RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  if (opened >= 0) {
    return RegularFile(text, opened);
  }
  if (without_links) {
    if (errno == ELOOP || errno == EXDEV) {
      RefuseLink(text, "there is a link on the way (--follow-links)");
    }
    if (HasNoOpenat2(errno)) {
      return OpenWithoutLinks(path, std::move(root));
    }
  } else if (errno == EXDEV || errno == EAGAIN || HasNoOpenat2(errno)) {
    return OpenWhereItIs(path, root.Number());
  }
  return RegularFile(text, -1);
}

namespace detail_for_tests {
void DisableOpenat2(bool disable) noexcept { g_openat2_works = !disable; }
}  // namespace detail_for_tests

}  // namespace weft::builtin
