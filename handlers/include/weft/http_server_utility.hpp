#pragma once

#include <chrono>
#include <exception>
#include <string>
#include <string_view>

#include <weft/export.hpp>
#include <weft/http_utility.hpp>

namespace weft {

class HttpContext;
class IHttpHandler;

/// What the server does for a handler. HttpContext::Server(); the encoders are HttpUtility's.
///
/// A path of Execute(), Transfer() and MapPath() is decoded; it is taken as it is when it begins with `/`, from the
/// application's path when it begins with `~/`, and from the folder of Request().FilePath() otherwise. For Execute() and
/// Transfer() it may end in `?` and a query; without one the request's own query stays.
///
/// Lifetime: the context's. Threads: the handler's.
class WEFT_API HttpServerUtility : public HttpUtility {
 public:
  explicit HttpServerUtility(HttpContext& context) noexcept : context_(context) {}

  /// The file that a path names below the document root. As HttpRequest::MapPath(), which throws where it would lead
  /// out of it.
  std::string MapPath(std::string_view path) const;

  /// The name of the machine, which is the container's in a container. Empty where it has none.
  static std::string MachineName();

  /// HttpContext::Error(), and ClearError().
  std::exception_ptr GetLastError() const noexcept;
  void ClearError() noexcept;

  /// How long the request may take in all: `executionTimeoutSeconds` of its folder's mappings, unless it was set anew; 0 once
  /// that has passed.
  std::chrono::milliseconds ScriptTimeout() const;
  /// Has the request's deadline so long after its start, whatever it was: for what takes long once in a while. Nothing happens
  /// where that deadline, or the one before, has passed: the cancellation is not taken back. Throws std::invalid_argument for
  /// less than 1 ms and more than a day, and std::logic_error inside weft::Offload(), and where there is no host.
  void SetScriptTimeout(std::chrono::milliseconds timeout);

  /// Has the handler that is mapped to a path answer too, into the same response, and returns when it has. Whose handler it
  /// is does not matter: the mapping is searched anew, with the method of the request, and a plain handler runs on the
  /// pool, an async one on the request's fiber, whatever the caller is. The request tells the other handler its own
  /// path, query and application, and the caller afterwards the caller's again; RawUrl(), the body, the items, the
  /// deadline, the cancellation and the limits on body and buffer are shared.
  ///
  /// Throws what the other handler throws, and HttpException: with 404 or 405 where nothing is mapped, with 500 where
  /// the path and its query are being executed already, or more than `--max-execute-depth` executions are in one
  /// another, or have used up most of their stack (`--stack-size`); the log has the chain of them. Throws std::logic_error
  /// inside weft::Offload(), and where there is no host.
  void Execute(std::string_view path);
  /// Has this handler answer too, where its kind wants to run. It is the caller's: neither IsReusable() nor Reset() is
  /// called. Throws as the other Execute().
  void Execute(IHttpHandler& handler);

  /// Execute(), after which the response is complete: what was written before stays in front of it, and a Write() after it
  /// throws std::logic_error. It returns, and throws nothing to end the caller: `return context.Server().Transfer("/b");`.
  /// What the caller throws after it is logged, and cuts the answer.
  void Transfer(std::string_view path);
  void Transfer(IHttpHandler& handler);

 private:
  std::string AbsolutePath(std::string_view path) const;

  HttpContext& context_;
};

}  // namespace weft
