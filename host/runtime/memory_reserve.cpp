#include "host/runtime/memory_reserve.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

namespace weft::host::runtime {

namespace {

/// In blocks that malloc() takes from its heap, and gives from it again: the system is not asked for any of it.
constexpr std::size_t kBlockBytes = 64 * 1024;
constexpr std::size_t kBlocks = 8;

std::atomic<void*> g_blocks[kBlocks];
std::atomic<bool> g_spent{false};

/// Frees a block, and the allocation is tried again; without one it fails.
void GiveUpABlock() {
  g_spent.store(true, std::memory_order_relaxed);
  for (auto& block : g_blocks) {
    if (void* const taken = block.exchange(nullptr)) {
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
  for (auto& block : g_blocks) {
    if (block.load() != nullptr) {
      continue;
    }
    void* const memory = std::malloc(kBlockBytes);
    if (memory == nullptr) {
      return;
    }
    std::memset(memory, 0, kBlockBytes);  // memory that was only promised is none
    block.store(memory);
  }
  g_spent.store(false, std::memory_order_relaxed);
}

bool MemoryReserve::Spent() noexcept { return g_spent.load(std::memory_order_relaxed); }

}  // namespace weft::host::runtime
