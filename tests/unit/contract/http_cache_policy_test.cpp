#include <weft/http_cache_policy.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <weft/http_context.hpp>
#include <weft/http_date.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/in_place_runtime.hpp"
#include "tests/support/response_subject.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::sys_seconds kDate =
    std::chrono::sys_days(2026y / std::chrono::November / 1) + 12h;

/// A GET, and its answer once it is sent.
struct Subject : test::ResponseSubject {
  Subject() : ResponseSubject("GET", 1024) {}

  HttpCachePolicy& Cache() { return response.Cache(); }
  std::string Sent(std::string_view field) {
    response.Complete();
    return exchange.Header(field);
  }
};

TEST_CASE("HttpCachePolicy: a response without one says nothing of caches") {
  Subject subject;
  subject.response.Write("x");
  subject.response.Complete();
  for (const auto* const field : {"Cache-Control", "Expires", "Vary", "ETag", "Last-Modified"}) {
    CAPTURE(field);
    CHECK_FALSE(subject.exchange.headers.Contains(field));
  }
}

TEST_CASE("HttpCachePolicy: one that says nothing says private") {
  Subject subject;
  subject.Cache();
  CHECK(subject.Sent("Cache-Control") == "private");
  CHECK_FALSE(subject.exchange.headers.Contains("Vary"));
}

TEST_CASE("HttpCachePolicy: each cacheability, and the stricter wins") {
  const auto of = [](std::vector<HttpCacheability> list) {
    HttpCachePolicy policy;
    for (const auto one : list) {
      policy.SetCacheability(one);
    }
    return policy.CacheControl();
  };
  using Cacheability = HttpCacheability;
  CHECK(of({Cacheability::kNoCache}) == "no-cache");
  CHECK(of({Cacheability::kServer}) == "no-cache");
  CHECK(of({Cacheability::kPrivate}) == "private");
  CHECK(of({Cacheability::kServerAndPrivate}) == "private");
  CHECK(of({Cacheability::kPublic}) == "public");
  CHECK(of({Cacheability::kPublic, Cacheability::kPrivate}) == "private");
  CHECK(of({Cacheability::kPrivate, Cacheability::kPublic}) == "private");
  CHECK(of({Cacheability::kNoCache, Cacheability::kPublic, Cacheability::kPrivate}) == "no-cache");
}

TEST_CASE("HttpCachePolicy: cacheability of single fields") {
  HttpCachePolicy policy;
  policy.SetCacheability(HttpCacheability::kPrivate, "Set-Cookie");
  CHECK(policy.CacheControl() == "private=\"Set-Cookie\"");
  policy.SetCacheability(HttpCacheability::kPrivate, "X-User");
  policy.SetCacheability(HttpCacheability::kPrivate, "x-user");
  policy.SetCacheability(HttpCacheability::kNoCache, "X-Price");
  policy.SetCacheability(HttpCacheability::kPublic);
  CHECK(policy.CacheControl() == "public, private=\"Set-Cookie, X-User\", no-cache=\"X-Price\"");
  CHECK_THROWS_AS(policy.SetCacheability(HttpCacheability::kPublic, "X"), std::invalid_argument);
  CHECK_THROWS_AS(policy.SetCacheability(HttpCacheability::kPrivate, "X\", max-age=\"9"),
                  std::invalid_argument);
}

TEST_CASE("HttpCachePolicy: every directive, in one field") {
  HttpCachePolicy policy;
  policy.SetCacheability(HttpCacheability::kPublic);
  policy.SetNoTransforms();
  policy.SetMaxAge(1h);
  policy.SetProxyMaxAge(24h);
  policy.SetRevalidation(HttpCacheRevalidation::kProxyCaches);
  policy.SetImmutable();
  policy.SetStaleWhileRevalidate(60s);
  policy.SetStaleIfError(120s);
  policy.AppendCacheExtension("community=\"UCI\"");
  policy.AppendCacheExtension("a, b=c");
  CHECK(policy.CacheControl() ==
        "public, no-transform, max-age=3600, s-maxage=86400, proxy-revalidate, immutable, "
        "stale-while-revalidate=60, stale-if-error=120, community=\"UCI\", a, b=c");
  HttpCachePolicy secret;
  secret.SetNoStore();
  CHECK(secret.CacheControl() == "private, no-store");
}

TEST_CASE("HttpCachePolicy: the stricter of two wins") {
  HttpCachePolicy policy;
  policy.SetMaxAge(10s);
  policy.SetMaxAge(20s);
  policy.SetProxyMaxAge(20s);
  policy.SetProxyMaxAge(5s);
  policy.SetRevalidation(HttpCacheRevalidation::kAllCaches);
  policy.SetRevalidation(HttpCacheRevalidation::kProxyCaches);
  policy.SetRevalidation(HttpCacheRevalidation::kNone);
  CHECK(policy.CacheControl() == "private, max-age=10, s-maxage=5, must-revalidate");
  policy.SetMaxAge(0s);
  CHECK(policy.CacheControl() == "private, max-age=0, s-maxage=5, must-revalidate");
  Subject subject;
  subject.Cache().SetExpires(kDate + 1h);
  subject.Cache().SetExpires(kDate);
  subject.Cache().SetExpires(kDate + 2h);
  subject.Cache().SetLastModified(kDate - 2h);
  subject.Cache().SetLastModified(kDate - 1h);
  subject.Cache().SetLastModified(kDate - 3h);
  CHECK(subject.Sent("Expires") == FormatHttpDate(kDate));
  CHECK(subject.Sent("Last-Modified") == FormatHttpDate(kDate - 1h));
}

TEST_CASE("HttpCachePolicy: ages are 0 to 2^31 seconds") {
  HttpCachePolicy policy;
  CHECK_THROWS_AS(policy.SetMaxAge(-1s), std::invalid_argument);
  CHECK_THROWS_AS(policy.SetProxyMaxAge(-1s), std::invalid_argument);
  CHECK_THROWS_AS(policy.SetStaleWhileRevalidate(-1s), std::invalid_argument);
  CHECK_THROWS_AS(policy.SetStaleIfError(-1s), std::invalid_argument);
  policy.SetMaxAge(std::chrono::seconds::max());
  CHECK(policy.CacheControl() == "private, max-age=2147483648");
}

TEST_CASE("HttpCachePolicy: an extension that could be more than directives is refused") {
  HttpCachePolicy policy;
  for (const auto* const text :
       {"", " ", ",", "a,", "a b", "a=", "=a", "a=\"b", "a\r\nX: y", "a;b"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(policy.AppendCacheExtension(text), std::invalid_argument);
  }
  CHECK(policy.CacheControl() == "private");
}

TEST_CASE("HttpCachePolicy: Vary is joined with what the handler has set") {
  Subject subject;
  subject.response.SetHeader("Vary", "Origin, accept");
  subject.response.AppendHeader("Vary", "X-Other");
  subject.Cache().VaryByHeaders({"Accept", "Accept-Language"});
  subject.Cache().VaryByHeaders({"accept-language"});
  CHECK(subject.Sent("Vary") == "Origin, accept, X-Other, Accept-Language");
  std::size_t fields = 0;
  for (const auto& [name, value] : subject.exchange.headers) {
    fields += EqualsIgnoreCase(name, "Vary") ? 1 : 0;
  }
  CHECK(fields == 1);
}

TEST_CASE("HttpCachePolicy: a star of Vary stands alone") {
  Subject subject;
  subject.Cache().VaryByHeaders({"Accept"});
  subject.Cache().VaryByUnspecifiedParameters();
  CHECK(subject.Sent("Vary") == "*");
  Subject handlers;
  handlers.response.SetHeader("Vary", "*");
  handlers.Cache().VaryByHeaders({"Accept"});
  CHECK(handlers.Sent("Vary") == "*");
  HttpCachePolicy policy;
  CHECK_THROWS_AS(policy.VaryByHeaders({"Accept", "no name"}), std::invalid_argument);
}

TEST_CASE("HttpCachePolicy: what SetHeader() was given wins, field by field") {
  Subject subject;
  auto& cache = subject.Cache();
  cache.SetCacheability(HttpCacheability::kPublic);
  cache.SetETag(EntityTag("policy"));
  cache.SetLastModified(kDate);
  cache.SetExpires(kDate);
  subject.response.SetHeader("Cache-Control", "no-cache");
  subject.response.SetHeader("ETag", "\"own\"");
  subject.response.SetHeader("Expires", "0");
  CHECK(subject.Sent("Cache-Control") == "no-cache");
  CHECK(subject.Sent("ETag") == "\"own\"");
  CHECK(subject.Sent("Expires") == "0");
  CHECK(subject.Sent("Last-Modified") == FormatHttpDate(kDate));
}

TEST_CASE("HttpCachePolicy: an entity tag is set once") {
  Subject subject;
  subject.Cache().SetETag(EntityTag::Weak("a"));
  CHECK_THROWS_WITH_AS(subject.Cache().SetETag(EntityTag("b")), doctest::Contains("W/\"a\""),
                       std::logic_error);
  CHECK(subject.Sent("ETag") == "W/\"a\"");
}

TEST_CASE("HttpCachePolicy: a date in the future is told as now") {
  Subject subject;
  subject.Cache().SetLastModified(std::chrono::sys_days(2200y / std::chrono::January / 1));
  const auto date = ParseHttpDate(subject.Sent("Last-Modified"));
  REQUIRE(date.has_value());
  CHECK((*date <= std::chrono::system_clock::now()));
}

TEST_CASE("HttpCachePolicy: validators out of the files that an answer is made of") {
  const test::TemporaryFolder folder;
  const auto one = folder.Write("one", "1").string();
  const auto two = folder.Write("two", "2").string();
  std::filesystem::last_write_time(one, std::filesystem::file_time_type::clock::now() - 100h);
  const std::vector<std::string> paths{one, two, (folder / "missing").string()};
  const auto tag = [&](std::string_view more = {}) {
    HttpCachePolicy policy;
    policy.SetETagFromFileDependencies(paths, more);
    CHECK(policy.ETag()->IsWeak());
    return policy.ETag()->Opaque();
  };
  const auto before = tag();
  CHECK(before == tag());
  CHECK(before != tag("de"));
  folder.Write("missing", "3");
  const auto with_missing = tag();
  CHECK(with_missing != before);
  folder.Write("two", "22");
  CHECK(tag() != with_missing);

  HttpCachePolicy policy;
  policy.SetLastModifiedFromFileDependencies(std::vector<std::string>{(folder / "none").string()});
  CHECK_FALSE(policy.LastModified().has_value());
  policy.SetLastModifiedFromFileDependencies(std::vector<std::string>{one});
  const auto old = *policy.LastModified();
  policy.SetLastModifiedFromFileDependencies(paths);
  CHECK((*policy.LastModified() > old));
}

TEST_CASE(
    "HttpCachePolicy: an async handler's files are looked at on another thread, in one call") {
  const test::TemporaryFolder folder;
  const std::vector<std::string> paths{folder.Write("one", "1").string(),
                                       folder.Write("two", "2").string()};
  test::InPlaceRuntime runtime;
  const auto change = [&] { folder.Write("one", "another length"); };
  HttpCachePolicy policy;
  policy.SetLastModifiedFromFileDependencies(paths);
  CHECK(runtime.calls == 1);
  CHECK(policy.LastModified().has_value());
  HttpCachePolicy before;
  before.SetETagFromFileDependencies(paths);
  CHECK(runtime.calls == 2);
  // What changes once that has ended makes no difference.
  runtime.meanwhile = change;
  policy.SetETagFromFileDependencies(paths);
  CHECK(runtime.calls == 3);
  CHECK(policy.ETag()->Opaque() == before.ETag()->Opaque());
  // A plain handler is on such a thread already.
  runtime.running = true;
  HttpCachePolicy().SetETagFromFileDependencies(paths);
  CHECK(runtime.calls == 3);
}

TEST_CASE("HttpCachePolicy: it is not to be had once the header block was sent") {
  Subject subject;
  subject.response.Flush();
  CHECK_THROWS_AS(subject.Cache(), std::logic_error);
}

TEST_CASE("HttpCachePolicy: ClearHeaders forgets it, and a reference to it stays good") {
  Subject subject;
  auto& cache = subject.Cache();
  cache.SetCacheability(HttpCacheability::kPublic);
  cache.SetETag(EntityTag("a"));
  subject.response.ClearHeaders();
  cache.SetMaxAge(1s);
  CHECK(subject.Sent("Cache-Control") == "private, max-age=1");
  CHECK_FALSE(subject.exchange.headers.Contains("ETag"));
}

}  // namespace
}  // namespace weft
