#include "host/recording/file_bytes.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "mappings/wording.hpp"

namespace weft::host::recording {

namespace {

/// A file that goes with its object, unless it was given its name.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(const std::filesystem::path& place)
      : path_((place.parent_path() / ".weft-recording.XXXXXX").string()),
        descriptor_(mkostemp(path_.data(), O_CLOEXEC)) {  // mode 0600
    if (descriptor_ < 0) {
      path_.clear();
      Fail(place);
    }
  }
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;
  ~UnfinishedFile() {
    if (descriptor_ >= 0) {
      close(descriptor_);
    }
    if (!path_.empty()) {
      unlink(path_.c_str());
    }
  }

  void Write(std::string_view bytes, const std::filesystem::path& place) const {
    while (!bytes.empty()) {
      const auto count = write(descriptor_, bytes.data(), bytes.size());
      if (count < 0 && errno != EINTR) {
        Fail(place);
      }
      bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    }
  }

  void Become(const std::filesystem::path& place, Existing existing) {
    int failed = existing == Existing::kReplace ? rename(path_.c_str(), place.c_str())
                                                : renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD,
                                                            place.c_str(), RENAME_NOREPLACE);
    if (failed != 0 && errno == EINVAL && existing == Existing::kKeep) {
      // A file system without it. link() replaces nothing, either.
      failed = link(path_.c_str(), place.c_str());
      if (failed == 0) {
        return;  // the other name goes with this object
      }
    }
    if (failed != 0) {
      Fail(place);
    }
    path_.clear();
  }

 private:
  [[noreturn]] static void Fail(const std::filesystem::path& place) {
    throw std::system_error(errno, std::generic_category(),
                            mappings::Quoted(place.string()) + " cannot be written");
  }

  std::string path_;
  int descriptor_;
};

}  // namespace

std::optional<std::string> ReadFileBytes(const std::filesystem::path& file, std::size_t limit) {
  std::ifstream stream(file, std::ios::binary);
  std::string text;
  // Grown as the file goes on: most are far smaller than what they may be.
  constexpr std::size_t kStep = 65'536;
  while (stream && text.size() <= limit) {
    const auto begin = text.size();
    text.resize(std::min(begin + std::max(begin, kStep), limit + 1));
    stream.read(text.data() + begin, static_cast<std::streamsize>(text.size() - begin));
    text.resize(begin + static_cast<std::size_t>(stream.gcount()));
  }
  if (!stream && !stream.eof()) {
    return std::nullopt;
  }
  return text;
}

void WriteFileBytes(const std::filesystem::path& file, std::string_view bytes, Existing existing) {
  UnfinishedFile unfinished(file);
  unfinished.Write(bytes, file);
  unfinished.Become(file, existing);
}

}  // namespace weft::host::recording
