#include "host/tools/reload.hpp"

#include <chrono>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/tools/control_client.hpp"
#include "host/tools/status_text.hpp"

namespace weft::host::tools {
namespace {

using Clock = std::chrono::steady_clock;

/// From one look at the status to the next; a reload takes a good part of a second, where modules are quick.
constexpr std::chrono::milliseconds kInterval{50};

Json Asked(const std::string& control, std::string_view request) {
  Json answer = Json::parse(AskHost(control, request), nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) {
    throw Refusal{
        options::kExitUnavailable,
        "what answers on " + control + " is no supervisor of weft: give the path of its --control"};
  }
  if (const auto error = answer.find("error"); error != answer.end() && error->is_string()) {
    throw Refusal{
        options::kExitUnavailable,
        "the host refuses: " + observe::EscapedControls(error->get_ref<const std::string&>())};
  }
  return answer;
}

/// The exit code, and what to print, once there is an outcome of reload `number`.
struct Outcome {
  int exit_code;
  std::string text;
};

std::optional<Outcome> OutcomeIn(const Json& status, std::uint64_t number) {
  const Json& reload = status.at("reload");
  const auto last = reload.at("number").get<std::uint64_t>();
  const auto& outcome = reload.at("outcome").get_ref<const std::string&>();
  if (last < number || (last == number && outcome == "running")) return std::nullopt;
  if (last > number) {
    return Outcome{options::kExitNotYet,
                   "another reload has followed: see 'weft status' for what came of that one\n"};
  }
  if (outcome == "done") {
    return Outcome{
        options::kExitOk,
        "generation " + std::to_string(status.at("generation").get<std::uint64_t>()) + " serves\n"};
  }
  std::string text = "the host was not reloaded: the old generation serves on\n";
  for (const Json& reason : reload.at("reasons")) {
    text += "  " + observe::EscapedControls(reason.get_ref<const std::string&>()) + "\n";
  }
  return Outcome{options::kExitProblems, std::move(text)};
}

Outcome Await(const std::string& control, std::uint64_t number, Clock::time_point until) {
  while (true) {
    if (auto outcome = OutcomeIn(Asked(control, "status"), number)) return std::move(*outcome);
    if (Clock::now() >= until) {
      return {options::kExitNotYet,
              "there is no outcome yet (--timeout): see 'weft status' later\n"};
    }
    std::this_thread::sleep_for(kInterval);
  }
}

}  // namespace

int Reload(const options::Settings& settings) {
  try {
    const auto until = Clock::now() + settings.reload_timeout;
    const auto number = Asked(settings.control, "reload").at("reload").get<std::uint64_t>();
    const Outcome outcome = Await(settings.control, number, until);
    (outcome.exit_code == options::kExitOk ? std::cout : std::cerr) << outcome.text << std::flush;
    return std::cout.good() ? outcome.exit_code : options::kExitInputOutput;
  } catch (const Refusal& refusal) {
    std::cerr << "weft: " + refusal.sentence + "\n";
    return refusal.exit_code;
  } catch (const Json::exception&) {
    std::cerr
        << "weft: the host answers in a form that this version of weft does not know: use the "
           "host's own\n";
    return options::kExitUnavailable;
  }
}

}  // namespace weft::host::tools
