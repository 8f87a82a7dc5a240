#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "host/observe/worker_figures.hpp"
#include "host/options/values.hpp"
#include "host/supervisor/supervision.hpp"
#include "host/worker/recycling.hpp"
#include "host/worker/worker.hpp"

namespace weft::host::supervisor {
namespace {

using observe::Count;
using options::LogLevel;

/// Processor time of a process so far, all its threads; nothing: the system does not tell.
std::optional<std::chrono::nanoseconds> ProcessorOf(pid_t pid) {
  clockid_t clock{};
  timespec used{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &used) != 0) {
    return std::nullopt;
  }
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

double Part(std::uint64_t of, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(of) / static_cast<double>(whole);
}

double InUse(const observe::PoolFigures& pool, std::size_t most) {
  const auto threads = pool.threads.Value();
  const auto idle = pool.idle.Value();
  if (pool.queued.Value() != 0) return 1;
  return Part(threads > idle ? threads - idle : 0, most);
}

std::uint64_t InFlight(const observe::WorkerFigures& figures) {
  std::uint64_t requests = 0;
  for (const Count count : {Count::kReceivingParams, Count::kReadingBody, Count::kOnFiber,
                            Count::kOnThread, Count::kWriting, Count::kFinished}) {
    requests += figures[count].Value();
  }
  return requests;
}

/// A worker that is to be recycled, and why, for the log.
std::string Reason(WhyLeaves why, std::uint64_t at) {
  switch (why) {
    case WhyLeaves::kRequests:
      return "after " + std::to_string(at) + " requests (--recycle-requests)";
    case WhyLeaves::kAge:
      return "after " + std::to_string(at) + " s (--recycle-age)";
    case WhyLeaves::kMemory:
      return "for it has " + options::FormatSize((at + 1023) / 1024 * 1024) +
             " of memory (--recycle-memory)";
    case WhyLeaves::kNotNeeded:
      break;
  }
  return "for it is not needed";
}

}  // namespace

bool Supervisor::IsSettled() const {
  return stage_ == Stage::kRunning && any_was_ready_ && told_of_generation_ == generation_;
}

std::size_t Supervisor::Wanted() const {
  return static_cast<std::size_t>(std::count_if(places_.begin(), places_.end(),
                                                [](const Place& place) { return place.wanted; }));
}

/// As many as serve in the generation before: what it bears, this one shall bear.
void Supervisor::WantAtStart() {
  if (!IsScaled()) return;
  const auto serving =
      static_cast<std::size_t>(std::count_if(old_.begin(), old_.end(), [](const Place& place) {
        return place.was_ready && !place.retires && !place.leaves;
      }));
  const std::size_t wanted = scaling_.AtStart(serving);
  for (std::size_t i = 0; i < places_.size(); ++i) places_[i].wanted = i < wanted;
}

// --- As many as the load asks for ---------------------------------------------------------------

Supervisor::Clock::time_point Supervisor::NextLookAtLoad() const {
  return IsScaled() && IsSettled() && Wanted() != 0 ? looked_at_load_ + Scaling::kInterval
                                                    : Clock::time_point::max();
}

void Supervisor::Scale() {
  const Clock::time_point now = Clock::now();
  if (now < NextLookAtLoad()) return;
  const auto since = std::chrono::duration_cast<milliseconds>(now - looked_at_load_);
  looked_at_load_ = now;
  Scaling::Seen seen{.workers = Wanted()};
  std::uint64_t connections = 0;
  for (Place& place : places_) {
    if (place.pid < 0) continue;
    seen.load += LoadOf(place, since, seen.has_worked);
    connections += figures_->Of(place.part)[Count::kConnections].Value();
  }
  seen.may_all_leave = connections <= parked_.FreeRoom();
  const std::size_t wanted = scaling_.Wanted(seen, now);
  if (std::exchange(told_of_limit_, scaling_.IsAtLimit()) != told_of_limit_ && told_of_limit_) {
    figures_->Host().worker_limit_times.Add();
    log_(LogLevel::kWarning, "all " + std::to_string(places_.size()) +
                                 " workers are busy, and there may be no more (--workers): `weft "
                                 "status` tells with what");
  }
  if (wanted > seen.workers) {
    WantMore(wanted - seen.workers);
  } else if (wanted < seen.workers) {
    WantLess(seen.workers - wanted);
  }
}

/// What part of the worker is in use, 0 to 1: the most of what it could run out of. The memory that tells of that is the worker's to
/// write, who runs its handlers' code: whatever it says is bounded.
double Supervisor::LoadOf(Place& place, milliseconds since, bool& has_worked) const {
  const observe::WorkerFigures& figures = figures_->Of(place.part);
  const auto processor = ProcessorOf(place.pid).value_or(place.processor);
  const auto used =
      std::chrono::duration<double>(processor - std::exchange(place.processor, processor));
  const auto begun = figures[Count::kRequestsStarted].Value();
  const auto in_flight = InFlight(figures);
  has_worked = std::exchange(place.requests, begun) != begun || in_flight != 0 || has_worked;
  if (!place.was_ready || since <= milliseconds::zero()) return 0;
  const double load =
      std::max({used / std::chrono::duration<double>(since),
                InUse(figures.handlers, settings_.blocking_threads),
                InUse(figures.offload, settings_.blocking_threads),
                Part(figures[Count::kConnections].Value(), settings_.max_connections),
                Part(in_flight, settings_.max_requests)});
  return std::clamp(load, 0.0, 1.0);
}

void Supervisor::WantMore(std::size_t count) {
  for (Place& place : places_) {
    if (count == 0) return;
    if (place.wanted) continue;
    place.wanted = true;
    place.since = SystemClock::now();
    place.start_at = Clock::now();
    --count;
  }
}

/// Those that do not run, then those that do least.
void Supervisor::WantLess(std::size_t count) {
  for (; count != 0; --count) {
    Place* least = nullptr;
    for (Place& place : places_) {
      if (!place.wanted || place.retires || place.relieves > 0) continue;
      if (place.pid > 0 && (!place.was_ready || retiring_.size() >= places_.size())) continue;
      const auto busy = [this](const Place& other) {
        return other.pid < 0 ? 0 : 1 + InFlight(figures_->Of(other.part));
      };
      // Of equals the last, so that the first places are those that are filled.
      if (least == nullptr || busy(place) <= busy(*least)) least = &place;
    }
    if (least == nullptr) return;  // the next look finds one
    Place next;
    next.wanted = false;
    next.starts = least->starts;
    next.last_end = least->last_end;
    next.delay = least->delay;
    Place left = std::exchange(*least, std::move(next));
    if (left.pid < 0) continue;
    left.goes = WhyLeaves::kNotNeeded;
    log_(LogLevel::kInfo, "worker " + std::to_string(left.pid) + " is not needed: it leaves");
    retiring_.push_back(std::move(left));
    HaveLeave(retiring_.back());
  }
}

// --- On demand ----------------------------------------------------------------------------------

bool Supervisor::WaitsForDemand() const {
  return settings_.process_model == options::ProcessModel::kOnDemand && IsSettled() &&
         Wanted() == 0;
}

/// The listening sockets, what workers pass on, and the connections that are held for them. As long as there are workers, only
/// whether these can have what is held.
void Supervisor::AppendDemandEvents() {
  if (!WaitsForDemand()) {
    if (!parked_.Empty() && stage_ == Stage::kRunning) {
      events_.push_back({.fd = passing_out_.Number(), .events = POLLOUT, .revents = 0});
    }
    return;
  }
  for (const Listener& listener : sockets_.listeners) {
    events_.push_back({.fd = listener.Descriptor(), .events = POLLIN, .revents = 0});
  }
  events_.push_back({.fd = passing_in_.Number(), .events = POLLIN, .revents = 0});
  parked_.AppendEvents(events_);
}

void Supervisor::HandleDemand(std::span<const pollfd> events) {
  const std::size_t of_parked = sockets_.listeners.size() + 1;
  if (!WaitsForDemand() || events.size() < of_parked) return;
  const auto is_asked = std::any_of(events.begin(), events.begin() + (of_parked - 1),
                                    [](const pollfd& event) { return event.revents != 0; });
  // First those of before, whose events these are.
  const bool has_come = parked_.Handle(events.subspan(of_parked));
  const Clock::time_point now = Clock::now();
  const bool has_room =
      events[of_parked - 1].revents == 0 || parked_.TakeFrom(passing_in_.Number(), now);
  if (is_asked) {
    OnDemand("a connection came");
  } else if (has_come) {
    OnDemand("something came on a kept connection");
  } else if (!has_room) {
    OnDemand("there are more kept connections than can be held without one");
  } else {
    parked_.CloseOverdue(now);
  }
}

void Supervisor::OnDemand(const std::string& why) {
  log_(LogLevel::kInfo, why + ": starting a worker");
  figures_->Host().demand_starts.Add();
  looked_at_load_ = Clock::now();
  scaling_.OnDemand(looked_at_load_);
  WantMore(1);
}

/// What was held goes to where workers take it from.
void Supervisor::ReturnParked() {
  if (!parked_.Empty() && !WaitsForDemand()) parked_.GiveTo(passing_out_.Number());
}

// --- Recycling ----------------------------------------------------------------------------------

/// One at a time, and no more that have not ended yet than there are places.
bool Supervisor::MayRecycle() const {
  return IsSettled() && retiring_.size() < places_.size() &&
         std::all_of(retiring_.begin(), retiring_.end(),
                     [](const Place& place) { return place.retires; });
}

Supervisor::Clock::time_point Supervisor::NextRecycling() const {
  Clock::time_point next = Clock::time_point::max();
  if (settings_.recycle_age <= milliseconds::zero() || !MayRecycle()) return next;
  for (const Place& place : places_) {
    if (place.due && !place.retires) next = std::min(next, *place.due);
  }
  return next;
}

void Supervisor::SetDue(Place& place) {
  const auto age = static_cast<std::uint64_t>(settings_.recycle_age.count());
  if (age == 0) return;
  place.due = place.started + milliseconds(static_cast<milliseconds::rep>(
                                  worker::Lowered(age, settings_.recycle_jitter, chance_)));
}

void Supervisor::RecycleDue() {
  if (!MayRecycle()) return;
  const Clock::time_point now = Clock::now();
  for (Place& place : places_) {
    if (place.pid < 0 || !place.was_ready || place.retires) continue;
    if (!place.goes && place.due && *place.due <= now) {
      place.goes = WhyLeaves::kAge;
      place.goes_at = static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::seconds>(now - place.started).count());
    }
    if (!place.goes) continue;
    Recycle(place);
    return;
  }
}

/// It serves on until its successor is ready.
void Supervisor::Recycle(Place& place) {
  log_(LogLevel::kInfo, "worker " + std::to_string(place.pid) + " is recycled " +
                            Reason(*place.goes, place.goes_at) +
                            ": starting another, and when that is ready it leaves");
  Place next;
  next.starts = place.starts;
  next.last_end = place.last_end;
  next.delay = place.delay;
  next.relieves = place.pid;
  next.start_at = Clock::now();
  retiring_.push_back(std::exchange(place, std::move(next)));
}

void Supervisor::RelieveRecycled(Place& successor) {
  const pid_t relieved = std::exchange(successor.relieves, -1);
  for (Place& place : retiring_) {
    if (relieved > 0 && place.pid == relieved && !place.retires) HaveLeave(place);
  }
}

/// Nothing hurries it: what is in flight ends by its own deadlines.
void Supervisor::HaveLeave(Place& place) {
  place.retires = true;
  place.since = SystemClock::now();
  figures_->Host().worker_leaves.Add(NameOf(*place.goes));
  sigval order{};
  order.sival_int = static_cast<int>(worker::StopOrder::kLeave);
  ::sigqueue(place.pid, SIGTERM, order);
  if (place.pid == asked_) {
    asked_ = -1;
    AskForReload();
  }
}

// --- Crashes ------------------------------------------------------------------------------------

/// Of a worker that has just crashed, as `line` tells. True: the host stops.
bool Supervisor::IsTooManyCrashes(const std::string& line) {
  if (stage_ != Stage::kRunning || !crashes_.Add(Clock::now())) return false;
  GiveUp(options::kExitSoftware, line + ": stopping, " +
                                     std::to_string(settings_.max_crashes->crashes) +
                                     " workers have crashed within " +
                                     options::FormatDuration(settings_.max_crashes->within) +
                                     " (--max-crashes): the lines before say how each ended");
  return true;
}

}  // namespace weft::host::supervisor
