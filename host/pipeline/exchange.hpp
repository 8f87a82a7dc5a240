#pragma once

#include <weft/http_worker_request.hpp>

namespace weft::host::pipeline {

/// How the pipeline reaches the peer of one request: FastCGI, a replayed recording, or a test's memory.
///
/// Threads: called on the request's fiber alone, also for handlers that run elsewhere.
class IExchange : public HttpWorkerRequest {
 public:
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
