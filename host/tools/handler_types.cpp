#include "host/tools/handler_types.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "handlers/builtin/builtin.hpp"
#include "host/handling/handler_registry.hpp"
#include "host/handling/unusable_type.hpp"
#include "host/observe/log.hpp"

namespace weft::host::tools {
namespace {

Json DescribeBuiltIn() {
  handling::HandlerRegistry registry;
  // No handler is made here, so no `.ashx` file is read.
  builtin::RegisterHandlers(registry, [](std::string_view) { return builtin::CreateHandler(); });
  return DescribeClasses(registry);
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
      std::vector<std::string> names;
      for (const auto& known_file : files_) {
        names.push_back(known_file.name);
      }
      return {handling::MissingModule(type.module, names, folders_), nullptr};
    }
    known = modules_.emplace(type.module, DescribeModule(*file, load_timeout_)).first;
  }
  const Json& module = known->second;
  if (!module["error"].is_null()) {
    return {module["error"].get<std::string>(), nullptr};
  }
  return FindClass(type, module["classes"]);
}

HandlerTypes::Answer HandlerTypes::FindForFile(std::string_view type_text) {
  const auto parsed = mappings::ParseTypeName(type_text);
  if (const auto* const fault = std::get_if<mappings::TypeNameFault>(&parsed)) {
    return {fault->sentence, nullptr};
  }
  const auto& type = std::get<mappings::TypeName>(parsed);
  auto answer = Find(type);
  if (answer.error.empty() &&
      answer.handler_class["lifetime"] == handling::ToString(handling::Lifetime::kFactory)) {
    return {handling::FactoryNamedByFile(type.class_name), nullptr};
  }
  return answer;
}

HandlerTypes::Answer HandlerTypes::FindClass(const mappings::TypeName& type, const Json& classes) {
  std::vector<std::string> names;
  for (const auto& handler_class : classes) {
    names.push_back(handler_class["name"].get<std::string>());
    if (names.back() == type.class_name) {
      return {{}, handler_class};
    }
  }
  return {handling::MissingClass(type, names), nullptr};
}

}  // namespace weft::host::tools
