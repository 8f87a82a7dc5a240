#include "host/tools/new_handler.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <system_error>

#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/tools/handler_project.hpp"

namespace weft::host::tools {
namespace {

namespace fs = std::filesystem;
using options::Quoted;

/// A folder that goes with its object, unless it was given its name.
class UnfinishedFolder {
 public:
  /// Beside `place`, so that it can be renamed.
  explicit UnfinishedFolder(const fs::path& place)
      : path_((place.parent_path() / ("." + place.filename().string() + ".XXXXXX")).string()) {
    if (mkdtemp(path_.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(),
                              "no folder can be made in " + Quoted(place.parent_path().string()));
    }
  }
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;
  ~UnfinishedFolder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }

  void Write(const ProjectFile& file) const {
    const fs::path path = fs::path(path_) / file.path;
    fs::create_directories(path.parent_path());
    std::ofstream stream(path, std::ios::binary);
    stream << file.text;
    stream.close();
    if (!stream) {
      throw std::system_error(errno, std::generic_category(),
                              Quoted(path.string()) + " cannot be written");
    }
  }

  /// Throws std::system_error, EEXIST among them, and then nothing has changed.
  void Become(const fs::path& place) {
    const mode_t mask = umask(0);
    umask(mask);
    chmod(path_.c_str(), 0777 & ~mask);  // mkdtemp() made it for its owner alone
    int failed = renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, place.c_str(), RENAME_NOREPLACE);
    if (failed != 0 && errno == EINVAL) {
      // A file system without it. rename() replaces an empty folder at most.
      struct stat status {};
      errno = EEXIST;
      failed = lstat(place.c_str(), &status) == 0 ? -1 : rename(path_.c_str(), place.c_str());
    }
    if (failed != 0) {
      throw std::system_error(errno, std::generic_category(),
                              Quoted(place.string()) + " cannot be made");
    }
    path_.clear();
  }

 private:
  std::string path_;
};

int Refuse(const std::string& sentence, int code) {
  std::cerr << "weft: " + sentence + "\n";
  return code;
}

/// A word that a shell takes as it is.
std::string ForShell(const std::string& text) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./+").find(c) != std::string_view::npos;
  };
  std::string quoted = "'";
  bool needs_quotes = text.empty() || text.front() == '-';
  for (const char c : text) {
    needs_quotes = needs_quotes || !is_plain(c);
    quoted += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return needs_quotes ? quoted + "'" : text;
}

}  // namespace

int New(const options::Settings& settings, const std::vector<std::string>& arguments) {
  if (arguments.front() != "handler") {
    return Refuse(Quoted(arguments.front()) + " cannot be made: write 'weft new handler NAME'",
                  options::kExitUsage);
  }
  HandlerName name;
  try {
    name = ParseHandlerName(arguments.back());
  } catch (const BadHandlerName& error) {
    return Refuse(error.what(), options::kExitUsage);
  }
  const auto kind = settings.new_async ? HandlerKind::kAsync : HandlerKind::kPlain;
  // A file that may not become so long (ulimit -f) is an error as any other, and what was begun is removed.
  std::signal(SIGXFSZ, SIG_IGN);
  const std::string shown = settings.output.empty() ? name.module : settings.output.string();
  try {
    fs::path place = fs::absolute(shown).lexically_normal();
    if (!place.has_filename()) place = place.parent_path();  // it ends in a slash
    UnfinishedFolder folder(place);
    for (const ProjectFile& file : MakeHandlerProject(name, kind)) folder.Write(file);
    folder.Become(place);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::file_exists) {
      return Refuse(Quoted(shown) +
                        " is there already, and is left as it is: name another folder "
                        "with --output",
                    options::kExitUsage);
    }
    const std::string what_to_do = error.code() == std::errc::file_too_large
                                       ? "raise the limit of a file's size (ulimit -f)"
                                       : "name a folder with --output";
    return Refuse(std::string(error.what()) + ": " + what_to_do,
                  options::ExitCodeFor(error.code()));
  }
  std::cout << "Made " << shown << ": class " << name.qualified << " in module " << name.module
            << (kind == HandlerKind::kAsync ? ", on a fiber" : ", on a thread of the pool")
            << ". Next:\n\n  cd " << ForShell(shown)
            << "\n  cmake --preset debug && cmake --build --preset debug\n  ctest --preset debug\n"
               "  lighttpd -D -f site/lighttpd.conf\n\nand then, while that runs:\n\n"
               "  curl 'http://127.0.0.1:8080/"
            << name.module << "?name=Ada'\n"
            << std::flush;
  return std::cout.good() ? options::kExitOk : options::kExitInputOutput;
}

}  // namespace weft::host::tools
