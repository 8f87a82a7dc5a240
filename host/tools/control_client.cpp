#include "host/tools/control_client.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <system_error>

#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/tools/client_socket.hpp"

namespace weft::host::tools {
namespace {

/// What the supervisor may take. It answers at once, unless it reads mapping files from a slow disk.
constexpr std::chrono::seconds kPatience{5};
/// 16 MiB: a thousand workers are a tenth of one.
constexpr std::size_t kMaxAnswerBytes = 16 * 1024 * 1024;

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

}  // namespace

std::string AskHost(const std::string& path, std::string_view request) {
  if (path.empty()) {
    throw Refusal{options::kExitUsage,
                  "whom to ask is not known: give --control PATH, or WEFT_CONTROL, or the "
                  "host's --config, as for 'weft serve'"};
  }
  const std::string line = std::string(request) + "\n";
  const auto name = Name(path);
  const auto until = std::chrono::steady_clock::now() + kPatience;
  const ClientSocket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.Number() < 0) Fail(path, errno);
  LimitWait(socket, until, path);
  if (::connect(socket.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
    Fail(path, errno);
  }
  // It fits in any buffer.
  if (::send(socket.Number(), line.data(), line.size(), MSG_NOSIGNAL) < 0) {
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

}  // namespace weft::host::tools
