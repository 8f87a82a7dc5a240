#include "host/tools/check.hpp"

#include <algorithm>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "host/observe/log.hpp"
#include "host/observe/problem_json.hpp"
#include "host/options/exit_code.hpp"
#include "host/tools/handler_types.hpp"
#include "host/tools/web_handler_files.hpp"
#include "mappings/loader.hpp"

namespace weft::host::tools {
namespace {

using mappings::Problem;

void AddTypes(const std::vector<mappings::TypeMention>& types, HandlerTypes& known,
              std::vector<Problem>& problems) {
  for (const auto& mention : types) {
    auto error = known.Find(mention.type).error;
    if (error.empty()) {
      continue;
    }
    if (!mention.validate) {
      error += " The entry answers 500 until that changes.";
    }
    problems.push_back({mention.where,
                        mention.validate ? Problem::Severity::kError : Problem::Severity::kWarning,
                        std::move(error)});
  }
}

/// The document roots whose files are looked at: the one that was given for this, else those that are known.
std::vector<mappings::DocumentRoot> DocumentRoots(const options::Settings& settings) {
  if (!settings.document_root.empty()) {
    return {{settings.host, settings.document_root}};
  }
  return settings.document_root_mappings;
}

void CheckFiles(const options::Settings& settings, HandlerTypes& known,
                std::vector<Problem>& problems) {
  const auto roots = DocumentRoots(settings);
  if (roots.empty()) {
    return;
  }
  // Where the mappings are wrong, which files they are for is not known.
  if (const auto loaded = mappings::Load(settings.Mappings()); loaded.table) {
    for (const auto& root : roots) {
      CheckWebHandlerFiles(*loaded.table, root.host, root.directory, known, problems);
    }
  }
}

}  // namespace

int Check(const options::Settings& settings) {
  if (settings.document_root.empty() && settings.host != options::Settings().host) {
    std::cerr << "weft: --host says whose files --document-root has: give that as well\n";
    return options::kExitUsage;
  }
  auto [problems, types] = mappings::Check(settings.Mappings());
  HandlerTypes known(settings.ModuleFolders(), settings.start_timeout);
  AddTypes(types, known, problems);
  CheckFiles(settings, known, problems);
  mappings::SortProblems(problems);
  if (settings.format == options::OutputFormat::kJson) {
    auto list = Json::array();
    for (const auto& problem : problems) {
      list.push_back(observe::ToJson(problem));
    }
    std::cout << Dump(list, 2) << '\n';
  } else {
    for (const auto& problem : problems) {
      std::cout << observe::EscapedControls(problem.ToString()) << '\n';
    }
  }
  std::cout.flush();
  if (!std::cout.good()) {
    return options::kExitInputOutput;
  }
  const bool sound = std::ranges::none_of(problems, [](const Problem& problem) {
    return problem.severity == Problem::Severity::kError;
  });
  return sound ? options::kExitOk : options::kExitProblems;
}

}  // namespace weft::host::tools
