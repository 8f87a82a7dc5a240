#include "host/supervisor/mappings_state.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace weft::host::supervisor {
namespace {

using namespace std::chrono_literals;
using Cause = worker::ReloadReport::Cause;
using Outcome = MappingsState::Outcome;

constexpr std::chrono::steady_clock::time_point kSteadyStart{1'000'000s};
constexpr std::chrono::system_clock::time_point kStart{2'000'000s};

/// Reports about readings at a second of the test's own time.
worker::ReloadReport Accepted(int second, std::uint64_t fingerprint, Cause cause = Cause::kReload) {
  worker::ReloadReport report;
  report.cause = cause;
  report.accepted = true;
  report.fingerprint = fingerprint;
  report.read_at = kSteadyStart + std::chrono::seconds(second);
  return report;
}

worker::ReloadReport Refused(int second, std::uint64_t fingerprint,
                             const std::string& sentence = "Wrong.") {
  auto report = Accepted(second, fingerprint);
  report.accepted = false;
  report.problem_count = 1;
  report.problems = {{{"file", 1, 1}, mappings::Problem::Severity::kError, sentence}};
  return report;
}

MappingsState::Origin From(pid_t worker, int second, bool is_new_table = false,
                           bool reporter_lives = true) {
  return {.worker = worker,
          .is_new_table = is_new_table,
          .reporter_lives = reporter_lives,
          .now = kSteadyStart + std::chrono::seconds(second),
          .time = kStart + std::chrono::seconds(second)};
}

TEST_CASE("MappingsState: nothing was reloaded at first, and the table of the start serves") {
  MappingsState state;
  CHECK(state.LastOutcome() == Outcome::kNone);
  CHECK(state.Tables() == 1);
  CHECK_FALSE(state.At().has_value());
  CHECK_FALSE(state.ServingSince().has_value());
  state.OnServing(kStart);
  state.OnServing(kStart + 1s);
  CHECK(state.ServingSince() == kStart);
  state.OnReport(Accepted(1, 1, Cause::kStart), From(11, 1));
  CHECK(state.LastOutcome() == Outcome::kNone);
  CHECK(state.Reporter() == -1);
}

TEST_CASE("MappingsState: a refusal stays until new files are loaded") {
  MappingsState state;
  state.OnServing(kStart);
  state.OnReport(Refused(1, 2), From(11, 2));
  CHECK(state.LastOutcome() == Outcome::kRefused);
  CHECK(state.At() == kStart + 2s);
  CHECK(state.Reporter() == 11);
  CHECK(state.ProblemCount() == 1);
  CHECK(state.Problems().front().sentence == "Wrong.");
  CHECK(state.Tables() == 1);
  CHECK(state.ServingSince() == kStart);

  state.OnReport(Accepted(3, 3), From(11, 4, /*is_new_table=*/true));
  CHECK(state.LastOutcome() == Outcome::kLoaded);
  CHECK(state.At() == kStart + 4s);
  CHECK(state.Tables() == 2);
  CHECK(state.ServingSince() == kStart + 4s);
  CHECK(state.ProblemCount() == 0);
  CHECK(state.Problems().empty());
}

TEST_CASE("MappingsState: who adopts changes nothing") {
  MappingsState state;
  state.OnReport(Accepted(1, 2), From(11, 1, /*is_new_table=*/true));
  state.OnReport(Accepted(2, 2), From(12, 2));
  CHECK(state.At() == kStart + 1s);
  CHECK(state.Reporter() == 11);
  CHECK(state.Tables() == 2);
}

TEST_CASE("MappingsState: of two readings the later one counts, whichever is told first") {
  MappingsState state;
  SUBCASE("refused after a late adoption") {
    state.OnReport(Accepted(1, 2), From(11, 1, /*is_new_table=*/true));
    state.OnReport(Refused(3, 3), From(11, 3));
    state.OnReport(Accepted(2, 2), From(12, 4));
    CHECK(state.LastOutcome() == Outcome::kRefused);
  }
  SUBCASE("mended before a late refusal") {
    state.OnReport(Accepted(3, 4), From(11, 3, /*is_new_table=*/true));
    state.OnReport(Refused(2, 3), From(12, 4));
    CHECK(state.LastOutcome() == Outcome::kLoaded);
  }
  SUBCASE("a late table is one all the same") {
    state.OnReport(Refused(3, 3), From(11, 3));
    state.OnReport(Accepted(2, 2), From(12, 4, /*is_new_table=*/true));
    CHECK(state.LastOutcome() == Outcome::kRefused);
    CHECK(state.Tables() == 2);
    CHECK(state.ServingSince() == kStart + 4s);
  }
  SUBCASE("nobody reads in the future") {
    state.OnReport(Refused(1'000, 3), From(11, 3));
    state.OnReport(Accepted(4, 4), From(12, 4, /*is_new_table=*/true));
    CHECK(state.LastOutcome() == Outcome::kLoaded);
  }
}

TEST_CASE("MappingsState: the same refusal again is as old as it was") {
  MappingsState state;
  state.OnReport(Refused(1, 2), From(11, 1));
  state.OnReport(Refused(11, 2), From(12, 11));
  CHECK(state.At() == kStart + 1s);
  CHECK(state.Reporter() == 11);
  state.OnReport(Refused(21, 2), From(13, 21, /*is_new_table=*/false, /*reporter_lives=*/false));
  CHECK(state.At() == kStart + 1s);
  CHECK(state.Reporter() == 13);
  state.OnReport(Refused(31, 2, "Another."), From(13, 31));
  CHECK(state.At() == kStart + 31s);
  CHECK(state.Problems().front().sentence == "Another.");
}

TEST_CASE("MappingsState: what one worker alone cannot adopt is refused until it can, or is gone") {
  MappingsState state;
  state.OnReport(Accepted(1, 2), From(11, 1, /*is_new_table=*/true));
  state.OnReport(Refused(2, 2), From(12, 2));
  CHECK(state.LastOutcome() == Outcome::kRefused);
  state.OnReport(Accepted(3, 2), From(13, 3));
  CHECK(state.LastOutcome() == Outcome::kRefused);
  SUBCASE("it can") { state.OnReport(Accepted(4, 2), From(12, 4)); }
  SUBCASE("it is gone, and its successor can") {
    state.OnReport(Accepted(4, 2, Cause::kStart),
                   From(14, 4, /*is_new_table=*/false, /*reporter_lives=*/false));
  }
  CHECK(state.LastOutcome() == Outcome::kLoaded);
  CHECK(state.Tables() == 2);
}

TEST_CASE(
    "MappingsState: a worker that starts while files are wrong tells so, and when they are not") {
  MappingsState state;
  auto wrong = Refused(1, 2);
  wrong.cause = Cause::kStart;
  state.OnReport(wrong, From(11, 1));
  CHECK(state.LastOutcome() == Outcome::kRefused);
  state.OnReport(Accepted(2, 1, Cause::kStart), From(12, 2));
  CHECK(state.LastOutcome() == Outcome::kLoaded);
  CHECK(state.Tables() == 1);
}

}  // namespace
}  // namespace weft::host::supervisor
