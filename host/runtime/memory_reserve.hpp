#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

namespace weft::host::runtime {

/// Memory that is put by for the moment when the system has no more: what must not fail, as to wait for the next
/// event or to end a connection, is served from it, while the process takes on nothing new.
///
/// It is given up by std::set_new_handler's function, and taken up again by Refill(), or at once where an allocation fails in spite of
/// it that was larger than all there can be. One at a time in a process.
///
/// Threads: Spent() and the allocations from any; the rest on one.
class MemoryReserve {
 public:
  /// `bytes` are put by in blocks of 16 KiB, one at least.
  explicit MemoryReserve(std::size_t bytes);
  MemoryReserve(const MemoryReserve&) = delete;
  MemoryReserve& operator=(const MemoryReserve&) = delete;
  ~MemoryReserve();

  /// Puts by again what was given up, if the system has it by now.
  void Refill() noexcept;
  /// Whether it was given up: take on nothing that costs memory.
  static bool Spent() noexcept;

 private:
  std::vector<std::atomic<void*>> blocks_;
};

}  // namespace weft::host::runtime
