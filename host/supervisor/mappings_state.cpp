#include "host/supervisor/mappings_state.hpp"

#include <algorithm>
#include <utility>

namespace weft::host::supervisor {

void MappingsState::OnServing(SystemTime time) noexcept {
  if (!serving_since_) serving_since_ = time;
}

void MappingsState::OnReport(worker::ReloadReport report, const Origin& origin) {
  if (origin.is_new_table) {
    ++tables_;
    serving_since_ = origin.time;
  }
  const auto read_at = std::min(report.read_at, origin.now);
  if (read_at < read_at_) return;
  if (!report.accepted && IsThatRefusal(report)) {
    read_at_ = read_at;
    if (!origin.reporter_lives) reporter_ = origin.worker;
    return;
  }
  if (report.accepted && !origin.is_new_table) {
    // One more has adopted what is known, or has started with it. That undoes a refusal of files that have changed
    // since, and its own; what another cannot adopt stays refused, as long as that one lives.
    const bool undoes_refusal =
        outcome_ == Outcome::kRefused && (fingerprint_ != report.fingerprint ||
                                          reporter_ == origin.worker || !origin.reporter_lives);
    if (!undoes_refusal) return;
  }
  outcome_ = report.accepted ? Outcome::kLoaded : Outcome::kRefused;
  at_ = origin.time;
  reporter_ = origin.worker;
  fingerprint_ = report.fingerprint;
  read_at_ = read_at;
  problem_count_ = report.problem_count;
  problems_ = std::move(report.problems);
}

bool MappingsState::IsThatRefusal(const worker::ReloadReport& report) const {
  return outcome_ == Outcome::kRefused && fingerprint_ == report.fingerprint &&
         problem_count_ == report.problem_count &&
         std::ranges::equal(problems_, report.problems,
                            [](const mappings::Problem& one, const mappings::Problem& other) {
                              return one.where == other.where && one.severity == other.severity &&
                                     one.sentence == other.sentence;
                            });
}

}  // namespace weft::host::supervisor
