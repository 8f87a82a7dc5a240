#pragma once

#include <cstddef>
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

/// Finds classes by the names that mappings and `.ashx` files use. Every module of the folder is loaded when
/// this is made, so that no request waits for it, and none is ever unloaded: code of it may be running.
///
/// Threads: the reactor's.
class TypeResolver {
 public:
  /// `modules`: the folder of NAME.so files; empty: there are none. A file that is no module is a warning of
  /// the log; what names it is told why when it is resolved. Blocks on files.
  /// `handler_pool` bounds the instances that each class keeps for reuse.
  explicit TypeResolver(std::filesystem::path modules,
                        std::size_t handler_pool = HandlerRegistry::kDefaultPool);
  TypeResolver(const TypeResolver&) = delete;
  TypeResolver& operator=(const TypeResolver&) = delete;
  ~TypeResolver();

  /// Classes without a module.
  HandlerRegistry& BuiltIn() noexcept { return built_in_; }

  /// Throws TypeError.
  HandlerClass& Resolve(const mappings::TypeName& type);

 private:
  struct Module {
    std::string error;  // empty: it is there
    std::unique_ptr<HandlerRegistry> classes;
  };

  Module Load(const std::string& name, const std::filesystem::path& file) const;

  std::filesystem::path folder_;
  std::size_t handler_pool_;
  HandlerRegistry built_in_;
  std::map<std::string, Module, std::less<>> modules_;
};

}  // namespace weft::host::handling
