#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <weft/export.hpp>
#include <weft/http_headers.hpp>

namespace weft {

/// What an HttpContext needs of the host beneath it: the body coming in and the response going out.
///
/// The host implements it over FastCGI; test kits implement it in memory. Handlers do not call it.
///
/// Threads: one caller at a time, on the thread or fiber that runs the handler.
/// Throws: OperationCancelled when the request was cancelled; HttpException(400 or 413) for a body that is
/// shorter than announced, or over its bound.
class WEFT_API HttpWorkerRequest {
 public:
  virtual ~HttpWorkerRequest() = default;

  /// Waits for body bytes and copies at most `buffer.size()` of them; 0 is the end of the body.
  virtual std::size_t ReadBody(std::span<char> buffer) = 0;
  /// The request keeps so much of its body from now on, in memory and in a temporary file; at its end nothing. Throws
  /// HttpException(503) when that is too much beside what others keep.
  virtual void HoldBody(std::size_t memory_bytes, std::uint64_t file_bytes);
  /// Sends the header block, before any SendBody(). Called once, and again only where it threw.
  ///
  /// A call that throws has sent nothing, or its peer has gone, and nothing that is sent later gets there:
  /// HttpResponse holds its header block for unsent then, and its handler may send another.
  virtual void SendHeaders(int status, std::string_view description,
                           const HttpHeaders& headers) = 0;
  /// Sends body bytes; waits while the peer takes no more. `bytes` are needed only during the call.
  virtual void SendBody(std::string_view bytes) = 0;
  /// The same with bytes that are in a pipe, which holds that many. Where it throws, some may be left there. By default
  /// they are read, and sent by SendBody().
  virtual void SendPiped(int pipe, std::size_t bytes);
  /// Pushes what was sent so far to the web server.
  virtual void Flush() = 0;
  /// Ends the request for its peer, which has the whole answer then, while the handler works on. False: not now, it ends
  /// with its handler. After it nothing is read or sent.
  virtual bool Finish() {
    Flush();
    return false;
  }
};

}  // namespace weft
