#pragma once

#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/http_headers.hpp>
#include "host/pipeline/exchange.hpp"

namespace weft::test {

/// One request's peer, in memory: hands out a body, keeps the answer.
///
/// What it does not imitate: it makes nobody wait (unless `before_call` does), so there is no back-pressure
/// and no time-out; it frames nothing, so nothing is too large; it does not compare the body with an
/// announced length; and after Abort() and Finish() it would still take what is sent (`calls` shows it).
class MemoryExchange final : public host::pipeline::IExchange {
 public:
  enum class Call { kReadBody, kSendHeaders, kSendBody, kFlush, kFinish, kAbort };

  static constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

  // What the peer does.
  std::deque<std::string> body;  ///< one call of ReadBody() hands out one piece, or a part of it
  bool client_gone = false;      ///< every call but Finish() and Abort() throws OperationCancelled
  std::size_t fail_at = kNever;  ///< the call, counted from 1, that throws `failure`
  std::exception_ptr failure;    ///< null: a std::system_error with EIO
  CancellationToken token;       ///< ReadBody() throws when it is cancelled
  std::function<void()> on_cancelled;     ///< called by OnCancelled()
  std::function<void(Call)> before_call;  ///< called first, on the caller's thread or fiber

  bool finishes = true;                               ///< what Finish() returns
  std::shared_ptr<host::pipeline::IReadAhead> ahead;  ///< what ReadAhead() gives

  // What it was told.
  std::vector<Call> calls;               ///< those that failed included
  std::vector<std::thread::id> threads;  ///< of each call
  int status = 0;                        ///< 0: no header block came
  std::string description;
  HttpHeaders headers;
  std::string sent;                 ///< the answer's body
  std::vector<std::size_t> pieces;  ///< how large each SendBody() was
  std::size_t bytes_piped = 0;      ///< of the answer's body, how many came by SendPiped()
  bool aborted = false;
  int cancellations = 0;  ///< how often it was told of one
  int read_aheads = 0;    ///< how often ReadAhead() was asked for

  std::size_t ReadBody(std::span<char> buffer) override;
  std::shared_ptr<host::pipeline::IReadAhead> ReadAhead() override;
  void SendHeaders(int with_status, std::string_view with_description,
                   const HttpHeaders& with_headers) override;
  void SendBody(std::string_view bytes) override;
  void SendPiped(int pipe, std::size_t bytes) override;  ///< one SendBody() in `calls`
  void Flush() override;
  bool Finish() noexcept override;
  void Abort() noexcept override;
  void OnCancelled() noexcept override;

  /// How often a call was made.
  std::size_t Count(Call call) const;
  /// The value of a header that was sent; empty where there is none.
  std::string Header(std::string_view name) const;

 private:
  void Enter(Call call);
};

}  // namespace weft::test
