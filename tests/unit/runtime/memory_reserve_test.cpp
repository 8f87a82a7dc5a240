#include "host/runtime/memory_reserve.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace weft::host::runtime {

// The sanitizers' allocators have rules of their own, and need all the address space there is.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

TEST_CASE(
    "MemoryReserve: what is small is served from it when there is no more, and it is refilled") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  std::size_t kibibytes = 512;
  SUBCASE("512 KiB") {}
  SUBCASE("2 MiB") { kibibytes = 2'048; }
  CAPTURE(kibibytes);
  MemoryReserve reserve(kibibytes * 1024);
  CHECK_FALSE(MemoryReserve::Spent());
  std::vector<std::unique_ptr<std::byte[]>> taken;
  taken.reserve(1'000'000);
  const rlimit none{0, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_AS, &none) == 0);
  int before_spent = 0;
  int from_reserve = 0;
  bool failed = false;
  try {
    for (int i = 0; i < 1'000'000; ++i) {
      taken.emplace_back(new std::byte[1000]);
      ++(MemoryReserve::Spent() ? from_reserve : before_spent);
    }
  } catch (const std::bad_alloc&) {
    failed = true;
  }
  taken.clear();
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(failed);
  // Allocations of a thousand bytes; the heap's own part of each, and what falls short of one in a block, are the rest.
  CHECK(static_cast<std::size_t>(from_reserve) > kibibytes * 3 / 4);
  CHECK(static_cast<std::size_t>(from_reserve) <= kibibytes * 1024 / 1000 + 32);
  CHECK(MemoryReserve::Spent());
  reserve.Refill();
  CHECK_FALSE(MemoryReserve::Spent());
}

TEST_CASE(
    "MemoryReserve: who asks for more than there can be gets none, and others go on as before") {
  MemoryReserve reserve(512 * 1024);
  std::vector<std::byte> impossible;
  for (int i = 0; i < 3; ++i) {
    CHECK_THROWS_AS(impossible.resize(std::size_t{1} << 60), std::bad_alloc);
    CHECK_FALSE(MemoryReserve::Spent());
  }
}

#endif

}  // namespace weft::host::runtime
