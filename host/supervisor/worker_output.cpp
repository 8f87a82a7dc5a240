#include "host/supervisor/worker_output.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <utility>

#include "host/observe/log.hpp"

namespace weft::host::supervisor {
namespace {

/// Pieces of 64 KiB in a round, of a worker that does not stop writing. A pipe holds one.
constexpr int kMaxPieces = 2;
/// At its end: what others write that it has started is not waited for.
constexpr int kMaxLastPieces = 16;
constexpr std::chrono::seconds kTellDroppedAfter{1};
/// How Weft itself writes where there is no log: as memory has run out, or a stack over.
constexpr std::string_view kOwn = "weft: ";

}  // namespace

WorkerOutput::WorkerOutput(FileDescriptor pipe, pid_t pid, std::string process, std::size_t rate,
                           std::size_t burst)
    : pipe_(std::move(pipe)),
      pid_(pid),
      process_(std::move(process)),
      reader_([this](const observe::OutputLine& line) { Take(line); }) {
  limit_.Set(rate, burst);
}

WorkerOutput::WorkerOutput(FileDescriptor pipe, pid_t pid, State state, std::size_t rate,
                           std::size_t burst)
    : WorkerOutput(std::move(pipe), pid, std::move(state.process), rate, burst) {
  reader_.GoOnFrom(std::move(state.reader));
  last_ = std::move(state.last);
}

void WorkerOutput::Read() noexcept {
  for (int i = 0; i < kMaxPieces && ReadPiece(); ++i) {
  }
}

void WorkerOutput::End() noexcept {
  for (int i = 0; i < kMaxLastPieces && ReadPiece(); ++i) {
  }
  pipe_.Close();
  try {
    reader_.End();
  } catch (const std::exception&) {
    // No memory: what was not ended is lost.
  }
  TellDropped(Clock::time_point::max());
}

bool WorkerOutput::ReadPiece() noexcept {
  if (!pipe_.IsOpen()) return false;
  std::array<char, 65'536> piece;
  const ssize_t count = ::read(pipe_.Number(), piece.data(), piece.size());
  if (count < 0) return errno == EINTR;
  if (count == 0) {
    pipe_.Close();
    return false;
  }
  try {
    reader_.Read({piece.data(), static_cast<std::size_t>(count)});
  } catch (const std::exception&) {
    // No memory: a piece is lost.
  }
  return true;
}

void WorkerOutput::Take(const observe::OutputLine& line) {
  const auto now = Clock::now();
  if (line.is_error) {
    last_.push_back({.at = now, .text = std::string(line.text.substr(0, kMaxLastBytes))});
    if (last_.size() > kMaxLastLines) last_.pop_front();
  }
  const auto dropped = limit_.Pass({}, observe::Level::kWarning, {}, now);
  if (dropped) {
    tell_at_ = Clock::time_point::max();
    Log(line, *dropped);
  } else if (tell_at_ == Clock::time_point::max()) {
    tell_at_ = now + kTellDroppedAfter;
  }
}

void WorkerOutput::Log(const observe::OutputLine& line, std::uint64_t dropped) const {
  const bool is_own = line.is_error && line.text.starts_with(kOwn);
  std::string message;
  if (is_own) {
    message = line.text.substr(kOwn.size());
  } else {
    if (!line.handler.empty()) message.append(line.handler).append(": ");
    message.append(line.is_error ? "standard error: " : "standard output: ").append(line.text);
  }
  if (line.left_out != 0) {
    message += "... (" + std::to_string(line.left_out) + " bytes of this line are left out)";
  }
  if (dropped != 0) {
    message += "; " + std::to_string(dropped) + " lines of it before were dropped (--log-rate)";
  }
  const std::array fields{
      observe::LogField("stream", line.is_error ? "stderr" : "stdout"),
      observe::LogField("dropped", dropped),
  };
  observe::LogAll({.level = is_own          ? observe::Level::kError
                            : line.is_error ? observe::Level::kWarning
                                            : observe::Level::kInfo,
                   .message = message,
                   .event = is_own ? "worker_message" : "handler_output",
                   .request = line.request,
                   .handler = line.handler,
                   .fields = std::span(fields).first(dropped != 0 ? 2 : 1),
                   .pid = pid_,
                   .process = process_,
                   .is_about_no_request = true});
}

std::string WorkerOutput::LastLines() const {
  std::string words;
  for (const Line& line : last_) {
    if (Clock::now() - line.at > kLastWordsAge) continue;
    words += (words.empty() ? "" : " / ") + line.text;
  }
  if (words.size() > kMaxLastBytes) words = "..." + words.substr(words.size() - kMaxLastBytes);
  return words;
}

std::string WorkerOutput::LastWords() const {
  const std::string lines = LastLines();
  return lines.empty() ? lines : "; its last words: " + lines;
}

void WorkerOutput::TellDropped(Clock::time_point now) noexcept {
  if (now < tell_at_ || tell_at_ == Clock::time_point::max()) return;
  tell_at_ = Clock::time_point::max();
  try {
    for (const auto& dropped : limit_.TakeUntold()) {
      const auto message = std::to_string(dropped.count) +
                           " lines of what its handlers wrote were dropped (--log-rate)";
      const std::array fields{observe::LogField("dropped", dropped.count)};
      observe::LogAll({.level = observe::Level::kWarning,
                       .message = message,
                       .event = "handler_output_dropped",
                       .fields = fields,
                       .pid = pid_,
                       .process = process_,
                       .is_about_no_request = true});
    }
  } catch (const std::exception&) {
    // No memory to tell of it.
  }
}

}  // namespace weft::host::supervisor
