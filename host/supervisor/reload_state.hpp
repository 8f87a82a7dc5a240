#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weft::host::supervisor {

/// What has become of the last reload of the host.
struct ReloadState {
  enum class Outcome {
    kNone,     ///< There was no reload so far.
    kRunning,  ///< It is being tried, or takes over.
    kDone,     ///< The new generation serves.
    kRefused,  ///< The old one stays.
  };
  /// The most lines of `reasons`: more than anybody reads; the log has all.
  static constexpr std::size_t kMaxReasons = 100;
  /// The most bytes of one.
  static constexpr std::size_t kMaxReasonBytes = 4096;

  std::uint64_t number = 0;  ///< Of this reload; from 1 on.
  Outcome outcome = Outcome::kNone;
  std::optional<std::chrono::system_clock::time_point> at{};  ///< It became so.
  /// Why it was refused: a sentence, then what the trial has written.
  std::vector<std::string> reasons{};
  bool is_queued = false;  ///< Another begins when this one has come to its end.

  friend bool operator==(const ReloadState&, const ReloadState&) = default;
};

}  // namespace weft::host::supervisor
