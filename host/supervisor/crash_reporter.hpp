#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "host/supervisor/crash_report.hpp"

namespace weft::host::supervisor {

/// Tells of workers' crashes, in the log and in files. What names the functions of their stacks reads files that a worker has named,
/// and may take its time, as may the folder of the files: a child process names them, with a worker's rights, within a time, and
/// another one writes what comes of that. So nothing that a worker has left holds up the supervisor.
///
/// Threads: one, in a process that has no others.
class CrashReporter {
 public:
  /// Reports that are made at once; others wait.
  static constexpr std::size_t kMaxAtOnce = 4;
  /// Reports that wait. 32: more workers than most hosts have crash for one reason at the same moment, and those are told whole; a
  /// report takes some 100 KB at most.
  static constexpr std::size_t kMaxWaiting = 32;

  /// `folder`: for files; empty: none is written. `be_worker`: gives up, in a child process, what a worker has not; may throw, and may
  /// be empty. `close`: called in a child process, for what it must not keep open; must not throw.
  CrashReporter(std::string folder, std::function<void()> be_worker, std::function<void()> close);

  /// Tells of it, soon. Of one that comes when too many wait, or for which there is no process, at once and by the log alone,
  /// without the names of functions; how many those were is told as soon as none waits.
  void Tell(const CrashReport& report) noexcept;
  /// Collects the processes that have ended, and begins with what waits. Called when a child of this process has ended.
  void Reap() noexcept;
  /// Begins with all that wait, as this program is about to become another: their processes outlive it.
  void BeginAll() noexcept;
  /// The same, and waits for them and those that are at work, some seconds at most.
  void Finish() noexcept;
  /// Some are at work still, or wait. Each ends within some seconds of its beginning.
  [[nodiscard]] bool IsAtWork() const noexcept { return !processes_.empty() || !waiting_.empty(); }

 private:
  void Begin(const CrashReport& report) noexcept;
  void TellInShort(const CrashReport& report) noexcept;
  void TellOfShort() noexcept;
  void Write(const CrashReport& report, const std::vector<NamedFrame>& frames) const;
  [[nodiscard]] std::vector<NamedFrame> NamedElsewhere(const CrashReport& report) const;

  std::string folder_;
  std::function<void()> be_worker_;
  std::function<void()> close_;
  std::vector<pid_t> processes_;
  std::deque<CrashReport> waiting_;
  std::uint64_t in_short_ = 0;  ///< that were not told of yet
};

}  // namespace weft::host::supervisor
