#include "host/runtime/crash_handler.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <limits>
#include <string_view>
#include <typeinfo>

#include "host/observe/log.hpp"

namespace weft::host::runtime {

namespace {

using observe::CrashAccess;
using observe::CrashEvidence;
using observe::CrashRole;
using observe::CrashStep;

/// For all of the writing down. Measured: 2 ms, and a tenth of a second for a full stack of 8 MiB.
constexpr time_t kTimeLimitSeconds = 1;
/// A damaged stack may lead in a circle.
constexpr std::size_t kMostFrames = 500'000;
/// A thread that crashes second waits for the first to end the process, in steps of 10 ms.
constexpr int kPatienceSteps = 300;

/// As glibc leaves what assert(), its checks of the heap and of buffers say before they abort.
struct AbortMessage {
  unsigned bytes;
  char text[1];
};

/// One in a process, for it has one set of signal handlers.
struct State {
  CrashEvidence* evidence = nullptr;
  pid_t process = 0;  ///< whose it is: one that it forks has the handlers, and evidence of nobody
  CrashHandler::Audience audience = CrashHandler::Audience::kSupervisor;
  std::array<struct sigaction, CrashHandler::kSignals.size()> old{};
  AbortMessage** abort_message = nullptr;
  std::terminate_handler old_terminate = nullptr;

  std::atomic<pid_t> thread{0};  ///< that writes down its crash
  // Of that thread.
  int signal = 0;
  siginfo_t info{};
  ucontext_t* context = nullptr;
  bool is_synchronous = false;
  int timer = -1;
  std::uint64_t pc = 0;
  std::uint64_t caller = 0;  ///< of what is no code; 0: it is code
  bool pc_is_met = false;
  std::size_t seen = 0;  ///< frames
  std::array<CrashEvidence::Frame, CrashEvidence::kOuterFrames> last{};
  std::array<char, 8192> room{};
};

State g_state;
std::atomic<NoteCrash> g_note{nullptr};

pid_t ThreadId() noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

std::uint64_t Nanoseconds() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// Where the thread was, and is to seem to be.
void SetProgramCounter(ucontext_t& context, std::uint64_t pc, std::int64_t stack_by) noexcept {
#if defined(__x86_64__)
  context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(pc);
  context.uc_mcontext.gregs[REG_RSP] += stack_by;
#elif defined(__aarch64__)
  context.uc_mcontext.pc = pc;
  static_cast<void>(stack_by);
#else
  static_cast<void>(context);
  static_cast<void>(pc);
  static_cast<void>(stack_by);
#endif
}

std::uint64_t ProgramCounter(const ucontext_t& context) noexcept {
#if defined(__x86_64__)
  return static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return context.uc_mcontext.pc;
#else
  static_cast<void>(context);
  return 0;
#endif
}

/// Where a call went from that led to what is no code: it has pushed nothing but its return address.
std::uint64_t CallerOfNoCode(const ucontext_t& context) noexcept {
#if defined(__x86_64__)
  std::uint64_t caller = 0;
  std::memcpy(&caller, reinterpret_cast<const void*>(context.uc_mcontext.gregs[REG_RSP]),
              sizeof caller);
  return caller;
#elif defined(__aarch64__)
  return context.uc_mcontext.regs[30];
#else
  static_cast<void>(context);
  return 0;
#endif
}
constexpr std::int64_t kReturnAddressBytes =
#if defined(__x86_64__)
    8;
#else
    0;
#endif

CrashAccess AccessOf(const ucontext_t& context) noexcept {
#if defined(__x86_64__)
  const auto error = context.uc_mcontext.gregs[REG_ERR];
  return (error & 16) != 0  ? CrashAccess::kExecute
         : (error & 2) != 0 ? CrashAccess::kWrite
                            : CrashAccess::kRead;
#else
  static_cast<void>(context);
  return CrashAccess::kUnknown;
#endif
}

bool IsFault(int signal) noexcept { return signal == SIGSEGV || signal == SIGBUS; }

void WriteFacts(CrashEvidence& evidence) noexcept {
  const auto& info = g_state.info;
  evidence.code = info.si_code;
  evidence.at_ns = Nanoseconds();
  evidence.thread = ThreadId();
  if (info.si_code <= 0) {
    evidence.sender = info.si_pid;
    evidence.sender_user = info.si_uid;
  } else if (g_state.signal == SIGSYS) {
    evidence.system_call = info.si_syscall;
  } else {
    evidence.address = reinterpret_cast<std::uintptr_t>(info.si_addr);
  }
  if (IsFault(g_state.signal) && g_state.is_synchronous && info.si_code != SI_KERNEL) {
    evidence.access = static_cast<std::uint32_t>(AccessOf(*g_state.context));
  }
  // Last: from here on it counts.
  evidence.signal = g_state.signal;
  std::array<char, 17> name{};
  ::prctl(PR_GET_NAME, name.data());
  evidence.thread_name.Set({name.data(), ::strnlen(name.data(), name.size())});
}

void WriteWork(CrashEvidence& evidence) noexcept {
  const auto describe = g_note.load();
  if (describe == nullptr) {
    return;
  }
  CrashNote note{.work = std::span(g_state.room).first(512)};
  const bool has_address = g_state.signal == SIGSEGV && g_state.is_synchronous;
  describe(note, has_address ? g_state.info.si_addr : nullptr);
  evidence.role = static_cast<std::uint32_t>(note.role);
  evidence.request = note.request;
  if (note.overflow != nullptr) {
    const std::string_view whose(note.overflow, ::strnlen(note.overflow, 160));
    evidence.overflow.Set(whose.empty() ? "a fiber" : whose);
    evidence.advice.Set(note.advice == nullptr ? std::string_view() : note.advice);
  }
  evidence.work.Set({note.work.data(), note.work_bytes});
}

void WriteMessage(CrashEvidence& evidence) noexcept {
  if (g_state.signal != SIGABRT || g_state.abort_message == nullptr) {
    return;
  }
  const auto* const message = *g_state.abort_message;
  if (message == nullptr) {
    return;
  }
  const auto most = std::min<std::size_t>(message->bytes, 4096);
  evidence.message.Set({message->text, ::strnlen(message->text, most)});
}

_Unwind_Reason_Code OnFrame(_Unwind_Context* frame, void* /*unused*/) noexcept {
  auto& state = g_state;
  auto& evidence = *state.evidence;
  const std::uint64_t address = _Unwind_GetIP(frame);
  if (address == 0) {
    return _URC_END_OF_STACK;  // of a thread, where it began
  }
  const auto wanted = state.caller != 0 ? state.caller : state.pc;
  if (!state.pc_is_met && address != wanted) {
    return ++state.seen < kMostFrames ? _URC_NO_REASON : _URC_END_OF_STACK;  // of the handler
  }
  if (!state.pc_is_met) {
    state.pc_is_met = true;
    state.seen = state.caller != 0 ? 1 : 0;  // what is no code is written already
  }
  const CrashEvidence::Frame written{.address = address, .offset = 0, .module = 0};
  if (state.seen < CrashEvidence::kInnerFrames) {
    evidence.frame[state.seen] = written;
    evidence.frames = static_cast<std::uint32_t>(state.seen + 1);
  } else {
    state.last[(state.seen - CrashEvidence::kInnerFrames) % state.last.size()] = written;
  }
  return ++state.seen < kMostFrames ? _URC_NO_REASON : _URC_END_OF_STACK;
}

void WriteFrames(CrashEvidence& evidence) noexcept {
  auto& state = g_state;
  // What there is if all else fails.
  evidence.frame[0] = {.address = state.pc, .offset = 0, .module = 0};
  evidence.frames = 1;
  const bool is_no_code = IsFault(state.signal) && state.is_synchronous &&
                          state.pc == reinterpret_cast<std::uintptr_t>(state.info.si_addr);
  if (is_no_code) {
    // The unwinder finds no tables there, but it does where the call came from.
    state.caller = CallerOfNoCode(*state.context);
    SetProgramCounter(*state.context, state.caller, kReturnAddressBytes);
  }
  _Unwind_Backtrace(&OnFrame, nullptr);
  if (is_no_code) {
    SetProgramCounter(*state.context, state.pc, -kReturnAddressBytes);
  }
  if (state.pc_is_met && state.seen > CrashEvidence::kInnerFrames) {
    const auto more = state.seen - CrashEvidence::kInnerFrames;
    const auto kept = std::min(more, state.last.size());
    for (std::size_t i = 0; i < kept; ++i) {
      evidence.frame[CrashEvidence::kInnerFrames + i] =
          state.last[(more - kept + i) % state.last.size()];
    }
    evidence.frames = static_cast<std::uint32_t>(CrashEvidence::kInnerFrames + kept);
    evidence.frames_left_out = static_cast<std::uint32_t>(more - kept);
  }
}

/// The next number of a line of /proc/self/maps, and what follows it.
std::uint64_t TakeNumber(std::string_view& line, int base) noexcept {
  std::uint64_t number = 0;
  std::size_t used = 0;
  for (; used < line.size(); ++used) {
    const char c = line[used];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : std::numeric_limits<int>::max();
    if (digit >= base) {
      break;
    }
    number = number * static_cast<unsigned>(base) + static_cast<unsigned>(digit);
  }
  line.remove_prefix(std::min(used + 1, line.size()));
  return number;
}

void SkipWord(std::string_view& line) noexcept {
  const auto end = line.find(' ');
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
}

/// `7f..-7f.. r-xp 00001000 08:01 1234   /m/shop.so`
void FindFramesIn(std::string_view line, CrashEvidence& evidence) noexcept {
  const auto start = TakeNumber(line, 16);
  const auto end = TakeNumber(line, 16);
  SkipWord(line);
  const auto offset = TakeNumber(line, 16);
  SkipWord(line);
  const auto inode = TakeNumber(line, 10);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  if (line.empty()) {
    return;
  }
  std::uint32_t module = 0;
  for (std::uint32_t i = 0; i < evidence.frames && i < CrashEvidence::kFrames; ++i) {
    auto& frame = evidence.frame[i];
    // A return address may lie behind the end of the code that called.
    const auto address = frame.address - (i == 0 ? 0 : 1);
    if (address < start || address >= end) {
      continue;
    }
    for (std::uint32_t m = 0; m < evidence.modules && module == 0; ++m) {
      if (evidence.module[m].inode == inode && evidence.module[m].path.View() == line) {
        module = m + 1;
      }
    }
    if (module == 0 && evidence.modules < CrashEvidence::kModules) {
      evidence.module[evidence.modules].inode = inode;
      evidence.module[evidence.modules].path.Set(line);
      module = ++evidence.modules;
    }
    frame.offset = frame.address - start + offset;
    frame.module = module;
  }
}

void WriteModules(CrashEvidence& evidence) noexcept {
  const int maps = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) {
    return;
  }
  auto& room = g_state.room;
  std::size_t used = 0;
  for (;;) {
    const auto count = ::read(maps, room.data() + used, room.size() - used);
    if (count <= 0) {
      break;
    }
    used += static_cast<std::size_t>(count);
    std::string_view rest(room.data(), used);
    for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      FindFramesIn(rest.substr(0, end), evidence);
      rest.remove_prefix(end + 1);
    }
    if (rest.size() == room.size()) {
      rest = {};  // longer than any path
    }
    used = rest.size();
    std::memmove(room.data(), rest.data(), used);
  }
  ::close(maps);
}

void WriteDown(CrashStep step, CrashEvidence& evidence) noexcept {
  switch (step) {
    case CrashStep::kFacts:
      return WriteFacts(evidence);
    case CrashStep::kWork:
      return WriteWork(evidence);
    case CrashStep::kMessage:
      return WriteMessage(evidence);
    case CrashStep::kFrames:
      return WriteFrames(evidence);
    case CrashStep::kModules:
      return WriteModules(evidence);
    case CrashStep::kNothing:
      return;
  }
}

/// Those that have not begun: of one that a fault has ended, the next.
void WriteDownTheRest() noexcept {
  auto& evidence = *g_state.evidence;
  for (;;) {
    const auto step = evidence.step.load(std::memory_order_relaxed);
    if (step >= CrashStep::kModules) {
      return;
    }
    const auto next = static_cast<CrashStep>(static_cast<int>(step) + 1);
    evidence.step.store(next, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    WriteDown(next, evidence);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

// --- For standard error -------------------------------------------------------------------------

/// A line, made without memory.
class Line {
 public:
  Line& operator<<(std::string_view text) noexcept {
    for (const char c : text) {
      // No terminal obeys what a peer has sent.
      const auto byte = static_cast<unsigned char>(c);
      if (used_ < text_.size() - 1) {
        text_[used_++] = byte < 0x20 || byte == 0x7f ? '?' : c;
      }
    }
    return *this;
  }
  Line& operator<<(std::uint64_t number) noexcept { return Number(number, 10); }
  Line& Hexadecimal(std::uint64_t number) noexcept {
    *this << "0x";
    return Number(number, 16);
  }
  ~Line() {
    text_[used_++] = '\n';
    observe::WriteToStandardError({text_.data(), used_});
  }
  Line() = default;
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

 private:
  Line& Number(std::uint64_t number, unsigned base) noexcept {
    std::array<char, 20> digits{};
    std::size_t first = digits.size();
    do {
      digits[--first] = "0123456789abcdef"[number % base];
      number /= base;
    } while (number != 0);
    return *this << std::string_view(digits.data() + first, digits.size() - first);
  }

  std::array<char, 1024> text_{};
  std::size_t used_ = 0;
};

void TellStandardError(const CrashEvidence& evidence) noexcept {
  {
    const char* const name = ::sigabbrev_np(evidence.signal);
    Line line;
    line << "weft: fatal: SIG" << (name == nullptr ? "?" : name) << ", code "
         << static_cast<std::uint64_t>(std::max(evidence.code, 0)) << ", address ";
    line.Hexadecimal(evidence.address)
        << ", on thread " << static_cast<std::uint64_t>(evidence.thread) << " ("
        << evidence.thread_name.View() << ")";
    if (evidence.code <= 0) {
      line << ", sent by process " << static_cast<std::uint64_t>(evidence.sender);
    }
    if (const auto work = evidence.work.View(); !work.empty()) {
      line << ", at work for " << work;
    }
  }
  if (evidence.has_terminated != 0) {
    Line() << "weft: fatal:   std::terminate(): " << evidence.exception_type.View() << ": "
           << evidence.exception_text.View();
  }
  if (const auto message = evidence.message.View(); !message.empty()) {
    Line() << "weft: fatal:   " << message;
  }
  for (std::uint32_t i = 0; i < evidence.frames; ++i) {
    const auto& frame = evidence.frame[i];
    if (i == CrashEvidence::kInnerFrames && evidence.frames_left_out != 0) {
      Line() << "weft: fatal:   ... " << evidence.frames_left_out << " frames";
    }
    Line line;
    line << "weft: fatal:   #" << i << " ";
    if (frame.module == 0) {
      line.Hexadecimal(frame.address);
    } else {
      line << evidence.module[frame.module - 1].path.View() << " at ";
      line.Hexadecimal(frame.offset) << " of the file";
    }
  }
  for (const auto& request : evidence.requests) {
    if (const auto number = request.number.Value(); number != 0) {
      Line line;
      line << "weft: fatal:   held request ";
      if (const auto id = request.id.View(); !id.empty()) {
        line << id;
      } else {
        line << evidence.id_prefix.View() << number;
      }
      line << " " << request.method.View() << " " << request.path.View() << ": "
           << request.handler.View();
      if (number == evidence.request) {
        line << " (it crashed)";
      }
    }
  }
}

// --- The signal ---------------------------------------------------------------------------------

const struct sigaction* OldActionOf(int signal) noexcept {
  for (std::size_t i = 0; i < g_state.old.size(); ++i) {
    if (CrashHandler::kSignals[i] == signal) {
      return &g_state.old[i];
    }
  }
  return nullptr;
}

void SetDefault(int signal) noexcept {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
}

void Raise(int signal) noexcept { ::syscall(SYS_tgkill, ::getpid(), ThreadId(), signal); }

/// Has the process end as if nobody had looked.
void EndBy(int signal) noexcept {
  if (g_state.timer >= 0) {
    ::syscall(SYS_timer_delete, g_state.timer);  // a sanitizer takes its time
  }
  const auto* const old = OldActionOf(signal);
  const bool has_old = old != nullptr && old->sa_handler != SIG_IGN;
  if (!has_old || ::sigaction(signal, old, nullptr) != 0) {
    SetDefault(signal);
  }
  // Else the instruction is tried again and fails again, where a core dump shall show it.
  if (!g_state.is_synchronous) {
    Raise(signal);
  }
}

void OnCrash(int signal, siginfo_t* info, void* context) noexcept;

/// A second fault may be none: a lock that is never given back.
void LimitTime() noexcept {
  struct sigaction action {};
  action.sa_sigaction = &OnCrash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  ::sigaction(SIGALRM, &action, nullptr);
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  ::pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  // The library's timer_create(2) takes memory.
  struct {
    sigval value;
    int signal;
    int notify;
    pid_t thread;
    std::array<int, 16> unused;
  } event{};
  static_assert(sizeof event >= sizeof(sigevent));
  event.signal = SIGALRM;
  event.notify = SIGEV_THREAD_ID;
  event.thread = ThreadId();
  if (::syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &g_state.timer) != 0) {
    g_state.timer = -1;
    return;
  }
  const itimerspec after{.it_interval = {kTimeLimitSeconds, 0}, .it_value = {kTimeLimitSeconds, 0}};
  ::syscall(SYS_timer_settime, g_state.timer, 0, &after, nullptr);
}

void OnCrash(int signal, siginfo_t* info, void* context) noexcept {
  const int error = errno;
  auto& state = g_state;
  const auto self = ThreadId();
  pid_t nobody = 0;
  if (state.evidence == nullptr || ::getpid() != state.process) {
    SetDefault(signal);
    Raise(signal);
  } else if (state.thread.compare_exchange_strong(nobody, self)) {
    state.signal = signal;
    state.info = *info;
    state.context = static_cast<ucontext_t*>(context);
    state.pc = ProgramCounter(*state.context);
    state.is_synchronous =
        info->si_code > 0 && (IsFault(signal) || signal == SIGILL || signal == SIGFPE);
    LimitTime();
    WriteDownTheRest();
    if (state.audience == CrashHandler::Audience::kStandardError) {
      TellStandardError(*state.evidence);
    }
    EndBy(signal);
  } else if (nobody == self) {
    // In a step, which ends so.
    WriteDownTheRest();
    if (state.audience == CrashHandler::Audience::kStandardError) {
      state.audience = CrashHandler::Audience::kSupervisor;  // once, whatever happens
      TellStandardError(*state.evidence);
    }
    SetDefault(state.signal);
    sigset_t own;
    ::sigemptyset(&own);
    ::sigaddset(&own, state.signal);
    ::pthread_sigmask(SIG_UNBLOCK, &own, nullptr);
    Raise(state.signal);
  } else {
    // Another thread crashes, too, and was first: its end is this one's.
    for (int i = 0; i < kPatienceSteps; ++i) {
      constexpr timespec kStep{0, 10'000'000};
      ::nanosleep(&kStep, nullptr);
    }
    SetDefault(signal);
    Raise(signal);
  }
  errno = error;
}

/// No handler of a signal: it may take memory, if there is any.
[[noreturn]] void OnTerminate() {
  static std::atomic<bool> is_first{true};
  auto* const evidence = g_state.evidence;
  if (evidence != nullptr && ::getpid() == g_state.process && is_first.exchange(false)) {
    if (const auto* const type = abi::__cxa_current_exception_type()) {
      evidence->exception_type.Set(type->name());
      evidence->has_terminated = 1;
      try {
        throw;
      } catch (const std::exception& error) {
        const char* const text = error.what();
        evidence->exception_text.Set(text == nullptr ? "" : text);
      } catch (...) {
        // It says nothing.
      }
    }
    evidence->has_terminated = 1;
  }
  if (g_state.old_terminate != nullptr) {
    g_state.old_terminate();  // says it on standard error, and aborts
  }
  std::abort();
}

}  // namespace

void SetNoteCrash(NoteCrash note) noexcept { g_note.store(note); }

CrashHandler::CrashHandler(CrashEvidence& evidence, Audience audience) {
  auto& state = g_state;
  state.evidence = &evidence;
  state.process = ::getpid();
  state.audience = audience;
  state.thread.store(0);
  // The first use of the unwinder takes memory and locks.
  _Unwind_Backtrace([](_Unwind_Context*, void*) { return _URC_NO_REASON; }, nullptr);
  // Of no promise to anybody, but debuggers and crash reporters read it: without it the last words of the worker tell.
  state.abort_message =
      static_cast<AbortMessage**>(::dlvsym(RTLD_DEFAULT, "__abort_msg", "GLIBC_PRIVATE"));
  state.old_terminate = std::set_terminate(&OnTerminate);
  struct sigaction action {};
  action.sa_sigaction = &OnCrash;
  // Not deferred: a second fault in the handler is to come, too.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &action, &state.old[i]);
  }
}

CrashHandler::~CrashHandler() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction now {};
    ::sigaction(kSignals[i], nullptr, &now);
    if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == &OnCrash) {
      ::sigaction(kSignals[i], &g_state.old[i], nullptr);
    }
  }
  if (std::get_terminate() == &OnTerminate) {
    std::set_terminate(g_state.old_terminate);
  }
  g_state.evidence = nullptr;
}

}  // namespace weft::host::runtime
