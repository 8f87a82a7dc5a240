#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace weft::host::observe {

/// Writes whole lines to a descriptor on a thread of its own, so that a reader who does not read (a full
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

 private:
  void RunThread();
  void WriteAll(std::string_view lines) noexcept;
  std::optional<int> WriteUntilError(std::string_view& text) noexcept;
  bool WaitForReader() noexcept;
  void Lose(std::string_view lines, int error) noexcept;
  void TellOfLoss() noexcept;

  const int descriptor_;
  const std::string name_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable written_;
  std::string waiting_;
  std::uint64_t dropped_ = 0;
  bool writing_ = false;
  bool stopping_ = false;
  Clock::time_point end_at_;  // once it is stopping
  // The thread's own.
  std::size_t lost_ = 0;
  int loss_error_ = 0;
  bool line_is_cut_ = false;
  Clock::time_point told_at_;
  std::thread thread_;
};

}  // namespace weft::host::observe
