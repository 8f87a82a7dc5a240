#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <ostream>
#include <streambuf>
#include <string>
#include <string_view>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/conditional_request.hpp>
#include <weft/http_cache_policy.hpp>
#include <weft/http_response.hpp>

namespace weft {

/// HttpResponse::Output()'s way to Write().
class ResponseStreamBuffer final : public std::streambuf {
 public:
  explicit ResponseStreamBuffer(HttpResponse& response) : response_(response) {}

 private:
  std::streamsize xsputn(const char* text, std::streamsize count) override;
  int_type overflow(int_type c) override;

  HttpResponse& response_;
};

/// HttpResponse::Output(): with its buffer, and letting through what that throws.
class ResponseStream final : public std::ostream {
 public:
  explicit ResponseStream(HttpResponse& response);

 private:
  ResponseStreamBuffer buffer_;
};

/// What few responses have.
struct HttpResponse::Details {
  std::optional<std::string> charset{};  // that SetCharset() or SetContentType() named
  CauseName cause{};
  std::optional<HttpCachePolicy> cache{};
  /// What the conditions of the request have made of the answer.
  PreconditionResult precondition = PreconditionResult::kHolds;
  std::string log_text{};
  std::size_t suspended_buffer_bytes = 0;  // while BufferOutput() is off
  std::optional<ResponseStream> output{};
  std::vector<std::function<void(HttpContext&)>> sending_headers{};
  bool sends_headers = false;          // they are being called
  std::exception_ptr sending_error{};  // that one of them threw
  /// Part of the body has left, and what follows it cannot: whoever catches that does not make the answer whole.
  std::exception_ptr body_error{};
  std::optional<CancellationSource> client_gone{};
  CancellationRegistration client_gone_registration{};  // goes before what it cancels
};

}  // namespace weft
