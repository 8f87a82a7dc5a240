#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/recording/har_reader.hpp"
#include "host/recording/har_writer.hpp"
#include "host/recording/short_form.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace weft::host::recording;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

using Lines = std::vector<std::string>;
using Fields = std::vector<std::pair<std::string, std::string>>;

Lines Told(const HarImport& import) {
  Lines lines;
  for (const auto& problem : import.problems) {
    lines.push_back(problem.ToString());
  }
  return lines;
}

json Headers(const Fields& fields) {
  auto list = json::array();
  for (const auto& [name, value] : fields) {
    list.push_back({{"name", name}, {"value", value}});
  }
  return list;
}

/// As browsers have it, a request that was answered with 200.
json Entry(const std::string& url = "http://h/a", const std::string& method = "GET") {
  return {{"startedDateTime", "2026-11-23T20:00:00.000Z"},
          {"time", 12.5},
          {"_initiator", {{"type", "other"}}},
          {"request",
           {{"method", method},
            {"url", url},
            {"httpVersion", "http/2.0"},
            {"headers", json::array()},
            {"queryString", json::array()},
            {"cookies", json::array()},
            {"headersSize", -1},
            {"bodySize", 0}}},
          {"response",
           {{"status", 200},
            {"statusText", ""},
            {"headers", json::array()},
            {"content", {{"size", 2}, {"mimeType", "text/plain"}, {"text", "ok"}}},
            {"redirectURL", ""}}}};
}

std::string Har(const std::vector<json>& entries) {
  return json{{"log", {{"version", "1.2"}, {"entries", entries}}}}.dump();
}

HarImport Import(const json& entry, const HarOptions& options = {.keeps_secrets = true}) {
  return ParseHar(Har({entry}), "f", options);
}

/// The one recording of an entry of which nothing is told.
Recording Only(const json& entry) {
  const auto import = Import(entry);
  CHECK(Told(import) == Lines());
  REQUIRE(import.recordings.size() == 1);
  return import.recordings[0];
}

/// Why an entry is left out.
std::string WhyLeftOut(const json& entry) {
  const auto import = Import(entry);
  CHECK(import.recordings.empty());
  REQUIRE(import.problems.size() == 1);
  const auto& sentence = import.problems[0].sentence;
  const auto mark = sentence.find(" is left out: ");
  REQUIRE(mark != std::string::npos);
  return sentence.substr(mark + 14);
}

ShortForm Form(const Recording& recording) {
  const auto form = FindShortForm(recording);
  REQUIRE(form);
  return *form;
}

Fields FieldsOf(const weft::HttpHeaders& headers) { return {headers.begin(), headers.end()}; }

}  // namespace

TEST_CASE("ParseHar: a browser's request becomes one by HTTP/1.1 to that URL") {
  auto entry = Entry("https://user:pw@shop.example.org/a%20b?x=1#part");
  entry["request"]["headers"] = Headers({{":authority", "shop.example.org"},
                                         {":method", "GET"},
                                         {":path", "/a%20b?x=1"},
                                         {":scheme", "https"},
                                         {"accept-encoding", "gzip, br"},
                                         {"Connection", "keep-alive"},
                                         {"Proxy", "x"},
                                         {"accept", "text/html"},
                                         {"cookie", "a=1"}});
  const auto form = Form(Only(entry));
  CHECK(form.request == "GET https://shop.example.org/a%20b?x=1");
  CHECK(FieldsOf(form.headers) == Fields{{"Accept", "text/html"}, {"Cookie", "a=1"}});
  CHECK_FALSE(form.has_body);
  CHECK(Form(Only(Entry("HTTP://h"))).request == "GET http://h/");
  CHECK(Form(Only(Entry("http://h:81?a"))).request == "GET http://h:81/?a");
}

TEST_CASE("ParseHar: another Host than the URL's is kept") {
  auto entry = Entry();
  entry["request"]["headers"] = Headers({{"Host", "H"}});
  CHECK(Form(Only(entry)).request == "GET http://h/a");
  entry["request"]["headers"] = Headers({{"Host", "other"}});
  CHECK(Form(Only(entry)).request == "GET http://other/a");
}

TEST_CASE("ParseHar: bodies of requests") {
  auto entry = Entry("http://h/a", "POST");
  entry["request"]["postData"] = {{"mimeType", "text/plain"}, {"text", "abc"}};
  CHECK(Only(entry).body == "abc");
  CHECK(FieldsOf(Form(Only(entry)).headers) == Fields{{"Content-Type", "text/plain"}});
  entry["request"]["postData"] = {
      {"mimeType", "text/plain"}, {"text", "AP8="}, {"encoding", "base64"}};
  CHECK(Only(entry).body == std::string("\0\xff", 2));
  entry["request"]["postData"] = {{"mimeType", "application/x-www-form-urlencoded"},
                                  {"params", Headers({{"a b", "1&2"}, {"c", ""}})}};
  CHECK(Only(entry).body == "a+b=1%262&c=");
  entry["request"]["postData"]["text"] = "a=1";
  CHECK(Only(entry).body == "a=1");
  entry["request"]["postData"] = {{"mimeType", ""}, {"text", ""}};
  CHECK(Form(Only(entry)).has_body);
  entry["request"].erase("postData");
  CHECK_FALSE(Form(Only(entry)).has_body);
  entry["request"]["headers"] = Headers({{"Content-Length", "0"}});
  CHECK(Form(Only(entry)).has_body);
}

TEST_CASE("ParseHar: a request without its body is left out") {
  auto entry = Entry("http://h/a", "POST");
  entry["request"]["bodySize"] = 7;
  CHECK(WhyLeftOut(entry) == "its body is not in the file, as that of an upload.");
  entry["request"]["bodySize"] = -1;
  entry["request"]["headers"] = Headers({{"content-length", "7"}});
  CHECK(WhyLeftOut(entry) == "its body is not in the file, as that of an upload.");
  entry["request"]["postData"] = {{"mimeType", "multipart/form-data; boundary=x"},
                                  {"params", Headers({{"a", "1"}})}};
  CHECK(WhyLeftOut(entry) ==
        "the file has the fields of its body only. Save it with \"postData.text\".");
  entry["request"]["postData"] = {{"text", "A"}, {"encoding", "base64"}};
  CHECK(WhyLeftOut(entry) == "its body is told to be base64, and is none.");
  entry["request"]["postData"] = {{"mimeType", "application/octet-stream"},
                                  {"text", "\xef\xbf\xbd"}};
  const auto import = Import(entry);
  CHECK(import.recordings.size() == 1);
  REQUIRE(import.problems.size() == 1);
  CHECK(import.problems[0].sentence ==
        "\"POST http://h/a\" has 3 bytes of a body here, and another number was sent: bytes that "
        "are no text are lost in a HAR file.");
}

TEST_CASE("ParseHar: what no handler has answered is left out") {
  auto entry = Entry();
  entry["response"]["status"] = 0;
  CHECK(WhyLeftOut(entry) == "it was not answered (status 0): it was blocked or broken off.");
  entry.erase("response");
  CHECK(WhyLeftOut(entry) == "it was not answered (status 0): it was blocked or broken off.");
  for (const auto& status : {json(101), json(600), json(200.5), json(1e300)}) {
    entry["response"]["status"] = status;
    CHECK(WhyLeftOut(entry) ==
          "no handler's answer has its status, which is none from 200 to 599.");
  }
  entry["_fromCache"] = "disk";
  CHECK(WhyLeftOut(entry) ==
        "it came from the browser's cache. Disable the cache before you save.");
  for (const std::string url : {"", "data:text/plain,x", "ws://h/", "chrome-extension://x/",
                                "http://", "http:///a", "http://h/a b", "/a"}) {
    CAPTURE(url);
    CHECK(WhyLeftOut(Entry(url)) ==
          "it is no request by http or https that a web server passes on.");
  }
  CHECK(WhyLeftOut(Entry("http://h/a", "get")) ==
        "it is no request by http or https that a web server passes on.");
  CHECK(WhyLeftOut(Entry("http://h/%4")) ==
        "The path holds a broken percent-escape. Write % itself as \"%25\".");
  CHECK(WhyLeftOut(json::object()) == "it has no object \"request\".");
  CHECK(WhyLeftOut(7) == "it has no object \"request\".");
}

TEST_CASE("ParseHar: what is left out is told at its place, without its secrets") {
  auto blocked = Entry("http://h/?password=secret");
  blocked["response"]["status"] = 0;
  const auto import =
      ParseHar("{\"log\": {\"entries\": [\n  " + blocked.dump() + "\n]}}", "visit.har", {});
  CHECK(Told(import) ==
        Lines{"visit.har:2:3: warning: \"GET http://h/?password=(masked)\" is left "
              "out: it was not answered (status 0): it was blocked or broken off."});
}

TEST_CASE("ParseHar: responses") {
  auto entry = Entry();
  entry["response"]["status"] = 404;
  entry["response"]["headers"] = Headers({{":status", "404"},
                                          {"date", "now"},
                                          {"server", "nginx"},
                                          {"content-encoding", "gzip"},
                                          {"content-length", "22"},
                                          {"content-type", "text/plain"},
                                          {"set-cookie", "a=1\nb=2"}});
  const auto response = *Only(entry).response;
  CHECK(response.status == 404);
  CHECK(FieldsOf(response.headers) ==
        Fields{{"content-type", "text/plain"}, {"set-cookie", "a=1"}, {"set-cookie", "b=2"}});
  CHECK(response.body == "ok");
}

TEST_CASE("ParseHar: bodies of responses") {
  const auto body_of = [](int status, const json& content, const std::string& method = "GET") {
    auto entry = Entry("http://h/a", method);
    entry["response"]["status"] = status;
    entry["response"]["content"] = content;
    return Only(entry).response->body;
  };
  CHECK(body_of(200, {{"text", "iVBO"}, {"encoding", "base64"}}) == "\x89PN");
  CHECK(body_of(200, {{"size", 0}}) == "");
  CHECK_FALSE(body_of(200, {{"size", 5}}));
  CHECK_FALSE(body_of(200, json::object()));
  CHECK_FALSE(body_of(200, nullptr));
  CHECK_FALSE(body_of(302, {{"size", 0}}));
  CHECK_FALSE(body_of(304, {{"text", "cached"}}));
  CHECK_FALSE(body_of(204, {{"text", ""}}));
  CHECK_FALSE(body_of(200, {{"text", ""}}, "HEAD"));
}

TEST_CASE("ParseHar: bodies that the file does not have as they were are not compared") {
  const auto told = [](const json& content, const std::string& type) {
    auto entry = Entry();
    entry["response"]["content"] = content;
    entry["response"]["headers"] = Headers({{"Content-Type", type}});
    const auto import = Import(entry);
    REQUIRE(import.recordings.size() == 1);
    CHECK(import.recordings[0].response->body.has_value() == import.problems.empty());
    return Told(import);
  };
  CHECK(told({{"text", "\u00e4"}}, "text/html; charset=UTF-8") == Lines());
  CHECK(told({{"text", "\u00e4"}}, "text/html") == Lines());
  CHECK(told({{"text", "a"}}, "text/html; charset=iso-8859-1") == Lines());
  CHECK(told({{"text", "\u00e4"}}, "text/html; charset=iso-8859-1") ==
        Lines{"f:1:20: warning: \"GET http://h/a\" is not compared by its body: the file has its "
              "characters, and not its bytes, which are no UTF-8."});
  CHECK(told({{"text", "A"}, {"encoding", "base64"}}, "image/png") ==
        Lines{"f:1:20: warning: \"GET http://h/a\" is not compared by its body, which is told to "
              "be base64, and is none."});
}

TEST_CASE("ParseHar: a malformed header is left out") {
  auto entry = Entry();
  entry["request"]["headers"] = Headers({{"a b", "x"}, {"c", "x\r\ny"}, {"d", "x"}});
  const auto import = Import(entry);
  CHECK(import.problems.size() == 2);
  REQUIRE(import.recordings.size() == 1);
  CHECK(FieldsOf(Form(import.recordings[0]).headers) == Fields{{"D", "x"}});
}

TEST_CASE("ParseHar: secrets are masked, unless they are to stay") {
  auto entry = Entry("http://h/?token=abc");
  entry["request"]["headers"] = Headers({{"Cookie", "sid=1"}});
  auto import = Import(entry, {});
  CHECK(import.masked == std::set<std::string>{"COOKIE", "token"});
  REQUIRE(import.recordings.size() == 1);
  CHECK(Form(import.recordings[0]).request == "GET http://h/?token=(masked)");
  import = Import(entry, {.keeps_secrets = true});
  CHECK(import.masked.empty());
  CHECK(Form(import.recordings[0]).request == "GET http://h/?token=abc");
}

TEST_CASE("ParseHar: of one host alone") {
  const auto text =
      Har({Entry("http://A.example:81/"), Entry("https://b.example/"), Entry("data:,x")});
  const auto import = ParseHar(text, "f", {.host = "a.example"});
  CHECK(import.recordings.size() == 1);
  CHECK(import.of_other_hosts == 1);
  CHECK(import.problems.size() == 1);
}

TEST_CASE("ParseHar: what is no HAR file is told with its place, and what to do") {
  const auto told = [](std::string_view text) { return Told(ParseHar(text, "f", {})); };
  CHECK(told("{\"log\": {\"entries\": [\n}") ==
        Lines{"f:2:1: error: JSON syntax error while parsing value: unexpected '}'; expected '[', "
              "'{', or a literal."});
  CHECK(told("[]") ==
        Lines{"f:1:1: error: This is no HAR file: it has no object \"log\". Save it in "
              "the browser's developer tools: Network, \"Save all as HAR with "
              "content\"."});
  CHECK(
      told("{\"log\": {\"version\": \"2.0\", \"entries\": []}}") ==
      Lines{"f:1:21: error: This HAR file is of version \"2.0\", but 1.2 is what is known. Save it "
            "as HAR 1.2."});
  CHECK(told("{\"log\": {}}").size() == 1);
  CHECK(told("\xef\xbb\xbf{\"log\": {\"entries\": []}}") == Lines());
  CHECK(told("{\"log\": {\"version\": \"1.3\", \"version\": \"\", \"entries\": []}}") == Lines());
}

TEST_CASE("ParseHar: nests as deep as browsers' stacks do, and no deeper") {
  const auto nested = [](std::size_t depth) {
    return Told(ParseHar("{\"log\": {\"entries\": []}, \"_x\": " + std::string(depth, '[') +
                             std::string(depth, ']') + "}",
                         "f", {}))
        .size();
  };
  CHECK(nested(255) == 0);
  CHECK(nested(256) == 1);
  CHECK(nested(1'000'000) == 1);
}

TEST_CASE("ReadHar: reads a file, and refuses one that is none or too large") {
  const weft::test::TemporaryFolder folder;
  const auto text = Har({Entry()});
  const auto file = folder.Write("a.har", text);
  CHECK(ReadHar(file, {.file_bytes = text.size()}).recordings.size() == 1);
  CHECK(Told(ReadHar(file, {.file_bytes = text.size() - 1})) ==
        Lines{file.string() + ": error: The file is larger than " +
              std::to_string(text.size() - 1) +
              " bytes, which is too much to import. Save less of the visit, or without content."});
  CHECK(Told(ReadHar(folder / "no")) ==
        Lines{(folder / "no").string() + ": error: The file cannot be read."});
}

TEST_CASE("WriteHar: has what HAR 1.2 asks for") {
  weft::HttpHeaders headers;
  headers.Append("Cookie", "a=1; b=2");
  headers.Append("Content-Type", "text/plain");
  Recording recording{MakeParams(*ParseRequestLine("POST https://h/a?x=%20y&z"), headers, 3), "abc",
                      ExpectedResponse{302, {}, ""}};
  recording.response->headers.Append("Location", "/b");
  recording.response->headers.Append("Set-Cookie", "c=3; Path=/");
  const auto har = ordered_json::parse(WriteHar({&recording, 1}, "1.0"));
  CHECK(har["log"]["version"] == "1.2");
  CHECK(har["log"]["creator"] == ordered_json{{"name", "weft"}, {"version", "1.0"}});
  REQUIRE(har["log"]["entries"].size() == 1);
  const auto& entry = har["log"]["entries"][0];
  CHECK(entry["startedDateTime"] == "1970-01-01T00:00:00.000Z");
  CHECK(entry["cache"] == ordered_json::object());
  CHECK(entry["timings"] == ordered_json{{"send", 0}, {"wait", 0}, {"receive", 0}});
  CHECK(entry["request"].dump() ==
        R"({"method":"POST","url":"https://h/a?x=%20y&z","httpVersion":"HTTP/1.1",)"
        R"("cookies":[{"name":"a","value":"1"},{"name":"b","value":"2"}],)"
        R"("headers":[{"name":"Host","value":"h"},{"name":"Content-Length","value":"3"},)"
        R"({"name":"Cookie","value":"a=1; b=2"},{"name":"Content-Type","value":"text/plain"}],)"
        R"("queryString":[{"name":"x","value":" y"},{"name":"z","value":""}],)"
        R"("postData":{"mimeType":"text/plain","text":"abc"},"headersSize":-1,"bodySize":3})");
  CHECK(
      entry["response"].dump() ==
      R"({"status":302,"statusText":"Found","httpVersion":"HTTP/1.1",)"
      R"("cookies":[{"name":"c","value":"3"}],)"
      R"("headers":[{"name":"Location","value":"/b"},{"name":"Set-Cookie","value":"c=3; Path=/"}],)"
      R"("content":{"size":0,"mimeType":"x-unknown","text":""},"redirectURL":"/b",)"
      R"("headersSize":-1,"bodySize":0})");
}

TEST_CASE("WriteHar: what was written is read as the same") {
  weft::HttpHeaders headers;
  headers.Append("Content-Type", "application/octet-stream");
  const std::string bytes("\0\xff\r\n", 4);
  std::vector<Recording> recordings;
  for (const std::string line : {"GET /", "POST https://[::1]:8443/a%20b?c=%", "HEAD http://h/"}) {
    Recording recording{MakeParams(*ParseRequestLine(line), headers, bytes.size()), bytes,
                        ExpectedResponse{200, headers, bytes}};
    if (line.starts_with("HEAD")) {
      recording.response->body.reset();
    }
    recordings.push_back(recording);
  }
  const auto import = ParseHar(WriteHar(recordings, "1"), "f", {});
  CHECK(Told(import) == Lines());
  REQUIRE(import.recordings.size() == recordings.size());
  for (std::size_t i = 0; i < recordings.size(); ++i) {
    CHECK(import.recordings[i].params == recordings[i].params);
    CHECK(import.recordings[i].body == recordings[i].body);
    CHECK(FieldsOf(import.recordings[i].response->headers) ==
          FieldsOf(recordings[i].response->headers));
    CHECK(import.recordings[i].response->body == recordings[i].response->body);
  }
}

TEST_CASE("WriteHar: parameters of any server, and none, make an entry") {
  const std::vector<Recording> recordings = {{},
                                             {{{"REQUEST_METHOD", "GET"},
                                               {"SERVER_NAME", "h"},
                                               {"HTTPS", "on"},
                                               {"SCRIPT_NAME", "/a b"},
                                               {"PATH_INFO", "/\xff"},
                                               {"QUERY_STRING", "x=\xff"},
                                               {"HTTP_COOKIE", "; ;a"},
                                               {"HTTP_X", "\xff"}},
                                              "",
                                              std::nullopt}};
  const auto har = json::parse(WriteHar(recordings, "1"));
  CHECK(har["log"]["entries"][0]["request"]["url"] == "http://localhost");
  CHECK(har["log"]["entries"][0]["response"]["status"] == 0);
  const auto& request = har["log"]["entries"][1]["request"];
  CHECK(request["url"] == "https://h/a%20b/%ff?x=\u00ff");
  CHECK(request["cookies"].size() == 1);
  CHECK(request["headers"][1]["value"] == "\u00ff");
}
