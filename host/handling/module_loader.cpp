#include "host/handling/module_loader.hpp"

#include <utility>

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

std::string WhereItIsNot(const std::vector<std::filesystem::path>& folders,
                         const std::string& module) {
  if (folders.empty()) {
    return "there is no folder of modules, name one with --modules";
  }
  std::string files;
  for (const auto& folder : folders) {
    files += (files.empty() ? "" : " nor ") + (folder / (module + ".so")).string();
  }
  return "there was no file " + files + " when the worker started";
}

}  // namespace

TypeResolver::TypeResolver(std::vector<std::filesystem::path> folders, std::size_t handler_pool,
                           const BeforeLoad& before_load)
    : folders_(std::move(folders)), built_in_(handler_pool) {
  const auto search = FindModules(folders_);
  for (const auto& warning : search.warnings) {
    observe::Log(observe::Level::kWarning, warning);
  }
  for (const auto& file : search.files) {
    // Before: one that ends the process says nothing itself.
    observe::Log(observe::Level::kDebug, "loading module " + file.path.string());
    if (before_load) {
      before_load(file.path);
    }
    auto module = LoadModule(file, handler_pool);
    if (!module.error.empty()) {
      observe::Log(observe::Level::kWarning, module.error);
    }
    modules_.emplace(file.name, std::move(module));
  }
}

TypeResolver::~TypeResolver() = default;

HandlerClass& TypeResolver::Resolve(const mappings::TypeName& type) {
  const HandlerRegistry* classes = &built_in_;
  if (!type.module.empty()) {
    const auto at = modules_.find(type.module);
    if (at == modules_.end()) {
      throw TypeError("module '" + type.module +
                      "' is missing: " + WhereItIsNot(folders_, type.module));
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

}  // namespace weft::host::handling
