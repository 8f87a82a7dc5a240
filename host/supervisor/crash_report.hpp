#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/crash_evidence.hpp"
#include "host/supervisor/worker_exit.hpp"

namespace weft::host::supervisor {

/// All that is known of a worker that ended and was not to.
struct CrashReport {
  pid_t pid = -1;
  std::string process{};  ///< "worker 2"
  std::uint64_t generation = 1;
  std::chrono::system_clock::time_point at{};
  WorkerExit exit{};
  bool killed_by_us = false;        ///< The supervisor has sent the SIGKILL.
  bool has_memory_run_out = false;  ///< The kernel has killed for want of memory meanwhile.
  observe::CrashFacts facts{};
  std::string last_words{};  ///< what it wrote last (WorkerOutput::LastLines())
};

/// Whether there is anything to tell beyond the exit itself: a signal has ended it that the supervisor did not send, or it held requests.
[[nodiscard]] bool IsWorthAReport(const CrashReport& report);

/// For counting, as NameOf(WorkerExit), where that does not tell more: `stack_overflow`, `uncaught_exception`, `out_of_memory` (of an
/// exception that says so), `oom_kill`.
[[nodiscard]] std::string CauseName(const CrashReport& report);
/// What ended it: a clause without a full stop; empty: nothing beyond the exit is known.
[[nodiscard]] std::string CauseSentence(const CrashReport& report);

/// A frame as it is told.
struct NamedFrame {
  std::string function{};    ///< empty: it has no name
  std::uint64_t offset = 0;  ///< within it
  std::string module{};      ///< its file; empty: it lies in none
  std::uint64_t address =
      0;  ///< in the file, as `addr2line -e` takes it; where there is none, in memory
};
/// Names the functions by the modules' files. Those are named by who has crashed: call it in a process that has no more rights than that had,
/// and does not matter. What cannot be read has no name.
[[nodiscard]] std::vector<NamedFrame> NameFrames(const observe::CrashFacts& facts);
/// The same without reading anything: the address is the byte of the file.
[[nodiscard]] std::vector<NamedFrame> FramesWithoutNames(const observe::CrashFacts& facts);

/// Requests of a report that are told in the log; the others are counted there. 32: a screenful.
inline constexpr std::size_t kMaxRequestsInLog = 32;

/// Writes it to the log, as one event. `file`: where else it lies; may be empty.
void LogCrash(const CrashReport& report, const std::vector<NamedFrame>& frames,
              const std::string& file);
/// One JSON object, with all requests and frames. docs/guide/crashes.md describes it. Throws std::bad_alloc.
[[nodiscard]] std::string ToJson(const CrashReport& report, const std::vector<NamedFrame>& frames);

/// Files of reports that are kept in a folder. 100: weeks of a host that crashes daily, and a hundred times 100 KB at most.
inline constexpr std::size_t kMaxCrashFiles = 100;
/// How old a file must be that is not whole, for who has begun it to have ended. 1h: who writes one has some seconds, and the
/// clock of a file server may be wrong by some minutes.
inline constexpr std::chrono::hours kLeftOverAfter{1};
/// Writes it whole or not at all, readable by this user alone, and removes the oldest beyond kMaxCrashFiles, and what others
/// have left that were killed as they wrote. Returns its path. Throws std::system_error.
[[nodiscard]] std::string WriteCrashFile(const std::string& folder, const CrashReport& report,
                                         const std::string& json);

}  // namespace weft::host::supervisor
