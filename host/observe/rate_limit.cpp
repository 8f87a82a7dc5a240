#include "host/observe/rate_limit.hpp"

#include <algorithm>
#include <utility>

namespace weft::host::observe {

void RateLimit::Set(std::size_t per_second, std::size_t burst) noexcept {
  const std::lock_guard lock(mutex_);
  per_second_ = static_cast<double>(per_second);
  burst_ = static_cast<double>(std::max<std::size_t>(burst, 1));
  buckets_.clear();
}

std::optional<std::uint64_t> RateLimit::Pass(const Kind& kind, options::LogLevel level,
                                             std::string_view name, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (per_second_ == 0) {
    return 0;
  }
  auto found = buckets_.find(kind);
  if (found == buckets_.end()) {
    if (buckets_.size() >= kMaxKinds) {
      return 0;
    }
    found = buckets_
                .emplace(kind, Bucket{.tokens = burst_,
                                      .filled = now,
                                      .dropped = 0,
                                      .level = level,
                                      .name = std::string(name)})
                .first;
  }
  auto& bucket = found->second;
  const auto passed = std::chrono::duration<double>(now - bucket.filled).count();
  bucket.tokens = std::min(burst_, bucket.tokens + std::max(passed, 0.0) * per_second_);
  bucket.filled = now;
  bucket.level = level;
  if (bucket.tokens < 1) {
    ++bucket.dropped;
    return std::nullopt;
  }
  bucket.tokens -= 1;
  return std::exchange(bucket.dropped, 0);
}

std::vector<RateLimit::Dropped> RateLimit::TakeUntold() {
  const std::lock_guard lock(mutex_);
  std::vector<Dropped> untold;
  untold.reserve(buckets_.size());
  for (auto& [kind, bucket] : buckets_) {
    if (bucket.dropped != 0) {
      untold.push_back(
          {.name = bucket.name, .level = bucket.level, .count = std::exchange(bucket.dropped, 0)});
    }
  }
  return untold;
}

}  // namespace weft::host::observe
