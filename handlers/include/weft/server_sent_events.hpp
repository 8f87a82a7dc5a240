#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include <weft/export.hpp>
#include <weft/http_context.hpp>

namespace weft {

/// An event of a stream that browsers read by EventSource (HTML Standard, section 9.2). Texts are UTF-8, and are needed only
/// during the call.
struct ServerSentEvent {
  std::string_view event{};  ///< its type; empty: `message`
  std::optional<std::string_view>
      data{};  ///< of any number of lines; absent: nothing is dispatched
  std::optional<std::string_view>
      id{};  ///< what LastEventId() is after a reconnect; empty: it forgets that
  std::optional<std::chrono::milliseconds>
      retry{};  ///< how long the client waits before it reconnects
};

/// Sends server-sent events as the answer to a request: each goes to the client at once.
///
/// The stream lasts as long as the handler: an async one holds no thread for it. HEAD gets the header block, and ends the
/// handler with that. Its mapping needs an `executionTimeoutSeconds` as long as a stream may last, after which it is cut and
/// the client reconnects by itself.
///
/// Threads: one at a time, the handler's. Lifetime: within ProcessRequest().
class WEFT_API ServerSentEvents {
 public:
  /// Sets the header fields, and sends them: `Content-Type: text/event-stream`, `Cache-Control: no-cache, no-store`, and
  /// `X-Accel-Buffering: no`, by which nginx passes each event on as it comes. What was written before is dropped.
  ///
  /// Throws std::logic_error where a header block was sent already, OperationCancelled when the client has gone, and where
  /// the request is a HEAD (CancellationReason::kAnswered): the handler lets it pass, and the answer is complete.
  explicit ServerSentEvents(HttpContext& context);
  ServerSentEvents(const ServerSentEvents&) = delete;
  ServerSentEvents& operator=(const ServerSentEvents&) = delete;

  /// The last id that the client has seen, of this stream before a reconnect; empty: it begins, or a page was loaded anew.
  /// A client can send any. Lifetime: of the request.
  std::string_view LastEventId() const noexcept;

  /// Sends an event. Data is split where lines end (CR, LF, or both), and comes out with LF.
  ///
  /// Throws std::invalid_argument for a line's end in `event` or `id`, a NUL in `id`, and a negative `retry`;
  /// OperationCancelled when the client has gone.
  void Send(const ServerSentEvent& event);
  /// Sends an event of data alone.
  void Send(std::string_view data) { Send(ServerSentEvent{.data = data}); }
  /// Sends what the client passes over: every 15 seconds or so it keeps proxies from closing a stream in which nothing
  /// happens, and tells the handler of a client that has gone. Lines as Send(). Throws OperationCancelled when it has.
  void Comment(std::string_view text = {});

 private:
  void Push(std::string_view text);

  HttpContext& context_;
};

}  // namespace weft
