#include <unistd.h>

#include <exception>
#include <iostream>
#include <optional>
#include <utility>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/parse.hpp"
#include "host/supervisor/handover.hpp"
#include "host/supervisor/serve.hpp"
#include "host/supervisor/try_start.hpp"
#include "host/tools/run.hpp"

namespace observe = weft::host::observe;
namespace options = weft::host::options;
namespace supervisor = weft::host::supervisor;
namespace tools = weft::host::tools;

static int Run(const options::ParseResult& parsed, const supervisor::Invocation& invocation,
               std::optional<supervisor::Handover> handover) {
  observe::SetLogLevel(parsed.settings->log_level);
  switch (parsed.command) {
    case options::Command::kServe:
      return supervisor::Serve(parsed, invocation, std::move(handover));
    case options::Command::kTrial:
      return supervisor::TryStart(parsed, handover);
    default:
      observe::LogWarnings(parsed.warnings);
      return tools::Run(parsed);
  }
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
