#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "host/supervisor/file_descriptor.hpp"
#include "host/supervisor/handover.hpp"
#include "host/supervisor/restart_delay.hpp"
#include "host/supervisor/status.hpp"
#include "host/supervisor/worker_output.hpp"
#include "host/worker/message.hpp"

namespace weft::host::supervisor {

/// One place for a worker: the process that fills it, or the moment when it is filled again.
struct Place : KeptWorker {
  using Clock = std::chrono::steady_clock;

  FileDescriptor channel;  ///< its messages (worker/message.hpp), as long as it can send any
  /// Its end of the channel is closed: it has ended, or will be killed then, for it has closed what is not its handlers'. max(): it
  /// is not, or the worker was killed.
  Clock::time_point kill_cut_off_at = Clock::time_point::max();
  bool was_cut_off = false;                ///< it was killed for that
  std::unique_ptr<WorkerOutput> output{};  ///< what it writes; null: nobody reads it
  std::uint64_t mappings = 0;  ///< those that it serves with, or began with (Supervisor::mappings_)
  RestartDelay delay;
  std::optional<Clock::time_point> start_at;
  /// There were too many that retire, and it was told to end, or waits for another that was.
  bool told_to_hurry = false;

  // What the process model says.
  bool wanted = true;  ///< Somebody shall be here.
  /// It has been asked for, or decided, that this worker leaves. It serves on until `retires`.
  std::optional<WhyLeaves> goes{};
  std::uint64_t goes_at = 0;               ///< So many requests, seconds, or bytes.
  std::optional<Clock::time_point> due{};  ///< Its age is enough then.
  pid_t relieves = -1;                     ///< Whom it relieves when it is ready; -1: nobody.
  std::chrono::nanoseconds processor{0};   ///< That it had used when it was last looked at.
  std::uint64_t requests = 0;              ///< That it had begun by then.

  // For the status.
  std::optional<WorkerEnd> last_end;
  std::optional<worker::Figures> figures;  ///< of the worker that is there, as it told last
};

}  // namespace weft::host::supervisor
