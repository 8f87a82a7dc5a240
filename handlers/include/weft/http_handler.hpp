#pragma once

#include <memory>
#include <string_view>

#include <weft/http_context.hpp>

namespace weft {

/// Answers requests. One that is only this runs on a thread of the blocking pool, where it may block.
///
/// Lifetime: instances are made as they are needed, and lent to one request at a time. They are constructed on
/// the reactor's thread, so a constructor must not block: what takes time belongs into the first ProcessRequest().
class IHttpHandler {
 public:
  virtual ~IHttpHandler() = default;

  /// Answers one request; returning means done. What it throws becomes an error answer: HttpException its own
  /// status, anything else 500. An instance that threw serves no further request.
  virtual void ProcessRequest(HttpContext& context) = 0;
  /// Whether this instance may serve another request after this one. It is asked after each request, where
  /// ProcessRequest() ran; what it throws means no. An instance is never entered twice at once.
  virtual bool IsReusable() const = 0;
};

/// A handler that runs on a fiber of the worker's one reactor thread: it may await what <weft/async.hpp>
/// offers, and must not block, for every other request of the worker would wait.
class IHttpAsyncHandler : public IHttpHandler {};

/// A handler that reads the body as it arrives: it is called as soon as the request's parameters are there.
/// Any other handler is called when the whole body has come, and not at all when the body is cut short.
class IHttpBufferlessHandler {
 public:
  virtual ~IHttpBufferlessHandler() = default;
};

/// A handler that is cleaned between two requests: it derives from this beside IHttpHandler.
class IHttpResettableHandler {
 public:
  virtual ~IHttpResettableHandler() = default;

  /// Drops what belongs to the request that is over, before the instance is kept for another. Called after
  /// ProcessRequest() has returned, where that ran, and only when IsReusable() says that there may be a next
  /// request; the response is completed after it. An instance for which it throws is destroyed and serves no
  /// more, the log says so, and the answer is the one that ProcessRequest() made.
  virtual void Reset() = 0;
};

/// A handler of which one instance serves all requests, many at once: on as many threads of the blocking pool.
///
/// By deriving from it a class says that this is safe. The compiler helps: ProcessRequest() is const, so that a
/// member that changes must be `mutable`, an atomic say, or be reached by a pointer, and then is the class's own
/// care. It is registered by AddSharedHandler(), and never asked whether it is reusable.
class IHttpSharedHandler {
 public:
  virtual ~IHttpSharedHandler() = default;

  /// Answers one request, as IHttpHandler::ProcessRequest() does. The instance serves on when it throws.
  virtual void ProcessRequest(HttpContext& context) const = 0;
};

/// A shared handler that runs on fibers of the reactor's thread: IHttpAsyncHandler's rules hold. Its requests take
/// turns where it awaits, and nowhere else.
class IHttpSharedAsyncHandler : public IHttpSharedHandler {};

/// Makes handlers for the requests that a mapping sends to it.
///
/// Threads: called on the request's fiber, by many requests in turn: it may await, must not block, and guards
/// state that it keeps across an await.
/// The life of its handlers is the factory's own affair: neither IsReusable() nor Reset() is called for it.
class IHttpHandlerFactory {
 public:
  virtual ~IHttpHandlerFactory() = default;

  /// `verb` is the request's method, `file_path` its path without path info, `path_translated` the file that
  /// it names, which need not exist. A null result is answered with 500, and the log names the mapping entry; so
  /// is what it throws, but for HttpException, which keeps its status. Other requests do not notice.
  virtual std::unique_ptr<IHttpHandler> GetHandler(HttpContext& context, std::string_view verb,
                                                   std::string_view file_path,
                                                   std::string_view path_translated) = 0;
  /// Takes the handler back after its request. The factory may pool it; a handler that threw is destroyed and
  /// never comes here. What it throws is logged, and the answer stays what it was.
  virtual void ReleaseHandler(std::unique_ptr<IHttpHandler> handler) = 0;
};

}  // namespace weft
