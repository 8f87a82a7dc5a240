#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <weft/detail/config_sections.hpp>

namespace weft::test {

/// The configuration of an entry that has one section.
class ConfigSection final : public weft::detail::IConfigSections {
 public:
  ConfigSection(std::string name, std::string text)
      : name_(std::move(name)), text_(std::move(text)) {}

  std::optional<std::string_view> Find(std::string_view name) const noexcept override {
    return name == name_ ? std::optional<std::string_view>(text_) : std::nullopt;
  }

 private:
  std::string name_;
  std::string text_;
};

}  // namespace weft::test
