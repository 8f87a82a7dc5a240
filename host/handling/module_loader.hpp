#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "host/handling/handler_registry.hpp"
#include "mappings/type_name.hpp"

namespace weft::host::handling {

/// Why a type cannot be used, as one sentence.
class TypeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Finds classes by the names that mappings use, and loads the modules that hold them. A module is loaded
/// once, at its first use, and never unloaded: code of it may be running, or be on a stack.
///
/// Threads: the reactor's. Loading blocks; it is done before the worker serves, but for entries with
/// `"validate": false`.
class TypeResolver {
 public:
  /// `modules`: the folder of NAME.so files; empty: there are none.
  explicit TypeResolver(std::filesystem::path modules);
  TypeResolver(const TypeResolver&) = delete;
  TypeResolver& operator=(const TypeResolver&) = delete;
  ~TypeResolver();

  /// Classes without a module.
  HandlerRegistry& BuiltIn() noexcept { return built_in_; }

  /// Throws TypeError. A module that failed is not tried again.
  HandlerClass& Resolve(const mappings::TypeName& type);

 private:
  struct Module {
    std::string error;  // empty: it is there
    std::unique_ptr<HandlerRegistry> classes;
  };

  Module& Load(const std::string& name);
  Module Open(const std::string& name) const;

  std::filesystem::path folder_;
  HandlerRegistry built_in_;
  std::map<std::string, Module, std::less<>> modules_;
};

}  // namespace weft::host::handling
