#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>

#include "host/options/settings.hpp"
#include "host/worker/message.hpp"

namespace weft::host::worker {

/// A bound that is lowered by up to `percent` of it, by chance; at least 1 where it is not 0.
[[nodiscard]] std::uint64_t Lowered(std::uint64_t bound, std::size_t percent,
                                    std::minstd_rand& chance);

/// The bytes of memory that a process has for itself, by the text of its /proc/PID/status: what is in memory and is no file's
/// (RssAnon), and what is swapped out (VmSwap). Nothing: the text does not tell.
[[nodiscard]] std::optional<std::uint64_t> OwnMemoryOf(std::string_view status);

/// Whether a worker has done what it is for, as --recycle-requests and --recycle-memory say. Its age is its supervisor's to see.
///
/// Threads: one.
class Recycling {
 public:
  using Clock = std::chrono::steady_clock;

  /// Between two looks at the memory: reading it takes some 20 µs.
  static constexpr std::chrono::milliseconds kMemoryInterval{1'000};

  /// `own_memory`: where the memory is read, in place of this process's.
  Recycling(const options::Settings& settings, std::minstd_rand chance,
            std::optional<std::uint64_t> (*own_memory)() = &OwnMemory);

  /// When the worker can serve. One that is beyond the bound by then would be replaced by another that is; so this is told, as a
  /// sentence, and the bound does not count. Empty: all is well.
  [[nodiscard]] std::string_view OnReady();

  /// `ended`: requests so far. What the supervisor is to be asked; again and again until IsTold().
  [[nodiscard]] std::optional<Recycle> Look(std::uint64_t ended, Clock::time_point now);
  void IsTold() { is_told_ = true; }

 private:
  static std::optional<std::uint64_t> OwnMemory();

  std::uint64_t requests_;  ///< 0: any number
  std::uint64_t memory_;    ///< 0: any
  std::optional<std::uint64_t> (*own_memory_)();
  Clock::time_point memory_due_{};
  std::optional<Recycle> wish_;
  bool is_told_ = false;
};

}  // namespace weft::host::worker
