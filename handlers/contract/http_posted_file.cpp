#include <weft/http_posted_file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <weft/http_headers.hpp>
#include "handlers/contract/blocking.hpp"
#include "handlers/contract/body_store.hpp"

namespace weft {

namespace {

constexpr std::size_t kCopyBytes = 256 * 1024;
constexpr mode_t kMode = S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH;

class Descriptor {
 public:
  explicit Descriptor(int number) noexcept : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) {
      close(number_);
    }
  }
  int Number() const noexcept { return number_; }

 private:
  int number_;
};

/// A new file beside `path`, which gets its name at the end.
class NewFile {
 public:
  explicit NewFile(const std::filesystem::path& path)
      : path_(path), descriptor_(OpenUnnamed(path)) {
    if (descriptor_.Number() < 0) {
      Throw("making");
    }
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (!temporary_.empty()) {
      unlink(temporary_.c_str());
    }
  }

  void Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto count = write(descriptor_.Number(), bytes.data(), bytes.size());
      if (count >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(count));
      } else if (errno != EINTR) {
        Throw("writing");
      }
    }
  }

  /// Copies without leaving the kernel, as far as it goes; says how far.
  std::uint64_t CopyFrom(int source, std::uint64_t offset, std::uint64_t length) {
    // The kernel takes 2 GiB at most.
    constexpr std::uint64_t kPiece = std::uint64_t{1} << 30;
    std::uint64_t copied = 0;
    while (copied < length) {
      auto from = static_cast<off_t>(offset + copied);
      const auto count = copy_file_range(source, &from, descriptor_.Number(), nullptr,
                                         std::min(kPiece, length - copied), 0);
      if (count > 0) {
        copied += static_cast<std::uint64_t>(count);
      } else if (count == 0) {
        break;
      } else if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO) {
        Throw("writing");
      } else if (errno != EINTR) {
        break;  // not between these two file systems
      }
    }
    return copied;
  }

  void Name(ExistingFile existing) {
    if (temporary_.empty() && existing == ExistingFile::kRefuse) {
      Link(path_);
      return;
    }
    if (temporary_.empty()) {
      // Only rename() replaces, and it takes a name.
      temporary_ = TemporaryName(path_);
      try {
        Link(temporary_);
      } catch (...) {
        temporary_.clear();
        throw;
      }
    }
    if (existing == ExistingFile::kRefuse) {
      if (link(temporary_.c_str(), path_.c_str()) != 0) {
        Throw("naming");
      }
      return;  // the destructor takes the other name away
    }
    if (rename(temporary_.c_str(), path_.c_str()) != 0) {
      Throw("naming");
    }
    temporary_.clear();
  }

 private:
  [[noreturn]] void Throw(const char* what) const {
    const int error = errno;
    throw std::system_error(error, std::generic_category(),
                            "HttpPostedFile::SaveAs: " + std::string(what) + " " + path_.string());
  }

  static std::string TemporaryName(const std::filesystem::path& path) {
    static std::atomic<unsigned> number{0};
    return (path.parent_path() /
            (".weft-" + std::to_string(getpid()) + "-" + std::to_string(number.fetch_add(1))))
        .string();
  }

  int OpenUnnamed(const std::filesystem::path& path) {
    const int descriptor =
        open(path.parent_path().c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kMode);
    if (descriptor >= 0 || (errno != EISDIR && errno != EOPNOTSUPP)) {
      return descriptor;
    }
    // A file system without them. A name may be left from a process of this number that was killed.
    for (int attempt = 0;; ++attempt) {
      temporary_ = TemporaryName(path);
      const int named = open(temporary_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, kMode);
      if (named >= 0 || errno != EEXIST || attempt == 100) {
        if (named < 0) {
          temporary_.clear();
        }
        return named;
      }
    }
  }

  void Link(const std::filesystem::path& name) {
    const auto self = "/proc/self/fd/" + std::to_string(descriptor_.Number());
    if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      Throw("naming");
    }
  }

  const std::filesystem::path& path_;
  std::string temporary_;  // the name that it has meanwhile, if any
  Descriptor descriptor_;
};

void Save(const detail::BodyStore* store, std::uint64_t offset, std::uint64_t length,
          const std::filesystem::path& path, ExistingFile existing) {
  NewFile file(path);
  if (length != 0) {
    if (const auto* const source = store->File()) {
      const auto copied = file.CopyFrom(source->Descriptor(), offset, length);
      offset += copied;
      length -= copied;
      const auto piece = std::make_unique_for_overwrite<char[]>(length == 0 ? 0 : kCopyBytes);
      while (length != 0) {
        const auto count = source->ReadAt(
            offset,
            {piece.get(), static_cast<std::size_t>(std::min<std::uint64_t>(kCopyBytes, length))});
        if (count == 0) {
          throw std::runtime_error("HttpPostedFile::SaveAs: the temporary file is too short");
        }
        file.Write({piece.get(), count});
        offset += count;
        length -= count;
      }
    } else {
      file.Write(
          store->View().substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(length)));
    }
  }
  file.Name(existing);
}

}  // namespace

HttpPostedFile::HttpPostedFile(std::string name, std::string file_name, std::string raw_file_name,
                               std::string content_type, HttpBodyStream stream) noexcept
    : name_(std::move(name)),
      file_name_(std::move(file_name)),
      raw_file_name_(std::move(raw_file_name)),
      content_type_(std::move(content_type)),
      stream_(std::move(stream)) {}

void HttpPostedFile::SaveAs(const std::filesystem::path& path, ExistingFile existing) const {
  if (!path.is_absolute() || !path.has_filename()) {
    throw std::invalid_argument("HttpPostedFile::SaveAs: '" + path.string() +
                                "' is no absolute path of a file");
  }
  detail::RunFileWork(
      [&] { Save(stream_.store_, stream_.offset_, stream_.length_, path, existing); });
}

HttpPostedFile* HttpFileCollection::Get(std::string_view name) noexcept {
  for (auto& file : files_) {
    if (EqualsIgnoreCase(file.Name(), name)) {
      return &file;
    }
  }
  return nullptr;
}

std::vector<HttpPostedFile*> HttpFileCollection::GetMultiple(std::string_view name) {
  std::vector<HttpPostedFile*> found;
  for (auto& file : files_) {
    if (EqualsIgnoreCase(file.Name(), name)) {
      found.push_back(&file);
    }
  }
  return found;
}

std::vector<std::string_view> HttpFileCollection::AllKeys() const {
  std::vector<std::string_view> keys;
  for (const auto& file : files_) {
    keys.push_back(file.Name());
  }
  return keys;
}

}  // namespace weft
