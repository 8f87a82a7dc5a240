#include "host/fastcgi/sharing.hpp"

#include <algorithm>

namespace weft::host::fastcgi {

namespace {

/// A difference by one in so many is none: where all have thousands, they would leave every connection to each other. 8: an eighth
/// of the load more than another is not felt, and the mean of kPeers others is surer than that.
constexpr std::size_t kTolerance = 8;

bool IsFree(const Sharing::Load& load) { return load.waits && load.queued == 0; }

}  // namespace

std::span<const Sharing::Load> Sharing::Peers(std::size_t& next) {
  return std::span(loads_).first(std::min(peers_(next, loads_), loads_.size()));
}

bool Sharing::LeavesToOthers(const Own& own, Clock::time_point now) {
  const bool is_busy = own.busy_for >= kBusy || own.queued != 0;
  if ((!is_busy && own.connections == 0) || now < distrusts_until_) {
    return false;
  }
  const auto tolerated = own.connections - own.connections / kTolerance;
  return std::ranges::any_of(Peers(next_for_new_), [&](const Load& peer) {
    return IsFree(peer) && (is_busy || peer.connections < tolerated);
  });
}

void Sharing::WasLeft(bool is_still_there, Clock::time_point now) noexcept {
  in_vain_ = is_still_there ? in_vain_ + 1 : 0;
  if (in_vain_ >= kTimesInVain) {
    in_vain_ = 0;
    distrusts_until_ = now + kDistrust;
  }
}

Sharing::PassOn Sharing::Look(const Own& own, Clock::time_point now) {
  look_at_ = now + kLookInterval;
  if (!options_.passes_on || now < distrusts_until_) {
    return {};
  }
  const bool wants_threads = own.queued != 0;
  const auto free = std::ranges::count_if(Peers(next_for_requests_), [&](const Load& peer) {
    return IsFree(peer) && (!wants_threads || peer.busy_threads < options_.threads);
  });
  // This one has its turn, and runs at once, unless it may be for a plain handler, who would wait in the queue.
  return {static_cast<std::size_t>(free), wants_threads && free != 0};
}

std::size_t Sharing::Surplus(std::size_t connections, Clock::time_point now) {
  if (!options_.passes_on || now < even_at_ || now < distrusts_until_) {
    return 0;
  }
  const auto peers = Peers(next_for_evening_);
  std::size_t all = connections;
  std::size_t least = connections;
  for (const auto& peer : peers) {
    const auto theirs = static_cast<std::size_t>(peer.connections);
    all += theirs;
    least = std::min(least, theirs);
  }
  const auto workers = peers.size() + 1;
  const auto share = (all + workers - 1) / workers;
  const auto borne = std::max<std::size_t>(share / kTolerance, 1);
  if (connections < share + borne || least >= share) {
    even_interval_ = kEvenInterval;
    return 0;
  }
  // Whoever got them should have kept them.
  even_at_ = now + even_interval_;
  even_interval_ = std::min(even_interval_ * 2, kMostEvenInterval);
  return std::min(connections - share, kAtOnce);
}

}  // namespace weft::host::fastcgi
