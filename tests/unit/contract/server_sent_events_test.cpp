#include <weft/server_sent_events.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <weft/cancellation.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

using test::MemoryExchange;
using Call = MemoryExchange::Call;

struct Subject {
  explicit Subject(test::VariableList variables = {{"REQUEST_METHOD", "GET"}})
      : context(test::MakeVariables(variables), exchange, cancellation.Token(), 1024) {}

  MemoryExchange exchange;
  CancellationSource cancellation;
  HttpContext context;
};

/// What of an event gets to the client.
std::string Sent(const ServerSentEvent& event) {
  Subject subject;
  ServerSentEvents events(subject.context);
  events.Send(event);
  CHECK(subject.exchange.calls.back() == Call::kFlush);
  return subject.exchange.sent;
}

TEST_CASE("ServerSentEvents: the header block goes out at once, and nothing buffers or keeps it") {
  Subject subject;
  subject.context.Response().Write("dropped");
  subject.context.Response().SetHeader("Content-Length", "7");
  const ServerSentEvents events(subject.context);
  CHECK(subject.exchange.calls == std::vector<Call>{Call::kSendHeaders, Call::kFlush});
  CHECK(subject.exchange.Header("Content-Type") == "text/event-stream");
  CHECK(subject.exchange.Header("Cache-Control") == "no-cache, no-store");
  CHECK(subject.exchange.Header("X-Accel-Buffering") == "no");
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Length"));
  CHECK_THROWS_AS(ServerSentEvents(subject.context), std::logic_error);
}

TEST_CASE("ServerSentEvents: an event has its fields, each on a line, and an empty one behind") {
  CHECK(Sent({.data = "x"}) == "data: x\n\n");
  CHECK(Sent({.event = "price", .data = "1", .id = "7", .retry = std::chrono::seconds(3)}) ==
        "event: price\nid: 7\nretry: 3000\ndata: 1\n\n");
  CHECK(Sent({.data = ""}) == "data: \n\n");
  CHECK(Sent({.id = ""}) == "id: \n\n");
  CHECK(Sent({.retry = std::chrono::milliseconds(0)}) == "retry: 0\n\n");
  CHECK(Sent({.data = ": id: 7"}) == "data: : id: 7\n\n");
  CHECK(Sent({.data = " x"}) == "data:  x\n\n");
}

TEST_CASE("ServerSentEvents: data is split wherever a client would end its line") {
  CHECK(Sent({.data = "a\nb"}) == "data: a\ndata: b\n\n");
  CHECK(Sent({.data = "a\rb"}) == "data: a\ndata: b\n\n");
  CHECK(Sent({.data = "a\r\nb"}) == "data: a\ndata: b\n\n");
  CHECK(Sent({.data = "a\n\rb"}) == "data: a\ndata: \ndata: b\n\n");
  CHECK(Sent({.data = "\n"}) == "data: \ndata: \n\n");
  CHECK(Sent({.data = "a\r\n"}) == "data: a\ndata: \n\n");
  CHECK(Sent({.data = "x\n\nevent: evil\r\rdata: y"}) ==
        "data: x\ndata: \ndata: event: evil\ndata: \ndata: data: y\n\n");
}

TEST_CASE("ServerSentEvents: nothing begins a line of its own, and nothing is sent of it") {
  Subject subject;
  ServerSentEvents events(subject.context);
  const std::vector<ServerSentEvent> bad{{.event = "a\nb", .data = "x"},
                                         {.event = "a\r", .data = "x"},
                                         {.data = "x", .id = "1\n"},
                                         {.data = "x", .id = "\r1"},
                                         {.data = "x", .id = std::string_view("1\0", 2)},
                                         {.retry = std::chrono::milliseconds(-1)}};
  for (const auto& event : bad) {
    CHECK_THROWS_AS(events.Send(event), std::invalid_argument);
  }
  CHECK(subject.exchange.sent.empty());
}

TEST_CASE("ServerSentEvents: a comment is passed over whatever is in it") {
  Subject subject;
  ServerSentEvents events(subject.context);
  events.Comment();
  events.Comment("a\r\ndata: b");
  CHECK(subject.exchange.sent == ":\n\n: a\n: data: b\n\n");
}

TEST_CASE("ServerSentEvents: a client that comes back says what it has seen") {
  Subject subject({{"REQUEST_METHOD", "GET"}, {"HTTP_LAST_EVENT_ID", "41"}});
  CHECK(ServerSentEvents(subject.context).LastEventId() == "41");
  Subject first;
  CHECK(ServerSentEvents(first.context).LastEventId().empty());
}

TEST_CASE("ServerSentEvents: a client that has gone ends the stream") {
  Subject subject;
  ServerSentEvents events(subject.context);
  subject.cancellation.Cancel(CancellationReason::kClientGone);
  CHECK_THROWS_AS(events.Send("x"), OperationCancelled);
  CHECK_THROWS_AS(events.Comment(), OperationCancelled);
  CHECK(subject.exchange.sent.empty());
}

TEST_CASE("ServerSentEvents: HEAD ends its handler with the header block") {
  Subject subject(test::VariableList{{"REQUEST_METHOD", "HEAD"}});
  try {
    const ServerSentEvents events(subject.context);
    FAIL("the handler goes on");
  } catch (const OperationCancelled& cancelled) {
    CHECK(cancelled.Reason() == CancellationReason::kAnswered);
  }
  CHECK(subject.exchange.calls == std::vector<Call>{Call::kSendHeaders, Call::kFlush});
  CHECK(subject.exchange.Header("Content-Type") == "text/event-stream");
}

}  // namespace
}  // namespace weft
