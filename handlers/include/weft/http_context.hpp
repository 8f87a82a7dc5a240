#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/export.hpp>
#include <weft/http_application.hpp>
#include <weft/http_items.hpp>
#include <weft/http_principal.hpp>
#include <weft/http_request.hpp>
#include <weft/http_response.hpp>
#include <weft/http_server_utility.hpp>

namespace weft {

class IHttpHandler;

namespace detail {
class IConfigSections;
class IRequestExecution;
struct ContextState;
}  // namespace detail

/// One request and its response, handed to a handler's ProcessRequest().
///
/// Lifetime: from the request's last parameter until its response is complete, and what AddOnRequestCompleted() was
/// given has run. A handler keeps nothing of it.
/// Threads: one at a time, the handler's; Cancellation(), RequestId(), Timestamp() and MonotonicTimestamp() from any.
class WEFT_API HttpContext {
 public:
  /// `response_buffer_bytes`: see HttpResponse. `settings` must outlive the context; null: the defaults.
  /// `request_number`: of this request among the process's; RequestId() is made of it.
  HttpContext(ServerVariableCollection variables, HttpWorkerRequest& worker_request,
              CancellationToken cancellation, std::size_t response_buffer_bytes,
              const HttpRequestSettings* settings = nullptr, std::uint64_t request_number = 0);
  HttpContext(const HttpContext&) = delete;
  HttpContext& operator=(const HttpContext&) = delete;
  ~HttpContext();

  HttpRequest& Request() noexcept { return request_; }
  const HttpRequest& Request() const noexcept { return request_; }
  HttpResponse& Response() noexcept { return response_; }
  const HttpResponse& Response() const noexcept { return response_; }

  /// Cancelled when the client leaves, the deadline passes, or the worker stops.
  const CancellationToken& Cancellation() const noexcept { return cancellation_; }

  /// What the modules of this worker share. Throws std::logic_error where the host set none.
  HttpApplicationState& Application() const;
  /// The host does so once. Lifetime: must outlive the context.
  void SetApplication(HttpApplicationState* application) noexcept { application_ = application; }

  /// Encoders, MapPath(), and the execution of other handlers.
  HttpServerUtility Server() noexcept { return HttpServerUtility(*this); }

  /// How many executions of Server() are going on in one another: 0 in the handler that the request was mapped to. One that
  /// finds itself inside another leaves what is the whole answer's alone: Content-Length, validators, the status.
  std::size_t ExecutionDepth() const noexcept;

  /// Evaluates the conditions of the request (RFC 9110, section 13.2.2) against the state that the resource is in, and where
  /// they do not hold makes the answer: 412, or 304 for GET and HEAD. To be asked once the request is found good, and before
  /// the handler changes anything:
  ///
  ///     if (!context.PreconditionsHold({.etag = order.tag, .last_modified = order.changed})) return;
  ///
  /// False: the answer is made, and what is written to it is dropped. Inside Server().Execute() it is true: conditions are about
  /// the whole answer. Throws std::logic_error where the header block was sent already. A GET that sets its validators in the
  /// response needs none of this: see HttpResponse::IsBodyWanted().
  [[nodiscard]] bool PreconditionsHold(const Validators& current);

  /// Has the request say another path from now on, and another query where one is given; RawUrl() stays. The handler that is
  /// chosen stays too: to have another one answer, see Server().Transfer().
  ///
  /// Both are decoded; `file_path` is absolute, `path_info` empty or begins with `/`; the query is without `?`. Throws
  /// std::invalid_argument for a path outside Request().ApplicationPath(), one with an empty, `.` or `..` segment, and one that
  /// has a backslash or a NUL: PhysicalPath() would lead elsewhere.
  void RewritePath(std::string_view file_path, std::string_view path_info = {},
                   std::optional<std::string_view> query = std::nullopt);

  /// What the parts of an application tell one another of this request. Made when it is first asked for.
  HttpItemCollection& Items();

  /// What the mapping files tell handlers of this folder: JSON, the member `name` of `sections` in the file nearest to
  /// the path that was mapped, whatever RewritePath() did since, without comments. Absent where no file has one, and where the
  /// nearest says null. While another handler is executed it is that one's folder. Lifetime: the context's.
  std::optional<std::string_view> GetSection(std::string_view name) const noexcept;
  /// The host does so, as the mapping found; it returns what was set before. Null: none. Lifetime: must outlive the handler.
  const detail::IConfigSections* SetSections(const detail::IConfigSections* sections) noexcept {
    return std::exchange(sections_, sections);
  }

  /// Whether the host shows details of errors to clients on its machine (`--debug`).
  bool IsDebuggingEnabled() const noexcept { return is_debugging_enabled_; }
  /// Whether details of errors are kept from this client: always, unless IsDebuggingEnabled() and it is on this machine.
  bool IsCustomErrorEnabled() const { return !IsDebuggingEnabled() || !Request().IsLocal(); }

  /// Has `handler` answer instead of the one that runs now, once that has returned, as if the mapping had named it: it runs where
  /// its kind wants to, and one that it names in its turn comes next. What was written so far stays, and so does what the
  /// request says. Where the present one throws, it is that which is answered. The last call counts; null takes it back.
  /// Throws std::logic_error inside an Execute(), whose caller's turn it is: Transfer() there.
  void RemapHandler(std::shared_ptr<IHttpHandler> handler);
  /// What RemapHandler() was given last, which is forgotten. The host asks.
  std::shared_ptr<IHttpHandler> TakeRemappedHandler() noexcept;

  /// Who the request is from: what SetUser() was told, and before that whom the web server has authenticated
  /// (REMOTE_USER, AUTH_TYPE), without roles. Lifetime: until SetUser().
  const HttpPrincipal& User() const;
  void SetUser(HttpPrincipal user);

  /// What went wrong, the first of it; null: nothing did.
  std::exception_ptr Error() const noexcept;
  /// All that went wrong, in its order: what AddError() was told, then what the handler threw.
  std::vector<std::exception_ptr> AllErrors() const;
  /// Says that something went wrong, without throwing it. Where Error() is set when the handler returns, that is answered
  /// as if the handler had thrown it. Throws std::invalid_argument for null.
  void AddError(std::exception_ptr error);
  /// Nothing went wrong: forgets what AddError() was told.
  void ClearError() noexcept;

  /// When the request came: its last parameter, for what is said to people and to other machines. The system's clock
  /// may be set meanwhile: see MonotonicTimestamp().
  std::chrono::system_clock::time_point Timestamp() const noexcept { return timestamp_; }
  /// The same moment, for measuring.
  std::chrono::steady_clock::time_point MonotonicTimestamp() const noexcept {
    return monotonic_timestamp_;
  }

  /// Has `callback` called when the response is complete: sent, or cut, and recorded, whether the handler returned or
  /// threw. The last one is called first; one that a callback adds is called next; what one throws is logged, and the
  /// others are called nonetheless. They run where the handler ran, on the pool for a plain one, and on the request's
  /// fiber where no handler was called; their time counts for the request. Items() are destroyed after them.
  ///
  /// The request can be read, of its body what was read until then; Error() tells what went wrong, and the response takes
  /// nothing more. The client does not wait for them. Waits of
  /// <weft/async.hpp> throw at once where the request was cancelled. Throws std::invalid_argument for an empty one.
  void AddOnRequestCompleted(std::function<void(HttpContext&)> callback);

  /// Names this request in the logs of all who had to do with it: the field X-Request-Id where it has 1 to 128 letters,
  /// digits and characters of `-._~+=@:`; else the trace-id of a well-formed traceparent (W3C Trace Context); else one that
  /// no other request has, of this worker or another. What a client sends is no secret, and need not be unique.
  std::string RequestId() const;

  /// What Server() executes by; throws std::logic_error where the host set none.
  detail::IRequestExecution& Execution() const;
  /// The host does so once. Lifetime: must outlive the handler.
  void SetExecution(detail::IRequestExecution* execution) noexcept { execution_ = execution; }

  /// Whether RunRequestCompleted() has anything to do.
  bool HasRequestCompleted() const noexcept;
  /// Calls what AddOnRequestCompleted() was given, and destroys the items. The host does so once; `report` is called
  /// with what a callback throws, and must not throw.
  void RunRequestCompleted(const std::function<void(std::exception_ptr)>& report) noexcept;

 private:
  detail::ContextState& State() const;

  HttpRequest request_;
  HttpResponse response_;
  CancellationToken cancellation_;
  std::chrono::system_clock::time_point timestamp_;
  std::chrono::steady_clock::time_point monotonic_timestamp_;
  std::uint64_t request_number_;
  bool is_debugging_enabled_;
  detail::IRequestExecution* execution_ = nullptr;
  HttpApplicationState* application_ = nullptr;
  const detail::IConfigSections* sections_ = nullptr;
  mutable std::unique_ptr<detail::ContextState> state_;  // null while nobody needs it
};

}  // namespace weft
