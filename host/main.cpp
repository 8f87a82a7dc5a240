#include <unistd.h>

#include <exception>
#include <iostream>
#include <system_error>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/parse.hpp"
#include "host/supervisor/listener.hpp"
#include "host/supervisor/serve.hpp"
#include "host/tools/check.hpp"
#include "host/tools/explain.hpp"
#include "host/tools/list_modules.hpp"
#include "host/tools/ping.hpp"
#include "host/tools/stacks.hpp"
#include "host/tools/status.hpp"

namespace observe = weft::host::observe;
namespace options = weft::host::options;
namespace supervisor = weft::host::supervisor;
namespace tools = weft::host::tools;

static int Run(const options::ParseResult& parsed) {
  observe::SetLogLevel(parsed.settings->log_level);
  if (parsed.command == options::Command::kServe) {
    try {
      observe::SetUpLog(*parsed.settings);
    } catch (const std::system_error& error) {
      observe::Log(observe::Level::kError,
                   std::string(error.what()) + ": name another file with --log");
      return options::kExitConfiguration;
    }
  }
  for (const std::string& warning : parsed.warnings) {
    observe::Log(observe::Level::kWarning, warning);
  }
  switch (parsed.command) {
    case options::Command::kServe:
      return supervisor::Serve(*parsed.settings);
    case options::Command::kModules:
      return tools::ListModules(*parsed.settings);
    case options::Command::kCheck:
      return tools::Check(*parsed.settings);
    case options::Command::kExplain:
      return tools::Explain(*parsed.settings, parsed.arguments);
    case options::Command::kStatus:
      return tools::Status(*parsed.settings);
    case options::Command::kLogLevel:
      return tools::SetLogLevel(*parsed.settings, parsed.arguments);
    case options::Command::kStacks:
      return tools::Stacks(parsed.arguments.front());
    case options::Command::kPing:
      return tools::Ping(*parsed.settings);
  }
  return options::kExitSoftware;
}

/// weft: parse, build, run, exit code. What each code means: options/exit_code.hpp.
int main(int argc, char** argv) {
  try {
    supervisor::EnsureStandardDescriptors();
    const options::ParseResult parsed = options::Parse(argc, argv, environ);
    if (parsed.settings) return Run(parsed);

    if (!parsed.error.empty()) std::cerr << parsed.error + "\n";
    std::cout << parsed.output << std::flush;
    return std::cout.good() ? parsed.exit_code : options::kExitInputOutput;
  } catch (const std::exception& error) {
    std::cerr << std::string("weft: ") + error.what() + "\n";
    return options::kExitSoftware;
  }
}
