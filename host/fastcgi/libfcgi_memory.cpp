// libfcgi's memory. It allocates some forty blocks for a request, one of them for each parameter, and frees them all at its
// end; its archive is linked with malloc(), realloc() and free() replaced by these functions (host/CMakeLists.txt), which
// keep a number of blocks of each size that it asks for. What they do not keep comes from operator new, and so from the
// reserve when there is no memory: libfcgi itself ends the process then.
//
// Threads: any; each keeps blocks of its own, and those of a thread that ends are lost: only reactors have any.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <new>

namespace weft::host::fastcgi {

namespace {

/// In front of each block, and as long as what malloc() aligns to.
struct alignas(std::max_align_t) Header {
  union {
    std::size_t bytes;  // that the caller may use
    Header* next;       // in a list
  };
};

/// A size of which blocks are kept, and how many at most.
struct Size {
  std::size_t bytes;
  std::size_t most;
};

/// Those of parameters ("NAME=value"), of a request's streams and of their buffers. The blocks of 16 requests, with 64
/// parameters each, take 460 KiB in all.
constexpr std::array<Size, 9> kSizes{{{32, 1024},
                                      {48, 512},
                                      {64, 512},
                                      {80, 256},
                                      {128, 256},
                                      {256, 64},
                                      {512, 16},
                                      {1024, 16},
                                      {8192, 32}}};

#ifdef __SANITIZE_ADDRESS__
constexpr bool kKeeps = false;  // so that a use after free() is seen
#else
constexpr bool kKeeps = true;
#endif

class Blocks {
 public:
  Header* Take(std::size_t bytes) noexcept {
    const auto at = IndexFor(bytes);
    if (at == kSizes.size()) {
      return New(bytes);
    }
    List& list = lists_[at];
    if (list.first == nullptr) {
      return New(kSizes[at].bytes);
    }
    Header* const block = list.first;
    list.first = block->next;
    --list.kept;
    block->bytes = kSizes[at].bytes;
    return block;
  }

  void GiveBack(Header* block) noexcept {
    const auto at = IndexFor(block->bytes);
    if (!kKeeps || at == kSizes.size() || kSizes[at].bytes != block->bytes ||
        lists_[at].kept >= kSizes[at].most) {
      ::operator delete(block);
      return;
    }
    block->next = lists_[at].first;
    lists_[at].first = block;
    ++lists_[at].kept;
  }

 private:
  struct List {
    Header* first = nullptr;
    std::size_t kept = 0;
  };

  static std::size_t IndexFor(std::size_t bytes) noexcept {
    std::size_t at = 0;
    while (at < kSizes.size() && kSizes[at].bytes < bytes) {
      ++at;
    }
    return at;
  }

  static Header* New(std::size_t bytes) noexcept {
    auto* const block = static_cast<Header*>(::operator new(sizeof(Header) + bytes, std::nothrow));
    if (block != nullptr) {
      block->bytes = bytes;
    }
    return block;
  }

  std::array<List, kSizes.size()> lists_{};
};

constinit thread_local Blocks t_blocks;

}  // namespace

}  // namespace weft::host::fastcgi

extern "C" {

using weft::host::fastcgi::Header;
using weft::host::fastcgi::t_blocks;

void* weft_libfcgi_malloc(std::size_t bytes) {
  Header* const block = t_blocks.Take(bytes);
  return block == nullptr ? nullptr : block + 1;
}

void weft_libfcgi_free(void* memory) {
  if (memory != nullptr) {
    t_blocks.GiveBack(static_cast<Header*>(memory) - 1);
  }
}

void* weft_libfcgi_realloc(void* memory, std::size_t bytes) {
  void* const other = weft_libfcgi_malloc(bytes);
  if (memory != nullptr && other != nullptr) {
    const Header* const block = static_cast<Header*>(memory) - 1;
    std::memcpy(other, memory, std::min(bytes, block->bytes));
    weft_libfcgi_free(memory);
  }
  return other;
}

}  // extern "C"
