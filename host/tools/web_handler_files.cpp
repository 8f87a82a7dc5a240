#include "host/tools/web_handler_files.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "host/tools/web_handler.hpp"
#include "mappings/resources.hpp"

namespace weft::host::tools {
namespace {

namespace fs = std::filesystem;

using mappings::Problem;
using mappings::Resource;

/// One file, and the folders that it lies in.
class OneFile final : public mappings::IResources {
 public:
  explicit OneFile(std::string_view path) : path_(path) {}
  Resource At(std::string_view file_path) override {
    return file_path == path_ ? Resource::kFile : Resource::kDirectory;
  }

 private:
  std::string_view path_;
};

/// Methods that tell the table's entries for the factory apart from those before them.
std::set<std::string> MethodsOf(const mappings::MappingTable& table) {
  std::set<std::string> methods;
  for (const auto& use : table.Types()) {
    if (!IsFileFactory(use.type)) {
      continue;
    }
    for (const auto* const entry : use.entries) {
      methods.insert(entry->verbs.Names().begin(), entry->verbs.Names().end());
      const auto list = mappings::WithoutBlanks(entry->verb);
      for (const auto member : mappings::SplitAtCommas(list)) {
        std::string method(member);
        std::ranges::replace_if(
            method, [](char c) { return c == '*' || c == '?'; }, 'X');
        methods.insert(std::move(method));
      }
    }
  }
  return methods;
}

class Walk {
 public:
  Walk(const mappings::MappingTable& table, const std::string& host, HandlerTypes& types,
       std::vector<Problem>& problems, const WalkLimits& limits)
      : table_(table),
        host_(host),
        methods_(MethodsOf(table)),
        types_(types),
        problems_(problems),
        limits_(limits) {}

  void Run(const fs::path& root) {
    auto path = root.string();
    while (path.size() > 1 && path.ends_with('/')) {
      path.pop_back();
    }
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      Tell(path, Problem::Severity::kError,
           "This must be the folder of the site's files" +
               (error ? ": " + error.message() + "." : std::string(", and is none.")));
      return;
    }
    Enter(path, "/", kNone);
    for (std::size_t at = 0; at < folders_.size() && !stopped_; ++at) {
      LookInto(at);
    }
  }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  struct Folder {
    std::string path;
    std::string url;  // with a final slash
    std::size_t parent;
    dev_t device;
    ino_t inode;
  };

  void Tell(const std::string& path, Problem::Severity severity, std::string sentence) {
    problems_.push_back({{path, 0, 0}, severity, std::move(sentence)});
  }

  void Enter(const std::string& path, std::string url, std::size_t parent) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) {
      return;  // it has just gone
    }
    for (auto at = parent; at != kNone; at = folders_[at].parent) {
      if (folders_[at].device == status.st_dev && folders_[at].inode == status.st_ino) {
        return;
      }
    }
    if (folders_.size() >= limits_.folders) {
      Stop(path, std::to_string(limits_.folders) + " folders");
      return;
    }
    folders_.push_back({path, std::move(url), parent, status.st_dev, status.st_ino});
  }

  void Stop(const std::string& path, const std::string& bound) {
    stopped_ = true;
    Tell(path, Problem::Severity::kWarning,
         "There are more than " + bound +
             " below the document root: this one and all further ones were not looked at. Check a "
             "part of it at a time.");
  }

  void LookInto(std::size_t number) {
    const auto folder = folders_[number];  // they may move
    std::error_code error;
    fs::directory_iterator at(folder.path, error);
    for (; !error && at != fs::directory_iterator() && !stopped_; at.increment(error)) {
      const auto path = at->path().string();
      const auto name = at->path().filename().string();
      std::error_code unreadable;
      if (at->is_directory(unreadable)) {
        if (!name.starts_with('.')) {
          Enter(path, folder.url + name + "/", number);
        }
      } else if (++files_ > limits_.files) {
        Stop(path, std::to_string(limits_.files) + " files");
      } else if (IsForFactory(folder.url + name)) {
        CheckFile(path);
      }
    }
    if (error) {
      Tell(
          folder.path, Problem::Severity::kWarning,
          "This folder cannot be listed, and its files were not checked: " + error.message() + ".");
    }
  }

  [[nodiscard]] bool IsForFactory(const std::string& path) const {
    OneFile file(path);
    return std::ranges::any_of(methods_, [&](const std::string& method) {
      const auto resolution = table_.Resolve(host_, method, path, {}, &file);
      return resolution.entry != nullptr && IsFileFactory(resolution.entry->type) &&
             resolution.path_info.empty();
    });
  }

  void CheckFile(const std::string& path) {
    const auto handler = ReadWebHandler(path, types_);
    // What is no file there is a 404, and may be meant; another user may read what this one may not.
    if (handler.error.empty() || handler.status == 404) {
      return;
    }
    problems_.push_back(
        {handler.where,
         handler.status == 500 ? Problem::Severity::kError : Problem::Severity::kWarning,
         handler.error});
  }

  const mappings::MappingTable& table_;
  const std::string& host_;
  std::set<std::string> methods_;
  HandlerTypes& types_;
  std::vector<Problem>& problems_;
  const WalkLimits& limits_;
  std::vector<Folder> folders_;  // parents before children
  std::size_t files_ = 0;
  bool stopped_ = false;
};

}  // namespace

void CheckWebHandlerFiles(const mappings::MappingTable& table, const std::string& host,
                          const fs::path& root, HandlerTypes& types, std::vector<Problem>& problems,
                          const WalkLimits& limits) {
  Walk(table, host, types, problems, limits).Run(root);
}

}  // namespace weft::host::tools
