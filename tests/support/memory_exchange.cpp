#include "tests/support/memory_exchange.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <weft/cancellation.hpp>

namespace weft::test {

void MemoryExchange::Enter(Call call) {
  calls.push_back(call);
  threads.push_back(std::this_thread::get_id());
  if (before_call) {
    before_call(call);
  }
  if (client_gone) {
    throw OperationCancelled(CancellationReason::kClientGone);
  }
  if (calls.size() == fail_at) {
    if (failure) {
      std::rethrow_exception(failure);
    }
    throw std::system_error(EIO, std::generic_category(), "the exchange");
  }
}

std::size_t MemoryExchange::ReadBody(std::span<char> buffer) {
  Enter(Call::kReadBody);
  token.ThrowIfCancellationRequested();
  while (!body.empty() && body.front().empty()) {
    body.pop_front();
  }
  if (body.empty()) {
    return 0;
  }
  const auto count = body.front().copy(buffer.data(), buffer.size());
  body.front().erase(0, count);
  return count;
}

std::shared_ptr<host::pipeline::IReadAhead> MemoryExchange::ReadAhead() {
  ++read_aheads;
  return ahead;
}

void MemoryExchange::SendHeaders(int with_status, std::string_view with_description,
                                 const HttpHeaders& with_headers) {
  Enter(Call::kSendHeaders);
  status = with_status;
  description = with_description;
  headers = with_headers;
}

void MemoryExchange::SendBody(std::string_view bytes) {
  Enter(Call::kSendBody);
  sent += bytes;
  pieces.push_back(bytes.size());
}

void MemoryExchange::SendPiped(int pipe, std::size_t bytes) {
  Enter(Call::kSendBody);
  std::string text(bytes, '\0');
  for (std::size_t at = 0; at < bytes;) {
    const auto count = read(pipe, text.data() + at, bytes - at);
    if (count <= 0) {
      throw std::system_error(errno, std::generic_category(), "read a pipe");
    }
    at += static_cast<std::size_t>(count);
  }
  sent += text;
  pieces.push_back(bytes);
  bytes_piped += bytes;
}

void MemoryExchange::Flush() { Enter(Call::kFlush); }

bool MemoryExchange::Finish() noexcept {
  calls.push_back(Call::kFinish);
  threads.push_back(std::this_thread::get_id());
  if (before_call) {
    before_call(Call::kFinish);
  }
  return finishes;
}

void MemoryExchange::Abort() noexcept {
  calls.push_back(Call::kAbort);
  threads.push_back(std::this_thread::get_id());
  aborted = true;
}

void MemoryExchange::OnCancelled() noexcept {
  ++cancellations;
  if (on_cancelled) {
    on_cancelled();
  }
}

std::size_t MemoryExchange::Count(Call call) const {
  return static_cast<std::size_t>(std::count(calls.begin(), calls.end(), call));
}

std::string MemoryExchange::Header(std::string_view name) const {
  return std::string(headers.Find(name).value_or(std::string_view()));
}

}  // namespace weft::test
