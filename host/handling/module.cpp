#include "host/handling/module.hpp"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <map>
#include <new>
#include <system_error>
#include <utility>

#include <weft/module.hpp>

namespace weft::host::handling {

namespace {

/// The names of DT_NEEDED, from the dynamic section that the linker itself has mapped and checked.
std::vector<std::string> NeededLibraries(void* handle) {
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr || map->l_ld == nullptr) {
    return {};
  }
  const char* names = nullptr;
  for (const auto* entry = map->l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_STRTAB) {
      // An address: glibc has added the base, but for machines where the section is read-only.
      const auto at =
          entry->d_un.d_ptr < map->l_addr ? entry->d_un.d_ptr + map->l_addr : entry->d_un.d_ptr;
      names = reinterpret_cast<const char*>(at);
    }
  }
  std::vector<std::string> libraries;
  for (const auto* entry = map->l_ld; names != nullptr && entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_NEEDED) {
      libraries.emplace_back(names + entry->d_un.d_val);
    }
  }
  return libraries;
}

/// Fills in what the stamp says; the sentence why the module cannot be used, or nothing.
std::string ReadStamp(const ModuleFile& file, const weft::detail::ModuleStamp* stamp,
                      Module& module) {
  if (stamp == nullptr || stamp->magic != weft::detail::kModuleMagic) {
    return "module '" + file.name + "' (" + file.path.string() +
           ") is no handler module: it lacks WEFT_MODULE of <weft/module.hpp>";
  }
  module.contract_version = stamp->contract_version;
  if (stamp->contract_version != weft::detail::kContractVersion) {
    return "module '" + file.name + "' was built against version " +
           std::to_string(stamp->contract_version) +
           " of the handler contract, this host has version " +
           std::to_string(weft::detail::kContractVersion) + "; build it anew";
  }
  module.compiler_abi = stamp->compiler_abi;
  module.build_type = stamp->build_type;
  if (std::strcmp(stamp->compiler_abi, weft::detail::kCompilerAbi) != 0) {
    return "module '" + file.name + "' was built for '" + stamp->compiler_abi +
           "', this host for '" + weft::detail::kCompilerAbi +
           "'; build it with the same compiler and options";
  }
  return {};
}

}  // namespace

ModuleSearch FindModules(const std::vector<std::filesystem::path>& folders) {
  ModuleSearch search;
  std::map<std::string, std::filesystem::path> seen;
  for (const auto& folder : folders) {
    std::error_code error;
    std::vector<std::filesystem::path> files;
    for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
         at.increment(error)) {
      std::error_code unreadable;
      // Nothing that would be waited for, a FIFO say.
      if (at->path().extension() == ".so" &&
          std::filesystem::is_regular_file(at->path(), unreadable)) {
        files.push_back(at->path());
      }
    }
    if (error) {
      search.all_folders_read = false;
      search.warnings.push_back("the folder of modules " + folder.string() +
                                " cannot be read: " + error.message());
    }
    std::sort(files.begin(), files.end());  // their initialisers run in an order that can be told
    for (auto& file : files) {
      auto name = file.stem().string();
      const auto [first, is_first] = seen.emplace(name, file);
      if (!is_first) {
        search.warnings.push_back("module '" + name + "': " + file.string() + " is not used, for " +
                                  first->second.string() + " comes first");
        continue;
      }
      search.files.push_back({std::move(name), std::move(file)});
    }
  }
  return search;
}

Module LoadModule(const ModuleFile& file, std::size_t pool) {
  Module module;
  // Now, not at first use: a module that lacks a symbol is refused before it serves. Local, so that two modules may
  // have a class of one name.
  void* const handle = dlopen(file.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    module.error = "module '" + file.name + "' cannot be loaded: " + dlerror();
    return module;
  }
  module.libraries = NeededLibraries(handle);
  const auto* const stamp =
      static_cast<const weft::detail::ModuleStamp*>(dlsym(handle, "weft_module_stamp"));
  void* const entry = dlsym(handle, "weft_module_register");
  module.error = ReadStamp(file, entry == nullptr ? nullptr : stamp, module);
  if (!module.error.empty()) {
    return module;
  }
  auto classes = std::make_unique<HandlerRegistry>(pool);
  try {
    reinterpret_cast<void (*)(IHandlerRegistry&)>(entry)(*classes);
  } catch (const std::exception& failure) {
    module.error = "module '" + file.name + "' cannot be used: " + failure.what();
    return module;
  } catch (...) {
    module.error = "module '" + file.name + "' cannot be used: its entry point threw";
    return module;
  }
  module.classes = std::move(classes);
  return module;
}

}  // namespace weft::host::handling
