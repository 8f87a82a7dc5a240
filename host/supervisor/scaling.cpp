#include "host/supervisor/scaling.hpp"

#include <algorithm>
#include <cmath>

namespace weft::host::supervisor {
namespace {

/// A host that is hardly used shall have no worker more for that: what is missing counts from a quarter on.
constexpr double kSlack = 0.25;
/// On demand there are as few as can be: another comes when of all that there are less than a quarter of one is free, and one
/// goes when without it there would be more than that.
constexpr double kLeastFreeOnDemand = 0.25;
constexpr double kMostFreeOnDemand = 1 + kLeastFreeOnDemand;

}  // namespace

Scaling::Bounds Scaling::Bounds::Of(const options::Settings& settings, std::size_t most) {
  const bool on_demand = settings.process_model == options::ProcessModel::kOnDemand;
  return {
      .least = std::min(settings.MinWorkers(), most),
      .most = most,
      .least_free =
          on_demand ? kLeastFreeOnDemand : static_cast<double>(settings.MinSpareWorkers()) - kSlack,
      .most_free = on_demand ? kMostFreeOnDemand : static_cast<double>(settings.MaxSpareWorkers()),
      .idle_timeout = settings.WorkerIdleTimeout()};
}

std::size_t Scaling::AtStart(std::size_t serving) const {
  const auto free = static_cast<std::size_t>(std::ceil(bounds_.least_free));
  return std::clamp<std::size_t>(std::max({bounds_.least, free, serving}), 1, bounds_.most);
}

std::size_t Scaling::Wanted(const Seen& seen, Clock::time_point now) {
  if (seen.has_worked || !worked_at_) worked_at_ = now;
  is_at_limit_ = false;
  if (seen.workers == 0) return bounds_.least;  // then somebody has to ask
  const double free = static_cast<double>(seen.workers) - seen.load;
  if (free < bounds_.least_free || seen.workers < bounds_.least) {
    free_since_.reset();
    const auto missing =
        static_cast<std::size_t>(std::ceil(std::max(0.0, bounds_.least_free - free)));
    const std::size_t wanted = std::max(bounds_.least, seen.workers + missing);
    is_at_limit_ = wanted > bounds_.most;
    return std::max(seen.workers, std::min(wanted, bounds_.most));
  }
  if (bounds_.least == 0 && seen.may_all_leave && now - *worked_at_ >= bounds_.idle_timeout) {
    free_since_.reset();
    return 0;
  }
  if (free <= bounds_.most_free || seen.workers <= std::max<std::size_t>(bounds_.least, 1)) {
    free_since_.reset();
    return seen.workers;
  }
  if (!free_since_) free_since_ = now;
  return now - *free_since_ >= bounds_.idle_timeout ? seen.workers - 1 : seen.workers;
}

bool CrashWindow::Add(Clock::time_point now) {
  if (!limit_) return false;
  while (!crashes_.empty() && now - crashes_.front() > limit_->within) crashes_.pop_front();
  crashes_.push_back(now);
  return crashes_.size() >= limit_->crashes;
}

}  // namespace weft::host::supervisor
