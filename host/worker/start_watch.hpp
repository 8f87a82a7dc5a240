#pragma once

#include <filesystem>
#include <mutex>
#include <string>
#include <thread>

#include "host/worker/worker.hpp"

namespace weft::host::worker {

/// Obeys stops while the modules of a worker without a supervisor are loaded and started, which runs their code and may not
/// come to an end. In a worker with one that is the supervisor's to do.
///
/// SIGTERM and SIGQUIT, and SIGUSR1 when spawned: the start may end within the drain time; then the signal is sent anew, to
/// who reads it from there on. SIGINT unless spawned, and a second stop: at once. The process ends with exit code 0 then.
///
/// Threads: has one of its own, to its end. Make it when the signals are blocked.
class StartWatch {
 public:
  /// Throws std::system_error. `start` must outlive it.
  explicit StartWatch(const WorkerStart& start);
  StartWatch(const StartWatch&) = delete;
  StartWatch& operator=(const StartWatch&) = delete;
  ~StartWatch();

  /// Whose code runs from now on, for the log. Threads: any.
  void SetModule(const std::filesystem::path& file);

 private:
  void Watch();
  /// The number of the signal that came first; 0: the start has ended before the time.
  int WaitForStop(int timeout_ms) const;
  [[noreturn]] void EndProcess();

  const WorkerStart& start_;
  int signals_;
  int ended_;
  std::mutex mutex_;
  std::string module_;
  std::thread thread_;
};

}  // namespace weft::host::worker
