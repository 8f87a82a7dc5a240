#include "host/recording/redaction.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/recording/short_form.hpp"

using namespace weft::host::recording;

namespace {

using Names = std::set<std::string>;
using Fields = std::vector<std::pair<std::string, std::string>>;

std::string ValueOf(const Recording& recording, std::string_view name) {
  for (const auto& [param, value] : recording.params) {
    if (param == name) {
      return value;
    }
  }
  return "none";
}

Recording Request(std::string_view line, const Fields& fields = {}, const std::string& body = {}) {
  weft::HttpHeaders headers;
  for (const auto& [name, value] : fields) {
    headers.Append(name, value);
  }
  return {MakeParams(*ParseRequestLine(line), headers, body.size()), body, std::nullopt};
}

/// A body after Redact(), and the names that it gives.
std::pair<std::string, Names> Redacted(const std::string& type, const std::string& body) {
  auto recording = Request("POST /", {{"Content-Type", type}}, body);
  auto names = Redact(recording);
  const auto before = recording.body;
  CHECK(Redact(recording).empty());
  CHECK(recording.body == before);
  CHECK(ValueOf(recording, "CONTENT_LENGTH") == std::to_string(recording.body.size()));
  return {recording.body, names};
}

/// Whether a response keeps its body.
bool KeepsBody(const std::string& type, const std::string& body) {
  Recording recording;
  recording.response = ExpectedResponse{200, {}, body};
  recording.response->headers.Append("Content-Type", type);
  const auto names = Redact(recording);
  CHECK(names.empty() == recording.response->body.has_value());
  return recording.response->body.has_value();
}

}  // namespace

TEST_CASE("Redact: header fields, and the query where it stands") {
  auto recording =
      Request("GET https://h/a?password=x%26y,z)&b=2", {{"Cookie", "sid=1"},
                                                        {"Authorization", "Bearer abc"},
                                                        {"Referer", "https://h/?token=abc&x=1"},
                                                        {"Accept", "text/html"}});
  CHECK(Redact(recording) == Names{"AUTHORIZATION", "COOKIE", "REFERER", "password"});
  CHECK(ValueOf(recording, "HTTP_COOKIE") == "(masked)");
  CHECK(ValueOf(recording, "HTTP_AUTHORIZATION") == "(masked)");
  CHECK(ValueOf(recording, "HTTP_REFERER") == "https://h/?token=(masked)&x=1");
  CHECK(ValueOf(recording, "HTTP_ACCEPT") == "text/html");
  CHECK(ValueOf(recording, "QUERY_STRING") == "password=(masked)&b=2");
  CHECK(ValueOf(recording, "REQUEST_URI") == "/a?password=(masked)&b=2");
  CHECK(FindShortForm(recording));
  const auto before = recording.params;
  CHECK(Redact(recording).empty());
  CHECK(recording.params == before);
}

TEST_CASE("Redact: what has no secrets stays as it is") {
  auto recording = Request("POST /a?b=2&c", {{"Content-Type", "application/json"}},
                           "{ \"n\": 1.50, \"token\": null, \"secret\": \"\" }");
  recording.response = ExpectedResponse{200, {}, "token=1"};
  recording.response->headers.Append("Content-Type", "text/javascript");
  const auto before = recording;
  CHECK(Redact(recording).empty());
  CHECK(recording.params == before.params);
  CHECK(recording.body == before.body);
  CHECK(recording.response->body == before.response->body);
}

TEST_CASE("Redact: a length that was wrong stays wrong") {
  auto recording = Request(
      "POST /", {{"Content-Type", "application/x-www-form-urlencoded"}, {"Content-Length", "3"}},
      "password=secret");
  CHECK(Redact(recording) == Names{"password"});
  CHECK(ValueOf(recording, "CONTENT_LENGTH") == "3");
}

TEST_CASE("Redact: fields of forms and of JSON") {
  CHECK(Redacted("application/x-www-form-urlencoded; charset=utf-8",
                 "user=ada&user%5Bpassword%5D=a%2Cb,c&empty=&token=&accessToken=x") ==
        std::pair(std::string("user=ada&user%5Bpassword%5D=(masked)&empty=&token=&accessToken="
                              "(masked)"),
                  Names{"user%5Bpassword%5D", "accessToken"}));
  CHECK(Redacted("application/vnd.x+json",
                 R"({"b": [{"clientSecret": {"a": 1}}], "a": "x?token=y", "Password": 7})") ==
        std::pair(std::string(R"j({"b":[{"clientSecret":"(masked)"}],"a":"x?token=(masked)",)j"
                              R"j("Password":"(masked)"})j"),
                  Names{"Password", "a", "clientSecret"}));
  // What is no JSON, or too deep to be taken apart, is a text.
  CHECK(Redacted("application/json", "{password=x}").first == "{password=(masked)");
  CHECK(Redacted("application/json", std::string(1000, '[') + "\"?token=y\"").first ==
        std::string(1000, '[') + "\"?token=(masked)\"");
}

TEST_CASE("Redact: fields of multipart forms") {
  const std::string type = "multipart/form-data; boundary=\"x-1\"";
  const std::string body =
      "--x-1\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nada\r\n"
      "--x-1\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nab\r\ncd\r\n"
      "--x-1\r\nContent-Disposition: form-data; name=\"f\"; filename=\"token\"\r\n\r\n\xff\r\n"
      "--x-1--\r\n";
  const auto [masked, names] = Redacted(type, body);
  CHECK(names == Names{"password"});
  auto expected = body;
  expected.replace(expected.find("ab\r\ncd"), 6, "(masked)");
  CHECK(masked == expected);
  // Cut off, or without what separates: nothing hangs, and nothing is lost.
  for (std::size_t end = 0; end < body.size(); ++end) {
    const auto cut = Redacted(type, body.substr(0, end)).first;
    CHECK(cut.find("ab") == std::string::npos);
  }
  CHECK(Redacted("multipart/form-data", body).first == body);
  CHECK(Redacted(type, "no parts").first == "no parts");
}

TEST_CASE("Redact: a response loses what holds secrets, and is not compared by it") {
  Recording recording;
  recording.response = ExpectedResponse{302, {}, ""};
  recording.response->headers.Append("Set-Cookie", "sid=1");
  recording.response->headers.Append("Location", "/?access_token=abc");
  recording.response->headers.Append("X-A", "1");
  CHECK(Redact(recording) == Names{"Set-Cookie", "Location"});
  CHECK(recording.response->headers.size() == 1);
  CHECK(recording.response->headers.Contains("X-A"));
  CHECK_FALSE(KeepsBody("application/json", R"({"access_token": "x"})"));
  CHECK_FALSE(KeepsBody("text/html", "<a href='?token=x'>"));
  CHECK(KeepsBody("application/json", R"({"a": "x"})"));
  CHECK(KeepsBody("image/png", "\x89PNG token=x"));
  CHECK(KeepsBody("text/css", "a[token=x] {}"));
}
