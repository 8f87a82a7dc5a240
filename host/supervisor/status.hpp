#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/host_report.hpp"
#include "host/options/settings.hpp"
#include "host/supervisor/mappings_state.hpp"
#include "host/supervisor/reload_state.hpp"
#include "host/worker/message.hpp"
#include "mappings/sources.hpp"

namespace weft::host::supervisor {

/// How a worker ended.
struct WorkerEnd {
  pid_t pid = -1;
  std::chrono::system_clock::time_point at{};
  int status = 0;        ///< As waitpid(2) gives it.
  std::string reason{};  ///< "was ended by SIGKILL after 3s"
};

/// Why a worker leaves that is well.
enum class WhyLeaves {
  kRequests,   ///< --recycle-requests
  kAge,        ///< --recycle-age
  kMemory,     ///< --recycle-memory
  kNotNeeded,  ///< The process model has no use for it.
};
/// `requests`, `age`, `memory`, `not_needed`.
[[nodiscard]] std::string_view NameOf(WhyLeaves why);

/// One place for a worker, as it is now.
struct WorkerStatus {
  enum class State {
    kVacant,    ///< Nobody is there, and nobody is needed.
    kWaiting,   ///< Nobody is there; a worker will be started.
    kStarting,  ///< It does not accept yet.
    kReady,     ///< It accepts connections.
    kRetiring,  ///< It finishes what it has; another is in its place, or will be.
    kEnding,    ///< It was told to end.
    kEnded,     ///< It has ended, and no other will be started.
  };
  State state = State::kWaiting;
  std::optional<pid_t> pid{};
  std::uint64_t generation = 1;
  std::chrono::system_clock::time_point since{};  ///< It is in that state.
  std::size_t starts = 0;                         ///< In this place, so far.
  /// Whether it serves with the newest mappings; nothing: it does not serve yet, or no more.
  std::optional<bool> newest_mappings{};
  std::optional<WorkerEnd> last_end{};  ///< In this place.
  std::optional<WhyLeaves> goes{};      ///< Another is to relieve it, or has, or it is not needed.
  std::optional<worker::Figures> figures{};  ///< As it told last.
};

/// The host as its supervisor sees it.
struct HostStatus {
  enum class Stage { kRunning, kDraining, kStopping };

  pid_t pid = -1;  ///< The supervisor's.
  std::chrono::system_clock::time_point since{};
  Stage stage = Stage::kRunning;
  std::vector<std::string> listen{};   ///< The sockets that it takes connections from.
  mappings::MappingSources sources{};  ///< Where the mapping files lie.
  const MappingsState* mappings = nullptr;
  std::uint64_t generation = 1;
  ReloadState reload{};
  options::ProcessModel model = options::ProcessModel::kStatic;
  std::vector<WorkerStatus> workers{};
  const observe::HostReport* report = nullptr;  ///< What is counted; null: nothing is.
};

/// The answer to `status`: one JSON object on a line. Times are RFC 3339, in UTC; what there is not is null. The
/// members are described in docs/guide/running.md. Throws std::bad_alloc.
[[nodiscard]] std::string ToJson(const HostStatus& status);

/// The answer to `log-level`: one JSON object, with `logLevel`, on a line. Throws std::bad_alloc.
[[nodiscard]] std::string LogLevelToJson(options::LogLevel level);

/// The answer to `reload`: one JSON object, with the number of the reload that was asked for (HostStatus::reload), on a line.
/// Throws std::bad_alloc.
[[nodiscard]] std::string ReloadToJson(std::uint64_t number);

/// The answer to what is no request: one JSON object, with `error`, on a line. Throws std::bad_alloc.
[[nodiscard]] std::string ErrorToJson(std::string_view sentence);

}  // namespace weft::host::supervisor
