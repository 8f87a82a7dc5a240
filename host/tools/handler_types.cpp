#include "host/tools/handler_types.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "handlers/builtin/builtin.hpp"
#include "host/handling/handler_registry.hpp"
#include "host/observe/log.hpp"
#include "mappings/wording.hpp"

namespace weft::host::tools {
namespace {

using mappings::Quoted;

Json DescribeBuiltIn() {
  handling::HandlerRegistry registry;
  // No handler is made here, so no `.ashx` file is read.
  builtin::RegisterHandlers(registry, [](std::string_view) { return builtin::CreateHandler(); });
  return DescribeClasses(registry);
}

/// The class that was meant: of a like name, or the only one of this name in any namespace.
std::optional<std::string> NearestClass(std::string_view name,
                                        const std::vector<std::string>& names) {
  std::optional<std::string> in_namespace;
  const std::string tail = "::" + std::string(name);
  for (const auto& candidate : names) {
    if (candidate.ends_with(tail)) {
      if (in_namespace) {
        return std::nullopt;
      }
      in_namespace = candidate;
    }
  }
  if (in_namespace) {
    return in_namespace;
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (const auto nearest = mappings::NearestName(name, views)) {
    return std::string(*nearest);
  }
  return std::nullopt;
}

}  // namespace

HandlerTypes::HandlerTypes(std::vector<std::filesystem::path> folders,
                           std::chrono::milliseconds load_timeout)
    : folders_(std::move(folders)), load_timeout_(load_timeout), built_in_(DescribeBuiltIn()) {
  auto search = handling::FindModules(folders_);
  for (const auto& warning : search.warnings) {
    observe::Log(observe::Level::kWarning, warning);
  }
  files_ = std::move(search.files);
}

HandlerTypes::Answer HandlerTypes::Find(const mappings::TypeName& type) {
  if (type.module.empty()) {
    return FindClass(type, built_in_);
  }
  auto known = modules_.find(type.module);
  if (known == modules_.end()) {
    const auto file = std::ranges::find(files_, type.module, &handling::ModuleFile::name);
    if (file == files_.end()) {
      return {MissingModule(type.module), nullptr};
    }
    known = modules_.emplace(type.module, DescribeModule(*file, load_timeout_)).first;
  }
  const Json& module = known->second;
  if (!module["error"].is_null()) {
    return {module["error"].get<std::string>(), nullptr};
  }
  return FindClass(type, module["classes"]);
}

std::string HandlerTypes::MissingModule(std::string_view name) const {
  const auto sentence = "The module " + Quoted(name) + " is missing";
  std::vector<std::string_view> names;
  for (const auto& file : files_) {
    names.push_back(file.name);
  }
  if (const auto nearest = mappings::NearestName(name, names)) {
    return sentence + "; did you mean " + Quoted(*nearest) + "?";
  }
  if (folders_.empty()) {
    return sentence + ": there is no folder of modules; name one with --modules.";
  }
  std::string places;
  for (const auto& folder : folders_) {
    places += (places.empty() ? "" : " nor ") + (folder / (std::string(name) + ".so")).string();
  }
  return sentence + ": there is no file " + places + ".";
}

HandlerTypes::Answer HandlerTypes::FindClass(const mappings::TypeName& type, const Json& classes) {
  std::vector<std::string> names;
  for (const auto& handler_class : classes) {
    names.push_back(handler_class["name"].get<std::string>());
    if (names.back() == type.class_name) {
      return {{}, handler_class};
    }
  }
  const auto sentence = type.module.empty() ? "No class " + Quoted(type.class_name) + " is built in"
                                            : "The module " + Quoted(type.module) +
                                                  " has no class " + Quoted(type.class_name);
  if (const auto nearest = NearestClass(type.class_name, names)) {
    return {sentence + "; did you mean " + Quoted(*nearest) + "?", nullptr};
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  return {sentence +
              (names.empty() ? "; it has none." : "; there are " + mappings::Listed(views) + "."),
          nullptr};
}

}  // namespace weft::host::tools
