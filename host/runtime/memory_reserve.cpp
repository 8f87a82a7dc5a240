#include "host/runtime/memory_reserve.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

namespace weft::host::runtime {

namespace {

/// In blocks that malloc() takes from its heap, and gives from it again: the system is not asked for any of it.
constexpr std::size_t kBlockBytes = 16 * 1024;
constexpr std::size_t kBlocks = 32;
/// So many are enough to take on something new again: memory that was freed is scattered.
constexpr std::size_t kEnoughBlocks = 8;

std::atomic<void*> g_blocks[kBlocks];
std::atomic<bool> g_spent{false};

/// Frees a block, and the allocation is tried again; without one it fails.
void GiveUpABlock() {
  g_spent.store(true, std::memory_order_relaxed);
  // From the back: Refill() counts from the front.
  for (std::size_t i = kBlocks; i-- > 0;) {
    if (void* const taken = g_blocks[i].exchange(nullptr)) {
      std::free(taken);
      return;
    }
  }
  throw std::bad_alloc();
}

}  // namespace

MemoryReserve::MemoryReserve() {
  Refill();
  std::set_new_handler(&GiveUpABlock);
}

MemoryReserve::~MemoryReserve() {
  std::set_new_handler(nullptr);
  for (auto& block : g_blocks) {
    std::free(block.exchange(nullptr));
  }
  g_spent.store(false, std::memory_order_relaxed);
}

void MemoryReserve::Refill() noexcept {
  std::size_t there = 0;
  for (auto& block : g_blocks) {
    if (block.load() == nullptr) {
      void* const memory = std::malloc(kBlockBytes);
      if (memory == nullptr) {
        break;
      }
      std::memset(memory, 0, kBlockBytes);  // memory that was only promised is none
      block.store(memory);
    }
    ++there;
  }
  if (there >= kEnoughBlocks) {
    g_spent.store(false, std::memory_order_relaxed);
  }
}

bool MemoryReserve::Spent() noexcept { return g_spent.load(std::memory_order_relaxed); }

}  // namespace weft::host::runtime
