#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "host/handling/module.hpp"
#include "host/tools/module_report.hpp"
#include "mappings/type_name.hpp"

namespace weft::host::tools {

/// What the types that mappings name stand for: the built-in classes, and those of the modules. A module is loaded
/// when it is first asked for, in a process of its own (DescribeModule()).
///
/// Threads: use while there is only one.
class HandlerTypes {
 public:
  /// What is known of one type.
  struct Answer {
    /// Why it cannot be used, as the log of a worker says it; empty: it can.
    std::string error;
    Json handler_class;  ///< As DescribeClasses() describes it; null where there is an error.
  };

  /// `folders` as for handling::TypeResolver; `load_timeout` as for DescribeModule(). What is wrong with the folders
  /// goes to the log.
  HandlerTypes(std::vector<std::filesystem::path> folders, std::chrono::milliseconds load_timeout);

  /// Throws as DescribeModule().
  [[nodiscard]] Answer Find(const mappings::TypeName& type);
  /// The class that a file names by the text `Class, module`; a factory is an error. Throws as DescribeModule().
  [[nodiscard]] Answer FindForFile(std::string_view type_text);

 private:
  [[nodiscard]] static Answer FindClass(const mappings::TypeName& type, const Json& classes);

  std::vector<std::filesystem::path> folders_;
  std::chrono::milliseconds load_timeout_;
  std::vector<handling::ModuleFile> files_;
  Json built_in_;
  std::map<std::string, Json, std::less<>> modules_;  // those that were asked for
};

}  // namespace weft::host::tools
