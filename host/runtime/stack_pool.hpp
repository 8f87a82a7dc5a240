#pragma once

#include <boost/context/stack_context.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <weft/cancellation.hpp>

namespace weft::host::runtime {

class PoolWatch;

/// What stands at the top of each stack of a StackPool, above the fiber's own frames.
struct StackHeader {
  static constexpr std::size_t kLabelBytes = 160;

  const CancellationToken* cancellation = nullptr;  ///< what waits on the fiber obey; may be null
  PoolWatch* pool_watch = nullptr;  ///< of the fiber's calls to threads; may be null
  bool has_offloaded = false;  ///< the task that the fiber runs has had a place in the pool before
  char label[kLabelBytes] = {};  ///< names the work in the report of an overflow
};

/// Stacks for fibers: equal in size, each above a guard, kept for reuse.
///
/// A stack begins at a multiple of its size, which is a power of two, so that its header is found from any
/// address on it without a look-up.
///
/// Threads: the reactor's. Lifetime: must outlive every fiber on its stacks.
class StackPool {
 public:
  /// `stack_bytes` is rounded up to a power of two of at least 64 KiB; the guard (a quarter, at most 64 KiB)
  /// and the header come out of it. `idle_stacks` is how many unused stacks keep their memory; that of others goes back to the
  /// system.
  StackPool(std::size_t stack_bytes, std::size_t idle_stacks);
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;
  ~StackPool();

  /// Throws std::bad_alloc when the system has no more memory or mappings.
  boost::context::stack_context Allocate();
  void Deallocate(boost::context::stack_context& stack) noexcept;

  std::size_t StackBytes() const noexcept { return stack_bytes_; }

  /// The header of the stack that `address` lies on. Only for an address on a stack of this pool.
  StackHeader& HeaderOf(const void* address) const noexcept {
    const auto value = reinterpret_cast<std::uintptr_t>(address);
    return *reinterpret_cast<StackHeader*>((value | (stack_bytes_ - 1)) + 1 - kHeaderBytes);
  }

  /// What a fiber may use of a stack.
  std::size_t UsableBytes() const noexcept { return stack_bytes_ - kHeaderBytes - guard_bytes_; }
  /// What is left of it below `address`. As HeaderOf().
  std::size_t BytesBelow(const void* address) const noexcept {
    const auto offset = reinterpret_cast<std::uintptr_t>(address) & (stack_bytes_ - 1);
    return offset > guard_bytes_ ? offset - guard_bytes_ : 0;
  }

  /// The label of the stack whose guard `address` lies in, or null when it lies in none.
  ///
  /// Async-signal-safe.
  const char* OverflowedLabel(const void* address) const noexcept;

 private:
  struct Slab {
    char* base;
    Slab* next;
  };

  static constexpr std::size_t kHeaderBytes = (sizeof(StackHeader) + 63) / 64 * 64;
  /// Stacks a mapping holds: fewer system calls, and fewer holes for alignment.
  static constexpr std::size_t kStacksPerSlab = 32;

  void AddSlab();

  std::size_t stack_bytes_;
  std::size_t idle_stacks_;
  std::size_t guard_bytes_;
  Slab* slabs_ = nullptr;  // only ever grows at its head, so that a signal handler may walk it
  std::vector<char*> free_;
  std::vector<char*> free_without_memory_;
};

/// The StackAllocator concept of Boost.Context over a pool.
class PooledStack {
 public:
  explicit PooledStack(StackPool& pool) noexcept : pool_(&pool) {}
  boost::context::stack_context allocate() { return pool_->Allocate(); }
  void deallocate(boost::context::stack_context& stack) noexcept { pool_->Deallocate(stack); }

 private:
  StackPool* pool_;
};

}  // namespace weft::host::runtime
