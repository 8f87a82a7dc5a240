#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "mappings/entry.hpp"

namespace weft::mappings {

/// What is on the disk where a path points to.
enum class Resource { kNone, kFile, kDirectory };

/// What is at a path of the disk; symbolic links are followed. What is neither file nor folder is nothing. Blocks.
[[nodiscard]] Resource ResourceAt(const std::string& physical_path);

/// Knows what is on the disk, for entries that depend on it.
class IResources {
 public:
  virtual ~IResources() = default;
  /// `file_path` is normalised. May wait, and may throw: a search is then given up with the exception.
  virtual Resource At(std::string_view file_path) = 0;
};

/// What exists at one path, asked at most once, and only when an entry wants to know.
///
/// Lifetime: views the path.
class ResourceProbe {
 public:
  /// `resources` may be null: nothing exists then.
  ResourceProbe(IResources* resources, std::string_view path)
      : resources_(resources), path_(path) {}

  /// Whether an entry of this type applies to the path.
  [[nodiscard]] bool Satisfies(ResourceType type) {
    return type == ResourceType::kUnspecified || SatisfiesOnDisk(type);
  }

  /// Whether the answer depended on the disk.
  [[nodiscard]] bool Asked() const { return found_.has_value(); }

 private:
  bool SatisfiesOnDisk(ResourceType type);

  IResources* resources_;
  std::string_view path_;
  std::optional<Resource> found_;
};

}  // namespace weft::mappings
