#include <unistd.h>

#include <exception>
#include <iostream>
#include <optional>
#include <system_error>
#include <utility>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/parse.hpp"
#include "host/supervisor/handover.hpp"
#include "host/supervisor/listener.hpp"
#include "host/supervisor/privileges.hpp"
#include "host/supervisor/serve.hpp"
#include "host/supervisor/try_start.hpp"
#include "host/tools/check.hpp"
#include "host/tools/explain.hpp"
#include "host/tools/list_modules.hpp"
#include "host/tools/new_handler.hpp"
#include "host/tools/ping.hpp"
#include "host/tools/reload.hpp"
#include "host/tools/stacks.hpp"
#include "host/tools/status.hpp"

namespace observe = weft::host::observe;
namespace options = weft::host::options;
namespace supervisor = weft::host::supervisor;
namespace tools = weft::host::tools;

static int Run(const options::ParseResult& parsed, const supervisor::Invocation& invocation,
               std::optional<supervisor::Handover> handover) {
  observe::SetLogLevel(parsed.settings->log_level);
  if (parsed.command == options::Command::kServe || parsed.command == options::Command::kTrial) {
    try {
      // A host that serves already is inside, and so is what it tries.
      if (!handover) supervisor::ChangeRoot(*parsed.settings);
    } catch (const supervisor::PrivilegeError& error) {
      observe::Log(observe::Level::kError, error.what());
      return error.ExitCode();
    }
  }
  if (parsed.command == options::Command::kServe) {
    try {
      observe::SetUpLog(*parsed.settings);
    } catch (const std::system_error& error) {
      observe::Log(observe::Level::kError,
                   std::string(error.what()) + ": name another file with --log");
      // A host that serves already goes on, and its log is where it is at first; SIGUSR1 does not bring the file back.
      if (!handover) return options::kExitConfiguration;
      options::Settings plain = *parsed.settings;
      plain.log = {};
      observe::SetUpLog(plain);
    }
  }
  for (const std::string& warning : parsed.warnings) {
    observe::Log(observe::Level::kWarning, warning);
  }
  switch (parsed.command) {
    case options::Command::kServe:
      return supervisor::Serve(*parsed.settings, invocation, std::move(handover));
    case options::Command::kTrial:
      return supervisor::TryStart(*parsed.settings, parsed.config, handover);
    case options::Command::kModules:
      return tools::ListModules(*parsed.settings);
    case options::Command::kCheck:
      return tools::Check(*parsed.settings);
    case options::Command::kExplain:
      return tools::Explain(*parsed.settings, parsed.arguments);
    case options::Command::kStatus:
      return tools::Status(*parsed.settings);
    case options::Command::kReload:
      return tools::Reload(*parsed.settings);
    case options::Command::kLogLevel:
      return tools::SetLogLevel(*parsed.settings, parsed.arguments);
    case options::Command::kStacks:
      return tools::Stacks(parsed.arguments.front());
    case options::Command::kPing:
      return tools::Ping(*parsed.settings);
    case options::Command::kNew:
      return tools::New(*parsed.settings, parsed.arguments);
  }
  return options::kExitSoftware;
}

/// weft: parse, build, run, exit code. What each code means: options/exit_code.hpp.
int main(int argc, char** argv) {
  try {
    supervisor::EnsureStandardDescriptors();
    const auto invocation = supervisor::Invocation::OfThisProcess(argc, argv);
    auto handover = supervisor::TakeHandover();
    const options::ConfigText* const config =
        handover && handover->config ? &*handover->config : nullptr;
    const options::ParseResult parsed = options::Parse(argc, argv, environ, config);
    if (parsed.settings) return Run(parsed, invocation, std::move(handover));

    if (!parsed.error.empty()) std::cerr << parsed.error + "\n";
    std::cout << parsed.output << std::flush;
    return std::cout.good() ? parsed.exit_code : options::kExitInputOutput;
  } catch (const std::exception& error) {
    std::cerr << std::string("weft: ") + error.what() + "\n";
    return options::kExitSoftware;
  }
}
