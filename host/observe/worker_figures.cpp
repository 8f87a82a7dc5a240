#include "host/observe/worker_figures.hpp"

#include <algorithm>

namespace weft::host::observe {

namespace {

using Clock = std::chrono::steady_clock;

/// A worker that was killed between two numbers, or one that writes where it should not, has left what cannot be.
constexpr std::uint64_t kImpossible = std::uint64_t{1} << 63;

std::uint64_t PossibleNow(std::uint64_t count) noexcept { return count < kImpossible ? count : 0; }

PoolReading ReadPool(const PoolFigures& figures, Clock::time_point now) {
  PoolReading pool;
  pool.threads = PossibleNow(figures.threads.Value());
  pool.idle = std::min(PossibleNow(figures.idle.Value()), pool.threads);
  pool.queued = PossibleNow(figures.queued.Value());
  pool.refused = figures.refused.Value();
  pool.shed = figures.shed.Value();
  pool.waits.Add(figures.waits);
  const auto since = static_cast<std::int64_t>(PossibleNow(figures.oldest_queued_ns.Value()));
  const std::int64_t until = std::chrono::nanoseconds(now.time_since_epoch()).count();
  if (since != 0 && since < until) {
    pool.oldest_wait = std::chrono::nanoseconds(until - since);
  }
  return pool;
}

void FoldPool(const PoolFigures& ended, PoolFigures& totals) {
  totals.refused.Add(ended.refused.Value());
  totals.shed.Add(ended.shed.Value());
  LatencyCounts waits;
  waits.Add(ended.waits);
  waits.AddTo(totals.waits);
}

EntryReading ReadEntry(std::string name, const EntryFigures& figures) {
  EntryReading entry{.name = std::move(name), .server_errors = figures.server_errors.Value()};
  entry.durations.Add(figures.durations);
  return entry;
}

void AddEntry(std::vector<EntryReading>& entries, const EntryReading& entry) {
  const auto same = std::find_if(entries.begin(), entries.end(),
                                 [&](const auto& other) { return other.name == entry.name; });
  if (same == entries.end()) {
    entries.push_back(entry);
    return;
  }
  same->server_errors += entry.server_errors;
  same->durations.Add(entry.durations);
}

bool HasAny(const EntryFigures& figures) noexcept { return figures.is_named.Value() != 0; }

}  // namespace

CountKind KindOf(Count count) noexcept {
  switch (count) {
    case Count::kConnections:
    case Count::kReceivingParams:
    case Count::kReadingBody:
    case Count::kOnFiber:
    case Count::kOnThread:
    case Count::kWriting:
    case Count::kFinished:
    case Count::kBodyMemoryBytes:
    case Count::kBodyFileBytes:
      return CountKind::kNow;
    case Count::kLongestStallMs:
      return CountKind::kMost;
    default:
      return CountKind::kTotal;
  }
}

void WorkerFigures::CountEnd(int status) noexcept {
  const auto count = [status] {
    switch (status / 100) {
      case 1:
        return Count::kInformational;
      case 2:
        return Count::kSuccess;
      case 3:
        return Count::kRedirection;
      case 4:
        return status == 499   ? Count::kClientGone
               : status == 444 ? Count::kNoAnswer
                               : Count::kClientError;
      default:
        return Count::kServerError;
    }
  }();
  (*this)[count].Add();
}

EntryFigures& WorkerFigures::EntryNamed(std::string_view name) noexcept {
  const auto wanted = FigureName<EntryFigures::kNameBytes>::Kept(name);
  for (auto& entry : entries) {
    if (entry.is_named.Value() == 0) {
      entry.name.Set(wanted);
      entry.is_named.Set(1);
      return entry;
    }
    if (entry.name.Is(wanted)) {
      return entry;
    }
  }
  other_entries.is_named.Set(1);
  return other_entries;
}

void PoolReading::Add(const PoolReading& other) {
  threads += other.threads;
  idle += other.idle;
  queued += other.queued;
  oldest_wait = std::max(oldest_wait, other.oldest_wait);
  refused += other.refused;
  shed += other.shed;
  waits.Add(other.waits);
}

void AddTo(std::vector<NamedCount>& counts, const std::string& name, std::uint64_t count) {
  const auto same = std::find_if(counts.begin(), counts.end(),
                                 [&](const auto& other) { return other.name == name; });
  if (same == counts.end()) {
    counts.push_back({name, count});
  } else {
    same->count += count;
  }
}

std::uint64_t WorkerReading::InFlight() const noexcept {
  std::uint64_t count = 0;
  for (const auto state :
       {RequestState::kReceivingParams, RequestState::kReadingBody, RequestState::kOnFiber,
        RequestState::kOnThread, RequestState::kWriting, RequestState::kFinished}) {
    count += (*this)[CountOf(state)];
  }
  return count;
}

std::uint64_t WorkerReading::WaitingForThread() const noexcept {
  return std::min(handlers.queued, (*this)[Count::kOnThread]);
}

LatencyCounts WorkerReading::Durations() const {
  LatencyCounts all;
  for (const auto& entry : entries) {
    all.Add(entry.durations);
  }
  return all;
}

void WorkerReading::Add(const WorkerReading& other) {
  for (std::size_t i = 0; i < kCounts; ++i) {
    counts[i] = KindOf(static_cast<Count>(i)) == CountKind::kMost
                    ? std::max(counts[i], other.counts[i])
                    : counts[i] + other.counts[i];
  }
  for (const auto& cause : other.causes) {
    AddTo(causes, cause.name, cause.count);
  }
  ended_in_short_while += other.ended_in_short_while;
  ended_in_long_while += other.ended_in_long_while;
  handlers.Add(other.handlers);
  offload.Add(other.offload);
  for (const auto& entry : other.entries) {
    AddEntry(entries, entry);
  }
}

WorkerReading Read(const WorkerFigures& figures, Clock::time_point now) {
  WorkerReading reading;
  for (std::size_t i = 0; i < kCounts; ++i) {
    const auto count = figures.counts[i].Value();
    reading.counts[i] =
        KindOf(static_cast<Count>(i)) == CountKind::kTotal ? count : PossibleNow(count);
  }
  figures.causes.ForEach(
      [&](const std::string& name, std::uint64_t count) { AddTo(reading.causes, name, count); });
  reading.ended_in_short_while = figures.recent.CountOfLast(WorkerReading::kShortWhile, now);
  reading.ended_in_long_while = figures.recent.CountOfLast(WorkerReading::kLongWhile, now);
  reading.handlers = ReadPool(figures.handlers, now);
  reading.offload = ReadPool(figures.offload, now);
  // What no entry has is not touched: the system gives memory to what is read, too.
  for (const auto& entry : figures.entries) {
    if (!HasAny(entry)) {
      break;
    }
    AddEntry(reading.entries, ReadEntry(entry.name.Text(), entry));
  }
  if (HasAny(figures.other_entries)) {
    AddEntry(reading.entries, ReadEntry({}, figures.other_entries));
  }
  return reading;
}

void Fold(const WorkerFigures& ended, WorkerFigures& totals) {
  for (std::size_t i = 0; i < kCounts; ++i) {
    const auto kind = KindOf(static_cast<Count>(i));
    if (kind == CountKind::kTotal) {
      totals.counts[i].Add(ended.counts[i].Value());
    } else if (kind == CountKind::kMost) {
      totals.counts[i].Raise(ended.counts[i].Value());
    }
  }
  ended.causes.ForEach(
      [&](const std::string& name, std::uint64_t count) { totals.causes.Add(name, count); });
  FoldPool(ended.handlers, totals.handlers);
  FoldPool(ended.offload, totals.offload);
  const auto fold_entry = [](const EntryFigures& from, EntryFigures& to) {
    to.server_errors.Add(from.server_errors.Value());
    LatencyCounts durations;
    durations.Add(from.durations);
    durations.AddTo(to.durations);
  };
  for (const auto& entry : ended.entries) {
    if (!HasAny(entry)) {
      break;
    }
    fold_entry(entry, totals.EntryNamed(entry.name.Text()));
  }
  if (HasAny(ended.other_entries)) {
    totals.other_entries.is_named.Set(1);
    fold_entry(ended.other_entries, totals.other_entries);
  }
}

}  // namespace weft::host::observe
