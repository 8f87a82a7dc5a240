#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>

#include <weft/http_worker_request.hpp>

namespace weft::host::pipeline {

/// What came of a body before anybody asked for it, for a handler's thread that takes it without its request's fiber.
///
/// Threads: one at a time, the handler's. Lifetime: shared; it is empty once the request has ended.
class IReadAhead {
 public:
  virtual ~IReadAhead() = default;
  /// Waits for at most `patience`, and copies at most `buffer.size()` bytes of what is there. 0: nothing came, or it is not for
  /// here to say what did; IExchange::ReadBody() knows.
  virtual std::size_t Take(std::span<char> buffer, std::chrono::microseconds patience) noexcept = 0;
};

/// How the pipeline reaches the peer of one request: FastCGI, a replayed recording, or a test's memory.
///
/// Threads: called on the request's fiber alone, also for handlers that run elsewhere.
class IExchange : public HttpWorkerRequest {
 public:
  /// The body will be read to its end, by a thread: what comes of it from now on shall go there, and does not wait for a
  /// ReadBody(), which may be called all the same. Null: not now, or not here.
  virtual std::shared_ptr<IReadAhead> ReadAhead() { return nullptr; }
  /// What was sent so far must not look like a whole answer. Nothing is sent after it. Does nothing after Finish().
  virtual void Abort() noexcept = 0;
  /// As HttpWorkerRequest has it, and throws nothing: what there was to send was flushed. The source of the request's
  /// cancellation is no longer the peer's then: it may go with it.
  bool Finish() noexcept override = 0;
  /// The request was cancelled, maybe while a call waits: it shall wait no longer. A ReadBody() throws then; what
  /// is sent is taken without waiting. Nothing after Finish(). The one member that is called beside the others, on the reactor.
  virtual void OnCancelled() noexcept = 0;
};

}  // namespace weft::host::pipeline
