#include <weft/server_sent_events.hpp>

#include <stdexcept>
#include <string>

namespace weft {

namespace {

/// Each line of `text`, in front of it `field`: also the one behind a last end of line, which is the data's own.
void AppendLines(std::string& to, std::string_view field, std::string_view text) {
  for (;;) {
    const auto end = text.find_first_of("\r\n");
    to.append(field).append(text.substr(0, end)).append("\n");
    if (end == std::string_view::npos) {
      return;
    }
    const bool is_pair = text.substr(end, 2) == "\r\n";
    text.remove_prefix(end + (is_pair ? 2 : 1));
  }
}

void CheckLine(const char* field, std::string_view text, std::string_view forbidden) {
  if (text.find_first_of(forbidden) != std::string_view::npos) {
    throw std::invalid_argument(std::string("the ") + field +
                                " of a server-sent event holds a line's end or a NUL");
  }
}

}  // namespace

ServerSentEvents::ServerSentEvents(HttpContext& context) : context_(context) {
  auto& response = context.Response();
  // Without parameters: the type is UTF-8 by its definition.
  response.SetHeader("Content-Type", "text/event-stream");
  response.SetHeader("Cache-Control", "no-cache, no-store");
  response.SetHeader("X-Accel-Buffering", "no");
  response.RemoveHeader("Content-Length");
  response.ClearContent();
  response.Flush();
  if (context.Request().HttpMethod() == "HEAD") {
    // A stream would find out at its deadline that it sends nothing to anybody.
    throw OperationCancelled(CancellationReason::kAnswered);
  }
}

std::string_view ServerSentEvents::LastEventId() const noexcept {
  return context_.Request().ServerVariables().Get("HTTP_LAST_EVENT_ID");
}

void ServerSentEvents::Send(const ServerSentEvent& event) {
  CheckLine("type", event.event, "\r\n");
  if (event.id) {
    CheckLine("id", *event.id, std::string_view("\r\n\0", 3));
  }
  if (event.retry && event.retry->count() < 0) {
    throw std::invalid_argument("the retry of a server-sent event is negative");
  }
  std::string text;
  if (!event.event.empty()) {
    text.append("event: ").append(event.event).append("\n");
  }
  if (event.id) {
    text.append("id: ").append(*event.id).append("\n");
  }
  if (event.retry) {
    text.append("retry: ").append(std::to_string(event.retry->count())).append("\n");
  }
  if (event.data) {
    AppendLines(text, "data: ", *event.data);
  }
  Push(text.append("\n"));
}

void ServerSentEvents::Comment(std::string_view text) {
  std::string lines;
  AppendLines(lines, text.empty() ? ":" : ": ", text);
  Push(lines.append("\n"));
}

void ServerSentEvents::Push(std::string_view text) {
  context_.Cancellation().ThrowIfCancellationRequested();
  context_.Response().Write(text);
  context_.Response().Flush();
}

}  // namespace weft
