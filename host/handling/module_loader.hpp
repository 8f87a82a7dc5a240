#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "host/handling/handler_registry.hpp"
#include "host/handling/module.hpp"
#include "host/handling/unusable_type.hpp"
#include "mappings/type_name.hpp"

namespace weft::host::handling {

/// Finds classes by the names that mappings and `.ashx` files use. Every module of the folders is loaded when
/// this is made, so that no request waits for it, and none is ever unloaded: code of it may be running.
///
/// Threads: the reactor's.
class TypeResolver {
 public:
  using BeforeLoad = std::function<void(const std::filesystem::path& file)>;

  /// `folders`: of NAME.so files, the first that has a name wins; none: there are no modules. A file that is no
  /// module, or is not used, is a warning of the log; what names it is told why when it is resolved. Blocks on files.
  /// `handler_pool` bounds the instances that each class keeps for reuse. `before_load` is called with each file, for a
  /// module may end the process, or not come to an end.
  explicit TypeResolver(std::vector<std::filesystem::path> folders,
                        std::size_t handler_pool = HandlerRegistry::kDefaultPool,
                        const BeforeLoad& before_load = {});
  TypeResolver(const TypeResolver&) = delete;
  TypeResolver& operator=(const TypeResolver&) = delete;
  ~TypeResolver();

  /// Calls what the modules gave to OnStart(), before each module's `before`, with its file. The sentence why it failed, with
  /// the module's name; empty: all have started. Where one fails those before it are stopped.
  [[nodiscard]] std::string StartModules(HttpApplicationState& application,
                                         const BeforeLoad& before);
  /// Calls what the modules that have started gave to OnStop(), the last one first, before each module's `before`; logs what
  /// they throw. Threads: any one.
  void StopModules(HttpApplicationState& application, const BeforeLoad& before) noexcept;
  /// Whether StopModules() has anything to call.
  bool HasStopHooks() const noexcept;

  /// Classes without a module.
  HandlerRegistry& BuiltIn() noexcept { return built_in_; }

  /// Throws TypeError.
  HandlerClass& Resolve(const mappings::TypeName& type);
  /// The class that a file names by the text `Class, module`; it can be created. Throws TypeError, for a factory too.
  HandlerClass& ResolveForFile(std::string_view type_text);

 private:
  std::vector<std::filesystem::path> folders_;
  HandlerRegistry built_in_;
  std::map<std::string, Module, std::less<>> modules_;
  struct Loaded {
    std::filesystem::path file;
    const HandlerRegistry* classes;
  };
  std::vector<Loaded> loaded_;  // those that can be used, in their order
  std::size_t started_ = 0;     // of them
};

}  // namespace weft::host::handling
