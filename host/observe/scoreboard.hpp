#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/crash_evidence.hpp"
#include "host/observe/figure.hpp"
#include "host/observe/worker_figures.hpp"

namespace weft::host::observe {

/// What the host is at, as its supervisor says.
enum class HostStage : std::uint8_t { kStarting, kServing, kDraining, kStopping };
/// What a worker is at, as its supervisor says.
enum class WorkerStage : std::uint8_t { kStarting, kReady, kRetiring, kEnding };

std::string_view NameOf(HostStage stage) noexcept;
/// Whatever the number is.
HostStage HostStageOf(std::uint64_t number) noexcept;
std::string_view NameOf(WorkerStage stage) noexcept;

/// Who waits to be accepted on one of the host's sockets.
struct ListenQueueFigures {
  Figure is_named;
  FigureName<112> address;
  Figure is_known;  ///< The system tells.
  Figure waiting;
  Figure limit;
  Figure most;  ///< Waiting at once, that was seen.
};

/// What the supervisor counts, and workers read.
///
/// Threads: the supervisor's changes it.
struct HostFigures {
  Figure supervisor;
  Figure since_ms;          ///< Of the system's clock.
  Figure stage;             ///< HostStage
  Figure worker_places;     ///< Workers that there shall be now.
  Figure waits_for_demand;  ///< There are none, and the next request starts one.
  Figure worker_starts;
  Figure workers_replaced;    ///< One retired, and another was started in its place.
  Figure demand_starts;       ///< Workers that were started because somebody asked.
  Figure worker_limit_times;  ///< The load asked for more workers than there may be.
  /// Workers that left though they were well: `requests`, `age`, `memory`, `not_needed`.
  NamedFigures<8, 16> worker_leaves;
  /// How workers ended that were not asked to: `SIGSEGV`, `exit_70`, `start_timeout`.
  NamedFigures<32, 24> worker_ends;
  std::array<ListenQueueFigures, 16> listen_queues;
  Figure mapping_tables;
  Figure mapping_problems;
  Figure mapping_reloads;
  Figure mapping_refusals;
  Figure generation;  ///< That starts workers now.
  Figure reloads;     ///< Of the whole host: a new generation served.
  Figure reload_refusals;
  /// Odd while figures of a worker that has ended are added to those of all: who adds up meanwhile might count them twice.
  std::atomic<std::uint64_t> folds{0};
};

/// A host's figures, in memory that its processes share: the supervisor's, one part for each worker, and one for what the workers
/// that have ended have counted.
///
/// Made before the workers are forked. Each writes to its own part alone, and the system keeps it from the others; the
/// supervisor, and any worker, reads all of them at any time, whatever their workers do. It has a descriptor, so that it can
/// outlive a program that executes itself anew; where the system gives none, it is memory of the process and its children.
///
/// Threads: the supervisor's one; in a worker, All() from any.
class Scoreboard {
 public:
  /// A worker's part; none: there was no room for it, and nobody sees what it counts.
  using Part = std::optional<std::size_t>;

  /// With room for `workers` at once. Throws std::system_error.
  explicit Scoreboard(std::size_t workers);
  /// One that another program has made and left open; the descriptor is the scoreboard's then. Throws std::system_error, and
  /// std::runtime_error where it is none, or of another version; the descriptor is the caller's still.
  static std::unique_ptr<Scoreboard> Adopt(int descriptor);
  Scoreboard(const Scoreboard&) = delete;
  Scoreboard& operator=(const Scoreboard&) = delete;
  ~Scoreboard();

  /// -1: there is none. It is closed when a program is executed, unless somebody says otherwise.
  [[nodiscard]] int Descriptor() const noexcept { return descriptor_; }

  /// For how many workers at once.
  [[nodiscard]] std::size_t Room() const noexcept { return parts_; }

  [[nodiscard]] HostFigures& Host() noexcept;
  [[nodiscard]] const HostFigures& Host() const noexcept;

  /// For a worker that is to be started.
  [[nodiscard]] Part Take() noexcept;
  void SetProcess(Part part, pid_t pid, std::uint64_t generation) noexcept;
  void SetStage(Part part, WorkerStage stage) noexcept;
  /// Its worker has ended: what it has counted for good is added to the totals.
  void GiveBack(Part part) noexcept;

  /// In the worker, before it has threads: all but its own part can only be read from now on.
  void KeepOnly(Part part) noexcept;
  /// The part's figures. Where there is no part, others that nobody reads.
  [[nodiscard]] WorkerFigures& Of(Part part) noexcept;
  /// What the part's worker leaves if it crashes. Null: there is no part.
  [[nodiscard]] CrashEvidence* EvidenceOf(Part part) const noexcept;

  struct Worker {
    pid_t pid = -1;
    WorkerStage stage = WorkerStage::kStarting;
    std::uint64_t generation = 0;
    WorkerReading figures{};  ///< Without entries; AllFigures::sum has them.
  };
  struct AllFigures {
    std::chrono::steady_clock::time_point at{};
    std::vector<Worker> workers{};
    WorkerReading sum{};  ///< Of these, and of those that have ended.
  };
  /// What decides who of the workers takes a connection (fastcgi/sharing.hpp).
  struct Load {
    std::uint64_t connections = 0;
    bool waits = false;              ///< Its reactor has nothing to do.
    std::uint64_t queued = 0;        ///< Plain handlers that wait for a thread.
    std::uint64_t busy_threads = 0;  ///< Of plain handlers.
  };
  /// Of the workers that take requests but for one, as many as `loads` has room for. Returns how many there were. Begins with
  /// part `from`, and leaves in it where to go on: who asks again and again sees all of them, however many there are.
  [[nodiscard]] std::size_t ReadLoads(Part but, std::size_t& from,
                                      std::span<Load> loads) const noexcept;
  /// Whether any worker has one.
  [[nodiscard]] bool HasConnections() const noexcept;
  /// What there is now. Throws std::bad_alloc.
  [[nodiscard]] AllFigures All(std::chrono::steady_clock::time_point now) const;

 private:
  struct Layout;
  struct Place;

  Scoreboard() = default;
  void Map(std::size_t bytes, int descriptor);
  [[nodiscard]] Place* PlaceOf(Part part) const noexcept;
  [[nodiscard]] WorkerFigures& PartAt(std::size_t number) const noexcept;
  [[nodiscard]] AllFigures ReadAll(std::chrono::steady_clock::time_point now) const;

  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t parts_ = 0;
  int descriptor_ = -1;
  std::unique_ptr<WorkerFigures> unseen_;
};

}  // namespace weft::host::observe
