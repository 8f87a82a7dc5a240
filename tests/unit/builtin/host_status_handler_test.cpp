#include "handlers/builtin/host_status_handler.hpp"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include <weft/http_exception.hpp>
#include "tests/support/config_section.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft::builtin {
namespace {

using test::MemoryExchange;

struct Ask {
  std::string query{};
  std::string remote = "127.0.0.1";
  std::string accept{};
  std::optional<std::string> section{};
};

std::string g_why_not;

/// What was sent; throws what the handler throws.
std::string Serve(const Ask& ask, MemoryExchange& exchange) {
  const auto pages = std::make_shared<HostStatusPages>();
  pages->json = [] { return std::string("{}\n"); };
  pages->open_metrics = [] { return std::string("# EOF\n"); };
  pages->open_metrics_type = "application/openmetrics-text; version=1.0.0";
  pages->why_not_ready = [] { return g_why_not; };
  HostStatusHandler handler(pages);
  HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "GET"},
                                           {"QUERY_STRING", ask.query},
                                           {"REMOTE_ADDR", ask.remote},
                                           {"HTTP_ACCEPT", ask.accept}}),
                      exchange, {}, 1024);
  std::optional<test::ConfigSection> section;
  if (ask.section) {
    section.emplace("weft.status", *ask.section);
    context.SetSections(&*section);
  }
  handler.ProcessRequest(context);
  context.Response().Complete();
  return exchange.sent;
}

std::string Serve(const Ask& ask) {
  MemoryExchange exchange;
  return Serve(ask, exchange);
}

int Refusal(const Ask& ask) {
  try {
    Serve(ask);
    return 0;
  } catch (const HttpException& error) {
    return error.StatusCode();
  }
}

TEST_CASE("HostStatusHandler: is JSON or OpenMetrics, as the query or Accept says") {
  CHECK(Serve({}) == "{}\n");
  CHECK(Serve({.query = "format=openmetrics"}) == "# EOF\n");
  CHECK(Serve({.accept = "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"}) ==
        "# EOF\n");
  CHECK(Serve({.accept = "application/openmetrics-text;q=0, */*"}) == "{}\n");
  CHECK(Serve({.accept = "application/json, application/openmetrics-text;q=0.5"}) == "{}\n");
  CHECK(Serve({.query = "format=json", .accept = "application/openmetrics-text"}) == "{}\n");
  CHECK(Refusal({.query = "format=html"}) == 400);
  MemoryExchange exchange;
  Serve({.query = "format=openmetrics"}, exchange);
  CHECK(exchange.Header("Content-Type") == "application/openmetrics-text; version=1.0.0");
  CHECK(exchange.Header("Cache-Control") == "no-store");
}

TEST_CASE("HostStatusHandler: a ping tells whether the host is ready, or that it lives") {
  g_why_not.clear();
  CHECK(Serve({.query = "ping"}) == "ready\n");
  CHECK(Serve({.query = "ping="}) == "ready\n");
  CHECK(Serve({.query = "ping=live"}) == "live\n");
  g_why_not = "the host is draining";
  MemoryExchange exchange;
  CHECK(Serve({.query = "ping=ready"}, exchange) == "the host is draining\n");
  CHECK(exchange.status == 503);
  CHECK(Serve({.query = "ping=live"}) == "live\n");
  g_why_not.clear();
  CHECK(Refusal({.query = "ping=pong"}) == 400);
}

TEST_CASE("HostStatusHandler: others than local clients are refused, unless the mapping has all") {
  CHECK(Refusal({.remote = "192.0.2.1"}) == 403);
  CHECK(Refusal({.query = "ping", .remote = "192.0.2.1"}) == 403);
  CHECK(Refusal({.remote = "192.0.2.1", .section = "\"local\""}) == 403);
  CHECK(Refusal({.remote = "192.0.2.1", .section = "\"all\""}) == 0);
  CHECK(Refusal({.section = "{\"clients\": \"all\"}"}) == 500);
}

TEST_CASE("HostStatusHandler: without a host that tells of itself it is unavailable") {
  HostStatusHandler handler(std::make_shared<HostStatusPages>());
  MemoryExchange exchange;
  HttpContext context(
      test::MakeVariables({{"REQUEST_METHOD", "GET"}, {"REMOTE_ADDR", "127.0.0.1"}}), exchange, {},
      1024);
  CHECK_THROWS_AS(handler.ProcessRequest(context), HttpException);
}

}  // namespace
}  // namespace weft::builtin
