#pragma once

#include <cstddef>

#include <weft/cancellation.hpp>
#include <weft/export.hpp>
#include <weft/http_request.hpp>
#include <weft/http_response.hpp>

namespace weft {

/// One request and its response, handed to a handler's ProcessRequest().
///
/// Lifetime: from the request's last parameter until its response is sealed. A handler keeps nothing of it.
/// Threads: one at a time, the handler's; Cancellation() from any.
class WEFT_API HttpContext {
 public:
  /// `response_buffer_bytes`: see HttpResponse. `settings` must outlive the context; null: the defaults.
  HttpContext(ServerVariableCollection variables, HttpWorkerRequest& worker_request,
              CancellationToken cancellation, std::size_t response_buffer_bytes,
              const HttpRequestSettings* settings = nullptr);
  HttpContext(const HttpContext&) = delete;
  HttpContext& operator=(const HttpContext&) = delete;

  HttpRequest& Request() noexcept { return request_; }
  const HttpRequest& Request() const noexcept { return request_; }
  HttpResponse& Response() noexcept { return response_; }
  const HttpResponse& Response() const noexcept { return response_; }

  /// Who has logged in at the web server, if anybody.
  HttpUser User() const noexcept { return request_.User(); }

  /// Cancelled when the client leaves, the deadline passes, or the worker stops.
  const CancellationToken& Cancellation() const noexcept { return cancellation_; }

 private:
  HttpRequest request_;
  HttpResponse response_;
  CancellationToken cancellation_;
};

}  // namespace weft
