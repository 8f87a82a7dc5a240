#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "host/observe/scoreboard.hpp"

namespace weft::host::fastcgi {

/// Decides which connections are for other workers of the host: whether this one leaves a new one to them, and which of its own it
/// passes on.
///
/// A worker is free when a request that it gets now would begin now: its reactor waits, and no plain handler waits for a thread.
/// Requests that wait for something else, on fibers by the thousand or on threads, leave it free. A decision is for another worker only
/// when that one is free now, and each is bounded in time, so that one which does not do its part (it has stopped, or dies) holds
/// up nothing for long. docs/decisions/0024-sharing.md has the reasons.
///
/// It has no sockets and no clock of its own. Threads: one at a time.
class Sharing {
 public:
  using Clock = std::chrono::steady_clock;
  using Load = observe::Scoreboard::Load;
  /// Others that are looked at for one decision, at most; for the next one it is those after them. 64: some 6 µs, and enough to
  /// tell from whether anybody is free, and what the mean is. Where there are more, all are looked at in turn.
  static constexpr std::size_t kPeers = 64;
  /// Writes what the others are at, from number `from` on and as many as there is room for, leaves in `from` where to go on, and
  /// returns how many they are. Must not throw.
  using ReadPeers = std::function<std::size_t(std::size_t& from, std::span<Load>)>;

  /// How long a connection is left to others. A worker that waits for it needs some microseconds, and a processor: 1 ms is what that
  /// takes where processors are short, and no time to a client.
  static constexpr std::chrono::milliseconds kPatience{1};
  /// They did not take it, so many times in a row: so long nothing is left or passed to them. One time alone may have been another
  /// connection. Both together: at most three times 1 ms in 100 are lost to workers that do not do their part, and they
  /// are asked again before a person could tell.
  static constexpr int kTimesInVain = 3;
  static constexpr std::chrono::milliseconds kDistrust{100};
  /// A reactor that is busy for so long without rest lets requests wait. Many times what passing on costs (about 30 µs, of both).
  static constexpr std::chrono::milliseconds kBusy{1};
  /// The others are looked at that often at most while requests come: passing on takes a few hundredths of this worker's time, however
  /// much it is done.
  static constexpr std::chrono::milliseconds kLookInterval{1};
  /// Between two times of evening out, doubled each time that the one before has not lasted. 250 ms: what was passed on has
  /// long been taken by then. 16 s: what cannot be evened out costs nothing that could be measured.
  static constexpr std::chrono::milliseconds kEvenInterval{250};
  static constexpr std::chrono::milliseconds kMostEvenInterval{16'000};
  /// Connections that are passed on at once, at most, for evening out. 32: a millisecond, for which requests wait.
  static constexpr std::size_t kAtOnce = 32;

  struct Options {
    /// Connections that are there are passed on; else new ones alone are shared.
    bool passes_on = true;
    /// Of plain handlers, as each worker may have.
    std::size_t threads = 64;
    /// The first of the others to be looked at; another one for each worker, or all would see the same ones.
    std::size_t first = 0;
  };

  /// What this worker is at.
  struct Own {
    std::size_t connections = 0;
    std::chrono::nanoseconds busy_for{0};  ///< Its reactor, without rest.
    std::uint64_t queued = 0;              ///< Plain handlers that wait for a thread.
  };

  Sharing(const Options& options, ReadPeers peers)
      : options_(options),
        peers_(std::move(peers)),
        next_for_new_(options.first),
        next_for_requests_(options.first),
        next_for_evening_(options.first) {}

  /// A connection is there to be taken, by whoever takes it first: true, it is left to others for kPatience. Whoever was told so
  /// looks again then, says what it sees, and takes it if it is still there.
  [[nodiscard]] bool LeavesToOthers(const Own& own, Clock::time_point now);
  void WasLeft(bool is_still_there, Clock::time_point now) noexcept;

  /// A request has come on a connection: how many connections, that one counted, had better be passed on because requests wait there, and
  /// whether it is to be among them: it is not where it has its turn now.
  struct PassOn {
    std::size_t connections = 0;
    bool this_one = false;
  };
  /// Costs nothing while this worker is not busy.
  [[nodiscard]] PassOn OnRequest(const Own& own, Clock::time_point now) {
    return (own.busy_for < kBusy && own.queued == 0) || now < look_at_ ? PassOn{} : Look(own, now);
  }

  /// How many connections of this worker are beyond its share, of those that kept connections make. To be asked now and then.
  [[nodiscard]] std::size_t Surplus(std::size_t connections, Clock::time_point now);

 private:
  [[nodiscard]] PassOn Look(const Own& own, Clock::time_point now);
  std::span<const Load> Peers(std::size_t& next);

  const Options options_;
  const ReadPeers peers_;
  // Whom the next decision looks at. For each kind its own: by turns, each kind might see the same ones every time.
  std::size_t next_for_new_;
  std::size_t next_for_requests_;
  std::size_t next_for_evening_;
  std::array<Load, kPeers> loads_{};
  int in_vain_ = 0;
  Clock::time_point distrusts_until_{};
  Clock::time_point look_at_{};
  Clock::time_point even_at_{};
  std::chrono::milliseconds even_interval_ = kEvenInterval;
};

}  // namespace weft::host::fastcgi
