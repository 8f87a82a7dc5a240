#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace weft::host::runtime {

/// Frames of a stack that are kept at most: deep enough for a handler below its libraries, and a screenful.
inline constexpr std::size_t kMaxStackFrames = 96;

/// What a thread wrote down of itself at one moment.
struct CapturedStack {
  std::array<void*, kMaxStackFrames> frames{};
  std::size_t count = 0;
  std::array<char, 2048> note{};  ///< what SetStackNote()'s function had to say
  std::size_t note_bytes = 0;
  std::uint64_t turn = 0;  ///< of the reactor, where it is the reactor's thread (ReactorTurn())
};

/// Says what a thread does that writes down its stack: writes into the room, and returns the bytes. Async-signal-safe.
using StackNote = std::size_t (*)(std::span<char> room) noexcept;
/// Null: nothing is said. Threads: any.
void SetStackNote(StackNote note) noexcept;

/// The signal that has a thread write down its own stack. SIGURG: nothing happens to whom it is sent by mistake, and nobody
/// uses it, as the urgent data of TCP is not used.
int StackSignal() noexcept;

/// Installs the handler of StackSignal(), and loads what it needs. Once in a process at least, before
/// CaptureStack(); again, it does nothing. A library that takes the signal for itself makes CaptureStack() come back empty.
void PrepareStackCapture();

/// The calling thread's number, as CaptureStack() takes it.
pid_t CurrentThreadId() noexcept;

/// Writes the return addresses of another thread of this process into `frames`, the innermost call first, and
/// returns how many there are. 0: the thread did not take the signal within `timeout`, or has ended.
///
/// The thread goes on where it was; a system call of it may end with EINTR. Where it runs on a fiber, it is the
/// fiber's stack. Symbolise() makes text of it.
///
/// Threads: any, one at a time (others wait), and not the thread in question.
[[nodiscard]] std::size_t CaptureStack(pid_t thread, std::span<void*> frames,
                                       std::chrono::milliseconds timeout) noexcept;

/// The same with what the thread says of itself. False: as 0 above.
[[nodiscard]] bool CaptureStack(pid_t thread, CapturedStack& into,
                                std::chrono::milliseconds timeout) noexcept;

/// The same for the calling thread, from the caller of this on.
[[nodiscard]] std::size_t CaptureOwnStack(std::span<void*> frames) noexcept;

/// One line a frame, each with a newline: `  #2 shop::Report::ProcessRequest(weft::HttpContext&)+0x1f (/m/shop.so+0x4d2f)`.
/// The offset in the file is what `addr2line -Cfe` takes. Functions that a file does not export are named where it has
/// a symbol table.
///
/// Reads files, and takes memory: not for signal handlers, and not for the reactor when it is in a hurry.
[[nodiscard]] std::string Symbolise(std::span<void* const> frames);

/// The same for many stacks: what was read for one is kept for the next.
///
/// Threads: one at a time.
class Symboliser {
 public:
  Symboliser();
  Symboliser(const Symboliser&) = delete;
  Symboliser& operator=(const Symboliser&) = delete;
  ~Symboliser();

  [[nodiscard]] std::string Symbolise(std::span<void* const> frames);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace weft::host::runtime
