#include "mappings/site_folder.hpp"

#include <utility>

namespace weft::mappings {

SiteFolder::SiteFolder(std::string root) : is_known_(!root.empty()), root_(std::move(root)) {
  while (root_.ends_with('/')) {
    root_.pop_back();
  }
}

Resource SiteFolder::At(std::string_view file_path) {
  return is_known_ ? ResourceAt(PathOf(file_path)) : Resource::kNone;
}

std::optional<std::string> SiteFolder::FirstFile(std::string_view folder,
                                                 const std::vector<std::string>& names) {
  for (const auto& name : names) {
    auto path = std::string(folder) + name;
    if (At(path) == Resource::kFile) {
      return path;
    }
  }
  return std::nullopt;
}

std::string SiteFolder::PathOf(std::string_view file_path) const {
  return root_ + std::string(file_path);
}

}  // namespace weft::mappings
