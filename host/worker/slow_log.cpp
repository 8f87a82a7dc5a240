#include "host/worker/slow_log.hpp"

#include <array>
#include <cstdio>
#include <exception>
#include <string_view>
#include <utility>

#include "host/observe/log.hpp"
#include "host/options/values.hpp"
#include "host/runtime/fiber_stacks.hpp"
#include "host/runtime/thread_stack.hpp"
#include "host/worker/stack_text.hpp"

namespace weft::host::worker {

namespace {

using std::chrono::milliseconds;

/// A thread that runs answers at once; one that waits in a system call is interrupted.
constexpr milliseconds kThreadPatience{200};

std::string Milliseconds(std::chrono::nanoseconds time) {
  return std::to_string(std::chrono::floor<milliseconds>(time).count()) + " ms";
}

/// "request 4-17 GET /a: shop::Report" is of the request 4-17.
bool IsOf(std::string_view what, std::string_view request_id) {
  constexpr std::string_view kBegin = "request ";
  return what.starts_with(kBegin) && what.substr(kBegin.size()).starts_with(request_id) &&
         what.substr(kBegin.size() + request_id.size()).starts_with(' ');
}

}  // namespace

SlowLog::SlowLog(const options::Settings& settings, runtime::Runtime& runtime) : runtime_(runtime) {
  if (!settings.slow_log.empty()) {
    writer_ = std::make_unique<observe::LineWriter>(
        observe::LineSink::ToFile(settings.slow_log, "slow log"),
        observe::LineWriter::Options{.name = "the slow log " + settings.slow_log});
  }
  runtime::PrepareStackCapture();
  thread_ = std::thread([this] { Run(); });
}

SlowLog::~SlowLog() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void SlowLog::Tell(pipeline::SlowRequest request) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMaxWaiting) {
      ++untold_;
      return;
    }
    waiting_.push_back(std::move(request));
    wake_.notify_one();
  } catch (...) {
    // No memory to tell of it.
  }
}

void SlowLog::NoteStall(const runtime::StallWatch::Stall& stall) noexcept {
  if (stall.has_ended || stall.stack.empty()) {
    return;
  }
  try {
    const std::lock_guard lock(mutex_);
    stalled_ = stall.what;
    stall_frames_ = stall.stack;
  } catch (...) {
    // As above.
  }
}

void SlowLog::Reopen() noexcept {
  if (writer_) {
    writer_->Reopen();
  }
}

void SlowLog::Flush() noexcept {
  if (writer_) {
    writer_->Flush();
  }
}

void SlowLog::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stops_ || !waiting_.empty(); });
    if (waiting_.empty()) {
      return;
    }
    auto request = std::move(waiting_.front());
    waiting_.pop_front();
    // With the last that waited: what came in between was left out.
    const auto untold = waiting_.empty() ? std::exchange(untold_, 0) : 0;
    if (stops_) {
      request.work = nullptr;  // the reactor runs no more
    }
    lock.unlock();
    try {
      Write(request, untold);
    } catch (const std::exception&) {
      // No memory to tell of it.
    }
    lock.lock();
  }
}

std::optional<SlowLog::Stack> SlowLog::StackOfStall(const pipeline::SlowRequest& request) {
  const std::lock_guard lock(mutex_);
  if (!IsOf(stalled_, request.request_id)) {
    return std::nullopt;
  }
  return Stack{.frames = WithoutCallers(stall_frames_),
               .note = "; it held the reactor's thread, and its stack was then:"};
}

SlowLog::Stack SlowLog::StackOf(const pipeline::SlowRequest& request) {
  if (auto of_stall = StackOfStall(request)) {
    return std::move(*of_stall);
  }
  if (request.work == nullptr) {
    return {.frames = {},
            .note = request.has_ended ? "; it had ended before it was looked at" : ""};
  }
  const auto fibers = runtime_.CollectStacks(kPatience, request.work);
  if (!fibers) {
    return {.frames = {},
            .note = "; the reactor's thread is held up, and its stack cannot be told"};
  }
  // Another request may have come to its fiber since.
  if (fibers->empty() || !IsOf(fibers->front().what, request.request_id)) {
    return {.frames = {}, .note = "; it has ended meanwhile"};
  }
  const auto& fiber = fibers->front();
  if (fiber.thread != 0) {
    const auto captured = std::make_unique<runtime::CapturedStack>();
    const bool answers = runtime::CaptureStack(fiber.thread, *captured, kThreadPatience);
    if (!answers || !IsOf({captured->note.data(), captured->note_bytes}, request.request_id)) {
      return {.frames = {},
              .note = answers ? "; its thread has ended it meanwhile"
                              : "; its thread does not say where it is"};
    }
    const auto frames = runtime::Symbolise({captured->frames.data(), captured->count});
    auto of_handler = WithoutCallers(frames);
    // Else it is what the handler has offloaded, and the handler is on its fiber.
    if (of_handler.size() == frames.size()) {
      of_handler += "  its fiber:\n" + WithoutCallers(runtime::Symbolise(fiber.frames));
    }
    return {.frames = std::move(of_handler),
            .note = "; its thread " + std::to_string(fiber.thread) + " is here:"};
  }
  const auto waits = fiber.waits_for.empty() ? std::string() : ", and waits for " + fiber.waits_for;
  return {.frames = WithoutCallers(runtime::Symbolise(fiber.frames)),
          .note = waits + "; it is here:"};
}

void SlowLog::Write(const pipeline::SlowRequest& request, std::uint64_t untold) {
  const auto stack = StackOf(request);
  std::string message =
      request.description + ": is slow: " + Milliseconds(request.elapsed) +
      (request.has_ended ? "" : " so far") + " (" +
      (request.threshold_where.empty() ? std::string("--slow-log-threshold ")
                                       : request.threshold_where + ": slowLogThresholdMs, ") +
      options::FormatDuration(request.threshold) + ")";
  if (request.queue_time.count() < 0) {
    message += ", and its handler was not called" + std::string(request.has_ended ? "" : " yet");
  } else {
    message += ", " + Milliseconds(request.queue_time) + " until its handler was called, " +
               Milliseconds(request.elapsed - request.queue_time) + " in it";
  }
  if (!request.entry.empty()) {
    message += ", by the entry '" + request.entry + "'";
  }
  message += stack.note;
  if (untold != 0) {
    message += " (" + std::to_string(untold) + " more were slow before, and are only counted)";
  }
  const std::array fields{
      observe::LogField("elapsed_ms", std::chrono::floor<milliseconds>(request.elapsed).count()),
      observe::LogField("queue_ms",
                        request.queue_time.count() < 0
                            ? std::int64_t{-1}
                            : std::chrono::floor<milliseconds>(request.queue_time).count()),
      observe::LogField("entry", request.entry), observe::LogField("untold", untold)};
  const observe::LogEvent event{.level = observe::Level::kWarning,
                                .message = message,
                                .event = "slow_request",
                                .request = request.request_id,
                                .handler = request.handler,
                                .fields = std::span(fields).first(untold != 0 ? 4 : 3),
                                .stack = stack.frames};
  if (writer_) {
    writer_->Write(observe::FormatEvent(event));
  } else {
    observe::Log(event);
  }
}

}  // namespace weft::host::worker
