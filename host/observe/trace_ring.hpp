#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::host::observe {

/// The last records of a host's workers, in memory that they share: for each of them a ring of slots of one size on pages of its
/// own, which it alone writes, and all read at any time, whatever becomes of their writers.
///
/// A slot has a number that is odd while it is written. Who finds it odd, or another after he has copied the slot, has nothing; so
/// what a worker was writing when it was killed is lost, and nothing else. A worker that gets the ring of one that has ended writes
/// on where that stopped.
///
/// Made before the workers are forked. What is in the memory is a worker's word: readers take any bits.
///
/// Threads: Write() from one at a time in a process, all else from any.
class TraceRing {
 public:
  using Part = std::optional<std::size_t>;
  using Time = std::chrono::steady_clock::time_point;

  /// Which record: of which ring, and its number there, from 1.
  struct Id {
    std::size_t part = 0;
    std::uint64_t number = 0;
    friend bool operator==(const Id&, const Id&) = default;
  };
  struct Record {
    Id id{};
    Time at{};
    std::string bytes{};
  };

  /// For the `records` last ones of each of `parts` workers, none of them longer than `bytes`. Throws std::system_error.
  TraceRing(std::size_t parts, std::size_t records, std::size_t bytes);
  TraceRing(const TraceRing&) = delete;
  TraceRing& operator=(const TraceRing&) = delete;
  ~TraceRing();

  [[nodiscard]] std::size_t Records() const noexcept { return records_; }
  [[nodiscard]] std::size_t Bytes() const noexcept { return bytes_; }

  /// In the worker, before it has threads: all but its own ring can only be read from now on.
  void KeepOnly(Part part) noexcept;

  /// In place of the part's oldest record. Of one that is too long nothing is kept.
  void Write(Part part, Time at, std::string_view record) noexcept;

  /// The last of all parts, newest first, and no more than each part has room for. Throws std::bad_alloc.
  [[nodiscard]] std::vector<Record> Last() const;
  /// Nothing where it was overwritten, or cleared.
  [[nodiscard]] std::optional<Record> Find(Id id) const;
  /// Nobody finds a record of before any more; its bytes stay until they are overwritten.
  void Clear(Time now) noexcept;

  /// For tests: what a worker leaves that is killed while it writes its next record.
  void WriteHalf(Part part, std::string_view record) noexcept;

 private:
  struct Head;
  struct Ring;
  struct Slot;

  [[nodiscard]] Head& HeadOf() const noexcept;
  [[nodiscard]] Ring& RingOf(std::size_t part) const noexcept;
  [[nodiscard]] Slot& SlotOf(std::size_t part, std::uint64_t number) const noexcept;
  /// The slot, and its lock's next even number.
  Slot& Begin(std::size_t part, std::uint64_t number, std::uint64_t& end) noexcept;
  /// `with_bytes`: the record, not only where and when.
  [[nodiscard]] std::optional<Record> Read(Id id, bool with_bytes) const;
  [[nodiscard]] static std::atomic<std::uint64_t>* WordsOf(Slot& slot) noexcept;

  std::byte* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
  std::size_t parts_;
  std::size_t records_;
  std::size_t bytes_;
  std::size_t slot_bytes_;
  std::size_t ring_bytes_;
};

}  // namespace weft::host::observe
