#include "host/tools/status.hpp"

#include <iostream>
#include <string>
#include <utility>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/tools/control_client.hpp"
#include "host/tools/status_text.hpp"

namespace weft::host::tools {
namespace {

/// The answer as an object; throws Refusal where it is none, or says that it is refused.
Json ParseAnswer(const std::string& answer, const options::Settings& settings) {
  const auto json = Json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    throw Refusal{options::kExitUnavailable,
                  "what answers on " + settings.control +
                      " is no supervisor of weft: give the path of its --control"};
  }
  if (const auto error = json.find("error"); error != json.end() && error->is_string()) {
    throw Refusal{options::kExitUnavailable,
                  "the host refuses to answer: " +
                      observe::EscapedControls(error->get_ref<const std::string&>())};
  }
  return json;
}

/// What to print.
std::string Shown(const std::string& answer, const options::Settings& settings) {
  if (settings.format == options::OutputFormat::kOpenMetrics && answer.ends_with("# EOF\n")) {
    return answer;
  }
  const auto json = ParseAnswer(answer, settings);
  if (settings.format == options::OutputFormat::kJson) return answer;
  if (auto text = StatusText(json)) return std::move(*text);
  throw Refusal{options::kExitUnavailable,
                "the host answers in a form that this version of weft does not know: use the "
                "host's own, or --format json"};
}

std::string ShownLevel(const std::string& answer, const options::Settings& settings) {
  const auto json = ParseAnswer(answer, settings);
  const auto level = json.find("logLevel");
  if (level == json.end() || !level->is_string()) {
    throw Refusal{options::kExitUnavailable,
                  "the host answers in a form that this version of weft does not know: use the "
                  "host's own"};
  }
  return observe::EscapedControls(level->get_ref<const std::string&>()) + "\n";
}

/// Sends the request, and prints what `show` makes of the answer.
template <typename Show>
int AskAndPrint(const options::Settings& settings, const std::string& request, Show show) {
  try {
    std::cout << show(AskHost(settings.control, request), settings) << std::flush;
    return std::cout.good() ? options::kExitOk : options::kExitInputOutput;
  } catch (const Refusal& refusal) {
    std::cerr << "weft: " + refusal.sentence + "\n";
    return refusal.exit_code;
  }
}

}  // namespace

int Status(const options::Settings& settings) {
  const bool wants_metrics = settings.format == options::OutputFormat::kOpenMetrics;
  return AskAndPrint(settings, wants_metrics ? "metrics" : "status", Shown);
}

int SetLogLevel(const options::Settings& settings, const std::vector<std::string>& arguments) {
  std::string request = "log-level";
  if (!arguments.empty()) {
    try {
      request += " " + options::FormatLogLevel(options::ParseLogLevel(arguments.front()));
    } catch (const options::BadValue& bad) {
      std::cerr << std::string("weft: ") + bad.what() + "\n";
      return options::kExitUsage;
    }
  }
  return AskAndPrint(settings, request, ShownLevel);
}

}  // namespace weft::host::tools
