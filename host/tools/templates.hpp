#pragma once

#include <span>
#include <string_view>

namespace weft::host::tools {

/// A file of host/tools/templates, with placeholders between @, in its text and in its path.
struct TemplateFile {
  std::string_view path;  ///< `common/`, `plain/` or `async/`, and where it goes in the project
  std::string_view text;
};

/// The files of a project for `weft new handler`. They live as long as the program.
[[nodiscard]] std::span<const TemplateFile> HandlerTemplates();

}  // namespace weft::host::tools
