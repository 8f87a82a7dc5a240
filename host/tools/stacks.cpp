#include "host/tools/stacks.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iostream>
#include <string_view>
#include <system_error>

#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/tools/client_socket.hpp"
#include "host/worker/stack_socket.hpp"

namespace weft::host::tools {
namespace {

/// What a worker may take between two pieces: it waits a second for its reactor, a fifth for each thread that does not
/// answer, and reads symbol tables.
constexpr timeval kPatience{.tv_sec = 20, .tv_usec = 0};

/// Ends the command: what to say, and the exit code.
struct Refusal {
  int exit_code;
  std::string sentence;
};

/// What may have been meant: the workers, where it is their supervisor.
std::string ChildrenOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  std::string children;
  for (std::string child; file >> child;) {
    children += (children.empty() ? "" : ", ") + child;
  }
  return children;
}

[[noreturn]] void RefuseNoWorker(pid_t pid) {
  const auto name = "process " + std::to_string(pid);
  if (::kill(pid, 0) != 0 && errno == ESRCH) {
    throw Refusal{options::kExitUnavailable,
                  "there is no " + name + " here: 'weft status' tells the workers' numbers"};
  }
  const auto children = ChildrenOf(pid);
  throw Refusal{
      options::kExitUnavailable,
      name + " tells no stacks: it is no worker of weft" +
          (children.empty() ? ", or has only just been started (try again), or runs in another "
                              "container (ask there)"
                            : "; its children are " + children + ": give one of these")};
}

void Ask(pid_t pid, std::ostream& out) {
  const auto name = worker::StackSocketOf(pid);
  const ClientSocket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.Number() < 0) {
    const std::error_code error(errno, std::generic_category());
    throw Refusal{options::ExitCodeFor(error), "socket: " + error.message()};
  }
  for (const int option : {SO_SNDTIMEO, SO_RCVTIMEO}) {
    ::setsockopt(socket.Number(), SOL_SOCKET, option, &kPatience, sizeof kPatience);
  }
  if (::connect(socket.Number(), reinterpret_cast<const sockaddr*>(&name.address), name.bytes) !=
      0) {
    RefuseNoWorker(pid);
  }
  // Anybody may take a name in this namespace: it is believed only if that process has it.
  ucred worker{};
  socklen_t bytes = sizeof worker;
  if (::getsockopt(socket.Number(), SOL_SOCKET, SO_PEERCRED, &worker, &bytes) != 0 ||
      worker.pid != pid) {
    RefuseNoWorker(pid);
  }
  if (::geteuid() != 0 && ::geteuid() != worker.uid) {
    throw Refusal{options::kExitNoPermission,
                  "this user may not ask process " + std::to_string(pid) +
                      ": ask as the user that runs the host, number " + std::to_string(worker.uid)};
  }
  std::array<char, 65'536> piece;
  bool is_empty = true;
  for (;;) {
    const auto count = ::recv(socket.Number(), piece.data(), piece.size(), 0);
    if (count == 0) break;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw Refusal{options::kExitUnavailable,
                    "process " + std::to_string(pid) +
                        " does not go on with its answer: it may be stopped; try again"};
    }
    is_empty = false;
    out << std::string_view(piece.data(), static_cast<std::size_t>(count));
  }
  if (is_empty) {
    throw Refusal{options::kExitUnavailable,
                  "process " + std::to_string(pid) + " has ended, or has no memory to answer"};
  }
}

}  // namespace

int Stacks(const std::string& text) {
  try {
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (error != std::errc() || end != text.data() + text.size() || pid <= 0) {
      throw Refusal{options::kExitUsage,
                    options::Quoted(text) + " is no number of a process: 'weft status' tells them"};
    }
    Ask(pid, std::cout);
    std::cout << std::flush;
    return std::cout.good() ? options::kExitOk : options::kExitInputOutput;
  } catch (const Refusal& refusal) {
    std::cout << std::flush;
    std::cerr << "weft: " + refusal.sentence + "\n";
    return refusal.exit_code;
  }
}

}  // namespace weft::host::tools
