#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weft::host::tools {

/// Says what is wrong with a name, and how to write it.
class BadHandlerName : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What a new handler is called.
struct HandlerName {
  std::string qualified;   ///< shop::OrderList
  std::string scope;       ///< shop; empty: the global namespace
  std::string class_name;  ///< OrderList
  std::string module;      ///< order_list, or what stands behind the comma
  std::string file;        ///< order_list
};

/// Reads `Class`, `space::Class` or, as a mapping has it, `space::Class, module`. Throws BadHandlerName for what no C++ class,
/// CMake target or file could be called.
[[nodiscard]] HandlerName ParseHandlerName(std::string_view text);

/// Whether it runs on a fiber.
enum class HandlerKind { kPlain, kAsync };

/// A file of a project.
struct ProjectFile {
  std::string path;  ///< relative to the project's folder
  std::string text;
};

/// The project of a handler, all its files.
[[nodiscard]] std::vector<ProjectFile> MakeHandlerProject(const HandlerName& name,
                                                          HandlerKind kind);

}  // namespace weft::host::tools
