#pragma once

#include <memory>
#include <string_view>

#include <weft/http_context.hpp>

namespace weft {

/// Answers requests. One that is only this runs on a thread of the blocking pool, where it may block.
class IHttpHandler {
 public:
  virtual ~IHttpHandler() = default;

  /// Answers one request; returning means done. What it throws becomes an error answer: HttpException its own
  /// status, anything else 500. An instance that threw serves no further request.
  virtual void ProcessRequest(HttpContext& context) = 0;
  /// Whether this instance may serve another request after this one. It is asked after each request; an
  /// instance is never entered twice at once.
  virtual bool IsReusable() const = 0;
};

/// A handler that runs on a fiber of the worker's one reactor thread: it may await what <weft/async.hpp>
/// offers, and must not block, for every other request of the worker would wait.
class IHttpAsyncHandler : public IHttpHandler {};

/// A handler that reads the body as it arrives: it is called as soon as the request's parameters are there.
/// Any other handler is called when the whole body is in memory, and not at all when the body is cut short.
class IHttpBufferlessHandler {
 public:
  virtual ~IHttpBufferlessHandler() = default;
};

/// Makes handlers for the requests that a mapping sends to it.
///
/// Threads: called on the request's fiber, by many requests in turn: it may await, must not block, and guards
/// state that it keeps across an await.
class IHttpHandlerFactory {
 public:
  virtual ~IHttpHandlerFactory() = default;

  /// `verb` is the request's method, `file_path` its path without path info, `path_translated` the file that
  /// it names, which need not exist. A null result is answered with 500; so is what it throws, but for
  /// HttpException.
  virtual std::unique_ptr<IHttpHandler> GetHandler(HttpContext& context, std::string_view verb,
                                                   std::string_view file_path,
                                                   std::string_view path_translated) = 0;
  /// Takes the handler back after its request. The factory may pool it; a handler that threw is destroyed and
  /// never comes here.
  virtual void ReleaseHandler(std::unique_ptr<IHttpHandler> handler) = 0;
};

}  // namespace weft
