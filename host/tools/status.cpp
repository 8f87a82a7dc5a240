#include "host/tools/status.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/tools/client_socket.hpp"
#include "host/tools/status_text.hpp"

namespace weft::host::tools {
namespace {

/// What the supervisor may take. It answers at once, unless it reads mapping files from a slow disk.
constexpr std::chrono::seconds kPatience{5};
/// 16 MiB: a thousand workers are a tenth of one.
constexpr std::size_t kMaxAnswerBytes = 16 * 1024 * 1024;

/// Ends the command: what to say, and the exit code.
struct Refusal {
  int exit_code;
  std::string sentence;
};

/// As connect(2) refuses both a file of another kind and a socket that nobody listens on.
bool IsOtherFile(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode);
}

[[noreturn]] void Fail(const std::string& path, int error) {
  if (error == ECONNREFUSED && IsOtherFile(path)) error = ENOTSOCK;
  const auto prefix = "cannot ask " + path + ": ";
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      throw Refusal{
          options::kExitUnavailable,
          prefix + "there is no such socket: is the host running, with --control " + path + "?"};
    case ECONNREFUSED:
      throw Refusal{options::kExitUnavailable,
                    prefix + "nobody listens there any more: start the host again"};
    case EAGAIN:
    case ETIMEDOUT:
      throw Refusal{options::kExitUnavailable,
                    prefix + "nobody answers within " + options::FormatDuration(kPatience) +
                        ": its supervisor is stopped, or reads mapping files that are slow to "
                        "read; try again, and see its log"};
    case EACCES:
    case EPERM:
      throw Refusal{options::kExitNoPermission,
                    prefix + "this user may not: ask as the user that runs the host"};
    case ENOTSOCK:
    case EPROTOTYPE:
      throw Refusal{options::kExitUnavailable,
                    prefix + "that is no socket of a supervisor: give the path of its --control"};
    default:
      throw Refusal{options::ExitCodeFor({error, std::system_category()}),
                    prefix + std::system_category().message(error)};
  }
}

sockaddr_un Name(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) {
    throw Refusal{options::kExitUsage, "--control has " + std::to_string(path.size()) +
                                           " bytes, and a socket's path can have " +
                                           std::to_string(sizeof(name.sun_path) - 1) +
                                           ": give the path that the host has"};
  }
  path.copy(name.sun_path, path.size());
  return name;
}

/// The time that is left, for each call that may wait.
void LimitWait(const ClientSocket& socket, std::chrono::steady_clock::time_point until,
               const std::string& path) {
  if (const int error = socket.LimitWait(until)) Fail(path, error);
}

std::string Ask(const std::string& path, std::string_view request) {
  const auto name = Name(path);
  const auto until = std::chrono::steady_clock::now() + kPatience;
  const ClientSocket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.Number() < 0) Fail(path, errno);
  LimitWait(socket, until, path);
  if (::connect(socket.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
    Fail(path, errno);
  }
  // It fits in any buffer.
  if (::send(socket.Number(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    Fail(path, errno == EPIPE || errno == ECONNRESET ? ECONNREFUSED : errno);
  }
  std::string answer;
  std::array<char, 65'536> piece;
  while (answer.size() <= kMaxAnswerBytes) {
    LimitWait(socket, until, path);
    const auto count = ::recv(socket.Number(), piece.data(), piece.size(), 0);
    if (count == 0) break;
    if (count > 0) {
      answer.append(piece.data(), static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      Fail(path, errno == ECONNRESET ? ECONNREFUSED : errno);
    }
  }
  if (answer.empty()) {
    throw Refusal{options::kExitUnavailable,
                  "cannot ask " + path +
                      ": the connection ended without an answer: the host has "
                      "ended, or too many ask at once; try again"};
  }
  return answer;
}

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
    if (settings.control.empty()) {
      throw Refusal{options::kExitUsage,
                    "whom to ask is not known: give --control PATH, or WEFT_CONTROL, or the "
                    "host's --config, as for 'weft serve'"};
    }
    std::cout << show(Ask(settings.control, request + "\n"), settings) << std::flush;
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
