#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "host/runtime/fiber_stacks.hpp"
#include "host/runtime/stack_pool.hpp"

namespace weft::host::runtime {

/// A thread of the pool, by CurrentThreadId(), and the group that it works for.
struct GroupThread {
  std::uint64_t group;
  pid_t thread;
};

/// What was given to threads of the pool for which no fiber waits: tasks of weft::Async() that plain handlers made, and what is
/// done later.
///
/// Threads: any. Lifetime: must outlive every Entry.
class ThreadWorks {
 public:
  /// One of them, from when it is given to its end.
  class Entry {
   public:
    /// `header` must outlive this.
    Entry(ThreadWorks& of, const WorkHeader& header) noexcept;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry();

    /// CurrentThreadId() of the thread that runs it from now on; 0: none does.
    void SetThread(pid_t thread) noexcept { thread_.store(thread, std::memory_order_relaxed); }

   private:
    friend class ThreadWorks;

    ThreadWorks& of_;
    const WorkHeader& header_;
    std::atomic<pid_t> thread_{0};
    Entry* next_;
    Entry* previous_ = nullptr;
  };

  /// Adds what each that runs works for, without its frames: CaptureStack() has those. Throws std::bad_alloc.
  void Tell(std::vector<FiberStack>& into) const;
  /// Adds the threads that run something for a group (WorkHeader::group, not 0). Throws std::bad_alloc.
  void TellThreads(std::vector<GroupThread>& into) const;

  std::size_t Count() const noexcept;
  /// Those of some groups, whose numbers are given in ascending order.
  std::size_t CountOf(std::span<const std::uint64_t> groups) const noexcept;

 private:
  mutable std::mutex mutex_;
  Entry* first_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace weft::host::runtime
