#include "host/handling/unusable_type.hpp"

#include <optional>

#include "mappings/wording.hpp"

namespace weft::host::handling {

namespace {

using mappings::Quoted;

/// The class that was meant: the only one of this name in any namespace, or one of a like name.
std::optional<std::string_view> NearestClass(std::string_view name,
                                             std::span<const std::string_view> names) {
  std::optional<std::string_view> in_namespace;
  const std::string tail = "::" + std::string(name);
  for (const auto candidate : names) {
    if (candidate.ends_with(tail)) {
      if (in_namespace) {
        return std::nullopt;
      }
      in_namespace = candidate;
    }
  }
  return in_namespace ? in_namespace : mappings::NearestName(name, names);
}

}  // namespace

std::string MissingModule(std::string_view name, std::span<const std::string> names,
                          const std::vector<std::filesystem::path>& folders) {
  const auto sentence = "The module " + Quoted(name) + " is missing";
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (const auto nearest = mappings::NearestName(name, views)) {
    return sentence + "; did you mean " + Quoted(*nearest) + "?";
  }
  if (folders.empty()) {
    return sentence + ": there is no folder of modules; name one with --modules.";
  }
  std::string files;
  for (const auto& folder : folders) {
    files += (files.empty() ? "" : " nor ") + (folder / (std::string(name) + ".so")).string();
  }
  return sentence + ": there was no file " + files + "; a worker loads modules when it starts.";
}

std::string MissingClass(const mappings::TypeName& type, std::span<const std::string> names) {
  const auto sentence = type.module.empty() ? "No class " + Quoted(type.class_name) + " is built in"
                                            : "The module " + Quoted(type.module) +
                                                  " has no class " + Quoted(type.class_name);
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (const auto nearest = NearestClass(type.class_name, views)) {
    return sentence + "; did you mean " + Quoted(*nearest) + "?";
  }
  return sentence +
         (names.empty() ? "; there is none." : "; there are " + mappings::Listed(views) + ".");
}

std::string FactoryNamedByFile(std::string_view class_name) {
  return "The class " + Quoted(class_name) +
         " is a factory, which no file can name; map it with an \"add\".";
}

}  // namespace weft::host::handling
