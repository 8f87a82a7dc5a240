#pragma once

#include <sys/types.h>

#include <atomic>
#include <boost/context/stack_context.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <weft/cancellation.hpp>

namespace weft::host::runtime {

class FiberEvent;
class IFiberWork;
class PoolWatch;
struct FiberStack;

/// What a fiber is told of its work. It goes along where the work goes on on another stack.
struct WorkHeader {
  static constexpr std::size_t kLabelBytes = 160;

  const CancellationToken* cancellation = nullptr;  ///< what waits on the fiber obey; may be null
  const IFiberWork* work = nullptr;                 ///< what the fiber works for; may be null
  PoolWatch* pool_watch = nullptr;  ///< of the fiber's calls to threads; may be null
  std::uint64_t group = 0;          ///< Runtime::SetCurrentGroup()
  bool has_offloaded = false;  ///< the task that the fiber runs has had a place in the pool before
  char label[kLabelBytes] = {};  ///< names the work in the report of an overflow
};

/// What stands at the top of each stack of a StackPool, above the fiber's own frames.
struct StackHeader : WorkHeader {
  const char* lowest =
      nullptr;  ///< the end of what may be used of the stack, which grows downwards
  std::size_t usable_bytes = 0;     ///< from there to this header
  FiberEvent* waits_in = nullptr;   ///< null: it runs, or is about to
  const char* waits_for = nullptr;  ///< in words, where that is known
  /// Of the pool, that runs something for the fiber, 0 while it does not; null: nothing is to be run.
  const std::atomic<pid_t>* thread = nullptr;
  FiberStack* capture = nullptr;  ///< where the fiber is to write its stack when it goes on
  bool is_away = false;           ///< its work goes on on another stack

  WorkHeader& Work() noexcept { return *this; }
  /// What is left of the stack below `address`, which is on it.
  std::size_t BytesBelow(const void* address) const noexcept {
    const auto* const at = static_cast<const char*>(address);
    return at > lowest ? static_cast<std::size_t>(at - lowest) : 0;
  }
};

/// Stacks for fibers: equal in size, each above a guard, kept for reuse.
///
/// A stack begins at a multiple of its size, which is a power of two, so that its header is found from any
/// address on it, its guard's too, without a look-up.
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

  /// The label of the stack whose guard `address` lies in, or null when it lies in none.
  ///
  /// Async-signal-safe.
  const char* OverflowedLabel(const void* address) const noexcept;

  /// The most bytes that have been used of any stack so far, in whole pages, as far as it was looked at: those that are
  /// given up are, and those in use and kept are by Survey().
  std::size_t MostUsedBytes() const noexcept { return most_used_bytes_; }
  /// Looks how much of some stacks was used; a few calls look at all in turn. True: with this one it has been to the last. It
  /// takes some microseconds.
  bool Survey() noexcept;

 private:
  struct Slab {
    char* base;
    Slab* next;
  };

  static constexpr std::size_t kHeaderBytes = (sizeof(StackHeader) + 63) / 64 * 64;
  /// Stacks a mapping holds, of those that are not large: fewer system calls, and fewer holes for alignment.
  static constexpr std::size_t kMaxStacksPerSlab = 32;

  void AddSlab();
  /// Of the stack that begins at `base`.
  void LookAt(const char* base) noexcept;

  std::size_t stack_bytes_;
  std::size_t idle_stacks_;
  std::size_t guard_bytes_;
  std::size_t stacks_per_slab_;
  Slab* slabs_ = nullptr;  // only ever grows at its head, so that a signal handler may walk it
  const Slab* next_looked_at_ = nullptr;
  std::size_t most_used_bytes_ = 0;
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
