#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "host/handling/handler_registry.hpp"

namespace weft::host::handling {

/// A file that claims to be a module: NAME.so.
struct ModuleFile {
  std::string name;
  std::filesystem::path path;
};

/// The modules of some folders.
struct ModuleSearch {
  /// Folder by folder, each in the order of the alphabet; of each name the first.
  std::vector<ModuleFile> files;
  /// Sentences: a folder that cannot be read, a file that is not used because an earlier folder has one of its name.
  std::vector<std::string> warnings;
  bool all_folders_read = true;
};

/// Looks for regular files that end in `.so`, links to such included. Blocks on files.
ModuleSearch FindModules(const std::vector<std::filesystem::path>& folders);

/// A module that was loaded, or why it cannot be used.
struct Module {
  std::string error;  ///< one sentence; empty: it can be used
  /// The classes that it has named; null where it cannot be used.
  std::unique_ptr<HandlerRegistry> classes;

  // What it says of itself, as far as that could be read.
  std::uint32_t contract_version = 0;  ///< 0: it is no handler module
  std::string compiler_abi;
  std::string build_type;
  /// The libraries that it asks the dynamic linker for, by their own names, in their order.
  std::vector<std::string> libraries;
};

/// Loads a module, compares its stamp, and has it name its classes. It is never unloaded: code of it may be running.
/// `pool` as for HandlerRegistry.
///
/// Blocks, and runs the initialisers of the module. Throws std::bad_alloc alone.
Module LoadModule(const ModuleFile& file, std::size_t pool = HandlerRegistry::kDefaultPool);

}  // namespace weft::host::handling
