#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include <weft/module.hpp>

namespace weft::builtin {

/// Makes a handler from the text `Class, module`. Throws what says why it cannot.
using CreateHandler = std::function<std::unique_ptr<IHttpHandler>(std::string_view type_text)>;

/// Adds the classes that ship with the host, under the names that the built-in mappings use.
void RegisterHandlers(IHandlerRegistry& registry, CreateHandler create_handler);

}  // namespace weft::builtin
