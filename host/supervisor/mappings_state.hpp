#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "host/worker/message.hpp"
#include "mappings/problem.hpp"

namespace weft::host::supervisor {

/// What the mappings of the whole host have come to, by what its workers report.
///
/// Of two reports the one about the later reading counts, in whatever order they arrive: a worker that was busy may
/// tell of files that others have found wrong meanwhile, or mended.
class MappingsState {
 public:
  using SystemTime = std::chrono::system_clock::time_point;

  /// Of the last reload.
  enum class Outcome { kNone, kLoaded, kRefused };

  /// Where a report comes from, and when.
  struct Origin {
    pid_t worker = -1;
    /// It serves with a table that the other workers are to adopt.
    bool is_new_table = false;
    /// Whether the worker that Reporter() names still lives.
    bool reporter_lives = true;
    std::chrono::steady_clock::time_point now{};
    SystemTime time{};
  };

  /// The first worker is ready, with the table of the start.
  void OnServing(SystemTime time) noexcept;
  void OnReport(worker::ReloadReport report, const Origin& origin);

  [[nodiscard]] Outcome LastOutcome() const noexcept { return outcome_; }
  /// Of the last reload; a refusal that is found again and again is as old as its first time.
  [[nodiscard]] std::optional<SystemTime> At() const noexcept { return at_; }
  /// Of the newest table; nothing before a worker was ready.
  [[nodiscard]] std::optional<SystemTime> ServingSince() const noexcept { return serving_since_; }
  /// Tables so far; 1 is that of the start.
  [[nodiscard]] std::uint64_t Tables() const noexcept { return tables_; }
  /// Who reported the last reload; -1: there was none.
  [[nodiscard]] pid_t Reporter() const noexcept { return reporter_; }
  /// What the last reload found, warnings as well.
  [[nodiscard]] std::size_t ProblemCount() const noexcept { return problem_count_; }
  /// As many of them as the worker could tell, errors first.
  [[nodiscard]] const std::vector<mappings::Problem>& Problems() const noexcept {
    return problems_;
  }

 private:
  [[nodiscard]] bool IsThatRefusal(const worker::ReloadReport& report) const;

  Outcome outcome_ = Outcome::kNone;
  std::optional<SystemTime> at_;
  std::optional<SystemTime> serving_since_;
  std::uint64_t tables_ = 1;
  pid_t reporter_ = -1;
  std::uint64_t fingerprint_ = 0;
  std::chrono::steady_clock::time_point read_at_{};
  std::size_t problem_count_ = 0;
  std::vector<mappings::Problem> problems_;
};

}  // namespace weft::host::supervisor
