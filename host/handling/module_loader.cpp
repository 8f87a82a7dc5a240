#include "host/handling/module_loader.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "host/observe/log.hpp"

namespace weft::host::handling {

namespace {

std::string JoinNames(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) {
    text += (text.empty() ? "" : ", ") + name;
  }
  return text.empty() ? "none" : text;
}

}  // namespace

TypeResolver::TypeResolver(std::filesystem::path modules, std::size_t handler_pool)
    : folder_(std::move(modules)), handler_pool_(handler_pool), built_in_(handler_pool) {
  if (folder_.empty()) {
    return;
  }
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (std::filesystem::directory_iterator at(folder_, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code unreadable;
    // Nothing that would be waited for, a FIFO say.
    if (at->path().extension() == ".so" &&
        std::filesystem::is_regular_file(at->path(), unreadable)) {
      files.push_back(at->path());
    }
  }
  if (error) {
    observe::Log(observe::Level::kWarning, "the folder of modules " + folder_.string() +
                                               " cannot be read: " + error.message());
  }
  std::sort(files.begin(), files.end());  // their initialisers run in an order that can be told
  for (const auto& file : files) {
    const auto name = file.stem().string();
    // Before: one that ends the process says nothing itself.
    observe::Log(observe::Level::kDebug, "loading module " + file.string());
    auto module = Load(name, file);
    if (!module.error.empty()) {
      observe::Log(observe::Level::kWarning, module.error);
    }
    modules_.emplace(name, std::move(module));
  }
}

TypeResolver::~TypeResolver() = default;

HandlerClass& TypeResolver::Resolve(const mappings::TypeName& type) {
  const HandlerRegistry* classes = &built_in_;
  if (!type.module.empty()) {
    const auto at = modules_.find(type.module);
    if (at == modules_.end()) {
      throw TypeError("module '" + type.module + "' is missing: " +
                      (folder_.empty()
                           ? "there is no folder of modules, name one with --modules"
                           : "there was no file " + (folder_ / (type.module + ".so")).string() +
                                 " when the worker started"));
    }
    if (!at->second.error.empty()) {
      throw TypeError(at->second.error);
    }
    classes = at->second.classes.get();
  }
  if (auto* const found = classes->Find(type.class_name)) {
    return *found;
  }
  const std::string where = type.module.empty()
                                ? "no class of this name is built in"
                                : "module '" + type.module + "' has no class of this name";
  throw TypeError("class '" + type.class_name + "': " + where +
                  "; there are: " + JoinNames(classes->ClassNames()));
}

TypeResolver::Module TypeResolver::Load(const std::string& name,
                                        const std::filesystem::path& file) const {
  Module module;
  // Now, not at first use: a module that lacks a symbol is refused before it serves.
  void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    module.error = "module '" + name + "' cannot be loaded: " + dlerror();
    return module;
  }
  const auto* const stamp =
      static_cast<const weft::detail::ModuleStamp*>(dlsym(handle, "weft_module_stamp"));
  void* const entry = dlsym(handle, "weft_module_register");
  if (stamp == nullptr || entry == nullptr || stamp->magic != weft::detail::kModuleMagic) {
    module.error = "module '" + name + "' (" + file.string() +
                   ") is no handler module: it lacks WEFT_MODULE of <weft/module.hpp>";
    return module;
  }
  if (stamp->contract_version != weft::detail::kContractVersion) {
    module.error = "module '" + name + "' was built against version " +
                   std::to_string(stamp->contract_version) +
                   " of the handler contract, this host has version " +
                   std::to_string(weft::detail::kContractVersion) + "; build it anew";
    return module;
  }
  if (std::strcmp(stamp->compiler_abi, weft::detail::kCompilerAbi) != 0) {
    module.error = "module '" + name + "' was built for '" + stamp->compiler_abi +
                   "', this host for '" + weft::detail::kCompilerAbi +
                   "'; build it with the same compiler and options";
    return module;
  }
  auto classes = std::make_unique<HandlerRegistry>(handler_pool_);
  try {
    reinterpret_cast<void (*)(IHandlerRegistry&)>(entry)(*classes);
  } catch (const std::exception& failure) {
    module.error = "module '" + name + "' cannot be used: " + failure.what();
    return module;
  } catch (...) {
    module.error = "module '" + name + "' cannot be used: its entry point threw";
    return module;
  }
  module.classes = std::move(classes);
  return module;
}

}  // namespace weft::host::handling
