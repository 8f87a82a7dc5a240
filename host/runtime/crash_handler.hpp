#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>

#include "host/observe/crash_evidence.hpp"

namespace weft::host::runtime {

/// What the calling thread is at, for who writes down its crash.
struct CrashNote {
  observe::CrashRole role = observe::CrashRole::kOther;
  std::uint64_t request = 0;       ///< Runtime::SetCurrentGroup(); 0: none
  std::span<char> work;            ///< the room for what it works for in words
  std::size_t work_bytes = 0;      ///< of it, that were written
  const char* overflow = nullptr;  ///< whose stack the address lies behind; null: nobody's
  const char* advice = nullptr;    ///< what would make it larger
};
/// Async-signal-safe, but for what it reads: memory that a crash may have damaged. `address`: of the fault, or null. What it has
/// found by then is in `note` at any time. Who makes one: runtime.cpp.
using NoteCrash = void (*)(CrashNote& note, const void* address) noexcept;
/// Null: nobody knows.
void SetNoteCrash(NoteCrash note) noexcept;

/// While it lives, a signal that ends the process by a fault of its code is written down first, with where and for which request,
/// in memory that outlives the process: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP; and what std::terminate()
/// was called for. Then the process ends as it would have, by the same signal, at the same instruction where that has raised it: a core
/// dump shows it, and whoever had a handler before, a sanitizer say, is called.
///
/// In the signal's handler nothing is called that takes memory or a lock: system calls, the unwinder, which
/// finds its tables without a lock, and reads of this process's own memory. That may be damaged: a second fault ends the step in
/// which it happens, and the next begins; so does the end of a second. Of two threads that crash at once the first is told.
///
/// A handler that a module installs in its place has the signal for itself.
///
/// Threads: construct and destroy on the reactor's thread; one at a time in a process.
class CrashHandler {
 public:
  enum class Audience {
    kSupervisor,     ///< reads the evidence
    kStandardError,  ///< is told by this process itself, before it ends
  };

  /// `evidence` must outlive the process's crash: it is never unmapped.
  CrashHandler(observe::CrashEvidence& evidence, Audience audience);
  CrashHandler(const CrashHandler&) = delete;
  CrashHandler& operator=(const CrashHandler&) = delete;
  ~CrashHandler();

  static constexpr std::array kSignals{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};
};

}  // namespace weft::host::runtime
