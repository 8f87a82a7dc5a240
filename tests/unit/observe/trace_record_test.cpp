#include "host/observe/trace_record.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "host/observe/secret_fields.hpp"

namespace weft::host::observe {
namespace {

using std::chrono::nanoseconds;

TraceRecord Usual() {
  TraceRecord record;
  record.began = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
  record.duration = nanoseconds(1234);
  record.worker = 77;
  record.status = 503;
  record.outcome = Outcome::kRefused;
  record.steps[1] = nanoseconds(42);
  record.url = "/a?b=c";
  record.error = "it failed";
  record.lines = {{3, nanoseconds(5), "one"}, {1, nanoseconds(6), "two"}};
  record.response_fields = {{"Content-Type", "text/plain"}};
  record.parameters = {{"HTTP_HOST", "localhost"}, {"EMPTY", ""}};
  record.lines_omitted = 2;
  return record;
}

TEST_CASE("TraceRecord: what was encoded is decoded") {
  const auto record = Usual();
  const auto again = DecodeTrace(Encode(record, 16'384));
  REQUIRE(again);
  CHECK(again->began == record.began);
  CHECK(again->duration == record.duration);
  CHECK(again->worker == 77);
  CHECK(again->status == 503);
  CHECK(again->outcome == Outcome::kRefused);
  CHECK(again->steps == record.steps);
  CHECK(again->url == record.url);
  CHECK(again->error == record.error);
  REQUIRE(again->lines.size() == 2);
  CHECK(again->lines[1].text == "two");
  CHECK(again->lines[0].level == 3);
  CHECK(again->lines_omitted == 2);
  CHECK(again->response_fields == record.response_fields);
  CHECK(again->parameters == record.parameters);
}

TEST_CASE("TraceRecord: is never longer than its room, whatever is in it") {
  auto record = Usual();
  record.url = std::string(100'000, 'u');
  record.error = std::string(100'000, 'e');
  record.type = std::string(100'000, 't');
  for (int i = 0; i < 1000; ++i) {
    record.lines.push_back({0, nanoseconds(0), std::string(500, 'l')});
    record.response_fields.emplace_back("name", std::string(5000, 'r'));
    record.parameters.emplace_back(std::string(5000, 'n'), "value");
  }
  for (const std::size_t room : {kLeastTraceBytes, std::size_t{16'384}, std::size_t{65'536}}) {
    const auto bytes = Encode(record, room);
    CHECK(bytes.size() <= room);
    const auto again = DecodeTrace(bytes);
    REQUIRE(again);
    CHECK(again->url.starts_with("uuuu"));
    CHECK(again->url.ends_with("\u2026"));
    CHECK(again->lines.size() + again->lines_omitted == 1004);
    CHECK_FALSE(again->lines.empty());
    CHECK(again->response_fields.size() + again->response_fields_omitted == 1001);
    CHECK_FALSE(again->response_fields.empty());
    CHECK(again->parameters.size() + again->parameters_omitted == 1002);
    CHECK_FALSE(again->parameters.empty());
  }
}

TEST_CASE("TraceRecord: any bytes are read, and those that are cut are none") {
  const auto bytes = Encode(Usual(), 16'384);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK_FALSE(DecodeTrace(std::string_view(bytes).substr(0, size)));
  }
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto wrong = bytes;
    wrong[at] = static_cast<char>(~wrong[at]);
    static_cast<void>(DecodeTrace(wrong));
  }
}

TEST_CASE("Secrets: fields are known in every spelling") {
  for (const char* const name :
       {"Authorization", "HTTP_AUTHORIZATION", "REDIRECT_HTTP_AUTHORIZATION", "cookie",
        "Set-Cookie", "HTTP_PROXY_AUTHORIZATION", "X-Api-Key", "HTTP_X_API_KEY", "PHP_AUTH_PW"}) {
    CHECK_MESSAGE(ShownValue(name, "s3cret") == kMasked, name);
  }
  for (const char* const name :
       {"Cookie-Policy", "HTTP_ACCEPT", "AUTH_TYPE", "", "HTTP_", "REMOTE_USER"}) {
    CHECK_MESSAGE(ShownValue(name, "value") == "value", name);
  }
  CHECK(ShownValue("Cookie", "").empty());
}

TEST_CASE("Secrets: are masked in whatever has URLs or parameters in it") {
  const auto shown = [](const char* text) { return WithoutSecrets(text); };
  CHECK(shown("/a?password=abc&x=1") == "/a?password=(masked)&x=1");
  CHECK(shown("/a?x=1&Access-Token=abc") == "/a?x=1&Access-Token=(masked)");
  CHECK(shown("token=a;token=b") == "token=(masked);token=(masked)");
  CHECK(shown("request 1-2 GET /a?sig=abc: failed") == "request 1-2 GET /a?sig=(masked) failed");
  CHECK(shown("/a?user[password]=abc&user%5Btoken%5d=abc") ==
        "/a?user[password]=(masked)&user%5Btoken%5d=(masked)");
  CHECK(shown("/a?p%61ssword=abc") == "/a?p%61ssword=(masked)");
  CHECK(shown("/a?x%26password=abc%3Dd") == "/a?x%26password=(masked)");
  CHECK(shown("/a?%=a&%5D=a&%p=a&[]=a&password%=a") == "/a?%=a&%5D=a&%p=a&[]=a&password%=a");
  CHECK(shown("/a?my_password=abc") == "/a?my_password=abc");  // another name
  CHECK(shown("/a?password=") == "/a?password=");
  // Of URLs that are signed, and of tokens that stand for a password.
  for (const char* const name :
       {"X-Amz-Signature", "x-amz-credential", "X-Amz-Security-Token", "X-Goog-Signature",
        "X-Goog-Credential", "sig", "jwt", "assertion", "client_assertion"}) {
    const std::string url = std::string("/a?X-Amz-Date=1&") + name + "=";
    CHECK_MESSAGE(WithoutSecrets(url + "abc%2F1&x=1") == url + "(masked)&x=1", name);
  }
  CHECK(shown("/a?X-Amz-SignedHeaders=host") == "/a?X-Amz-SignedHeaders=host");
  CHECK(shown("https://joe:pw@example.com/?a=b@c") == "https://joe:(masked)@example.com/?a=b@c");
  CHECK(shown("joe@example.com and a:b@c") == "joe@example.com and a:b@c");
  CHECK(shown("==@=@:@//") == "==@=@:@//");
  CHECK(shown("") == "");
}

}  // namespace
TEST_CASE("Secrets: what strangers send is looked at once, however long it is") {
  // In the square of their length each of these would take hours.
  for (const std::string_view piece :
       {"@", "=", ":@", "a=", "//a:@", "/@", "=@", "token=", "a=b:c@d", "%5D=", "%"}) {
    std::string text;
    while (text.size() < 4'000'000) {
      text.append(piece);
    }
    CHECK(!WithoutSecrets(text).empty());
  }
}

}  // namespace weft::host::observe
