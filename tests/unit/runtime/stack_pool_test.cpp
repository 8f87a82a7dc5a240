#include "host/runtime/stack_pool.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/run_in_fiber.hpp"

namespace weft::host::runtime {

namespace {

constexpr std::size_t kStackBytes = 64 * 1024;

/// Whether the page at `address` holds memory.
bool Resident(const char* address) {
  unsigned char state = 0;
  const auto page = reinterpret_cast<std::uintptr_t>(address) & ~std::uintptr_t{4095};
  return mincore(reinterpret_cast<void*>(page), 1, &state) == 0 && (state & 1) != 0;
}

}  // namespace

TEST_CASE("StackPool: a stack's size is rounded up to a power of two of at least 64 KiB") {
  CHECK(StackPool(1, 0).StackBytes() == 65536);
  CHECK(StackPool(65536, 0).StackBytes() == 65536);
  CHECK(StackPool(65537, 0).StackBytes() == 131072);
}

TEST_CASE(
    "StackPool: stacks do not overlap, and each finds its own header from any address on it") {
  StackPool pool(kStackBytes, 4);
  std::vector<boost::context::stack_context> stacks;
  for (int i = 0; i < 100; ++i) {
    stacks.push_back(pool.Allocate());
    auto& header = pool.HeaderOf(static_cast<char*>(stacks.back().sp) - 1);
    header.label[0] = static_cast<char>(i);
    static_cast<char*>(stacks.back().sp)[-static_cast<int>(stacks.back().size)] =
        1;  // its lowest byte
  }
  for (int i = 0; i < 100; ++i) {
    const auto& stack = stacks[static_cast<std::size_t>(i)];
    CHECK(pool.HeaderOf(static_cast<char*>(stack.sp) - stack.size).label[0] ==
          static_cast<char>(i));
  }
  for (auto& stack : stacks) {
    pool.Deallocate(stack);
  }
}

TEST_CASE(
    "StackPool: a stack given back is used again, and beyond the idle ones its memory is given "
    "up") {
  StackPool pool(kStackBytes, 1);
  auto first = pool.Allocate();
  auto second = pool.Allocate();
  auto* const kept = static_cast<char*>(first.sp) - 20'000;
  auto* const dropped = static_cast<char*>(second.sp) - 20'000;
  *kept = *dropped = 1;
  const auto* const first_sp = first.sp;
  pool.Deallocate(first);
  pool.Deallocate(second);
  CHECK(Resident(kept));
  CHECK_FALSE(Resident(dropped));
  auto again = pool.Allocate();
  CHECK(again.sp == first_sp);
  pool.Deallocate(again);
}

TEST_CASE("StackPool: what was used of a stack is known when its memory is given up") {
  StackPool pool(kStackBytes, 0);
  CHECK(pool.MostUsedBytes() == 0);
  for (const int depth : {10'000, 30'000, 500}) {
    auto stack = pool.Allocate();
    static_cast<char*>(stack.sp)[-depth] = 1;
    pool.Deallocate(stack);
  }
  CHECK(pool.MostUsedBytes() >= 30'000);
  CHECK(pool.MostUsedBytes() < 30'000 + 2 * 4096);
}

TEST_CASE("StackPool: some calls of Survey() find the deepest of the stacks in use") {
  StackPool pool(kStackBytes, 0);
  CHECK(pool.Survey());  // there is nothing to look at
  std::vector<boost::context::stack_context> stacks;
  for (int i = 0; i < 100; ++i) {
    stacks.push_back(pool.Allocate());
  }
  static_cast<char*>(stacks[70].sp)[-20'000] = 1;
  int calls = 1;
  while (!pool.Survey()) {
    ++calls;
  }
  CHECK(calls == 4);
  CHECK(pool.MostUsedBytes() >= 20'000);
  CHECK(pool.MostUsedBytes() < 20'000 + 2 * 4096);
  for (auto& stack : stacks) {
    pool.Deallocate(stack);
  }
}

TEST_CASE(
    "StackPool: an address in a guard page gives the label of the stack above it, any other none") {
  StackPool pool(kStackBytes, 1);
  auto stack = pool.Allocate();
  auto* const top = static_cast<char*>(stack.sp);
  std::string("shop::Deep").copy(pool.HeaderOf(top - 1).label, 20);
  const auto* const guard = top - stack.size - 1;
  REQUIRE(pool.OverflowedLabel(guard) != nullptr);
  CHECK(std::string(pool.OverflowedLabel(guard)) == "shop::Deep");
  CHECK(pool.OverflowedLabel(top - 1) == nullptr);
  CHECK(pool.OverflowedLabel(&pool) == nullptr);
  pool.Deallocate(stack);
}

#if !defined(__SANITIZE_ADDRESS__)  // the sanitizer reports an overflow itself, and differently
namespace {

int Recurse(int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  return depth == 0 ? 1 + frame[0] : Recurse(depth + 1) + frame[0];
}

}  // namespace

TEST_CASE("Runtime: more stack than the fiber has is that of another one") {
  Runtime::Options options;
  options.stack_bytes = 128 * 1024;
  test::RunInFiber(
      [](Runtime& runtime) {
        const auto in_use = runtime.FibersInUse();
        int depth = 0;
        // Half a megabyte.
        runtime.RunOnStackOf(1'000'000, [&] { depth = Recurse(-1000); });
        CHECK(depth != 0);
        CHECK(runtime.FibersInUse() == in_use);
        const auto uses = runtime.StackUses();
        REQUIRE(uses.size() == 2);
        CHECK(uses[0].stack_bytes == 128 * 1024);
        CHECK(uses[1].stack_bytes == 1024 * 1024);
        CHECK(uses[1].fibers == 1);  // it waits for more work
        runtime.RunOnStackOf(1'000'000, [] {});
        CHECK(runtime.StackUses()[1].fibers == 1);
        runtime.SurveyStacks();
        CHECK(runtime.StackUses()[1].most_used_bytes > 500'000);
      },
      options);
}

TEST_CASE("Runtime: a stack that overflows ends the process, and the log names what ran on it") {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const auto child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(pipe_ends[1], STDERR_FILENO);
    signal(SIGSEGV, SIG_DFL);  // doctest's
    test::RunInFiber([](Runtime& runtime) {
      runtime.SetCurrentLabel("shop::Deep, shop");
      _exit(Recurse(1));
    });
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t count = 0; (count = read(pipe_ends[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(count));
  }
  close(pipe_ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
  CHECK(text.find("stack overflow in shop::Deep, shop") != std::string::npos);
}
#endif

}  // namespace weft::host::runtime
