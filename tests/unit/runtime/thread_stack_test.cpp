#include "host/runtime/thread_stack.hpp"

#include <doctest/doctest.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <chrono>
#include <semaphore>
#include <span>
#include <string>
#include <thread>

namespace weft::host::runtime {

namespace {

using namespace std::chrono_literals;

/// Long enough for a machine under any load; a test that passes waits for none of it.
constexpr std::chrono::milliseconds kLong = 60s;

std::atomic<bool> g_may_end{false};
std::atomic<int> g_turns{0};

/// Not exported, so that the file's own symbol table has to name it.
[[gnu::noinline]] void TurnUntilToldToEnd(std::binary_semaphore& begun) {
  begun.release();
  while (!g_may_end) {
    ++g_turns;
  }
}

class TurningThread {
 public:
  explicit TurningThread(bool blocks_signal = false)
      : thread_([this, blocks_signal] {
          if (blocks_signal) {
            sigset_t signals;
            sigfillset(&signals);
            pthread_sigmask(SIG_BLOCK, &signals, nullptr);
          }
          id = CurrentThreadId();
          TurnUntilToldToEnd(begun_);
        }) {
    begun_.acquire();
  }
  ~TurningThread() { End(); }

  void End() {
    if (thread_.joinable()) {
      g_may_end = true;
      thread_.join();
      g_may_end = false;
    }
  }

  std::atomic<pid_t> id{0};

 private:
  std::binary_semaphore begun_{0};
  std::thread thread_;
};

}  // namespace

TEST_CASE("CaptureStack: another thread's stack names the function that it is in") {
  PrepareStackCapture();
  TurningThread thread;
  std::array<void*, kMaxStackFrames> frames{};
  for (int i = 0; i < 100; ++i) {
    const auto count = CaptureStack(thread.id, frames, kLong);
    REQUIRE(count > 0);
    const auto text = Symbolise(std::span(frames).first(count));
    CAPTURE(text);
    REQUIRE(text.find("TurnUntilToldToEnd(std::counting_semaphore<1") != std::string::npos);
    REQUIRE(text.find("OnStackSignal") == std::string::npos);
  }
  const int turns = g_turns;
  while (g_turns == turns) {
    // It goes on.
  }
}

TEST_CASE("CaptureStack: no more frames than there is room for, the innermost") {
  PrepareStackCapture();
  TurningThread thread;
  std::array<void*, 1> frames{};
  REQUIRE(CaptureStack(thread.id, frames, kLong) == 1);
  CHECK(Symbolise(frames).find("  #0 ") == 0);
  CHECK(Symbolise(frames).find("#1") == std::string::npos);
}

TEST_CASE("CaptureStack: of a thread that has ended, or does not take the signal, there is none") {
  PrepareStackCapture();
  std::array<void*, kMaxStackFrames> frames{};
  SUBCASE("that has ended") {
    TurningThread thread;
    thread.End();
    CHECK(CaptureStack(thread.id, frames, kLong) == 0);
  }
  SUBCASE("that takes no signal") {
    TurningThread thread(true);
    CHECK(CaptureStack(thread.id, frames, 1ms) == 0);
  }
  // And that of the next one can be had.
  TurningThread another;
  CHECK(CaptureStack(another.id, frames, kLong) > 0);
}

TEST_CASE("CaptureStack: a signal that nobody asked for does nothing") {
  PrepareStackCapture();
  raise(StackSignal());
  TurningThread thread;
  std::array<void*, kMaxStackFrames> frames{};
  CHECK(CaptureStack(thread.id, frames, kLong) > 0);
}

TEST_CASE("CaptureOwnStack: from its caller on") {
  std::array<void*, kMaxStackFrames> frames{};
  const auto count = CaptureOwnStack(frames);
  REQUIRE(count > 1);
  CHECK(Symbolise(std::span(frames).first(1)).find("CaptureOwnStack") == std::string::npos);
}

TEST_CASE("Symbolise: an address of no file is written as it is") {
  const std::array<void*, 1> frames{reinterpret_cast<void*>(0x10)};
  CHECK(Symbolise(frames) == "  #0 0x10\n");
}

}  // namespace weft::host::runtime
