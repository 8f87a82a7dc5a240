#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/options/settings.hpp"
#include "host/supervisor/handover.hpp"
#include "host/supervisor/listener.hpp"
#include "host/worker/worker.hpp"

namespace weft::host::supervisor {

/// Runs a worker to its end and returns its exit code. Called in a child process while there is one
/// thread. The descriptors in `start` are the worker's to close; it has no mappings yet.
using WorkerMain = std::function<int(worker::WorkerStart start)>;

/// Writes one line to the log. Must not start a thread: the supervisor forks.
using LogLine = std::function<void(options::LogLevel, std::string_view)>;

/// Called when a worker serves with new mappings, whose fingerprint (mappings::Fingerprinter) is given. May block
/// on their files. Must not throw.
using NewMappings = std::function<void(std::uint64_t fingerprint)>;

/// How a supervisor becomes the next one.
struct Generations {
  /// What the last one has left; nothing: this is the first.
  std::optional<Handover> taken_over{};
  /// Its sockets that are no longer among those to listen on; its workers do, until they have been told to end.
  std::vector<Listener> not_wanted{};
  /// Of the log's level (observe::ShareLogLevel()); kept for the next one.
  FileDescriptor log_level{};
  /// Executes the program as a trial (`weft trial`), in a child process; returns only when that fails: an errno. Empty:
  /// this supervisor cannot be reloaded.
  std::function<int(const Handover&)> become_trial{};
  /// Executes the program in place of this one; as above.
  std::function<int(const Handover&)> take_over{};
  /// Tells one version of the program's file from another; may be empty.
  std::function<std::string()> file_identity{};
  /// Gives up what a worker has not, in a child process that reads what a crashed worker has named; may throw. Empty: there is
  /// nothing to give up.
  std::function<void()> be_worker{};
  /// Writes what a trial has written, whole lines, to the log as it is; may be empty.
  std::function<void(std::string_view)> output{};
};

/// Keeps `settings.WorkerCount()` workers running (at least one; where the process model is not static, at most) until it is asked to stop; returns
/// the exit code for the process.
///
/// Starting: one worker first, the others when that one is ready, so that a mistake is reported
/// once and not once per core. A worker that exits with 78 before any was ready has reported a
/// wrong configuration: everything stops and 78 is returned. As long as none was ready,
/// `settings.max_start_failures` workers that end in another way, each before it is ready, stop
/// everything as well: one line says what ended the last one and what to do, and 71 or 77 is
/// returned when the workers did so, 71 after SIGKILL (no memory, most likely), else 70.
///
/// A worker that is not ready when `settings.start_timeout` is over is killed, and has ended before it was
/// ready: its modules are loaded before it serves, and one that waits for something holds it up without end.
///
/// Running: a dead worker is logged and replaced, see RestartDelay, however often: once a worker was
/// ready, what ends its successors may pass, and others still serve. A worker is told to stop by the
/// kernel (SIGTERM) when the supervisor dies without a chance to do so.
///
/// Reloading: SIGHUP makes one worker that is ready read the mapping files (SIGHUP, ReloadOrder::kCheck). When it,
/// or the one that looks for changes, reports that it serves with new ones, the others are told to adopt them
/// (ReloadOrder::kAdopt). So a wrong file is logged once, and not by every worker.
///
/// A new generation (SIGUSR2, and the request `reload`): see docs/decisions/0016-generations.md. A trial, a process of
/// the program's file as it is by then, does all that a start does but serve. When it has passed, this process becomes that
/// program, and goes on as the parent of its workers: those serve until the new one's are ready, one for one, and then pass
/// their connections on and end, within their drain time. What goes wrong before leaves the old generation as it was; what
/// goes wrong after leaves its workers serving, and new ones are tried on. One reload at a time, and one more waits.
///
/// How many workers there are: `settings.process_model` (Scaling). On demand there may be none; then the listening sockets,
/// and the connections that were kept (ParkedConnections), are waited for here, and the first that becomes readable starts one.
/// Recycling: a worker that asks for it, or is old enough, serves until its successor is ready, and is then told to leave
/// (StopOrder::kLeave), one at a time. `settings.max_crashes` unasked ends within its time stop everything: 70 is returned.
///
/// Answering: on `sockets.control`, where it is open, whoever asks is told how the host is (status.hpp), from the start until
/// the last worker has ended, and whatever the workers do. No client, and no worker's message, holds the supervisor up or
/// ends it.
///
/// Stopping: 0 is returned. At once the listening sockets are closed and their files removed here,
/// so that connections are refused rather than left waiting (as soon as the workers close theirs). A
/// worker that has not ended when the drain time is over gets 2 s more, for cancelling what is left,
/// then SIGKILL.
///
/// | signal    | started by hand, a service manager, a container     | spawned by a web server     |
/// |-----------|-----------------------------------------------------|-----------------------------|
/// | TERM,QUIT | graceful stop: SIGTERM to the workers, drain time;  | graceful stop; a second one |
/// |           | a second one: fast stop                             | changes nothing (1)         |
/// | INT       | fast stop: SIGINT to the workers, SIGKILL after 2 s | ignored (2)                 |
/// | USR1      | the files of the logs are opened anew, here and in  | graceful stop (3)           |
/// |           | the workers: SIGUSR1 to them                        |                             |
/// | HUP       | the mapping files are reloaded, and the log's level | as to the left              |
/// |           | is that of the settings again                       |                             |
/// | USR2      | the host is reloaded: a new generation              | as to the left              |
///
/// What is ignored is logged. (1) mod_fcgid sends TERM again after 1 s and KILL after 8 s. (2) lighttpd
/// sends it to its process group for its own graceful stop, and ends us by TERM. For the same
/// reason the workers then get a process group of their own. (3) FastCGI's
/// convention.
///
/// Workers start with these signals unblocked and at their default action but for HUP, USR1 and
/// USR2, which they ignore: `pkill -HUP weft` must not kill them. They must take a second SIGTERM
/// as no more than the first: a service manager sends one to every process, then the supervisor's
/// own follows.
///
/// Takes over the process's signals and never gives them back: the process is to end afterwards.
/// Runs no user code, opens no pool, loads no module. Throws std::system_error when it cannot begin
/// (71); no worker is left then. Threads: call while there is only one.
[[nodiscard]] int Supervise(const options::Settings& settings, ListeningSockets sockets,
                            const WorkerMain& worker_main, const LogLine& log,
                            const NewMappings& new_mappings = {}, Generations generations = {});

}  // namespace weft::host::supervisor
