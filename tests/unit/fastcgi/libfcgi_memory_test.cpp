#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <vector>

// What the linker gives libfcgi for malloc(), realloc() and free().
extern "C" {
void* weft_libfcgi_malloc(std::size_t bytes);
void* weft_libfcgi_realloc(void* memory, std::size_t bytes);
void weft_libfcgi_free(void* memory);
}

namespace weft::host::fastcgi {

namespace {

struct Block {
  unsigned char* bytes;
  std::size_t length;
  unsigned char mark;

  bool IsWhole() const {
    for (std::size_t i = 0; i < length; ++i) {
      if (bytes[i] != mark) {
        return false;
      }
    }
    return true;
  }
};

}  // namespace

TEST_CASE("libfcgi's memory: blocks are aligned, and none touches another") {
  std::mt19937 random(1);
  std::vector<Block> blocks;
  std::size_t broken = 0;
  for (int i = 0; i < 50'000; ++i) {
    if (blocks.size() < 2'000 && random() % 3 != 0) {
      const std::size_t length = random() % (random() % 20 == 0 ? 20'000 : 150);
      auto* const bytes = static_cast<unsigned char*>(weft_libfcgi_malloc(length));
      REQUIRE(bytes != nullptr);
      CHECK_UNARY(reinterpret_cast<std::uintptr_t>(bytes) % alignof(std::max_align_t) == 0);
      const auto mark = static_cast<unsigned char>(i);
      std::memset(bytes, mark, length);
      blocks.push_back({bytes, length, mark});
    } else if (!blocks.empty()) {
      const auto at = random() % blocks.size();
      broken += blocks[at].IsWhole() ? 0 : 1;
      weft_libfcgi_free(blocks[at].bytes);
      blocks[at] = blocks.back();
      blocks.pop_back();
    }
  }
  for (const Block& block : blocks) {
    broken += block.IsWhole() ? 0 : 1;
    weft_libfcgi_free(block.bytes);
  }
  CHECK(broken == 0);
}

TEST_CASE("libfcgi's memory: what has grown or shrunk keeps what it held") {
  auto* memory = static_cast<char*>(weft_libfcgi_realloc(nullptr, 4));
  REQUIRE(memory != nullptr);
  std::memcpy(memory, "four", 4);
  for (const std::size_t bytes : {40, 100, 9'000, 100'000, 12, 4}) {
    memory = static_cast<char*>(weft_libfcgi_realloc(memory, bytes));
    REQUIRE(memory != nullptr);
    CHECK(std::memcmp(memory, "four", 4) == 0);
  }
  weft_libfcgi_free(memory);
  weft_libfcgi_free(nullptr);
}

#ifndef __SANITIZE_ADDRESS__  // which ends the process at such a length
TEST_CASE("libfcgi's memory: the reserve is asked before there is none") {
  static int asked;
  asked = 0;
  const auto before = std::set_new_handler([] {
    ++asked;
    std::set_new_handler(nullptr);  // nothing was put by
  });
  CHECK(weft_libfcgi_malloc(std::size_t{1} << 62) == nullptr);
  CHECK(asked == 1);
  std::set_new_handler(before);
}
#endif

}  // namespace weft::host::fastcgi
