#include "host/runtime/thread_works.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "host/runtime/fiber_work.hpp"

namespace weft::host::runtime {

ThreadWorks::Entry::Entry(ThreadWorks& of, const WorkHeader& header) noexcept
    : of_(of), header_(header) {
  const std::lock_guard lock(of_.mutex_);
  next_ = of_.first_;
  if (next_ != nullptr) {
    next_->previous_ = this;
  }
  of_.first_ = this;
  ++of_.count_;
}

ThreadWorks::Entry::~Entry() {
  const std::lock_guard lock(of_.mutex_);
  (previous_ != nullptr ? previous_->next_ : of_.first_) = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
  --of_.count_;
}

std::size_t ThreadWorks::Count() const noexcept {
  const std::lock_guard lock(mutex_);
  return count_;
}

std::size_t ThreadWorks::CountOf(std::span<const std::uint64_t> groups) const noexcept {
  const std::lock_guard lock(mutex_);
  std::size_t count = 0;
  for (const auto* entry = first_; entry != nullptr; entry = entry->next_) {
    count += std::ranges::binary_search(groups, entry->header_.group) ? 1 : 0;
  }
  return count;
}

void ThreadWorks::TellThreads(std::vector<GroupThread>& into) const {
  const std::lock_guard lock(mutex_);
  for (const auto* entry = first_; entry != nullptr; entry = entry->next_) {
    const pid_t thread = entry->thread_.load(std::memory_order_relaxed);
    if (thread != 0 && entry->header_.group != 0) {
      into.push_back({entry->header_.group, thread});
    }
  }
}

void ThreadWorks::Tell(std::vector<FiberStack>& into) const {
  const std::lock_guard lock(mutex_);
  for (const auto* entry = first_; entry != nullptr; entry = entry->next_) {
    const pid_t thread = entry->thread_.load(std::memory_order_relaxed);
    if (thread == 0) {
      continue;
    }
    std::array<char, kMaxWorkBytes> room;
    FiberStack stack;
    stack.what.assign(room.data(), DescribeFiber(entry->header_, room));
    if (const auto* const work = entry->header_.work) {
      stack.started = work->Started();
      stack.is_task = work->IsTask();
    }
    stack.thread = thread;
    stack.has_fiber = false;
    stack.is_written = true;
    into.push_back(std::move(stack));
  }
}

}  // namespace weft::host::runtime
