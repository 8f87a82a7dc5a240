#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace weft::host::supervisor {

/// How a worker ended, as far as its supervisor knows.
struct WorkerExit {
  int status = 0;  ///< As waitpid(2) gives it.
  bool was_ready = false;
  std::chrono::milliseconds lived{};  ///< From the fork.
  bool took_too_long = false;         ///< To be ready: the supervisor killed it.
  std::string loading{};  ///< The module that it was loading, if it told, until it was ready.

  /// -1: it was ended by a signal.
  [[nodiscard]] int Code() const;
  /// As the kernel does when memory runs out.
  [[nodiscard]] bool WasKilledByOthers() const;
};

/// `SIGTERM`; `signal 64` where it has no name.
[[nodiscard]] std::string SignalName(int signal);

/// For counting: `SIGSEGV`, `exit_70`, `start_timeout`.
[[nodiscard]] std::string NameOf(const WorkerExit& exit);

/// Where a worker that is not ready was last, as a part of a sentence; empty where that is not known.
[[nodiscard]] std::string AsItLoads(std::string_view module);

/// "was ended by SIGKILL after 3s", "exited with code 3 before it was ready, as it loaded the module /m/a.so".
[[nodiscard]] std::string ToString(const WorkerExit& exit);

/// The exit code of a host whose workers all ended before they were ready, the last one so: its own where that is 71 or
/// 77, 71 where others killed it, else 70.
[[nodiscard]] int ExitCodeAfterFailedStarts(const WorkerExit& exit);

/// What to do about it: a clause without a full stop. `modules` are the folders that modules are loaded from.
[[nodiscard]] std::string AdviceAfterFailedStarts(
    const WorkerExit& exit, const std::vector<std::filesystem::path>& modules);

}  // namespace weft::host::supervisor
