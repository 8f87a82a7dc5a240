#include <weft/http_context.hpp>

#include <doctest/doctest.h>

#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

TEST_CASE("HttpContext: request and response share one peer, and the response knows the method") {
  test::MemoryExchange exchange;
  exchange.body = {"ping"};
  HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "HEAD"}}), exchange, {}, 1024);
  CHECK(context.Request().Body() == "ping");
  context.Response().Write("pong");
  context.Response().Complete();
  CHECK(exchange.status == 200);
  CHECK(exchange.Header("Content-Length") == "4");
  CHECK(exchange.sent.empty());
}

TEST_CASE("HttpContext: its token is the one it was made with") {
  test::MemoryExchange exchange;
  CancellationSource source;
  const HttpContext context(test::MakeVariables({}), exchange, source.Token(), 1024);
  CHECK_FALSE(context.Cancellation().IsCancellationRequested());
  source.Cancel(CancellationReason::kDeadline);
  CHECK(context.Cancellation().Reason() == CancellationReason::kDeadline);
}

}  // namespace
}  // namespace weft
