#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/observe/scoreboard.hpp"
#include "host/observe/trace_ring.hpp"
#include "host/options/settings.hpp"
#include "mappings/mapping_table.hpp"

namespace weft::host::worker {

/// What a worker starts with.
struct WorkerStart {
  /// Must outlive the worker.
  const options::Settings& settings;
  /// Listening and non-blocking. The worker closes them when it begins to end, so that nobody waits in a queue
  /// that is not served any more.
  std::vector<int> listening_sockets{};
  /// What they are called, for who asks how the host is; of a worker that has no supervisor.
  std::vector<std::string> addresses{};
  /// Where the worker sends its messages (message.hpp): that it accepts, and what its reloads come to. Never waited for.
  /// -1: there is no supervisor.
  int supervisor = -1;
  /// A web server has spawned the process and sends it its own signals.
  bool spawned = false;
  /// Called when the worker begins to end, before it closes the sockets; may be empty. Where their files go: a
  /// worker whose handlers do not end leaves without a return. Must not throw.
  std::function<void()> on_stop{};
  /// How a process without a supervisor comes along, for its service manager. Each may be empty; none may throw.
  struct Progress {
    std::function<void()> ready{};      ///< It accepts connections.
    std::function<void()> reloading{};  ///< Asked to, it reads the mapping files anew.
    /// It has done so, or has read them by itself, for the start as well. On any thread, and perhaps after RunWorker() has returned.
    std::function<void()> reloaded{};
    /// That the reactor goes on: called there, and again at the time that it returns; max(): never again.
    std::function<std::chrono::steady_clock::time_point()> alive{};
  };
  Progress progress{};
  /// What the host served with last: for a worker that replaces another while the files are wrong, or where only
  /// SIGHUP reloads them. Null: the files alone count.
  std::shared_ptr<const mappings::MappingTable> last_mappings{};
  /// Where connections come from that workers of the host pass on which end, so that their peers see nothing of it: a
  /// SOCK_SEQPACKET socket, the same for all; the worker closes it. -1: there are no others.
  int passed_in = -1;
  /// Its other end, where this worker passes its own on when it is told to (StopOrder::kPassOn).
  int passed_out = -1;
  /// The file whose lock makes one worker of the host the one that looks for changed mappings; -1: this is.
  int watch_lock = -1;
  /// Where the worker counts what it does, in its part. Must outlive the worker. Null: in one of its own.
  observe::Scoreboard* figures = nullptr;
  observe::Scoreboard::Part part{};
  /// Where it keeps the traces of its requests, in the same part. Must outlive the worker. Null: nowhere; without a supervisor,
  /// where settings.trace is not 0, in memory of its own.
  observe::TraceRing* traces = nullptr;
};

/// Blocks the signals that a worker reads, to the end of the process: they wait for RunWorker(), and none ends the
/// process by itself any more. Ignores SIGPIPE and SIGXFSZ, so that a peer or a reader of the log that leaves does not
/// either, nor a file of the log that has grown to its limit.
///
/// RunWorker() does so as well; a process that has something to lose before it gets there, a socket's file, does it
/// first. Threads: call while there is only one, for the others inherit it.
void BlockSignals() noexcept;

/// How a worker is told to stop, in the value that goes with a SIGTERM (sigqueue(3)): a plain kill(2) has none.
enum class StopOrder : int {
  kEnd = 0,  ///< The host stops: connections end as soon as nothing is in flight on them.
  kPassOn =
      1,  ///< Other workers go on: connections go there (`passed_out`) as soon as nothing is in flight on them.
  kLeave =
      2,  ///< The same, and nothing hurries: requests in flight have until their own deadlines.
};

/// Serves until a signal says stop; returns the process's exit code (options/exit_code.hpp). Problems are
/// written to standard error.
///
/// SIGTERM and SIGQUIT, and SIGUSR1 when spawned: what is in flight is finished, within the drain time. The value of SIGTERM,
/// if it has one, is a StopOrder.
/// SIGINT, unless spawned: what is in flight is cancelled.
/// SIGHUP: the mapping files are read anew, see MappingReload; its value, if it has one, is a ReloadOrder.
///
/// Threads: on a thread that has no fibers yet, with no other thread in the process.
int RunWorker(const WorkerStart& start);

/// Does what RunWorker() does until it would serve: loads the mappings, the modules, and starts them. Then it stops them, and
/// returns 0; else the exit code, and problems are written to standard error. Listens nowhere. Tells `start.supervisor`
/// which module it loads.
///
/// Threads: as RunWorker().
int TryWorker(const WorkerStart& start);

}  // namespace weft::host::worker
