#include "host/runtime/thread_works.hpp"

#include <array>
#include <utility>

#include "host/runtime/fiber_work.hpp"

namespace weft::host::runtime {

ThreadWorks::Entry::Entry(ThreadWorks& of, pid_t thread, const WorkHeader& header) noexcept
    : of_(of), thread_(thread), header_(header) {
  const std::lock_guard lock(of_.mutex_);
  next_ = of_.first_;
  if (next_ != nullptr) {
    next_->previous_ = this;
  }
  of_.first_ = this;
}

ThreadWorks::Entry::~Entry() {
  const std::lock_guard lock(of_.mutex_);
  (previous_ != nullptr ? previous_->next_ : of_.first_) = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
}

void ThreadWorks::Tell(std::vector<FiberStack>& into) const {
  const std::lock_guard lock(mutex_);
  for (const auto* entry = first_; entry != nullptr; entry = entry->next_) {
    std::array<char, kMaxWorkBytes> room;
    FiberStack stack;
    stack.what.assign(room.data(), DescribeFiber(entry->header_, room));
    if (const auto* const work = entry->header_.work) {
      stack.started = work->Started();
      stack.is_task = work->IsTask();
    }
    stack.thread = entry->thread_;
    stack.has_fiber = false;
    stack.is_written = true;
    into.push_back(std::move(stack));
  }
}

}  // namespace weft::host::runtime
