#pragma once

#include <sys/types.h>

#include <mutex>
#include <vector>

#include "host/runtime/fiber_stacks.hpp"
#include "host/runtime/stack_pool.hpp"

namespace weft::host::runtime {

/// What threads of the pool are at for which no fiber waits: tasks of weft::Async() that plain handlers made.
///
/// Threads: any. Lifetime: must outlive every Entry.
class ThreadWorks {
 public:
  /// While it lives, the calling thread is one of them.
  class Entry {
   public:
    /// `thread`: CurrentThreadId(). `header` must outlive this.
    Entry(ThreadWorks& of, pid_t thread, const WorkHeader& header) noexcept;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry();

   private:
    friend class ThreadWorks;

    ThreadWorks& of_;
    const pid_t thread_;
    const WorkHeader& header_;
    Entry* next_;
    Entry* previous_ = nullptr;
  };

  /// Adds what each of them works for, without its frames: CaptureStack() has those. Throws std::bad_alloc.
  void Tell(std::vector<FiberStack>& into) const;

 private:
  mutable std::mutex mutex_;
  Entry* first_ = nullptr;
};

}  // namespace weft::host::runtime
