#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace weft::host::observe {

/// From now on what this process writes to its standard output and standard error goes to `pipe`, for an OutputReader in
/// another process; the log has what standard error was before (SetStandardErrorOfLog()).
///
/// What goes through std::cout, std::cerr, std::clog, stdout and stderr is marked with what the writing thread works for
/// (DescribeCurrentWork()), and does not wait for the reader: what finds no room is dropped, and counted. What is written to
/// the descriptors themselves goes as it is.
///
/// Takes over `pipe`. Throws std::system_error, and has changed nothing then. Once in a process, for the rest of its life; before
/// it has threads.
void CaptureOutput(int pipe);

/// A line that a process has written.
struct OutputLine {
  bool is_error = true;        ///< to standard error; of descriptors it is not known, and said so
  std::string_view request{};  ///< that the thread worked for; empty: none, or not known
  std::string_view handler{};  ///< its class
  std::string_view text{};     ///< without its end; begins as it was written
  std::uint64_t left_out = 0;  ///< bytes beyond OutputReader::kMaxLineBytes
};

/// Makes lines of what another process writes that has called CaptureOutput(). Trusts nothing of it: what it is sent is
/// bounded, and a mark that is wrong is text.
///
/// Threads: one.
class OutputReader {
 public:
  using Take = std::function<void(const OutputLine&)>;

  /// Longer ones are cut. 8 KiB: a message with a path or two; no dump.
  static constexpr std::size_t kMaxLineBytes = 8 * 1024;
  /// Threads whose lines may be unfinished at once; the first goes as it is then.
  static constexpr std::size_t kMaxUnfinished = 16;

  /// `take` is given each line.
  explicit OutputReader(Take take) : take_(std::move(take)) {}

  void Read(std::string_view bytes);
  /// Nothing follows: gives what has no end as lines.
  void End();

  /// A line whose end has not been read.
  struct Unfinished {
    std::string of{};  ///< the mark that its lines have; empty: descriptors
    std::string text{};
    std::uint64_t left_out = 0;

    friend bool operator==(const Unfinished&, const Unfinished&) = default;
  };
  /// All that is between two calls of Read().
  struct State {
    std::string packet{};  ///< what is read of a marked piece, or of an unmarked line
    std::deque<Unfinished> unfinished{};

    friend bool operator==(const State&, const State&) = default;
  };
  /// For a reader that goes on where this one was, in another program.
  [[nodiscard]] const State& Now() const noexcept { return state_; }
  void GoOnFrom(State state) noexcept { state_ = std::move(state); }

 private:
  struct Mark;

  Unfinished& UnfinishedOf(std::string_view of);
  void Append(std::string_view of, std::string_view text, bool ends);
  void Give(const Unfinished& line);
  static bool ParseMark(std::string_view text, Mark& mark);

  const Take take_;
  State state_;
};

}  // namespace weft::host::observe
