#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "host/observe/figure.hpp"

namespace weft::host::observe {

/// The classes that times are counted in: microseconds up to 32, then sixteen classes for each doubling, so that a time read
/// back from its class is wrong by 3.2 % at most. Longer times than 71 minutes count for the last class.
///
/// As HdrHistogram has it; a class is a few instructions away, and its place needs no search.
struct LatencyClasses {
  static constexpr unsigned kPartsLog2 = 4;
  static constexpr std::size_t kParts = std::size_t{1} << kPartsLog2;
  static constexpr unsigned kMostBits = 32;
  static constexpr std::size_t kCount = (kMostBits - kPartsLog2 + 1) * kParts;

  /// Of a time above Floor() and up to Ceiling() of the class.
  static constexpr std::size_t IndexOf(std::chrono::nanoseconds time) noexcept {
    const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 1));
    const auto us = std::min<std::uint64_t>((ns - 1) / 1000, (std::uint64_t{1} << kMostBits) - 1);
    const auto bits = static_cast<unsigned>(std::bit_width(us));
    const unsigned shift = bits > kPartsLog2 + 1 ? bits - kPartsLog2 - 1 : 0;
    return shift * kParts + static_cast<std::size_t>(us >> shift);
  }
  /// In microseconds; a class's own least time is longer than it.
  static constexpr std::uint64_t Floor(std::size_t index) noexcept {
    if (index < 2 * kParts) {
      return index;
    }
    return (index % kParts + kParts) << (index / kParts - 1);
  }
  /// In microseconds; a class's longest time.
  static constexpr std::uint64_t Ceiling(std::size_t index) noexcept { return Floor(index + 1); }
};

/// Times, counted in shared memory.
///
/// Threads: as Figure.
struct LatencyFigures {
  void Count(std::chrono::nanoseconds time) noexcept {
    classes[LatencyClasses::IndexOf(time)].Add();
    sum_us.Add(static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0)) / 1000);
  }

  Figure sum_us;
  std::array<Figure, LatencyClasses::kCount> classes;
};

/// What was counted, as it was read once; of one worker or of several. Throws std::bad_alloc where it is added to.
class LatencyCounts {
 public:
  void Add(const LatencyFigures& figures) {
    sum_us_ += figures.sum_us.Value();
    for (std::size_t i = 0; i < LatencyClasses::kCount; ++i) {
      AddToClass(i, figures.classes[i].Value());
    }
  }
  void Add(const LatencyCounts& counts) {
    sum_us_ += counts.sum_us_;
    for (std::size_t i = 0; i < counts.classes_.size(); ++i) {
      AddToClass(i, counts.classes_[i]);
    }
  }
  /// Adds itself to `figures`.
  void AddTo(LatencyFigures& figures) const noexcept {
    figures.sum_us.Add(sum_us_);
    for (std::size_t i = 0; i < classes_.size(); ++i) {
      if (classes_[i] != 0) {
        figures.classes[i].Add(classes_[i]);
      }
    }
  }

  [[nodiscard]] std::uint64_t Count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t SumMicroseconds() const noexcept { return sum_us_; }
  /// How many took no longer than `us`, which is the bound of a class.
  [[nodiscard]] std::uint64_t CountUpTo(std::uint64_t us) const noexcept {
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < classes_.size() && LatencyClasses::Ceiling(i) <= us; ++i) {
      count += classes_[i];
    }
    return count;
  }
  /// The time that this share of all did not take longer than, in microseconds; the middle of its class. 0 where there are none.
  [[nodiscard]] double QuantileMicroseconds(double share) const noexcept {
    const auto wanted = std::clamp(share, 0.0, 1.0) * static_cast<double>(count_);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < classes_.size(); ++i) {
      count += classes_[i];
      if (classes_[i] != 0 && static_cast<double>(count) >= wanted) {
        return static_cast<double>(LatencyClasses::Floor(i) + LatencyClasses::Ceiling(i)) / 2;
      }
    }
    return 0;
  }

 private:
  void AddToClass(std::size_t index, std::uint64_t count) {
    if (count == 0) {
      return;
    }
    if (classes_.empty()) {
      classes_.resize(LatencyClasses::kCount);
    }
    classes_[index] += count;
    count_ += count;
  }

  std::uint64_t sum_us_ = 0;
  std::uint64_t count_ = 0;
  // Not in place: it is read on fibers, whose stacks are small. Empty: nothing was counted.
  std::vector<std::uint64_t> classes_;
};

}  // namespace weft::host::observe
