#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "host/options/settings.hpp"

namespace weft::host::observe {

/// How many events of each kind may be logged: a burst, and so many a second from then on (a token bucket for each kind).
///
/// Threads: any.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  /// What tells kinds apart, by addresses of what has static storage.
  struct Kind {
    const void* file = nullptr;
    std::uint_least32_t line = 0;
    const void* event = nullptr;

    friend bool operator==(const Kind&, const Kind&) = default;
  };

  /// Kinds that are kept apart; those beyond it pass. 512: places that log, times causes, are some hundred.
  static constexpr std::size_t kMaxKinds = 512;

  /// `per_second` 0: everything passes.
  void Set(std::size_t per_second, std::size_t burst) noexcept;

  /// Nothing: it is dropped, and counted. Else how many of its kind were dropped since the last one that passed.
  /// `name` is for Untold(), and copied. Throws std::bad_alloc.
  std::optional<std::uint64_t> Pass(const Kind& kind, options::LogLevel level,
                                    std::string_view name, Clock::time_point now);

  struct Dropped {
    std::string name;
    options::LogLevel level{};
    std::uint64_t count = 0;
  };
  /// Those of which some were dropped and not told of, which counts as told with this. Throws std::bad_alloc.
  std::vector<Dropped> TakeUntold();

 private:
  struct HashOf {
    std::size_t operator()(const Kind& kind) const noexcept {
      return std::hash<const void*>()(kind.file) ^ (std::size_t{kind.line} << 20) ^
             (std::hash<const void*>()(kind.event) << 1);
    }
  };
  struct Bucket {
    double tokens = 0;
    Clock::time_point filled{};
    std::uint64_t dropped = 0;
    options::LogLevel level{};
    std::string name;
  };

  std::mutex mutex_;
  double per_second_ = 0;
  double burst_ = 0;
  std::unordered_map<Kind, Bucket, HashOf> buckets_;
};

}  // namespace weft::host::observe
