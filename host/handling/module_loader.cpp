#include "host/handling/module_loader.hpp"

#include <dlfcn.h>

#include <cstring>
#include <exception>
#include <utility>

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

TypeResolver::TypeResolver(std::filesystem::path modules) : folder_(std::move(modules)) {}
TypeResolver::~TypeResolver() = default;

HandlerClass& TypeResolver::Resolve(const mappings::TypeName& type) {
  const HandlerRegistry* classes = &built_in_;
  if (!type.module.empty()) {
    const auto& module = Load(type.module);
    if (!module.error.empty()) {
      throw TypeError(module.error);
    }
    classes = module.classes.get();
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

TypeResolver::Module& TypeResolver::Load(const std::string& name) {
  if (const auto at = modules_.find(name); at != modules_.end()) {
    return at->second;
  }
  return modules_.emplace(name, Open(name)).first->second;
}

TypeResolver::Module TypeResolver::Open(const std::string& name) const {
  Module module;
  if (folder_.empty()) {
    module.error = "module '" + name +
                   "' cannot be loaded: there is no folder of modules, name one with --modules";
    return module;
  }
  const auto path = folder_ / (name + ".so");
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    module.error = "module '" + name + "' is missing: there is no file " + path.string();
    return module;
  }
  // Now, not at first use: a module that lacks a symbol is refused before it serves.
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    module.error = "module '" + name + "' cannot be loaded: " + dlerror();
    return module;
  }
  const auto* const stamp =
      static_cast<const weft::detail::ModuleStamp*>(dlsym(handle, "weft_module_stamp"));
  void* const entry = dlsym(handle, "weft_module_register");
  if (stamp == nullptr || entry == nullptr || stamp->magic != weft::detail::kModuleMagic) {
    module.error = "module '" + name + "' (" + path.string() +
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
  auto classes = std::make_unique<HandlerRegistry>();
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
