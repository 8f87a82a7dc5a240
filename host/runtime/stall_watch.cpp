#include "host/runtime/stall_watch.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "host/runtime/current_fiber.hpp"
#include "host/runtime/epoll_watch.hpp"
#include "host/runtime/thread_stack.hpp"

namespace weft::host::runtime {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// Looks at the same turn after which it counts as a stall: it was there at the first, so a threshold has passed at the
/// last. Two: a stall is seen after one and a half thresholds at the latest.
constexpr int kLooks = 2;
/// How long a thread that runs may take to answer a signal. It is on a processor, or in a system call that is interrupted.
constexpr milliseconds kPatience{200};
constexpr std::chrono::minutes kMinute{1};

void FutexWait(const std::atomic<std::uint32_t>& word, std::uint32_t value,
               const timespec* timeout) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, timeout, nullptr, 0);
}

}  // namespace

StallWatch::StallWatch(milliseconds threshold, Tell tell)
    : threshold_(threshold),
      period_(nanoseconds(threshold) / kLooks),
      tell_(std::move(tell)),
      reactor_(CurrentThreadId()) {
  PrepareStackCapture();
  SetReactorThread(true);
  g_reactor_watch.idle.store(false);  // it runs this
  thread_ = std::thread([this] { Run(); });
}

StallWatch::~StallWatch() {
  stop_.store(1);
  ::syscall(SYS_futex, &stop_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  g_reactor_watch.Wake();
  thread_.join();
  SetReactorThread(false);
  g_reactor_watch.idle.store(true);
}

StallWatch::Counts StallWatch::Seen() const noexcept {
  const bool is_going_on = in_stall_.load();  // before the figures that its end changes
  return {stalls_.load(std::memory_order_relaxed),
          milliseconds(longest_ms_.load(std::memory_order_relaxed)), is_going_on};
}

void StallWatch::Pause() noexcept {
  timespec time{};
  time.tv_sec = static_cast<time_t>(period_ / std::chrono::seconds(1));
  time.tv_nsec = static_cast<long>((period_ % std::chrono::seconds(1)).count());
  FutexWait(stop_, 0, &time);
}

void StallWatch::Sleep() noexcept {
  g_reactor_watch.sleeps.store(1);
  // In the other order than the reactor and the destructor go.
  while (g_reactor_watch.sleeps.load() != 0) {
    const bool works =
        !g_reactor_watch.idle.load() && g_reactor_watch.has_work.load(std::memory_order_relaxed);
    if (works || stop_.load() != 0) {
      g_reactor_watch.sleeps.store(0);
      return;
    }
    FutexWait(g_reactor_watch.sleeps, 1, nullptr);
  }
}

void StallWatch::Run() {
  auto turn = ReactorTurn() - 1;  // the first look finds another one
  auto since = Clock::now();
  int looks = 0;
  while (stop_.load() == 0) {
    const auto now_turn = ReactorTurn();
    const bool idle =
        g_reactor_watch.idle.load() || !g_reactor_watch.has_work.load(std::memory_order_relaxed);
    const auto now = Clock::now();
    if (idle || now_turn != turn) {
      if (in_stall_) {
        End(now);
      }
      const bool nothing_happens = idle && now_turn == turn;
      turn = now_turn;
      looks = 0;
      if (nothing_happens) {
        Sleep();
        since = Clock::now();
        turn = ReactorTurn();
      } else {
        since = now;
      }
    } else if (++looks == kLooks) {
      Begin(turn, since);
    }
    Pause();
  }
  if (in_stall_) {
    End(Clock::now());
  }
}

bool StallWatch::MayTell(Clock::time_point now) {
  while (!told_.empty() && now - told_.front() >= kMinute) {
    told_.pop_front();
  }
  if (told_.size() >= kToldPerMinute) {
    return false;
  }
  told_.push_back(now);
  return true;
}

void StallWatch::Begin(std::uint64_t turn, Clock::time_point since) {
  in_stall_ = true;
  stall_began_ = since;
  stalls_.fetch_add(1, std::memory_order_relaxed);
  const auto now = Clock::now();
  is_told_ = MayTell(now);
  if (!is_told_) {
    ++untold_;
    return;
  }
  try {
    const auto captured = std::make_unique<CapturedStack>();
    Stall stall;
    stall.held_for = std::chrono::floor<milliseconds>(now - since);
    // Had it gone on by then, the stack would be another's.
    if (CaptureStack(reactor_, *captured, kPatience) && captured->turn == turn) {
      stall.stack = Symbolise({captured->frames.data(), captured->count});
      stall.what.assign(captured->note.data(), captured->note_bytes);
    }
    stall_what_ = stall.what;
    stall.untold = std::exchange(untold_, 0);
    tell_(stall);
  } catch (const std::exception&) {
    // No memory to tell of it: it is counted.
  }
}

void StallWatch::End(Clock::time_point now) {
  const auto held_for = std::chrono::floor<milliseconds>(now - stall_began_);
  longest_ms_.store(
      std::max<std::int64_t>(longest_ms_.load(std::memory_order_relaxed), held_for.count()),
      std::memory_order_relaxed);
  in_stall_ = false;
  if (!is_told_) {
    return;
  }
  try {
    Stall stall;
    stall.what = std::exchange(stall_what_, {});
    stall.held_for = held_for;
    stall.has_ended = true;
    tell_(stall);
  } catch (const std::exception&) {
    // As above.
  }
}

}  // namespace weft::host::runtime
