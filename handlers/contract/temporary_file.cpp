#include "handlers/contract/temporary_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace weft::detail {

namespace {

[[noreturn]] void Throw(const char* what, const std::string& folder) {
  const int error = errno;
  throw std::system_error(error, std::generic_category(),
                          std::string(what) + " a temporary file in " + folder);
}

std::string FolderOr(std::string folder) {
  if (folder.empty()) {
    const char* const variable = std::getenv("TMPDIR");
    folder = variable == nullptr || *variable == '\0' ? "/tmp" : variable;
  }
  return folder;
}

int OpenUnnamed(const std::string& folder) {
  const int descriptor =
      open(folder.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  // EISDIR: a kernel without it; EOPNOTSUPP: a file system without it.
  if (descriptor >= 0 || (errno != EISDIR && errno != EOPNOTSUPP)) {
    return descriptor;
  }
  auto name = folder + "/.weft-XXXXXX";
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) {
    unlink(name.c_str());
  }
  return named;
}

}  // namespace

TemporaryFile::TemporaryFile(std::string folder)
    : folder_(FolderOr(std::move(folder))), descriptor_(OpenUnnamed(folder_)) {
  if (descriptor_ < 0) {
    Throw("making", folder_);
  }
}

TemporaryFile::~TemporaryFile() {
  if (mapped_ != nullptr) {
    munmap(mapped_, size_);
  }
  close(descriptor_);
}

void TemporaryFile::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto count = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      Throw("writing", folder_);
    }
    size_ += static_cast<std::uint64_t>(count);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

std::size_t TemporaryFile::ReadAt(std::uint64_t offset, std::span<char> buffer) const {
  for (;;) {
    const auto count = pread(descriptor_, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (count >= 0) {
      return static_cast<std::size_t>(count);
    }
    if (errno != EINTR) {
      Throw("reading", folder_);
    }
  }
}

std::string_view TemporaryFile::Map() const {
  if (mapped_ == nullptr && size_ != 0) {
    void* const mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (mapped == MAP_FAILED) {
      Throw("mapping", folder_);
    }
    mapped_ = mapped;
  }
  return {static_cast<const char*>(mapped_), size_};
}

}  // namespace weft::detail
