#include "host/pipeline/request_io.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <stdexcept>
#include <string>

#include <weft/http_exception.hpp>
#include "host/runtime/fiber_event.hpp"

namespace weft::host::pipeline {

namespace {

using observe::RequestState;

/// Of a body of which so much has been read more is received while a thread works on what it has: shorter ones gain nothing.
constexpr std::uint64_t kReadAheadFrom = 256 * 1024;
/// A thread waits so long by itself for what may come any moment, before it has the fiber wait, which knows of time-outs, of
/// failures and of cancellation: two changes of threads instead of four.
constexpr std::chrono::milliseconds kOwnPatience{5};

HttpException TooLarge(std::uint64_t bytes, std::uint64_t max_bytes, const char* what) {
  return HttpException(413, {},
                       "the body " + std::string(what) + " " + std::to_string(bytes) +
                           " bytes, the limit is " + std::to_string(max_bytes) +
                           " (--max-request-bytes, or maxRequestBytes of a mapping)")
      .WithCause(cause::kBodyTooLarge);
}

}  // namespace

void RequestIo::SetBodyBounds(std::string_view announced, std::uint64_t max_bytes) {
  max_bytes_ = max_bytes;
  // Absent and empty both say that the length is not known: the body then ends where STDIN does.
  if (announced.empty()) {
    return;
  }
  std::uint64_t length = 0;
  const auto* const end = announced.data() + announced.size();
  const auto [parsed, error] = std::from_chars(announced.data(), end, length);
  if (error != std::errc() || parsed != end) {
    throw HttpException(400, "Content-Length is no number of bytes.", std::string(announced))
        .WithCause(cause::kBodyLengthMalformed);
  }
  if (length > max_bytes) {
    throw TooLarge(length, max_bytes, "is announced with");
  }
  announced_ = length;
}

template <typename F>
void RequestIo::OnFiber(F&& function) {
  if (gateway_ != nullptr) {
    gateway_->RunOnFiber(function);
  } else if (runtime::Runtime::OnReactorThread()) {
    function();
  } else {
    throw std::logic_error(
        "a request or response is used inside weft::Offload: read before it, write after it");
  }
}

void RequestIo::CheckNotCancelled() const {
  if (!cancellation_.IsCancellationRequested()) {
    return;
  }
  if (gateway_ == nullptr && runtime::Runtime::OnReactorThread()) {
    // Who catches this and tries again must not keep the others from their turn.
    runtime::YieldFiber();
  }
  cancellation_.ThrowIfCancellationRequested();
}

template <typename F>
void RequestIo::While(observe::RequestState state, F&& function) {
  if (counted_ == nullptr) {
    function();
    return;
  }
  const observe::RequestPhase phase(*counted_, state);
  if (trace_ == nullptr) {
    function();
    return;
  }
  // Also of a wait that ends by an exception.
  struct Timed {
    ~Timed() {
      const auto time = observe::RequestTrace::Clock::now() - began;
      state == RequestState::kWriting ? trace.AddWriting(time) : trace.AddReading(time);
    }
    observe::RequestTrace& trace;
    RequestState state;
    observe::RequestTrace::Clock::time_point began = observe::RequestTrace::Clock::now();
  } const timed{*trace_, state};
  function();
}

void RequestIo::CheckMaySend() const {
  if (answer_ended_) {
    throw std::logic_error(
        "the response is complete: what runs at a request's end adds nothing to it");
  }
  if (!error_answer_) {
    CheckNotCancelled();
  }
}

void RequestIo::CheckNotAbandoned() const {
  if (abandoned_) {
    throw OperationCancelled(cancellation_.Reason());
  }
}

std::size_t RequestIo::ReadBody(std::span<char> buffer) {
  if (announced_) {
    buffer = buffer.first(
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), *announced_ - received_)));
  }
  if (buffer.empty()) {
    return 0;
  }
  if (request_ended_) {
    throw std::logic_error("the request is finished: its body is read before that, or not at all");
  }
  CheckNotCancelled();
  std::size_t count = 0;
  if (gateway_ != nullptr && ahead_ != nullptr) {
    count = ahead_->Take(buffer, kOwnPatience);
  }
  if (count == 0) {
    OnFiber([&] {
      CheckNotAbandoned();
      While(RequestState::kReadingBody, [&] { count = exchange_.ReadBody(buffer); });
      if (gateway_ != nullptr && ahead_ == nullptr && received_ >= kReadAheadFrom) {
        ahead_ = exchange_.ReadAhead();
      }
    });
  }
  received_ += count;
  if (count == 0 && announced_ && received_ < *announced_) {
    throw HttpException(
        400, "The body is shorter than its Content-Length.",
        std::to_string(received_) + " of " + std::to_string(*announced_) + " bytes came")
        .WithCause(cause::kBodyTooShort);
  }
  if (received_ > max_bytes_) {
    throw TooLarge(received_, max_bytes_, "has more than");
  }
  return count;
}

void RequestIo::HoldBody(std::size_t memory_bytes, std::uint64_t file_bytes) {
  const auto hold = [](BodyBudget& budget, std::size_t& held, std::size_t bytes) {
    if (bytes > held && !budget.TryTake(bytes - held)) {
      throw budget.Exceeded();
    }
    if (bytes < held) {
      budget.GiveBack(held - bytes);
    }
    held = bytes;
  };
  if (memory_bytes != held_in_memory_ || file_bytes != held_in_files_) {
    OnFiber([&] {
      hold(memory_, held_in_memory_, memory_bytes);
      hold(files_, held_in_files_, static_cast<std::size_t>(file_bytes));
    });
  }
}

void RequestIo::SendHeaders(int status, std::string_view description, const HttpHeaders& headers) {
  CheckMaySend();
  OnFiber([&] {
    CheckNotAbandoned();
    headers_sent_ = true;
    if (trace_ != nullptr) {
      trace_->SetAnswer(headers);
    }
    While(RequestState::kWriting, [&] { exchange_.SendHeaders(status, description, headers); });
    header_bytes_sent_ = std::string_view("Status: 200 \r\n\r\n").size() + description.size();
    for (const auto& [name, value] : headers) {
      header_bytes_sent_ += name.size() + value.size() + std::string_view(": \r\n").size();
    }
  });
}

void RequestIo::SendBody(std::string_view bytes) {
  CheckMaySend();
  OnFiber([&] {
    CheckNotAbandoned();
    While(RequestState::kWriting, [&] { exchange_.SendBody(bytes); });
    body_bytes_sent_ += bytes.size();
  });
}

void RequestIo::SendPiped(int pipe, std::size_t bytes) {
  CheckMaySend();
  OnFiber([&] {
    CheckNotAbandoned();
    While(RequestState::kWriting, [&] { exchange_.SendPiped(pipe, bytes); });
    body_bytes_sent_ += bytes;
  });
}

void RequestIo::Flush() {
  CheckMaySend();
  OnFiber([&] {
    CheckNotAbandoned();
    While(RequestState::kWriting, [&] { exchange_.Flush(); });
  });
}

bool RequestIo::Finish() {
  CheckMaySend();
  bool finished = false;
  OnFiber([&] {
    CheckNotAbandoned();
    finished = finisher_ != nullptr && finisher_->Finish();
  });
  return finished;
}

}  // namespace weft::host::pipeline
