#include "host/runtime/memory_reserve.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace weft::host::runtime {

namespace {

/// In blocks that malloc() takes from its heap, and gives from it again: the system is not asked for any of it.
constexpr std::size_t kBlockBytes = 16 * 1024;
/// One part in so many of the reserve is enough to take on something new again: memory that was freed is scattered.
constexpr std::size_t kEnoughPart = 4;

std::vector<std::atomic<void*>>* g_blocks =
    nullptr;  // for GiveUpABlock(), which takes no arguments
std::atomic<bool> g_spent{false};

/// Puts by what is missing; the number of blocks that are there then. From any thread.
std::size_t FillUp(std::vector<std::atomic<void*>>& blocks) noexcept {
  std::size_t there = 0;
  for (auto& block : blocks) {
    if (block.load() == nullptr) {
      void* const memory = std::malloc(kBlockBytes);
      if (memory == nullptr) {
        break;
      }
      std::memset(memory, 0, kBlockBytes);  // memory that was only promised is none
      if (void* none = nullptr; !block.compare_exchange_strong(none, memory)) {
        std::free(memory);
      }
    }
    ++there;
  }
  return there;
}

/// Frees a block, and the allocation is tried again; without one it fails.
void GiveUpABlock() {
  g_spent.store(true, std::memory_order_relaxed);
  // From the back: Refill() counts from the front.
  for (std::size_t i = g_blocks->size(); i-- > 0;) {
    if (void* const taken = (*g_blocks)[i].exchange(nullptr)) {
      std::free(taken);
      return;
    }
  }
  // Where all of it can be had back it was no lack of memory: somebody asked for more than there can be, and alone goes without.
  if (FillUp(*g_blocks) == g_blocks->size()) {
    g_spent.store(false, std::memory_order_relaxed);
  }
  throw std::bad_alloc();
}

}  // namespace

MemoryReserve::MemoryReserve(std::size_t bytes)
    : blocks_(std::max<std::size_t>(bytes / kBlockBytes, 1)) {
  g_blocks = &blocks_;
  Refill();
  std::set_new_handler(&GiveUpABlock);
}

MemoryReserve::~MemoryReserve() {
  std::set_new_handler(nullptr);
  g_blocks = nullptr;
  for (auto& block : blocks_) {
    std::free(block.exchange(nullptr));
  }
  g_spent.store(false, std::memory_order_relaxed);
}

void MemoryReserve::Refill() noexcept {
  if (FillUp(blocks_) >= (blocks_.size() + kEnoughPart - 1) / kEnoughPart) {
    g_spent.store(false, std::memory_order_relaxed);
  }
}

bool MemoryReserve::Spent() noexcept { return g_spent.load(std::memory_order_relaxed); }

}  // namespace weft::host::runtime
