#include "host/runtime/fiber_stacks.hpp"

#include <cstring>
#include <exception>
#include <utility>

#include "host/runtime/fiber_work.hpp"

namespace weft::host::runtime {

namespace {

/// What the unwinder may need. Measured: 6 KiB; a sanitizer's frames are larger.
constexpr std::size_t kUnwinderBytes = 24 * 1024;

}  // namespace

std::size_t DescribeFiber(const WorkHeader& fiber, std::span<char> into) noexcept {
  TextRoom text(into);
  if (fiber.work != nullptr) {
    text.Grow(fiber.work->Describe(text.Rest()));
  }
  const std::string_view label(fiber.label, ::strnlen(fiber.label, WorkHeader::kLabelBytes));
  if (!label.empty()) {
    text.Append(text.Used() == 0 ? "" : ": ");
    text.Append(label);
  }
  return text.Used();
}

void CaptureCurrentFiber(StackHeader& fiber) noexcept {
  auto& stack = *std::exchange(fiber.capture, nullptr);
  try {
    static std::array<char, kMaxWorkBytes>
        room;  // one reactor in a process, and its stacks are small
    stack.what.assign(room.data(), DescribeFiber(fiber, room));
    if (fiber.work != nullptr) {
      stack.started = fiber.work->Started();
      stack.is_task = fiber.work->IsTask();
    }
    if (fiber.waits_for != nullptr) {
      stack.waits_for = fiber.waits_for;
    }
    if (fiber.thread != nullptr) {
      stack.thread = fiber.thread->load(std::memory_order_relaxed);
    }
    if (fiber.BytesBelow(__builtin_frame_address(0)) >= kUnwinderBytes) {
      static std::array<void*, kMaxStackFrames> frames;
      const auto count = CaptureOwnStack(frames);
      // Without this function's own.
      stack.frames.assign(frames.begin() + (count == 0 ? 0 : 1),
                          frames.begin() + static_cast<std::ptrdiff_t>(count));
    }
  } catch (const std::exception&) {
    // No memory: it is told as far as it went.
  }
  stack.is_written = true;
}

}  // namespace weft::host::runtime
