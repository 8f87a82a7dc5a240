#include "host/runtime/thread_stack.hpp"

#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "host/runtime/current_fiber.hpp"
#include "host/runtime/symbol_table.hpp"

namespace weft::host::runtime {

namespace {

using std::chrono::milliseconds;

/// What a thread that takes the signal is to do. Static, for it may take it long after who asked has gone.
struct Request {
  enum State { kNone, kWanted, kTaken };

  std::atomic<State> state{kNone};
  std::atomic<pid_t> thread{0};
  CapturedStack captured{};
  void* interrupted_at = nullptr;
  sem_t done{};
};

Request g_request;
std::atomic<StackNote> g_note{nullptr};
std::mutex g_one_at_a_time;
std::once_flag g_prepared;

/// Frames of the signal itself: this handler, and the kernel's return trampoline. A sanitizer may add its own.
constexpr std::size_t kFramesOfSignal = 2;

/// Where the thread was; null: it is not known how this machine tells.
void* InterruptedAt(void* context) noexcept {
#if defined(__x86_64__)
  const auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  return reinterpret_cast<void*>(registers[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<void*>(static_cast<ucontext_t*>(context)->uc_mcontext.pc);
#else
  static_cast<void>(context);
  return nullptr;
#endif
}

// backtrace() takes no lock and no memory, once it has loaded the unwinder: since glibc 2.35 that finds the files'
// tables without the loader's lock.
void OnStackSignal(int /*signal*/, siginfo_t* /*info*/, void* context) noexcept {
  const int error = errno;
  auto wanted = Request::kWanted;
  if (g_request.thread.load() == CurrentThreadId() &&
      g_request.state.compare_exchange_strong(wanted, Request::kTaken)) {
    auto& captured = g_request.captured;
    captured.count = static_cast<std::size_t>(
        ::backtrace(captured.frames.data(), static_cast<int>(captured.frames.size())));
    captured.turn = ReactorTurn();
    const auto note = g_note.load();
    captured.note_bytes = note == nullptr ? 0 : note(captured.note);
    g_request.interrupted_at = InterruptedAt(context);
    ::sem_post(&g_request.done);
  }
  errno = error;
}

bool WaitFor(milliseconds timeout) noexcept {
  timespec until{};
  ::clock_gettime(CLOCK_MONOTONIC, &until);
  const auto nanoseconds =
      until.tv_nsec + std::chrono::nanoseconds(timeout % std::chrono::seconds(1)).count();
  until.tv_sec += timeout / std::chrono::seconds(1) + nanoseconds / 1'000'000'000;
  until.tv_nsec = nanoseconds % 1'000'000'000;
  int result = 0;
  do {
    result = ::sem_clockwait(&g_request.done, CLOCK_MONOTONIC, &until);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

}  // namespace

int StackSignal() noexcept { return SIGURG; }

void PrepareStackCapture() {
  std::call_once(g_prepared, [] {
    ::sem_init(&g_request.done, 0, 0);
    // The first one loads the unwinder, which takes memory and locks.
    std::array<void*, 1> frame{};
    static_cast<void>(::backtrace(frame.data(), 1));
    struct sigaction action {};
    action.sa_sigaction = &OnStackSignal;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    ::sigaction(StackSignal(), &action, nullptr);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, StackSignal());
    ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  });
}

pid_t CurrentThreadId() noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

void SetStackNote(StackNote note) noexcept { g_note.store(note); }

std::size_t CaptureStack(pid_t thread, std::span<void*> frames, milliseconds timeout) noexcept {
  CapturedStack captured;
  if (!CaptureStack(thread, captured, timeout)) {
    return 0;
  }
  const auto count = std::min(captured.count, frames.size());
  std::copy_n(captured.frames.begin(), count, frames.begin());
  return count;
}

bool CaptureStack(pid_t thread, CapturedStack& into, milliseconds timeout) noexcept {
  const std::lock_guard lock(g_one_at_a_time);
  if (g_request.state.load() == Request::kTaken) {
    // A thread was stopped inside its handler, and writes when it goes on.
    if (::sem_trywait(&g_request.done) != 0) {
      return false;
    }
  }
  g_request.thread.store(thread);
  g_request.state.store(Request::kWanted);
  const bool is_sent = ::syscall(SYS_tgkill, ::getpid(), thread, StackSignal()) == 0;
  if (!is_sent || !WaitFor(timeout)) {
    auto wanted = Request::kWanted;
    if (g_request.state.compare_exchange_strong(wanted, Request::kNone)) {
      return false;
    }
    // It is at it: as long again.
    if (!WaitFor(timeout)) {
      return false;
    }
  }
  g_request.state.store(Request::kNone);
  into = g_request.captured;
  const auto end = into.frames.begin() + static_cast<std::ptrdiff_t>(into.count);
  auto first = std::find(into.frames.begin(), end, g_request.interrupted_at);
  if (first == end) {
    first =
        into.frames.begin() + static_cast<std::ptrdiff_t>(std::min(kFramesOfSignal, into.count));
  }
  into.count = static_cast<std::size_t>(end - first);
  std::copy(first, end, into.frames.begin());
  return into.count != 0;
}

[[gnu::noinline]] std::size_t CaptureOwnStack(std::span<void*> frames) noexcept {
  std::array<void*, kMaxStackFrames> all{};
  const auto found =
      static_cast<std::size_t>(::backtrace(all.data(), static_cast<int>(all.size())));
  const auto end = all.begin() + static_cast<std::ptrdiff_t>(found);
  const auto first = std::find(all.begin(), end, __builtin_return_address(0));
  const auto count = std::min(static_cast<std::size_t>(end - first), frames.size());
  std::copy_n(first, count, frames.begin());
  return count;
}

struct Symboliser::Implementation {
  /// What is said of a return address, and of the address where a thread was, which is `is_innermost`.
  const std::string& LineOf(void* frame, bool is_innermost) {
    auto& line = lines[{frame, is_innermost}];
    if (line.empty()) {
      line = MakeLine(reinterpret_cast<std::uintptr_t>(frame), is_innermost);
    }
    return line;
  }

  std::string MakeLine(std::uintptr_t frame, bool is_innermost) {
    // A return address may be that of the next function already, behind a call that does not return.
    const auto address = frame - (is_innermost ? 0 : 1);
    Dl_info info{};
    link_map* map = nullptr;
    if (::dladdr1(reinterpret_cast<void*>(address), &info, reinterpret_cast<void**>(&map),
                  RTLD_DL_LINKMAP) == 0 ||
        map == nullptr || info.dli_fname == nullptr) {
      return Hexadecimal(frame) + "\n";
    }
    // The program's own name may be a relative one, and its file moved.
    const std::string file = *map->l_name == '\0' ? "/proc/self/exe" : map->l_name;
    const auto offset = address - map->l_addr;
    std::string text;
    const auto& table =
        tables.try_emplace(file, file.c_str(), SymbolTable::Which::kStatic).first->second;
    if (const auto* const function = table.Find(offset)) {
      text += Demangled(function->second.c_str());
      text.append("+").append(Hexadecimal(frame - map->l_addr - table.StartOf(offset))).append(" ");
    } else if (info.dli_sname != nullptr) {
      text += Demangled(info.dli_sname);
      text.append("+")
          .append(Hexadecimal(frame - reinterpret_cast<std::uintptr_t>(info.dli_saddr)))
          .append(" ");
    }
    text.append("(").append(info.dli_fname).append("+").append(Hexadecimal(frame - map->l_addr));
    return text + ")\n";
  }

  std::map<std::string, SymbolTable> tables;
  std::map<std::pair<void*, bool>, std::string> lines;
};

Symboliser::Symboliser() : implementation_(new Implementation) {}
Symboliser::~Symboliser() = default;

std::string Symboliser::Symbolise(std::span<void* const> frames) {
  std::string text;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    text.append("  #").append(std::to_string(i)).append(" ");
    text += implementation_->LineOf(frames[i], i == 0);
  }
  return text;
}

std::string Symbolise(std::span<void* const> frames) { return Symboliser().Symbolise(frames); }

}  // namespace weft::host::runtime
