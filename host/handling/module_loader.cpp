#include "host/handling/module_loader.hpp"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <ranges>
#include <utility>
#include <variant>

#include "host/observe/log.hpp"

namespace weft::host::handling {

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
    if (module.classes) {
      loaded_.push_back({file.path, module.classes.get()});
    }
    modules_.emplace(file.name, std::move(module));
  }
}

namespace {

std::string TextOf(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

std::string Told(const std::filesystem::path& file, const char* what,
                 const std::exception_ptr& failure) {
  return "module '" + file.stem().string() + "' (" + file.string() + ") " + what + ": " +
         TextOf(failure);
}

}  // namespace

std::string TypeResolver::StartModules(HttpApplicationState& application,
                                       const BeforeLoad& before) {
  for (const auto& module : loaded_) {
    if (!module.classes->StartHooks().empty() && before) {
      before(module.file);
    }
    try {
      for (const auto& hook : module.classes->StartHooks()) {
        hook(application);
      }
    } catch (...) {
      auto told = Told(module.file, "could not start", std::current_exception());
      StopModules(application, before);
      return told;
    }
    ++started_;
  }
  application.Seal();
  return {};
}

void TypeResolver::StopModules(HttpApplicationState& application,
                               const BeforeLoad& before) noexcept {
  for (; started_ > 0; --started_) {
    const auto& module = loaded_[started_ - 1];
    for (const auto& hook : std::views::reverse(module.classes->StopHooks())) {
      try {
        if (before) {
          before(module.file);
        }
        hook(application);
      } catch (...) {
        try {
          observe::Log(observe::Level::kError,
                       Told(module.file, "could not stop", std::current_exception()));
        } catch (...) {
          // No memory to tell of it.
        }
      }
    }
  }
}

bool TypeResolver::HasStopHooks() const noexcept {
  return std::any_of(loaded_.begin(), loaded_.begin() + static_cast<std::ptrdiff_t>(started_),
                     [](const Loaded& module) { return !module.classes->StopHooks().empty(); });
}

TypeResolver::~TypeResolver() = default;

HandlerClass& TypeResolver::Resolve(const mappings::TypeName& type) {
  const HandlerRegistry* classes = &built_in_;
  if (!type.module.empty()) {
    const auto at = modules_.find(type.module);
    if (at == modules_.end()) {
      const auto names = std::views::keys(modules_);
      throw TypeError(MissingModule(
          type.module, std::vector<std::string>(names.begin(), names.end()), folders_));
    }
    if (!at->second.error.empty()) {
      throw TypeError(at->second.error);
    }
    classes = at->second.classes.get();
  }
  if (auto* const found = classes->Find(type.class_name)) {
    return *found;
  }
  throw TypeError(MissingClass(type, classes->ClassNames()));
}

HandlerClass& TypeResolver::ResolveForFile(std::string_view type_text) {
  const auto parsed = mappings::ParseTypeName(type_text);
  if (const auto* const fault = std::get_if<mappings::TypeNameFault>(&parsed)) {
    throw TypeError(fault->sentence);
  }
  const auto& type = std::get<mappings::TypeName>(parsed);
  auto& handler_class = Resolve(type);
  if (handler_class.LifetimeOfInstances() == Lifetime::kFactory) {
    throw TypeError(FactoryNamedByFile(type.class_name));
  }
  return handler_class;
}

}  // namespace weft::host::handling
