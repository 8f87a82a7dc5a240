#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace weft::host::worker {

/// Decides, from one look at the mapping files to the next, when they are to be read anew: when they have
/// changed and then stayed the same for a while, so that a burst of changes is read once, and no file while it
/// is being written. A burst that does not end is read all the same, now and then.
///
/// Knows no clock and no file. Threads: one at a time.
class ChangeWatch {
 public:
  using Clock = std::chrono::steady_clock;

  /// For how long files must stay the same. 50 ms: five ticks of the slowest clock that file systems take their
  /// times from, so that a change after the last look has other times than one before the first.
  static constexpr std::chrono::milliseconds kSettled{50};
  /// For how long changes may put off a reading.
  static constexpr std::chrono::milliseconds kLongestBurst{500};

  enum class Next {
    kRest,      ///< Look again when it is time.
    kLookSoon,  ///< Look again after kSettled.
    kRead,      ///< Read the files, and call Read().
  };

  /// `fingerprint`: of the files that serve.
  explicit ChangeWatch(std::uint64_t fingerprint) : read_(fingerprint) {}

  /// The files look like this now.
  [[nodiscard]] Next Saw(std::uint64_t fingerprint, Clock::time_point now);

  /// The files are read now, whatever comes of it, as they were when they last were looked at: `fingerprint`.
  void Read(std::uint64_t fingerprint);

  /// As of the files that were read last.
  [[nodiscard]] std::uint64_t Fingerprint() const noexcept { return read_; }

 private:
  struct Change {
    std::uint64_t fingerprint;
    Clock::time_point seen;   // this one
    Clock::time_point began;  // the first of the burst
    bool settled = false;
  };

  std::uint64_t read_;
  /// They were read while they changed, and perhaps half of one change: to be read once more.
  bool read_in_burst_ = false;
  std::optional<Change> change_;
};

}  // namespace weft::host::worker
