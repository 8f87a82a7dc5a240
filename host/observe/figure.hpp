#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace weft::host::observe {

/// A number in memory that processes share.
///
/// Threads: one at a time changes it; anybody reads it, at any time. No lock, and on the usual processors no instruction that
/// a plain number would not need.
class Figure {
 public:
  void Add(std::uint64_t by = 1) noexcept { Set(Value() + by); }
  /// A number that falls below 0 is one that a process left half changed; readers know.
  void Subtract(std::uint64_t by = 1) noexcept { Set(Value() - by); }
  void Set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void Raise(std::uint64_t value) noexcept {
    if (value > Value()) {
      Set(value);
    }
  }
  [[nodiscard]] std::uint64_t Value() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes share it");
static_assert(sizeof(Figure) == sizeof(std::uint64_t));

/// A name in memory that processes share: given once, then read by anybody. What does not fit is cut.
///
/// Threads: as Figure.
template <std::size_t kBytes>
class FigureName {
 public:
  void Set(std::string_view name) noexcept {
    std::array<char, kBytes> text{};
    name.copy(text.data(), kBytes - 1);
    for (std::size_t i = 0; i < words_.size(); ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + i * sizeof word, sizeof word);
      words_[i].Set(word);
    }
  }
  [[nodiscard]] std::string Text() const { return Bytes().data(); }
  [[nodiscard]] bool Is(std::string_view name) const noexcept { return Bytes().data() == name; }
  /// As much of a name as it keeps.
  static std::string_view Kept(std::string_view name) noexcept {
    return name.substr(0, kBytes - 1);
  }

 private:
  static_assert(kBytes % sizeof(std::uint64_t) == 0);

  std::array<char, kBytes> Bytes() const noexcept {
    std::array<char, kBytes> text;
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const auto word = words_[i].Value();
      std::memcpy(text.data() + i * sizeof word, &word, sizeof word);
    }
    text.back() = '\0';
    return text;
  }

  std::array<Figure, kBytes / sizeof(std::uint64_t)> words_;
};

/// Counts by name, of the first names that come; the others are counted together.
///
/// Threads: as Figure.
template <std::size_t kNames, std::size_t kNameBytes>
class NamedFigures {
 public:
  void Add(std::string_view name, std::uint64_t by = 1) noexcept {
    const auto wanted = FigureName<kNameBytes>::Kept(name);
    for (auto& slot : slots_) {
      if (slot.is_named.Value() == 0) {
        slot.name.Set(wanted);
        slot.is_named.Set(1);
      } else if (!slot.name.Is(wanted)) {
        continue;
      }
      slot.count.Add(by);
      return;
    }
    others_.Add(by);
  }
  /// Calls `function(name, count)` with each name that there is, and with an empty one for the others, if there are any.
  template <typename F>
  void ForEach(F function) const {
    for (const auto& slot : slots_) {
      if (slot.is_named.Value() != 0 && slot.count.Value() != 0) {
        function(slot.name.Text(), slot.count.Value());
      }
    }
    if (others_.Value() != 0) {
      function(std::string(), others_.Value());
    }
  }

 private:
  struct Slot {
    Figure is_named;
    FigureName<kNameBytes> name;
    Figure count;
  };
  std::array<Slot, kNames> slots_;
  Figure others_;
};

}  // namespace weft::host::observe
