#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "host/handling/handler_registry.hpp"
#include "host/handling/module.hpp"

namespace weft::host::tools {

/// Members stay in the order in which they are written.
using Json = nlohmann::ordered_json;

/// An object for each class, in the order of their names: `name`, `lifetime`, and `async`, `bufferless` and `resettable`,
/// which are null where they are not known before there is an instance.
[[nodiscard]] Json DescribeClasses(const handling::HandlerRegistry& classes);

/// What a module says of itself: `name`, `file`, `error` (null: it can be used), `contractVersion`, `compilerAbi`,
/// `buildType`, `links` and `classes`.
///
/// It is loaded in a process of its own, so that one that ends the process as it is loaded, or does not come to an end,
/// is told like any other: it may take `load_timeout`; 0: for ever.
/// Threads: call while there is only one. Throws std::system_error where the system refuses a process or a pipe.
[[nodiscard]] Json DescribeModule(const handling::ModuleFile& file,
                                  std::chrono::milliseconds load_timeout);

/// The text of a value; bytes that are no UTF-8 are replaced. A negative indentation: all on one line.
[[nodiscard]] std::string Dump(const Json& json, int indentation = -1);

}  // namespace weft::host::tools
