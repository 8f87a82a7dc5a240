#include "host/supervisor/try_start.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/supervisor/file_descriptor.hpp"
#include "host/supervisor/listener.hpp"
#include "host/supervisor/privileges.hpp"
#include "host/supervisor/start_checks.hpp"
#include "host/supervisor/trial.hpp"
#include "host/worker/message.hpp"
#include "host/worker/worker.hpp"

namespace weft::host::supervisor {
namespace {

using options::LogLevel;
using options::Settings;

/// What it came to that the modules were loaded and started by a process with a worker's rights.
struct WorkersTrial {
  int status = 0;  ///< As waitpid(2) gives it.
  bool was_done = false;
};

/// What the process of TryAsWorker() says when it has come to its end.
constexpr std::string_view kDone = "done";

[[noreturn]] void BecomeTriedWorker(const Settings& settings,
                                    const std::optional<Identity>& identity,
                                    const Handover& running, int channel, pid_t parent) {
  // Its modules' code must not give the verdict.
  ::close(running.trial_channel);
  int exit_code = options::kExitSoftware;
  try {
    GiveUpPrivileges(settings, identity, running.spawned);
    // Also forgotten where the identity changes.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(options::kExitOk);
    exit_code = worker::TryWorker(
        {.settings = settings, .supervisor = channel, .spawned = running.spawned});
    if (exit_code == options::kExitOk) {
      static_cast<void>(::send(channel, kDone.data(), kDone.size(), MSG_NOSIGNAL));
    }
  } catch (const std::exception&) {
    exit_code = TellFailure("cannot be tried");
  }
  std::fflush(nullptr);
  ::_exit(exit_code);
}

/// In a process of its own, for what gives up its rights cannot open the host's sockets.
WorkersTrial TryAsWorker(const Settings& settings, const std::optional<Identity>& identity,
                         const Handover& running) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw std::system_error(errno, std::system_category(), "socketpair");
  }
  const FileDescriptor channel(ends[0]);
  FileDescriptor workers_end(ends[1]);
  const pid_t parent = ::getpid();
  std::fflush(nullptr);  // what is buffered would be written by the child once more
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::system_category(), "fork");
  if (child == 0) {
    BecomeTriedWorker(settings, identity, running, workers_end.Release(), parent);
  }
  workers_end.Close();
  WorkersTrial trial;
  std::vector<char> packet(worker::kMaxMessageBytes);
  const auto read = [&] {
    const ssize_t count =
        ::recv(channel.Number(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (count <= 0) return count < 0 && errno == EINTR;
    if (static_cast<std::size_t>(count) > packet.size()) return true;  // cut
    const std::string_view text(packet.data(), static_cast<std::size_t>(count));
    if (text == kDone) {
      trial.was_done = true;
      return true;
    }
    // Which module is loaded is of interest to the host; nothing else is.
    if (const auto message = worker::Decode(text);
        message && std::holds_alternative<worker::Loading>(*message)) {
      static_cast<void>(
          ::send(running.trial_channel, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    }
    return true;
  };
  // Its end closes the channel, unless a process that it has started keeps it.
  constexpr int kLookMs = 100;
  while (::waitpid(child, &trial.status, WNOHANG) == 0) {
    pollfd readable{.fd = channel.Number(), .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, kLookMs) <= 0) continue;
    if (!read() && (readable.revents & POLLHUP) != 0) {
      ::waitpid(child, &trial.status, 0);
      break;
    }
  }
  while (read()) {
  }
  return trial;
}

int TryForHost(const Settings& settings, const std::optional<Identity>& identity,
               const std::optional<options::ConfigText>& config, const Handover& running) {
  if (settings.WorkerCount(running.spawned) == 0) {
    observe::Log(LogLevel::kError,
                 "--workers 0: a reload cannot do away with the supervisor: give 1 or more, or "
                 "restart the host");
    return options::kExitConfiguration;
  }
  if (!settings.chroot.empty() && settings.chroot != running.root) {
    observe::Log(LogLevel::kError, "--chroot " + settings.chroot +
                                       ": a reload cannot change the root of a host: leave it as "
                                       "it was, or restart the host");
    return options::kExitConfiguration;
  }
  const WorkersTrial trial = TryAsWorker(settings, identity, running);
  if (WIFSIGNALED(trial.status)) {
    // In the same way, so that the host tells of it.
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::signal(WTERMSIG(trial.status), SIG_DFL);
    ::kill(::getpid(), WTERMSIG(trial.status));
    return options::kExitSoftware;  // where it is blocked
  }
  if (const int code = WEXITSTATUS(trial.status); code != options::kExitOk || !trial.was_done) {
    return code;
  }
  // Without their descriptors, which are not needed for this.
  std::vector<Listener> known;
  for (const PassedSocket& socket : running.sockets) {
    known.emplace_back(FileDescriptor(), socket.address);
    known.back().SetSource(socket.source);
  }
  ListeningSockets sockets = OpenSockets(settings, known);
  if (sockets.control) sockets.listeners.push_back(std::move(*sockets.control));
  for (Listener& metrics : sockets.metrics) sockets.listeners.push_back(std::move(metrics));
  std::erase_if(sockets.listeners,
                [](const Listener& listener) { return listener.Descriptor() < 0; });
  if (!SendVerdict(running.trial_channel, sockets.listeners, config, identity)) {
    observe::Log(LogLevel::kError, "the host that wanted this trial has gone");
    return options::kExitUnavailable;
  }
  std::fflush(nullptr);
  // Not by a return: the sockets' files are the host's now.
  ::_exit(options::kExitOk);
}

}  // namespace

int TryStart(const options::ParseResult& parsed, const std::optional<Handover>& running) {
  const Settings& settings = *parsed.settings;
  try {
    // The host that wants to know is inside already.
    if (!running) ChangeRoot(settings);
    observe::LogWarnings(parsed.warnings);
    ::signal(SIGPIPE, SIG_IGN);
    if (!SocketsAreApart(settings)) return options::kExitConfiguration;
    if (!LogIsSound(settings)) return options::kExitConfiguration;
    if (!CrashFolderIsSound(settings)) return options::kExitConfiguration;
    const std::optional<Identity> identity = FindIdentity(settings);
    if (!SoundMappings(settings, identity)) return options::kExitConfiguration;
    if (running) return TryForHost(settings, identity, parsed.config, *running);
    if (!HasWhoAnswers(settings, /*spawned=*/false)) return options::kExitConfiguration;
    GiveUpPrivileges(settings, identity, /*spawned=*/false);
    return worker::TryWorker({.settings = settings});
  } catch (const std::exception&) {
    return TellFailure("cannot be tried");
  }
}

}  // namespace weft::host::supervisor
