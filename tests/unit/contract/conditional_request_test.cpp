#include <weft/conditional_request.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>

#include <weft/http_context.hpp>
#include <weft/http_date.hpp>
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {

doctest::String toString(PreconditionResult result) {
  switch (result) {
    case PreconditionResult::kHolds:
      return "holds";
    case PreconditionResult::kNotModified:
      return "304";
    case PreconditionResult::kFailed:
      return "412";
  }
  return "?";
}

namespace {

using namespace std::chrono_literals;
using Result = PreconditionResult;

constexpr std::chrono::sys_seconds kNow =
    std::chrono::sys_days(2026y / std::chrono::November / 23) + 12h;
constexpr auto kModified = kNow - 24h;

Validators Current() { return {.etag = EntityTag("a"), .last_modified = kModified + 700ms}; }

std::string Date(std::chrono::seconds after_modified = 0s) {
  return FormatHttpDate(kModified + after_modified);
}

RequestConditions IfMatch(std::string_view value) {
  RequestConditions conditions;
  conditions.if_match = value;
  return conditions;
}
RequestConditions IfNoneMatch(std::string_view value) {
  RequestConditions conditions;
  conditions.if_none_match = value;
  return conditions;
}

Result Of(std::string_view method, const RequestConditions& conditions,
          const Validators& current = Current()) {
  return EvaluatePreconditions(method, conditions, current, kNow);
}

TEST_CASE("EvaluatePreconditions: without conditions everything holds") {
  CHECK(Of("GET", {}) == Result::kHolds);
  CHECK(Of("PUT", {}) == Result::kHolds);
  CHECK_FALSE(RequestConditions().HasPrecondition());
}

TEST_CASE("EvaluatePreconditions: If-Match compares strongly (RFC 9110, section 13.1.1)") {
  for (const std::string_view method : {"GET", "HEAD", "PUT", "DELETE"}) {
    CAPTURE(method);
    CHECK(Of(method, IfMatch("\"a\"")) == Result::kHolds);
    CHECK(Of(method, IfMatch("\"b\", \"a\"")) == Result::kHolds);
    CHECK(Of(method, IfMatch("*")) == Result::kHolds);
    CHECK(Of(method, IfMatch("\"b\"")) == Result::kFailed);
    CHECK(Of(method, IfMatch("W/\"a\"")) == Result::kFailed);
    CHECK(Of(method, IfMatch("\"a\""), {.etag = EntityTag::Weak("a")}) == Result::kFailed);
    CHECK(Of(method, IfMatch("\"a\""), {}) == Result::kFailed);
    CHECK(Of(method, IfMatch("*"), {}) == Result::kHolds);
  }
}

TEST_CASE("EvaluatePreconditions: If-Match: * fails for what is not there yet") {
  CHECK(Of("PUT", IfMatch("*"), {.exists = false}) == Result::kFailed);
  CHECK(Of("PUT", IfMatch("\"a\""), {.etag = EntityTag("a"), .exists = false}) == Result::kFailed);
}

TEST_CASE("EvaluatePreconditions: lists, blanks, empty members, and the star") {
  for (const std::string_view list :
       {"\"a\"", "\"b\",\"a\"", "\"b\" , \"a\"", " ,, \"a\",", "\t\"a\"\t", "\"a\",\"b\"",
        "W/\"a\", \"a\"", "\"x,y\",\"a\"", " * "}) {
    CAPTURE(list);
    CHECK(Of("PUT", IfMatch(list)) == Result::kHolds);
    CHECK(Of("GET", IfNoneMatch(list)) == Result::kNotModified);
  }
  for (const std::string_view list : {"\"b\"", "\"A\"", "\"aa\"", "\"b,a\"", "\"*\"", "\"\""}) {
    CAPTURE(list);
    CHECK(Of("PUT", IfMatch(list)) == Result::kFailed);
    CHECK(Of("PUT", IfNoneMatch(list)) == Result::kHolds);
  }
}

TEST_CASE(
    "EvaluatePreconditions: what is malformed ends the reading, not what was read before it") {
  for (const std::string_view list :
       {"", " ", ",", ", ,", "a", "*, \"a\"", "*\"a\"", "\"b\" \"a\"", "\"b\"; \"a\"", "b, \"a\"",
        "\"b, \"a\"", "w/\"a\"", "\"a\"*", "x, \"a\""}) {
    CAPTURE(list);
    CHECK(Of("PUT", IfMatch(list)) == Result::kFailed);
    // A reader gets the whole, a writer nothing.
    CHECK(Of("GET", IfNoneMatch(list)) == Result::kHolds);
    CHECK(Of("PUT", IfNoneMatch(list)) == Result::kFailed);
  }
  CHECK(Of("PUT", IfMatch("\"a\", b")) == Result::kHolds);
  CHECK(Of("GET", IfNoneMatch("\"a\", b")) == Result::kNotModified);
}

TEST_CASE("EvaluatePreconditions: a list of a million members is one pass") {
  std::string list;
  for (int i = 0; i < 1'000'000; ++i) {
    list += "\"x\",";
  }
  CHECK(Of("PUT", IfMatch(list + "\"a\"")) == Result::kHolds);
  CHECK(Of("PUT", IfMatch(std::string(4'000'000, ','))) == Result::kFailed);
  CHECK(Of("PUT", IfNoneMatch("\"" + std::string(4'000'000, 'x'))) == Result::kFailed);
}

TEST_CASE("EvaluatePreconditions: If-None-Match compares weakly (RFC 9110, section 13.1.2)") {
  for (const std::string_view method : {"GET", "HEAD"}) {
    CAPTURE(method);
    for (const std::string_view field : {"\"a\"", "W/\"a\"", "\"b\",W/\"a\"", "*"}) {
      CAPTURE(field);
      CHECK(Of(method, IfNoneMatch(field)) == Result::kNotModified);
    }
    CHECK(Of(method, IfNoneMatch("\"a\""), {.etag = EntityTag::Weak("a")}) == Result::kNotModified);
    CHECK(Of(method, IfNoneMatch("\"b\"")) == Result::kHolds);
    CHECK(Of(method, IfNoneMatch("\"a\""), {}) == Result::kHolds);
  }
  for (const std::string_view method : {"PUT", "POST", "PATCH", "get"}) {
    CAPTURE(method);
    CHECK(Of(method, IfNoneMatch("\"a\"")) == Result::kFailed);
    CHECK(Of(method, IfNoneMatch("*")) == Result::kFailed);
    CHECK(Of(method, IfNoneMatch("\"b\"")) == Result::kHolds);
    CHECK(Of(method, IfNoneMatch("*"), {.exists = false}) == Result::kHolds);
  }
}

TEST_CASE("EvaluatePreconditions: If-Modified-Since, in whole seconds (RFC 9110, section 13.1.3)") {
  RequestConditions conditions;
  const auto of = [&](std::string_view method, const std::string& date,
                      const Validators& current = Current()) {
    conditions.if_modified_since = date;
    return Of(method, conditions, current);
  };
  CHECK(of("GET", Date()) == Result::kNotModified);
  CHECK(of("HEAD", Date(1h)) == Result::kNotModified);
  CHECK(of("GET", Date(48h)) == Result::kNotModified);  // later than now: the RFC has no rule
  CHECK(of("GET", Date(-1s)) == Result::kHolds);
  CHECK(of("PUT", Date()) == Result::kHolds);
  CHECK(of("GET", Date(), {}) == Result::kHolds);
  CHECK(of("GET", "yesterday") == Result::kHolds);
  CHECK(of("GET", Date() + ", " + Date()) == Result::kHolds);
  CHECK(of("GET", "") == Result::kHolds);
  CHECK(of("GET", "Sunday, 22-Nov-26 12:00:00 GMT") == Result::kNotModified);
}

TEST_CASE(
    "EvaluatePreconditions: If-Unmodified-Since, in whole seconds (RFC 9110, section 13.1.4)") {
  RequestConditions conditions;
  const auto of = [&](std::string_view method, const std::string& date,
                      const Validators& current = Current()) {
    conditions.if_unmodified_since = date;
    return Of(method, conditions, current);
  };
  for (const std::string_view method : {"GET", "PUT"}) {
    CAPTURE(method);
    CHECK(of(method, Date()) == Result::kHolds);
    CHECK(of(method, Date(1h)) == Result::kHolds);
    CHECK(of(method, Date(-1s)) == Result::kFailed);
    CHECK(of(method, Date(-1s), {}) == Result::kHolds);
    CHECK(of(method, "long ago") == Result::kHolds);
  }
}

TEST_CASE("EvaluatePreconditions: the order of RFC 9110, section 13.2.2") {
  const auto before = Date(-1h);
  const auto after = Date(1h);
  RequestConditions conditions;
  // If-Match holds: If-Unmodified-Since is not looked at.
  conditions.if_match = "\"a\"";
  conditions.if_unmodified_since = before;
  CHECK(Of("PUT", conditions) == Result::kHolds);
  // If-Match fails: nothing else is.
  conditions.if_match = "\"b\"";
  conditions.if_none_match = "\"a\"";
  CHECK(Of("GET", conditions) == Result::kFailed);
  // If-Match holds, and then If-None-Match is looked at.
  conditions.if_match = "\"a\"";
  CHECK(Of("GET", conditions) == Result::kNotModified);
  CHECK(Of("PUT", conditions) == Result::kFailed);
  // If-None-Match says that it changed: If-Modified-Since is not looked at.
  conditions = {};
  conditions.if_none_match = "\"b\"";
  conditions.if_modified_since = after;
  CHECK(Of("GET", conditions) == Result::kHolds);
  // Not even where If-None-Match cannot be read.
  conditions.if_none_match = "b";
  CHECK(Of("GET", conditions) == Result::kHolds);
  // If-Unmodified-Since before If-None-Match.
  conditions = {};
  conditions.if_unmodified_since = before;
  conditions.if_none_match = "\"a\"";
  CHECK(Of("GET", conditions) == Result::kFailed);
}

TEST_CASE("IfRangeHolds: an entity tag, strong on both sides (RFC 9110, section 13.1.5)") {
  RequestConditions conditions;
  const auto of = [&](std::string_view field, const Validators& current = Current()) {
    conditions.if_range = field;
    return IfRangeHolds(conditions, current, kNow);
  };
  CHECK(of("\"a\""));
  CHECK_FALSE(of("\"b\""));
  CHECK_FALSE(of("W/\"a\""));
  CHECK_FALSE(of("\"a\"", {.etag = EntityTag::Weak("a")}));
  CHECK_FALSE(of("\"a\"", {}));
  CHECK_FALSE(of("\"a\", \"b\""));
  CHECK_FALSE(of("*"));
  CHECK_FALSE(of(""));
  CHECK_FALSE(of("a"));
  CHECK(IfRangeHolds({}, Current(), kNow));
}

TEST_CASE("IfRangeHolds: a date, the very one of Last-Modified, and its second is over") {
  RequestConditions conditions;
  const auto of = [&](const std::string& field, std::chrono::sys_seconds now = kNow) {
    conditions.if_range = field;
    return IfRangeHolds(conditions, Current(), now);
  };
  CHECK(of(Date()));
  CHECK_FALSE(of(Date(1s)));
  CHECK_FALSE(of(Date(-1s)));
  CHECK(of(Date(), kModified + 1s));
  CHECK_FALSE(of(Date(), kModified));
  const auto date = Date();
  conditions.if_range = date;
  CHECK_FALSE(IfRangeHolds(conditions, {.etag = EntityTag("a")}, kNow));
}

TEST_CASE("RequestConditions: they are read off a request, an empty field too") {
  test::MemoryExchange exchange;
  HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "GET"},
                                           {"HTTP_IF_MATCH", "1"},
                                           {"HTTP_IF_NONE_MATCH", ""},
                                           {"HTTP_IF_MODIFIED_SINCE", "3"},
                                           {"HTTP_IF_UNMODIFIED_SINCE", "4"},
                                           {"HTTP_IF_RANGE", "5"}}),
                      exchange, {}, 1024);
  const RequestConditions conditions(context.Request());
  CHECK(conditions.if_match == "1");
  CHECK(conditions.if_none_match == "");
  CHECK(conditions.if_modified_since == "3");
  CHECK(conditions.if_unmodified_since == "4");
  CHECK(conditions.if_range == "5");
  CHECK(conditions.HasPrecondition());
}

TEST_CASE("RequestConditions: lists of several lines are one, and what stands alone is none") {
  test::MemoryExchange exchange;
  const auto other = FormatHttpDate(kModified - 1h);
  const auto date = FormatHttpDate(kModified);
  HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "GET"},
                                           {"HTTP_IF_MATCH", "\"x\""},
                                           {"HTTP_IF_NONE_MATCH", "\"x\", \"y\""},
                                           {"HTTP_IF_MODIFIED_SINCE", date},
                                           {"HTTP_IF_RANGE", "\"a\""},
                                           {"HTTP_IF_UNMODIFIED_SINCE", other},
                                           {"HTTP_IF_NONE_MATCH", ""},
                                           {"HTTP_IF_NONE_MATCH", "\"a\""},
                                           {"HTTP_IF_MATCH", "\"a\""},
                                           {"HTTP_IF_MODIFIED_SINCE", date},
                                           {"HTTP_IF_UNMODIFIED_SINCE", other},
                                           {"HTTP_IF_RANGE", "\"a\""}}),
                      exchange, {}, 1024);
  const RequestConditions all(context.Request());
  CHECK(all.if_match == "\"x\", \"a\"");
  CHECK(all.if_none_match == "\"x\", \"y\", , \"a\"");
  const auto evaluate = [](const RequestConditions& conditions) {
    return EvaluatePreconditions("GET", conditions, Current(), kNow);
  };
  RequestConditions some;
  some.if_match = all.if_match;
  CHECK(evaluate(some) == Result::kHolds);
  some.if_none_match = all.if_none_match;
  CHECK(evaluate(some) == Result::kNotModified);
  // One date each would be a 304, and a 412.
  some = {};
  some.if_modified_since = all.if_modified_since;
  CHECK(evaluate(some) == Result::kHolds);
  some = {};
  some.if_unmodified_since = all.if_unmodified_since;
  CHECK(evaluate(some) == Result::kHolds);
  // Not passed over, which would send a part of another state.
  CHECK_FALSE(IfRangeHolds(all, Current(), kNow));
}

}  // namespace
}  // namespace weft
