#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/scoreboard.hpp"
#include "host/options/parse.hpp"
#include "host/supervisor/file_descriptor.hpp"
#include "host/supervisor/listener.hpp"
#include "host/supervisor/privileges.hpp"
#include "host/supervisor/reload_state.hpp"
#include "host/supervisor/service_manager.hpp"
#include "host/supervisor/status.hpp"
#include "host/supervisor/worker_output.hpp"

namespace weft::host::supervisor {

/// A listening socket on its way from one program to another.
struct PassedSocket {
  int descriptor = -1;
  std::string address{};
  std::string source{};
  std::string file{};        ///< The socket's file, if it is this host's to remove.
  int file_descriptor = -1;  ///< What tells that file from another of its path.

  friend bool operator==(const PassedSocket&, const PassedSocket&) = default;
};

/// What stays true of a worker, whichever program supervises it.
struct KeptWorker {
  pid_t pid = -1;  ///< -1: there is none.
  std::uint64_t generation = 1;
  std::chrono::steady_clock::time_point started{};
  /// The last change of what it does.
  std::chrono::system_clock::time_point since = std::chrono::system_clock::now();
  bool was_ready = false;
  bool took_too_long = false;  ///< To be ready: it was killed.
  bool retires = false;        ///< It takes no requests any more, by its own word.
  // Of one of an earlier generation.
  bool leaves = false;                         ///< It was told to end, for a newer one serves.
  std::chrono::milliseconds drain_timeout{0};  ///< What it has from then on.
  std::chrono::steady_clock::time_point kill_at{std::chrono::steady_clock::time_point::max()};

  std::size_t starts = 0;            ///< Of its place.
  std::string loading{};             ///< The module that it loads, if it told, until it is ready.
  observe::Scoreboard::Part part{};  ///< Where it counts what it does.

  friend bool operator==(const KeptWorker&, const KeptWorker&) = default;
};

/// A worker that goes on under the program that takes over.
struct PassedWorker {
  KeptWorker kept{};
  int channel = -1;
  int output = -1;  ///< The reading end of the pipe that it writes to; -1: nobody reads it.
  WorkerOutput::State written{};

  friend bool operator==(const PassedWorker&, const PassedWorker&) = default;
};

/// What the status tells of a place, whoever fills it.
struct PassedPlace {
  std::size_t starts = 0;
  std::optional<WorkerEnd> last_end{};
};

/// Of the service manager.
struct PassedService {
  std::vector<std::string> variables{};         ///< Its own, `NAME=VALUE`.
  ServiceStage told = ServiceStage::kStarting;  ///< What it has been told (ServiceManager).
};

/// What a supervisor leaves to the program that it becomes (execve(2)), or that tries out whether it could.
///
/// Descriptors stay open through that; their numbers are here. The rest is what the host's users shall not see change.
struct Handover {
  /// Of what Encode() writes. Changes when an older program could misunderstand it; members that are added do not count.
  static constexpr int kFormat = 1;

  std::uint64_t generation = 1;
  std::chrono::system_clock::time_point since{};  ///< The host was started.
  bool spawned = false;
  std::vector<PassedSocket> sockets{};  ///< Those of --control and --metrics-listen among them.
  /// Where workers pass connections on, and where they get them (worker::WorkerStart).
  int passing_in = -1;
  int passing_out = -1;
  /// Connections that no worker holds (ParkedConnections).
  std::vector<int> parked{};
  std::vector<PassedWorker> workers{};
  std::vector<PassedPlace> places{};
  ReloadState reload{};
  /// The memory that the workers count in (observe::Scoreboard), and that of the log's level (observe::ShareLogLevel()); -1: it
  /// has no descriptor.
  int figures = -1;
  int log_level = -1;
  PassedService service{};
  /// Whom workers are to be, as the trial has found it.
  std::optional<Identity> identity{};
  /// The options as they were tried; nothing: no file has any.
  std::optional<options::ConfigText> config{};
  std::string root{};  ///< --chroot of the start; the host stays there
  /// Where the trial sends its messages and its verdict; -1: this is none, but the takeover.
  int trial_channel = -1;
};

/// One JSON object. Throws std::bad_alloc.
[[nodiscard]] std::string Encode(const Handover& handover);
/// Nothing where the text is not what Encode() makes, or is of another format. Unknown members are passed over.
/// Throws std::bad_alloc alone.
[[nodiscard]] std::optional<Handover> Decode(std::string_view text);

/// What a trial that has passed hands over: sockets that the running host does not have yet, the options, and whom workers are to
/// be. In place of
/// the numbers in `sockets` those count that came along (trial.hpp).
struct Verdict {
  std::vector<PassedSocket> sockets{};
  std::optional<options::ConfigText> config{};
  std::optional<Identity> identity{};
};
[[nodiscard]] std::string Encode(const Verdict& verdict);
[[nodiscard]] std::optional<Verdict> DecodeVerdict(std::string_view text);

/// As it is passed; the descriptors stay the listener's.
[[nodiscard]] PassedSocket ToPassed(const Listener& listener);
/// Takes over the descriptors.
[[nodiscard]] Listener ToListener(const PassedSocket& passed);

/// A file in memory with that text, from its beginning. Throws std::system_error.
[[nodiscard]] FileDescriptor TextInMemory(std::string_view text);
/// All of such a file; nothing: it cannot be read, or is larger than 16 MiB.
[[nodiscard]] std::optional<std::string> TextOf(int descriptor);

/// Whether a descriptor is closed when another program is executed. Fails silently for one that is not open.
void SetCloseOnExec(int descriptor, bool closes) noexcept;
/// The same, of all that are named in there.
void SetCloseOnExec(const Handover& handover, bool closes) noexcept;

/// The handover that this process was executed with, if it was; and hides it from what it executes itself.
///
/// Throws std::runtime_error when there is one that cannot be understood: what() says why.
/// Threads: call while there is only one (environment).
[[nodiscard]] std::optional<Handover> TakeHandover();

/// A program and what it is started with.
struct Invocation {
  std::string program;
  std::vector<std::string> arguments;

  /// Of this process. The program is found as it was when this one was started, by the name in `argv[0]` where that
  /// leads to the file that runs: a link is kept as a link, so that it may lead to another version one day.
  [[nodiscard]] static Invocation OfThisProcess(int argc, const char* const* argv);
  /// Tells one version of the program's file from another. Empty: there is none.
  [[nodiscard]] std::string FileIdentity() const;
};

/// Executes the program with this process's environment and the handover in `state`, whose descriptors must be kept
/// open (SetCloseOnExec()). `command`: in place of the first argument; empty: as it was.
/// Returns only when that fails: an errno. Throws std::bad_alloc, std::system_error.
[[nodiscard]] int Execute(const Invocation& invocation, const std::string& command, int state);

}  // namespace weft::host::supervisor
