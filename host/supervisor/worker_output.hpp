#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "host/observe/output_capture.hpp"
#include "host/observe/rate_limit.hpp"
#include "host/supervisor/file_descriptor.hpp"

namespace weft::host::supervisor {

/// What a worker writes to its standard output and standard error (observe::CaptureOutput()): made into events of the log, a
/// bounded number a second, and its last lines kept for the report of its end.
///
/// Threads: one. Nothing here waits, and a call does a bounded amount of work.
class WorkerOutput {
 public:
  using Clock = std::chrono::steady_clock;

  /// Lines that are kept. 5: what ends a process says so in one or two.
  static constexpr std::size_t kMaxLastLines = 5;
  static constexpr std::size_t kMaxLastBytes = 1'000;
  /// What was written longer before the end has most likely nothing to do with it.
  static constexpr std::chrono::seconds kLastWordsAge{3};

  struct Line {
    Clock::time_point at{};
    std::string text{};

    friend bool operator==(const Line&, const Line&) = default;
  };
  /// What another program needs that goes on reading, beside the pipe.
  struct State {
    std::string process{};
    observe::OutputReader::State reader{};
    std::deque<Line> last{};

    friend bool operator==(const State&, const State&) = default;
  };

  /// `pipe`: the reading end. `process`: of the worker `pid`, as observe::SetProcessName() takes it. The rates are those of
  /// --log-rate and --log-burst.
  WorkerOutput(FileDescriptor pipe, pid_t pid, std::string process, std::size_t rate,
               std::size_t burst);
  /// Goes on where another was.
  WorkerOutput(FileDescriptor pipe, pid_t pid, State state, std::size_t rate, std::size_t burst);
  WorkerOutput(const WorkerOutput&) = delete;
  WorkerOutput& operator=(const WorkerOutput&) = delete;

  /// For poll(2); -1: it has ended.
  [[nodiscard]] int Descriptor() const noexcept { return pipe_.Number(); }
  /// As observe::SetProcessName() takes it.
  [[nodiscard]] const std::string& Process() const noexcept { return process_; }
  /// Logs what is there.
  void Read() noexcept;
  /// The worker has ended: logs the rest.
  void End() noexcept;
  /// What it wrote last, one line; empty where there is nothing.
  [[nodiscard]] std::string LastLines() const;
  /// The same for the end of a sentence.
  [[nodiscard]] std::string LastWords() const;
  /// When TellDropped() is to be called; max(): never.
  [[nodiscard]] Clock::time_point NextDeadline() const noexcept { return tell_at_; }
  void TellDropped(Clock::time_point now) noexcept;
  /// Of now. Throws std::bad_alloc.
  [[nodiscard]] State Now() const {
    return {.process = process_, .reader = reader_.Now(), .last = last_};
  }

 private:
  /// False: there is no more.
  bool ReadPiece() noexcept;
  void Take(const observe::OutputLine& line);
  void Log(const observe::OutputLine& line, std::uint64_t dropped) const;

  FileDescriptor pipe_;
  const pid_t pid_;
  const std::string process_;
  observe::RateLimit limit_;
  observe::OutputReader reader_;
  std::deque<Line> last_;
  Clock::time_point tell_at_ = Clock::time_point::max();
};

}  // namespace weft::host::supervisor
