#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include <weft/module.hpp>

namespace weft::builtin {

/// Makes handlers of one class.
using CreateHandler = std::function<std::unique_ptr<IHttpHandler>()>;
/// Finds the class that the text `Class, module` names. Throws what says why it cannot.
using ResolveType = std::function<CreateHandler(std::string_view type_text)>;

/// Adds the classes that ship with the host, under the names that the built-in mappings use.
void RegisterHandlers(IHandlerRegistry& registry, ResolveType resolve_type);

}  // namespace weft::builtin
