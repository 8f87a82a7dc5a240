#pragma once

#include <string>
#include <string_view>

#include "host/tools/handler_types.hpp"
#include "mappings/mapping_table.hpp"
#include "mappings/problem.hpp"

namespace weft::host::tools {

/// Whether an entry sends requests to the factory for files that name a class.
[[nodiscard]] bool IsFileFactory(const mappings::TypeName& type) noexcept;

/// A file that names a class, as that factory reads it.
struct WebHandler {
  int status =
      200;  ///< What a request for it is answered with, before the class's own code is asked.
  std::string_view cause;  ///< Of <weft/cause.hpp>; empty for 200.
  /// Why it cannot serve, as a worker's log says it behind the place; empty: it can.
  std::string error;
  /// Where the directive has its class, or what is wrong with it; line 0: the file as a whole.
  mappings::SourceLocation where;
  std::string class_name;  ///< Empty where the directive has none.
  std::string module;      ///< Empty for a class that is built in.
  Json handler_class;      ///< As DescribeClasses() describes it; null where there is an error.

  /// What the log is told of an error.
  [[nodiscard]] std::string Detail() const;
};

/// Reads the file at `path` and looks its class up. Blocks on files. Throws as DescribeModule().
[[nodiscard]] WebHandler ReadWebHandler(const std::string& path, HandlerTypes& types);

}  // namespace weft::host::tools
