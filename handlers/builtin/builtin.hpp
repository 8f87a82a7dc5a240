#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include <weft/module.hpp>
#include "handlers/builtin/host_status_handler.hpp"
#include "handlers/builtin/static_file_handler.hpp"
#include "handlers/builtin/trace_handler.hpp"

namespace weft::builtin {

/// The class whose entries serve files that name a class, `.ashx` files by default.
inline constexpr std::string_view kSimpleHandlerFactory = "weft::SimpleHandlerFactory";

/// Makes handlers of one class.
using CreateHandler = std::function<std::unique_ptr<IHttpHandler>()>;
/// Finds the class that the text `Class, module` names. Throws what says why it cannot.
using ResolveType = std::function<CreateHandler(std::string_view type_text)>;

struct Options {
  /// How long what a `.ashx` file says is used before the file is looked at again; 0: at every request.
  std::chrono::nanoseconds ashx_check_interval = std::chrono::seconds(1);
  /// `.ashx` files that are remembered; at that many all are forgotten.
  std::size_t ashx_files = 10'000;
  StaticFileSettings static_files{};
  HostStatusPages host_status{};
  TracePages traces{};
};

/// Adds the classes that ship with the host, under the names that the built-in mappings use.
void RegisterHandlers(IHandlerRegistry& registry, ResolveType resolve_type,
                      const Options& options = {});

}  // namespace weft::builtin
