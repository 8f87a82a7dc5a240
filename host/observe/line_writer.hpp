#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "host/observe/line_sink.hpp"

namespace weft::host::observe {

/// Writes whole lines on a thread of its own, so that a reader who does not read (a full
/// pipe, a slow disk) never holds up who logs. What does not fit in the buffer is dropped, and counted in a
/// line of its own. A line that a full disk has cut stays cut, and the next begins on a line of its own.
///
/// Threads: Write() from any.
class LineWriter {
 public:
  using Clock = std::chrono::steady_clock;

  /// Lines that may wait. 1 MiB is some 5,000 of them: a second or more of a busy worker.
  static constexpr std::size_t kMaxWaitingBytes = 1024 * 1024;

  /// How long lines may hold up the end of the process when nobody reads them.
  static constexpr std::chrono::milliseconds kFarewell{200};
  /// Lines that cannot be written, to a full disk, say, are told of on standard error: the first at once, those
  /// that follow this often, and at the end.
  static constexpr std::chrono::seconds kTellEvery{10};

  struct Options {
    std::string name = "the log";  ///< for messages
    /// What is written in place of so many lines that were dropped, without an end of line; empty: nothing. May throw.
    /// Null: a sentence.
    std::function<std::string(std::uint64_t dropped)> tell_dropped{};
    /// Called on the writer's thread when SetTimer()'s time has come. May call Write(); may throw.
    std::function<void()> on_timer{};
    /// After it has written, so long it lets lines gather, and writes them together: to wake the thread for each line costs more
    /// than the line. One that comes after a silence is written at once all the same. A process that is killed has lost so much.
    std::chrono::microseconds gather{0};
    /// Lines that it cannot write have nobody to be told to: it is standard error.
    bool is_last_resort = false;
  };

  explicit LineWriter(LineSink sink, Options options);
  /// `descriptor` must stay open as long as this object. `name` is for messages.
  explicit LineWriter(int descriptor, std::string name = "the log");
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  /// Writes what waits, and ends. It waits for a reader for kFarewell altogether; what is taken at once is written
  /// to the end.
  ~LineWriter();

  /// `line` without its end of line.
  void Write(std::string_view line) noexcept;
  /// Waits until what was given to Write() is written, at most for as long as the destructor would.
  void Flush() noexcept;
  /// Has the file opened anew, soon. Each line goes whole to the old one or to the new one.
  void Reopen() noexcept;
  /// Options::on_timer is called then, instead of when it was to be called before; the end of the writer calls it, too, if
  /// it is still to come.
  void SetTimer(Clock::time_point when) noexcept;

 private:
  void RunThread();
  void Gather(std::unique_lock<std::mutex>& lock);
  void OpenAnew() noexcept;
  void WriteAll(std::string_view lines) noexcept;
  std::optional<int> WriteUntilError(std::string_view& text) noexcept;
  bool WaitForReader() noexcept;
  void Lose(std::string_view lines, int error) noexcept;
  void TellOfLoss() noexcept;

  LineSink sink_;  // the thread's
  const Options options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable written_;
  std::string waiting_;
  std::uint64_t dropped_ = 0;
  bool writing_ = false;
  bool gathers_ = false;
  bool stopping_ = false;
  bool flushes_ = false;
  bool reopens_ = false;
  Clock::time_point timer_ = Clock::time_point::max();
  Clock::time_point end_at_;  // once it is stopping
  // The thread's own.
  std::size_t lost_ = 0;
  int loss_error_ = 0;
  bool line_is_cut_ = false;
  Clock::time_point told_at_;
  std::thread thread_;
};

}  // namespace weft::host::observe
