#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "host/supervisor/crash_report.hpp"

namespace weft::host::supervisor {

/// Tells of workers' crashes, in the log and in files. What names the functions of their stacks reads files that a worker has named,
/// and may take its time: a child process does so, with a worker's rights, within a time, and another one writes what comes of that.
/// So nothing that a worker has left holds up the supervisor.
///
/// Threads: one, in a process that has no others.
class CrashReporter {
 public:
  /// Reports that are made at once; of more the stacks have no names. A host whose workers die faster has the same one many times.
  static constexpr std::size_t kMaxAtOnce = 4;

  /// `folder`: for files; empty: none is written. `be_worker`: gives up, in a child process, what a worker has not; may throw, and may
  /// be empty.
  CrashReporter(std::string folder, std::function<void()> be_worker);

  /// Tells of it, soon. `close`: called in a child process, for what it must not keep open.
  void Tell(const CrashReport& report, const std::function<void()>& close) noexcept;
  /// Collects the processes that have ended. Called when a child of this process has.
  void Reap() noexcept;
  /// Waits for those that are at work, some seconds at most.
  void Finish() noexcept;
  /// Some are at work still. Each ends within some seconds.
  [[nodiscard]] bool IsAtWork() const noexcept { return !processes_.empty(); }

 private:
  void Write(const CrashReport& report, const std::vector<NamedFrame>& frames) const;
  [[nodiscard]] std::vector<NamedFrame> NamedElsewhere(const CrashReport& report) const;

  std::string folder_;
  std::function<void()> be_worker_;
  std::vector<pid_t> processes_;
};

}  // namespace weft::host::supervisor
