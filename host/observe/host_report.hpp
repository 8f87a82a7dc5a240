#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/listen_queue.hpp"
#include "host/observe/scoreboard.hpp"

namespace weft::host::observe {

/// All figures of a host, as they were read once: what status, metrics and the mapped status handler tell, whichever process
/// asks.
struct HostReport {
  struct Queue {
    std::string address{};
    std::optional<ListenQueue> now{};  ///< Nothing: the system does not tell.
    std::uint64_t most = 0;
  };

  std::string_view version{};  ///< Static storage.
  std::uint64_t supervisor = 0;
  HostStage stage = HostStage::kStarting;
  std::uint64_t since_ms = 0;  ///< Of the system's clock.
  std::uint64_t worker_places = 0;
  std::uint64_t worker_starts = 0;
  std::uint64_t workers_replaced = 0;
  bool waits_for_demand = false;
  std::uint64_t demand_starts = 0;
  std::uint64_t worker_limit_times = 0;
  std::vector<NamedCount> worker_leaves{};
  std::vector<NamedCount> worker_ends{};
  std::vector<Queue> queues{};
  std::uint64_t mapping_tables = 0;
  std::uint64_t mapping_problems = 0;
  std::uint64_t mapping_reloads = 0;
  std::uint64_t mapping_refusals = 0;
  std::uint64_t generation = 0;
  std::uint64_t reloads = 0;
  std::uint64_t reload_refusals = 0;
  Scoreboard::AllFigures figures{};

  /// Whether a worker takes requests, or the next one starts a worker, and more may come. `why_not`, if it is given, gets a sentence where not.
  [[nodiscard]] bool IsReady(std::string* why_not = nullptr) const;
};

/// Throws std::bad_alloc.
[[nodiscard]] HostReport ReadReport(const Scoreboard& board, std::string_view version,
                                    std::chrono::steady_clock::time_point now);

/// Of the host: `requests`, `entries`, `connections` and so on, an object; docs/guide/running.md describes them. Times are
/// in milliseconds. Throws std::bad_alloc.
[[nodiscard]] nlohmann::ordered_json FiguresToJson(const HostReport& report);
/// Of one of its workers.
[[nodiscard]] nlohmann::ordered_json FiguresToJson(const WorkerReading& worker);
/// The document of the mapped status handler: what it is, its workers, and FiguresToJson(). One line. Throws std::bad_alloc.
[[nodiscard]] std::string ReportToJson(const HostReport& report);

/// OpenMetrics 1.0. Throws std::bad_alloc.
[[nodiscard]] std::string ReportToOpenMetrics(const HostReport& report);
inline constexpr std::string_view kOpenMetricsType =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

}  // namespace weft::host::observe
