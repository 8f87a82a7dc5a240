#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/figure.hpp"
#include "host/observe/latency.hpp"

namespace weft::host::observe {

/// What a worker counts on its reactor's thread, one number each. MetricOf() says what each is.
enum class Count : std::uint8_t {
  kConnections,
  kConnectionsAccepted,
  kConnectionsPassedOn,  // to another worker of the host
  kAcceptPauses,
  kReceivedBytes,
  kSentBytes,
  // Requests in flight, by what they are at; RequestState has them in the same order.
  kReceivingParams,
  kReadingBody,
  kOnFiber,
  kOnThread,
  kWriting,
  kFinished,
  kRequestsStarted,
  // Requests that ended, by their status; see EndOf().
  kNoAnswer,
  kInformational,
  kSuccess,
  kRedirection,
  kClientError,
  kServerError,
  kClientGone,
  kBodyMemoryBytes,
  kBodyFileBytes,
  kStalls,
  kLongestStallMs,
  kNumber,
};
inline constexpr auto kCounts = static_cast<std::size_t>(Count::kNumber);

/// What a request in flight is at.
enum class RequestState : std::uint8_t {
  kReceivingParams,
  kReadingBody,
  kOnFiber,   ///< Its handler, or what is done before and after it.
  kOnThread,  ///< Its handler, or it waits for a thread.
  kWriting,
  kFinished,  ///< Its client has the answer, and the handler works on.
};
constexpr Count CountOf(RequestState state) noexcept {
  return static_cast<Count>(static_cast<std::size_t>(Count::kReceivingParams) +
                            static_cast<std::size_t>(state));
}

/// How a count goes: only up, for as long as the host lives, or as what it counts does, or as the most of all workers.
enum class CountKind : std::uint8_t { kTotal, kNow, kMost };
CountKind KindOf(Count count) noexcept;

/// A pool of threads; changed with the pool's lock held.
struct alignas(64) PoolFigures {
  Figure threads;
  Figure idle;
  Figure queued;
  Figure
      oldest_queued_ns;  ///< Since when, by the steady clock, which all processes share; 0: nothing waits.
  Figure refused;        ///< The queue was full.
  Figure shed;           ///< It would have waited for too long.
  LatencyFigures waits;  ///< Of what waited, for how long.
};

/// What requests of one mapping entry came to.
struct EntryFigures {
  static constexpr std::size_t kNameBytes = 104;

  Figure is_named;
  FigureName<kNameBytes> name;
  Figure server_errors;  ///< Answers of 500 and more.
  LatencyFigures durations;
};

/// How many requests ended in each of the last seconds.
///
/// Threads: as Figure.
class RecentRequests {
 public:
  /// A power of two, and more than who reads asks for.
  static constexpr std::size_t kSeconds = 64;

  void Count(std::chrono::steady_clock::time_point now) noexcept {
    const auto second = SecondOf(now);
    auto& slot = slots_[second % kSeconds];
    if (slot.second.Value() != second) {
      slot.requests.Set(0);
      slot.second.Set(second);
    }
    slot.requests.Add();
  }
  /// In the last `seconds` whole ones, less than kSeconds.
  [[nodiscard]] std::uint64_t CountOfLast(
      std::uint64_t seconds, std::chrono::steady_clock::time_point now) const noexcept {
    std::uint64_t count = 0;
    const auto current = SecondOf(now);
    for (const auto& slot : slots_) {
      const auto second = slot.second.Value();
      if (second < current && current - second <= seconds) {
        count += slot.requests.Value();
      }
    }
    return count;
  }

 private:
  static std::uint64_t SecondOf(std::chrono::steady_clock::time_point now) noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  }

  struct Slot {
    Figure second;
    Figure requests;
  };
  std::array<Slot, kSeconds> slots_;
};

/// What one worker tells of itself, in memory that it shares with its supervisor and with the other workers, who only read it. It
/// is read while it changes, and after its worker was killed in the middle of a change: each number is whole, and what they say
/// together may be wrong by one request.
///
/// Threads: the reactor's changes it, but where a member says so.
struct WorkerFigures {
  /// Entries that are counted each for itself, those that are asked for first; the others are counted together. 64: 250 KB where
  /// all are used, and as many rows as somebody reads.
  static constexpr std::size_t kEntries = 64;

  [[nodiscard]] Figure& operator[](Count count) noexcept {
    return counts[static_cast<std::size_t>(count)];
  }
  [[nodiscard]] const Figure& operator[](Count count) const noexcept {
    return counts[static_cast<std::size_t>(count)];
  }
  /// Counts a request that ended with this status; 444 and 499 are no answers (pipeline.cpp).
  void CountEnd(int status) noexcept;
  /// The entry's own figures, or those of the others. It looks at all names: remember what it returns.
  [[nodiscard]] EntryFigures& EntryNamed(std::string_view name) noexcept;

  alignas(64) std::array<Figure, kCounts> counts;
  /// 1: its reactor waits for something to happen, and would take up at once what comes. Changed each time that it does; on a line of
  /// its own, for other workers look at it.
  alignas(64) Figure waits;
  /// Why requests had the answers that they had, where that was an error or none.
  alignas(64) NamedFigures<56, 40> causes;
  RecentRequests recent;
  PoolFigures handlers;  ///< Threads of plain handlers.
  PoolFigures offload;   ///< Threads of weft::Offload().
  std::array<EntryFigures, kEntries> entries;
  EntryFigures other_entries;
};

/// A request in flight, as it is counted.
///
/// Threads: the reactor's.
class CountedRequest {
 public:
  CountedRequest(WorkerFigures& figures, RequestState state) noexcept
      : figures_(figures), state_(state) {
    figures_[CountOf(state)].Add();
  }
  CountedRequest(const CountedRequest&) = delete;
  CountedRequest& operator=(const CountedRequest&) = delete;
  ~CountedRequest() { figures_[CountOf(state_)].Subtract(); }

  [[nodiscard]] RequestState State() const noexcept { return state_; }
  /// Where its state is to be seen from now on. Must outlive it; may be null.
  void ShowIn(Figure* shown) noexcept { shown_ = shown; }
  /// Returns what it was at before.
  RequestState Enter(RequestState state) noexcept {
    const auto before = state_;
    if (state != before) {
      figures_[CountOf(before)].Subtract();
      figures_[CountOf(state)].Add();
      state_ = state;
      if (shown_ != nullptr) {
        shown_->Set(static_cast<std::uint64_t>(state));
      }
    }
    return before;
  }

 private:
  WorkerFigures& figures_;
  RequestState state_;
  Figure* shown_ = nullptr;
};

/// What a request is at for a while, and then again what it was at before, unless that has changed meanwhile.
///
/// Threads: the reactor's.
class RequestPhase {
 public:
  RequestPhase(CountedRequest& request, RequestState state) noexcept
      : request_(request), state_(state), before_(request.Enter(state)) {}
  RequestPhase(const RequestPhase&) = delete;
  RequestPhase& operator=(const RequestPhase&) = delete;
  ~RequestPhase() {
    if (request_.State() == state_) {
      request_.Enter(before_);
    }
  }

 private:
  CountedRequest& request_;
  const RequestState state_;
  const RequestState before_;
};

/// What was read of a pool.
struct PoolReading {
  std::uint64_t threads = 0;
  std::uint64_t idle = 0;
  std::uint64_t queued = 0;
  std::chrono::nanoseconds oldest_wait{0};
  std::uint64_t refused = 0;
  std::uint64_t shed = 0;
  LatencyCounts waits{};

  void Add(const PoolReading& other);
};

/// What was read of an entry; its name is empty where it is the others together.
struct EntryReading {
  std::string name{};
  std::uint64_t server_errors = 0;
  LatencyCounts durations{};
};

struct NamedCount {
  std::string name{};  ///< Empty: of all names for which there was no room.
  std::uint64_t count = 0;
};
void AddTo(std::vector<NamedCount>& counts, const std::string& name, std::uint64_t count);

/// What was read of a worker, or of several, together.
struct WorkerReading {
  /// Requests that ended, in the last seconds.
  static constexpr std::uint64_t kShortWhile = 10;
  static constexpr std::uint64_t kLongWhile = 60;

  std::array<std::uint64_t, kCounts> counts{};
  std::vector<NamedCount> causes{};
  std::uint64_t ended_in_short_while = 0;
  std::uint64_t ended_in_long_while = 0;
  PoolReading handlers{};
  PoolReading offload{};
  std::vector<EntryReading> entries{};  ///< The others together are last.

  [[nodiscard]] std::uint64_t operator[](Count count) const noexcept {
    return counts[static_cast<std::size_t>(count)];
  }
  [[nodiscard]] std::uint64_t InFlight() const noexcept;
  /// Of those on a thread, who have none yet.
  [[nodiscard]] std::uint64_t WaitingForThread() const noexcept;
  /// Of all entries.
  [[nodiscard]] LatencyCounts Durations() const;
  void Add(const WorkerReading& other);
};

/// Reads what there is, whatever it is. Throws std::bad_alloc.
[[nodiscard]] WorkerReading Read(const WorkerFigures& figures,
                                 std::chrono::steady_clock::time_point now);

/// Adds what a worker that has ended has counted for good to `totals`; what it counted as there at the moment has ended with it.
void Fold(const WorkerFigures& ended, WorkerFigures& totals);

}  // namespace weft::host::observe
