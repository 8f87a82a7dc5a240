#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/detail/config_sections.hpp>
#include "mappings/problem.hpp"

namespace weft::mappings {

/// A member of `sections`: what a mapping file tells handlers.
struct ConfigSection {
  std::string name;
  std::string
      text;  ///< JSON without comments and blanks; empty: null, there is none here and below.
  SourceLocation where;
};

/// The sections in force in a folder: those of one block, and what it inherits of the blocks above it. It shares these with
/// every other folder below them, and those with every other folder that the block is for: a location of machine.json is for one
/// in each site.
class ConfigSections final : public weft::detail::IConfigSections {
 public:
  /// `own`, which is not null, replace those of the same name in `inherited`, which may be.
  ConfigSections(std::shared_ptr<const std::vector<ConfigSection>> own,
                 std::shared_ptr<const ConfigSections> inherited)
      : own_(std::move(own)), inherited_(std::move(inherited)) {}

  /// Cost: the number of the sections of all blocks down to the folder.
  std::optional<std::string_view> Find(std::string_view name) const noexcept override {
    for (const auto* block = this; block != nullptr; block = block->inherited_.get()) {
      for (const ConfigSection& section : *block->own_) {
        if (section.name == name) {
          return section.text.empty() ? std::nullopt
                                      : std::optional<std::string_view>(section.text);
        }
      }
    }
    return std::nullopt;
  }

  /// Those in force, by their names. Lifetime: this one's.
  [[nodiscard]] std::map<std::string_view, const ConfigSection*> All() const {
    std::map<std::string_view, const ConfigSection*> all;
    for (const auto* block = this; block != nullptr; block = block->inherited_.get()) {
      for (const ConfigSection& section : *block->own_) {
        all.emplace(section.name, &section);
      }
    }
    std::erase_if(all, [](const auto& named) { return named.second->text.empty(); });
    return all;
  }

 private:
  std::shared_ptr<const std::vector<ConfigSection>> own_;
  std::shared_ptr<const ConfigSections> inherited_;
};

}  // namespace weft::mappings
