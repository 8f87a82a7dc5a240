#include "host/observe/line_writer.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "host/observe/log.hpp"

namespace weft::host::observe {

namespace {

constexpr int kNobodyReads = 0;  // in place of an error of the system
/// So many bytes are written without waiting for more: what the longest log line and a good write(2) have.
constexpr std::size_t kGatheredBytes = 65'536;

}  // namespace

LineWriter::LineWriter(LineSink sink, Options options)
    : sink_(std::move(sink)), options_(std::move(options)), thread_([this] { RunThread(); }) {}

LineWriter::LineWriter(int descriptor, std::string name)
    : LineWriter(LineSink::ToDescriptor(descriptor),
                 {.name = std::move(name), .is_last_resort = descriptor == STDERR_FILENO}) {}

LineWriter::~LineWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    end_at_ = Clock::now() + kFarewell;
  }
  wake_.notify_one();
  thread_.join();
}

void LineWriter::Write(std::string_view line) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() + line.size() + 1 > kMaxWaitingBytes) {
      if (dropped_++ == 0) {
        wake_.notify_one();
      }
      return;
    }
    const auto before = waiting_.size();
    waiting_.append(line).push_back('\n');
    const bool wakes =
        gathers_ ? before < kGatheredBytes && waiting_.size() >= kGatheredBytes : before == 0;
    if (wakes) {
      wake_.notify_one();
    }
  } catch (...) {
    // No memory for a line: the request that it tells of matters more.
  }
}

void LineWriter::Flush() noexcept {
  std::unique_lock lock(mutex_);
  flushes_ = !waiting_.empty();
  wake_.notify_one();
  written_.wait_for(lock, kFarewell, [this] { return waiting_.empty() && !writing_; });
}

void LineWriter::Reopen() noexcept {
  const std::lock_guard lock(mutex_);
  reopens_ = true;
  wake_.notify_one();
}

void LineWriter::SetTimer(Clock::time_point when) noexcept {
  const std::lock_guard lock(mutex_);
  timer_ = when;
  wake_.notify_one();
}

void LineWriter::RunThread() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto has_work = [this] {
      return stopping_ || !waiting_.empty() || dropped_ != 0 || reopens_;
    };
    // Not wait_until(max()), which overflows in some versions of the library.
    while (!has_work() && timer_ == Clock::time_point::max()) {
      wake_.wait(lock);
    }
    while (!has_work() && Clock::now() < timer_) {
      wake_.wait_until(lock, timer_);
    }
    if (timer_ != Clock::time_point::max() && (stopping_ || Clock::now() >= timer_)) {
      timer_ = Clock::time_point::max();
      lock.unlock();
      try {
        options_.on_timer();
      } catch (...) {
        // No memory: what it had to tell is told later, or never.
      }
      lock.lock();
      continue;
    }
    const bool reopens = std::exchange(reopens_, false);
    if (waiting_.empty() && dropped_ == 0 && !reopens) {
      break;
    }
    flushes_ = false;
    std::string lines = std::exchange(waiting_, {});
    const auto dropped = std::exchange(dropped_, 0);
    writing_ = true;
    lock.unlock();
    if (reopens) {
      OpenAnew();
    }
    if (dropped != 0) {
      try {
        const auto line = options_.tell_dropped
                              ? options_.tell_dropped(dropped)
                              : "weft: " + std::to_string(dropped) +
                                    " lines of the log were dropped: nobody read it";
        if (!line.empty()) {
          lines.append(line).append("\n");
        }
      } catch (...) {
        // No memory to tell of it.
      }
    }
    WriteAll(lines);
    lock.lock();
    writing_ = false;
    written_.notify_all();
    Gather(lock);
  }
  lock.unlock();
  TellOfLoss();
}

void LineWriter::Gather(std::unique_lock<std::mutex>& lock) {
  if (options_.gather.count() == 0) {
    return;
  }
  gathers_ = true;
  const auto until = std::min(Clock::now() + options_.gather, timer_);
  wake_.wait_until(lock, until, [this] {
    return stopping_ || flushes_ || reopens_ || dropped_ != 0 || waiting_.size() >= kGatheredBytes;
  });
  gathers_ = false;
}

void LineWriter::OpenAnew() noexcept {
  if (sink_.Reopen()) {
    line_is_cut_ = false;
    return;
  }
  const int error = errno;
  try {
    // Who rotates is root, and who writes may be somebody else.
    const std::string advice =
        error == EACCES ? ": let the user of this process write it, by 'create 0640 USER GROUP' of "
                          "logrotate, say"
                        : "";
    WriteToStandardError("weft: " + options_.name +
                         " cannot be opened anew: " + std::generic_category().message(error) +
                         "; its lines go where they went before" + advice + "\n");
  } catch (...) {
    // No memory to tell of it.
  }
}

void LineWriter::WriteAll(std::string_view lines) noexcept {
  // Its rest is lost: completed now, it could follow the line of another process.
  std::string_view end_of_cut_line = line_is_cut_ && sink_.MayCut() ? "\n" : "";
  auto error = WriteUntilError(end_of_cut_line);
  if (!error) {
    error = WriteUntilError(lines);
  }
  if (error) {
    Lose(lines, *error);
  }
}

/// Takes what was written off the front of `text`. Returns what kept the rest of it from being written, if anything.
std::optional<int> LineWriter::WriteUntilError(std::string_view& text) noexcept {
  while (!text.empty()) {
    const auto count = sink_.Write(text);
    if (count < 0) {
      return errno;
    }
    if (count > 0) {
      line_is_cut_ = text[static_cast<std::size_t>(count) - 1] != '\n';
    }
    text.remove_prefix(static_cast<std::size_t>(count));
    if (count == 0 && !WaitForReader()) {
      return kNobodyReads;
    }
  }
  return std::nullopt;
}

/// False when there is no more time for that.
bool LineWriter::WaitForReader() noexcept {
  auto patience = kFarewell;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      patience = std::chrono::ceil<std::chrono::milliseconds>(end_at_ - Clock::now());
    }
  }
  if (patience.count() <= 0) {
    return false;
  }
  pollfd writable{sink_.Descriptor(), POLLOUT, 0};
  poll(&writable, 1, static_cast<int>(patience.count()));
  return true;
}

void LineWriter::Lose(std::string_view lines, int error) noexcept {
  if (options_.is_last_resort) {
    return;  // there is nowhere to tell
  }
  lost_ += sink_.Count(lines);
  loss_error_ = error;
  // What nobody reads is lost at the end alone, and told of there.
  const bool was_told = told_at_ != Clock::time_point{} && Clock::now() - told_at_ < kTellEvery;
  if (error != kNobodyReads && !was_told) {
    TellOfLoss();
  }
}

void LineWriter::TellOfLoss() noexcept {
  if (lost_ == 0) {
    return;
  }
  try {
    WriteToStandardError("weft: " + std::to_string(lost_) + " lines of " + options_.name +
                         " could not be written: " +
                         (loss_error_ == kNobodyReads
                              ? "nobody reads them"
                              : std::generic_category().message(loss_error_)) +
                         "\n");
    lost_ = 0;
    told_at_ = Clock::now();
  } catch (...) {
    // No memory to tell of it: the next time.
  }
}

}  // namespace weft::host::observe
