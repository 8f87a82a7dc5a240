#include "host/tools/run.hpp"

#include "host/options/exit_code.hpp"
#include "host/tools/check.hpp"
#include "host/tools/explain.hpp"
#include "host/tools/list_modules.hpp"
#include "host/tools/new_handler.hpp"
#include "host/tools/ping.hpp"
#include "host/tools/recordings.hpp"
#include "host/tools/reload.hpp"
#include "host/tools/stacks.hpp"
#include "host/tools/status.hpp"

namespace weft::host::tools {

int Run(const options::ParseResult& parsed) {
  switch (parsed.command) {
    case options::Command::kModules:
      return ListModules(*parsed.settings);
    case options::Command::kCheck:
      return Check(*parsed.settings);
    case options::Command::kExplain:
      return Explain(*parsed.settings, parsed.arguments);
    case options::Command::kStatus:
      return Status(*parsed.settings);
    case options::Command::kReload:
      return Reload(*parsed.settings);
    case options::Command::kLogLevel:
      return SetLogLevel(*parsed.settings, parsed.arguments);
    case options::Command::kStacks:
      return Stacks(parsed.arguments.front());
    case options::Command::kPing:
      return Ping(*parsed.settings);
    case options::Command::kNew:
      return New(*parsed.settings, parsed.arguments);
    case options::Command::kRecording:
      return Recordings(*parsed.settings, parsed.arguments);
    case options::Command::kServe:
    case options::Command::kTrial:
      break;  // the supervisor's
  }
  return options::kExitSoftware;
}

}  // namespace weft::host::tools
