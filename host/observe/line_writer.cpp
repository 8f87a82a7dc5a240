#include "host/observe/line_writer.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace weft::host::observe {

namespace {

/// How long lines may hold up the end of the process when nobody reads them.
constexpr std::chrono::milliseconds kFarewell{200};

}  // namespace

LineWriter::LineWriter(int descriptor, std::string name)
    : descriptor_(descriptor), name_(std::move(name)), thread_([this] { RunThread(); }) {}

LineWriter::~LineWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
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
    const bool idle = waiting_.empty();
    waiting_.append(line).push_back('\n');
    if (idle) {
      wake_.notify_one();
    }
  } catch (...) {
    // No memory for a line: the request that it tells of matters more.
  }
}

void LineWriter::Flush() noexcept {
  std::unique_lock lock(mutex_);
  written_.wait_for(lock, kFarewell, [this] { return waiting_.empty() && !writing_; });
}

void LineWriter::ReportLoss(std::size_t lines, int error) const noexcept {
  if (descriptor_ == STDERR_FILENO) {
    return;  // there is nowhere to tell
  }
  try {
    const std::string text = "weft: " + std::to_string(lines) + " lines of " + name_ +
                             " could not be written: " + std::generic_category().message(error) +
                             "\n";
    pollfd writable{STDERR_FILENO, POLLOUT, 0};
    if (poll(&writable, 1, 0) > 0) {
      static_cast<void>(!write(STDERR_FILENO, text.data(), text.size()));
    }
  } catch (...) {
    // No memory to tell of it.
  }
}

void LineWriter::RunThread() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty() || dropped_ != 0; });
    if (waiting_.empty() && dropped_ == 0) {
      return;
    }
    std::string lines = std::exchange(waiting_, {});
    if (const auto dropped = std::exchange(dropped_, 0)) {
      lines +=
          "weft: " + std::to_string(dropped) + " lines of the log were dropped: nobody read it\n";
    }
    writing_ = true;
    lock.unlock();
    for (std::size_t written = 0; written < lines.size();) {
      pollfd writable{descriptor_, POLLOUT, 0};
      if (poll(&writable, 1, static_cast<int>(kFarewell.count())) == 0) {
        const std::lock_guard relock(mutex_);
        if (stopping_) {
          return;
        }
        continue;
      }
      // At most PIPE_BUF bytes, so that a pipe said to be writable takes them all without blocking, and whole
      // lines, so that those of other processes do not come between.
      auto piece = std::string_view(lines).substr(written, 4096);
      if (const auto end = piece.rfind('\n'); end != std::string_view::npos) {
        piece = piece.substr(0, end + 1);
      }
      const auto count = write(descriptor_, piece.data(), piece.size());
      if (count < 0 && errno != EINTR && errno != EAGAIN) {
        const auto rest = std::string_view(lines).substr(written);
        ReportLoss(static_cast<std::size_t>(std::count(rest.begin(), rest.end(), '\n')), errno);
        break;
      }
      written += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    lock.lock();
    writing_ = false;
    written_.notify_all();
  }
}

}  // namespace weft::host::observe
