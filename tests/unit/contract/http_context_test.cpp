#include <weft/http_context.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

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

std::string IdOf(const test::VariableList& variables, std::uint64_t number = 7) {
  test::MemoryExchange exchange;
  const HttpContext context(test::MakeVariables(variables), exchange, {}, 1024, nullptr, number);
  return context.RequestId();
}

TEST_CASE("HttpContext: a well-formed X-Request-Id is the request's") {
  const std::string longest(128, 'x');
  for (const std::string_view id :
       {std::string_view("a"), std::string_view("aZ09-._~+=@:"), std::string_view(longest)}) {
    CHECK(IdOf({{"HTTP_X_REQUEST_ID", id}}) == id);
  }
}

TEST_CASE("HttpContext: a malformed X-Request-Id is passed over") {
  const std::string too_long(129, 'x');
  for (const std::string_view id :
       {std::string_view(), std::string_view("a b"), std::string_view("a\n"),
        std::string_view("a\0", 2), std::string_view("a\"b"), std::string_view("../a"),
        std::string_view("a,b"), std::string_view("<a>"), std::string_view("\xC3\xA9"),
        std::string_view(too_long)}) {
    CAPTURE(id);
    CHECK(IdOf({{"HTTP_X_REQUEST_ID", id}}).ends_with("-7"));
  }
}

TEST_CASE("HttpContext: the trace-id of a well-formed traceparent is the request's") {
  constexpr std::string_view kTraceId = "0af7651916cd43dd8448eb211c80319c";
  for (const std::string_view parent :
       {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"}) {
    CAPTURE(parent);
    CHECK(IdOf({{"HTTP_TRACEPARENT", parent}}) == kTraceId);
    CHECK(IdOf({{"HTTP_TRACEPARENT", parent}, {"HTTP_X_REQUEST_ID", "mine"}}) == "mine");
    CHECK(IdOf({{"HTTP_TRACEPARENT", parent}, {"HTTP_X_REQUEST_ID", "a b"}}) == kTraceId);
  }
  for (const std::string_view parent :
       {"", "00", "00-0af7651916cd43dd8448eb211c80319c",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "0G-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333x-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}) {
    CAPTURE(parent);
    CHECK(IdOf({{"HTTP_TRACEPARENT", parent}}).ends_with("-7"));
  }
}

TEST_CASE("HttpContext: a request without an id is given one of its own, and keeps it") {
  CHECK(IdOf({}, 7) == IdOf({}, 7));
  CHECK(IdOf({}, 7) != IdOf({}, 8));
  CHECK(IdOf({}, 7).size() == 16 + 2);
  CHECK(IdOf({}, 7).find_first_not_of("0123456789abcdef-") == std::string::npos);
}

TEST_CASE("HttpContext: its two times are of one moment") {
  test::MemoryExchange exchange;
  const auto before = std::chrono::steady_clock::now();
  const HttpContext context(test::MakeVariables({}), exchange, {}, 1024);
  CHECK(context.MonotonicTimestamp() >= before);
  CHECK(context.MonotonicTimestamp() <= std::chrono::steady_clock::now());
  CHECK(context.Timestamp().time_since_epoch() > std::chrono::hours(24 * 365 * 50));
}

/// Says when it goes.
struct Witness {
  Witness(std::string with_name, std::vector<std::string>& with_ends)
      : name(std::move(with_name)), ends(&with_ends) {}
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;
  ~Witness() { ends->push_back(name); }

  std::string name;
  std::vector<std::string>* ends;
};

TEST_CASE("HttpItemCollection: a value is found by its type and name") {
  HttpItemCollection items;
  CHECK(items.empty());
  CHECK(items.Find<int>() == nullptr);
  CHECK(items.Set(17) == 17);
  items.Set("other", 18);
  items.Set<std::string>("text");
  items.Set<std::string>("name", "named");
  items.Set(std::make_unique<int>(19));
  CHECK(items.size() == 5);
  REQUIRE(items.Find<int>() != nullptr);
  CHECK(*items.Find<int>() == 17);
  CHECK(*items.Find<int>("other") == 18);
  CHECK(*items.Find<std::string>() == "text");
  CHECK(*std::as_const(items).Find<std::string>("name") == "named");
  CHECK(**items.Find<std::unique_ptr<int>>() == 19);
  CHECK(items.Find<long>() == nullptr);
  CHECK(items.Find<int>("none") == nullptr);
  *items.Find<int>() = 20;
  CHECK(*items.Find<int>() == 20);
  CHECK(items.Remove<int>("other"));
  CHECK_FALSE(items.Remove<int>("other"));
  CHECK(items.Find<int>("other") == nullptr);
  CHECK(*items.Find<int>() == 20);
}

TEST_CASE("HttpItemCollection: a base does not find what is derived from it") {
  struct Base {
    int value = 1;
  };
  struct Derived : Base {};
  HttpItemCollection items;
  items.Set(Derived());
  CHECK(items.Find<Base>() == nullptr);
  CHECK(items.Find<Derived>() != nullptr);
}

TEST_CASE("HttpItemCollection: the newest goes first, and what is replaced at once") {
  std::vector<std::string> ends;
  {
    HttpItemCollection items;
    items.Emplace<Witness>("a", "a", ends);
    items.Emplace<Witness>("b", "b", ends);
    items.Emplace<Witness>("c", "c", ends);
    items.Emplace<Witness>("a", "second a", ends);
    CHECK(ends == std::vector<std::string>{"a"});
    CHECK(items.Find<Witness>("a")->name == "second a");
    CHECK(items.size() == 3);
    CHECK(items.Remove<Witness>("b"));
    CHECK(ends == std::vector<std::string>{"a", "b"});
  }
  CHECK(ends == std::vector<std::string>{"a", "b", "second a", "c"});
}

TEST_CASE("HttpItemCollection: a constructor that throws changes nothing") {
  struct Throws {
    explicit Throws(bool does) {
      if (does) {
        throw std::runtime_error("no");
      }
    }
  };
  HttpItemCollection items;
  auto& first = items.Emplace<Throws>({}, false);
  CHECK_THROWS_AS(items.Emplace<Throws>({}, true), std::runtime_error);
  CHECK(items.Find<Throws>() == &first);
  CHECK(items.size() == 1);
}

TEST_CASE("HttpContext: its user is the web server's until a handler says another") {
  test::MemoryExchange exchange;
  HttpContext context(
      test::MakeVariables(
          {{"REMOTE_USER", "ada"}, {"AUTH_TYPE", "Basic"}, {"HTTP_REMOTE_USER", "eve"}}),
      exchange, {}, 1024);
  CHECK(context.User().IsAuthenticated());
  CHECK(context.User().name == "ada");
  CHECK(context.User().authentication_type == "Basic");
  CHECK_FALSE(context.User().IsInRole("admin"));
  context.SetUser({"bob", "Token", {"Admin", "staff"}});
  CHECK(context.User().name == "bob");
  CHECK(context.User().IsInRole("aDMIN"));
  CHECK_FALSE(context.User().IsInRole("adm"));
  HttpContext nobody(test::MakeVariables({{"HTTP_REMOTE_USER", "eve"}}), exchange, {}, 1024);
  CHECK_FALSE(nobody.User().IsAuthenticated());
}

TEST_CASE("HttpContext: the first error is Error(), and cleared ones are gone") {
  test::MemoryExchange exchange;
  HttpContext context(test::MakeVariables({}), exchange, {}, 1024);
  CHECK(context.Error() == nullptr);
  CHECK(context.AllErrors().empty());
  context.ClearError();
  CHECK_THROWS_AS(context.AddError(nullptr), std::invalid_argument);
  const auto first = std::make_exception_ptr(std::runtime_error("first"));
  context.AddError(first);
  context.AddError(std::make_exception_ptr(1));
  CHECK(context.Error() == first);
  CHECK(context.AllErrors().size() == 2);
  context.ClearError();
  CHECK(context.Error() == nullptr);
  CHECK(context.AllErrors().empty());
}

TEST_CASE(
    "HttpContext: what its end runs comes last first, items after all, and none stops another") {
  test::MemoryExchange exchange;
  HttpContext context(test::MakeVariables({}), exchange, {}, 1024);
  CHECK_FALSE(context.HasRequestCompleted());
  CHECK_THROWS_AS(context.AddOnRequestCompleted(nullptr), std::invalid_argument);
  std::vector<std::string> ends;
  context.Items().Emplace<Witness>({}, "item", ends);
  CHECK(context.HasRequestCompleted());
  context.AddOnRequestCompleted([&](HttpContext&) { ends.emplace_back("first"); });
  context.AddOnRequestCompleted([&](HttpContext&) { throw std::runtime_error("no"); });
  context.AddOnRequestCompleted([&](HttpContext& same) {
    CHECK(&same == &context);
    CHECK(same.Items().Find<Witness>() != nullptr);
    same.AddOnRequestCompleted([&](HttpContext&) { ends.emplace_back("added"); });
  });
  int reports = 0;
  context.RunRequestCompleted([&](const std::exception_ptr& error) {
    ++reports;
    CHECK_THROWS_AS(std::rethrow_exception(error), std::runtime_error);
  });
  CHECK(reports == 1);
  CHECK(ends == std::vector<std::string>{"added", "first", "item"});
  CHECK_FALSE(context.HasRequestCompleted());
}

TEST_CASE("HttpContext: without a host there is no application, and nothing to execute by") {
  test::MemoryExchange exchange;
  HttpContext context(test::MakeVariables({}), exchange, {}, 1024);
  CHECK_THROWS_AS(context.Application(), std::logic_error);
  CHECK_THROWS_AS(context.Server().Execute("/a"), std::logic_error);
  CHECK(context.ExecutionDepth() == 0);
  CHECK(context.Server().HtmlEncode("<") == "&lt;");
  HttpApplicationState application;
  context.SetApplication(&application);
  CHECK(&context.Application() == &application);
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
