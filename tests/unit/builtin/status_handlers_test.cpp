#include "handlers/builtin/status_handlers.hpp"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft::builtin {
namespace {

using test::MemoryExchange;

void Serve(IHttpHandler& handler, MemoryExchange& exchange, std::string_view method = "GET") {
  HttpContext context(test::MakeVariables({{"REQUEST_METHOD", method}}), exchange, {}, 1024);
  handler.ProcessRequest(context);
  context.Response().Complete();
}

TEST_CASE("StatusHandler: each answers with its status, in plain text") {
  HttpForbiddenHandler forbidden;
  HttpNotFoundHandler not_found;
  HttpMethodNotAllowedHandler not_allowed;
  struct Case {
    IHttpHandler& handler;
    int status;
    std::string text;
  };
  for (const auto& [handler, status, text] :
       {Case{forbidden, 403, "403 Forbidden\n"}, Case{not_found, 404, "404 Not Found\n"},
        Case{not_allowed, 405, "405 Method Not Allowed\n"}}) {
    MemoryExchange exchange;
    Serve(handler, exchange);
    CHECK(exchange.status == status);
    CHECK(exchange.sent == text);
    CHECK(exchange.Header("Content-Type") == "text/plain; charset=utf-8");
    CHECK(exchange.Header("Content-Length") == std::to_string(text.size()));
  }
}

TEST_CASE("StatusHandler: it stays on the fiber, waits for no body, and serves again") {
  HttpNotFoundHandler handler;
  IHttpHandler& as_handler = handler;
  CHECK(dynamic_cast<IHttpAsyncHandler*>(&as_handler) != nullptr);
  CHECK(dynamic_cast<IHttpBufferlessHandler*>(&as_handler) != nullptr);
  CHECK(handler.IsReusable());
  for (int i = 0; i < 2; ++i) {
    MemoryExchange exchange;
    exchange.body = {"not looked at"};
    Serve(handler, exchange);
    CHECK(exchange.status == 404);
    CHECK(exchange.Count(MemoryExchange::Call::kReadBody) == 0);
  }
}

TEST_CASE("StatusHandler: HEAD has no body") {
  HttpForbiddenHandler handler;
  MemoryExchange exchange;
  Serve(handler, exchange, "HEAD");
  CHECK(exchange.status == 403);
  CHECK(exchange.sent.empty());
  CHECK(exchange.Header("Content-Length") == "14");
}

TEST_CASE("StatusHandler: an Allow that the host has set before stays") {
  HttpMethodNotAllowedHandler handler;
  MemoryExchange exchange;
  HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "PUT"}}), exchange, {}, 1024);
  context.Response().SetHeader("Allow", "GET, HEAD");
  handler.ProcessRequest(context);
  context.Response().Complete();
  CHECK(exchange.Header("Allow") == "GET, HEAD");
}

}  // namespace
}  // namespace weft::builtin
