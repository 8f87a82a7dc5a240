#include "host/tools/list_modules.hpp"

#include <algorithm>
#include <iostream>
#include <string>
#include <utility>

#include "host/handling/module.hpp"
#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/tools/module_report.hpp"

namespace weft::host::tools {

namespace {

/// Text that came from files and from modules: no terminal is to obey it, and it stays on its line.
std::string Shown(const Json& text) {
  return observe::EscapedControls(text.get_ref<const std::string&>());
}

void PrintText(std::ostream& out, const Json& module) {
  const auto text = [&module](const char* key) { return Shown(module[key]); };
  out << text("name") << " (" << text("file") << ")\n";
  if (!module["error"].is_null()) {
    out << "  " << text("error") << '\n';
  }
  if (!module["contractVersion"].is_null()) {
    out << "  contract " << module["contractVersion"];
    if (!module["buildType"].is_null()) {
      out << ", " << text("buildType") << ", " << text("compilerAbi");
    }
    out << '\n';
  }
  const char* before = "  links ";
  for (const auto& library : module["links"]) {
    out << std::exchange(before, ", ") << Shown(library);
  }
  out << (module["links"].empty() ? "" : "\n");
  for (const auto& handler_class : module["classes"]) {
    out << "  " << Shown(handler_class["name"]) << ": " << Shown(handler_class["lifetime"]);
    for (const auto* const flag : {"async", "bufferless", "resettable"}) {
      out << (handler_class[flag] == true ? std::string(", ") + flag : "");
    }
    out << '\n';
  }
}

}  // namespace

int ListModules(const options::Settings& settings) {
  const auto folders = settings.ModuleFolders();
  const auto search = handling::FindModules(folders);
  for (const auto& warning : search.warnings) {
    observe::Log(observe::Level::kWarning, warning);
  }
  if (folders.empty()) {
    observe::Log(observe::Level::kWarning,
                 "there is no folder of modules: name one with --modules");
  }
  Json modules = Json::array();
  for (const auto& file : search.files) {
    observe::Log(observe::Level::kDebug, "loading module " + file.path.string());
    modules.push_back(DescribeModule(file, settings.start_timeout));
  }
  if (settings.format == options::OutputFormat::kJson) {
    std::cout << Dump({{"modules", modules}, {"warnings", search.warnings}}, 2) << '\n';
  } else {
    for (const auto& module : modules) {
      PrintText(std::cout, module);
    }
  }
  std::cout.flush();
  if (!std::cout.good()) {
    return options::kExitInputOutput;
  }
  const bool all_usable = std::all_of(modules.begin(), modules.end(),
                                      [](const Json& module) { return module["error"].is_null(); });
  return all_usable && search.all_folders_read ? options::kExitOk : options::kExitConfiguration;
}

}  // namespace weft::host::tools
