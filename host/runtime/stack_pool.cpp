#include "host/runtime/stack_pool.hpp"

#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <new>

namespace weft::host::runtime {

namespace {

constexpr std::size_t kMinStackBytes = 64 * 1024;
/// A function's frame may be larger than a page, and would step over a guard of one. What is compiled without
/// stack probes is stopped by this unless its frame is larger still. It is address space, not memory.
constexpr std::size_t kMaxGuardBytes = 64 * 1024;
/// Of address space: large stacks are few.
constexpr std::size_t kMaxSlabBytes = 64 * 1024 * 1024;
/// Of every machine that this runs on, or a fraction of it: mincore(2) then refuses, and nothing is known.
constexpr std::size_t kPageBytes = 4096;

}  // namespace

StackPool::StackPool(std::size_t stack_bytes, std::size_t idle_stacks)
    : stack_bytes_(std::bit_ceil(std::max(stack_bytes, kMinStackBytes))),
      idle_stacks_(idle_stacks),
      guard_bytes_(std::min(kMaxGuardBytes, stack_bytes_ / 4)),
      stacks_per_slab_(
          std::clamp<std::size_t>(kMaxSlabBytes / stack_bytes_, 1, kMaxStacksPerSlab)) {}

StackPool::~StackPool() {
  while (slabs_ != nullptr) {
    Slab* const slab = slabs_;
    slabs_ = slab->next;
#if defined(__SANITIZE_ADDRESS__)
    // The marks of a fiber's outermost frames stay, for those are not returned from: whoever is mapped there next has none.
    __asan_unpoison_memory_region(slab->base, stack_bytes_ * stacks_per_slab_);
#endif
    munmap(slab->base, stack_bytes_ * stacks_per_slab_);
    delete slab;
  }
}

void StackPool::AddSlab() {
  const std::size_t bytes = stack_bytes_ * stacks_per_slab_;
  // One stack more than needed, so that a multiple of the stack's size lies within; the rest is given back.
  void* const mapped = mmap(nullptr, bytes + stack_bytes_, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (mapped == MAP_FAILED) {
    throw std::bad_alloc();
  }
  auto* const begin = static_cast<char*>(mapped);
  const auto misalignment = reinterpret_cast<std::uintptr_t>(begin) & (stack_bytes_ - 1);
  char* const base = misalignment == 0 ? begin : begin + (stack_bytes_ - misalignment);
  if (base != begin) {
    munmap(begin, static_cast<std::size_t>(base - begin));
  }
  const auto tail = stack_bytes_ - static_cast<std::size_t>(base - begin);
  if (tail != 0) {
    munmap(base + bytes, tail);
  }
  // Without this, a system set to transparent huge pages would back each touched stack with 2 MiB.
  madvise(base, bytes, MADV_NOHUGEPAGE);
  for (std::size_t i = 0; i < stacks_per_slab_; ++i) {
    if (mprotect(base + i * stack_bytes_, guard_bytes_, PROT_NONE) != 0) {
      munmap(base, bytes);
      throw std::bad_alloc();
    }
  }
  auto* const slab = new Slab{base, slabs_};
  std::atomic_signal_fence(std::memory_order_release);
  slabs_ = slab;
  for (std::size_t i = stacks_per_slab_; i-- > 0;) {
    free_without_memory_.push_back(base + i * stack_bytes_);
  }
}

boost::context::stack_context StackPool::Allocate() {
  auto* source = &free_;
  if (free_.empty()) {
    if (free_without_memory_.empty()) {
      AddSlab();
    }
    source = &free_without_memory_;
  }
  char* const base = source->back();
  source->pop_back();
  auto* const header = new (base + stack_bytes_ - kHeaderBytes) StackHeader();
  header->lowest = base + guard_bytes_;
  header->usable_bytes = UsableBytes();
  boost::context::stack_context stack;
  stack.size = stack_bytes_ - kHeaderBytes - guard_bytes_;
  stack.sp = base + stack_bytes_ - kHeaderBytes;
  return stack;
}

void StackPool::Deallocate(boost::context::stack_context& stack) noexcept {
  char* const base = static_cast<char*>(stack.sp) + kHeaderBytes - stack_bytes_;
  if (free_.size() < idle_stacks_) {
    free_.push_back(base);
    return;
  }
  LookAt(base);
  madvise(base + guard_bytes_, stack_bytes_ - guard_bytes_, MADV_DONTNEED);
  free_without_memory_.push_back(base);
}

// The kernel knows which pages were ever touched: nothing is written into a stack to find out, nothing is done while it is
// used, and a page that the handler leaves alone stays untouched.
void StackPool::LookAt(const char* base) noexcept {
  std::array<unsigned char, 256> pages{};  // a megabyte at a time
  const char* const top = base + stack_bytes_;
  // What is less deep than the deepest so far is of no interest.
  const char* const end = top - most_used_bytes_;
  for (const char* at = base + guard_bytes_; at < end;) {
    const auto bytes = std::min(static_cast<std::size_t>(end - at), pages.size() * kPageBytes);
    const auto count = (bytes + kPageBytes - 1) / kPageBytes;
    if (mincore(const_cast<char*>(at), bytes, pages.data()) != 0) {
      return;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if ((pages[i] & 1U) != 0) {
        most_used_bytes_ = static_cast<std::size_t>(top - at) - i * kPageBytes;
        return;
      }
    }
    at += count * kPageBytes;
  }
}

bool StackPool::Survey() noexcept {
  if (next_looked_at_ == nullptr) {
    next_looked_at_ = slabs_;
  }
  if (next_looked_at_ == nullptr) {
    return true;
  }
  for (std::size_t i = 0; i < stacks_per_slab_; ++i) {
    LookAt(next_looked_at_->base + i * stack_bytes_);
  }
  next_looked_at_ = next_looked_at_->next;
  return next_looked_at_ == nullptr;
}

const char* StackPool::OverflowedLabel(const void* address) const noexcept {
  const auto* const at = static_cast<const char*>(address);
  for (const Slab* slab = slabs_; slab != nullptr; slab = slab->next) {
    if (at < slab->base || at >= slab->base + stack_bytes_ * stacks_per_slab_) {
      continue;
    }
    const auto offset = static_cast<std::size_t>(at - slab->base) & (stack_bytes_ - 1);
    return offset < guard_bytes_ ? HeaderOf(at).label : nullptr;
  }
  return nullptr;
}

}  // namespace weft::host::runtime
