#include "host/recording/reader.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/doctest_values.hpp"
#include "tests/support/temporary_folder.hpp"

using weft::host::recording::Params;
using weft::host::recording::ParseRecording;
using weft::host::recording::ReadRecording;
using weft::host::recording::ReadResult;
using weft::host::recording::Recording;

namespace {

using Lines = std::vector<std::string>;

Lines Told(const ReadResult& result) {
  CHECK(result.recording.has_value() == result.problems.empty());
  Lines lines;
  for (const auto& problem : result.problems) {
    lines.push_back(problem.ToString());
  }
  return lines;
}

Lines ToldOf(std::string_view text) { return Told(ParseRecording(text, "f")); }

Recording Read(std::string_view text) {
  const auto result = ParseRecording(text, "f");
  CHECK(Told(result) == Lines());
  REQUIRE(result.recording);
  return *result.recording;
}

/// What is told of a recording with this member beside a version.
Lines ToldOfMember(std::string_view member) {
  return ToldOf("{\"version\": 1, " + std::string(member) + "}");
}

/// The same with a request.
Lines ToldBesideRequest(std::string_view member) {
  return ToldOf("{\"version\": 1, \"request\": \"GET /\",\n" + std::string(member) + "}");
}

Params WithoutUsual(const Params& params) {
  const Params usual = {{"SERVER_PROTOCOL", "HTTP/1.1"},  {"REQUEST_SCHEME", "http"},
                        {"GATEWAY_INTERFACE", "CGI/1.1"}, {"REMOTE_ADDR", "127.0.0.1"},
                        {"SERVER_ADDR", "127.0.0.1"},     {"SERVER_PORT", "80"}};
  Params rest;
  std::size_t found = 0;
  for (const auto& param : params) {
    if (std::find(usual.begin(), usual.end(), param) == usual.end()) {
      rest.push_back(param);
    } else {
      ++found;
    }
  }
  CHECK(found == usual.size());
  return rest;
}

}  // namespace

TEST_CASE(
    "ParseRecording: the long form keeps the order of parameters, and those that come twice") {
  const auto recording = Read(R"({
    // A comment.
    "$schema": "recording.schema.json", "version": 1.0,
    "params": [["B", "1"], ["A", ""], /* and again */ ["B", "2"]], "body": "a\nb\u0000"
  })");
  CHECK(recording.params == Params{{"B", "1"}, {"A", ""}, {"B", "2"}});
  CHECK(recording.body == std::string("a\nb\0", 4));
  CHECK_FALSE(recording.response);
}

TEST_CASE("ParseRecording: the short form becomes the parameters that a web server makes") {
  const auto params =
      Read(R"({"version": 1, "request": "GET /a%20b+c&d=%2B%C3%A4?x=%20+1?"})").params;
  CHECK(WithoutUsual(params) == Params{{"QUERY_STRING", "x=%20+1?"},
                                       {"REQUEST_METHOD", "GET"},
                                       {"SCRIPT_NAME", "/a b+c&d=+\u00e4"},
                                       {"REQUEST_URI", "/a%20b+c&d=%2B%C3%A4?x=%20+1?"},
                                       {"SERVER_NAME", "localhost"},
                                       {"HTTP_HOST", "localhost"}});
}

TEST_CASE("ParseRecording: the short form with a URL is a request to that server") {
  const auto params = [](const std::string& members) {
    return Read("{\"version\": 1, \"request\": \"GET " + members + "}").params;
  };
  const auto value = [](const Params& all, std::string_view name) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const auto& param) { return param.first == name; });
    return found == all.end() ? "none" : found->second;
  };
  const auto secure = params("https://shop.example.org/a?b\"");
  CHECK(value(secure, "HTTPS") == "on");
  CHECK(value(secure, "REQUEST_SCHEME") == "https");
  CHECK(value(secure, "SERVER_PORT") == "443");
  CHECK(value(secure, "SERVER_NAME") == "shop.example.org");
  CHECK(value(secure, "HTTP_HOST") == "shop.example.org");
  CHECK(value(secure, "REQUEST_URI") == "/a?b");
  const auto plain = params("http://[::1]:8080/\", \"headers\": {\"Host\": \"a\"}");
  CHECK(value(plain, "HTTPS") == "none");
  CHECK(value(plain, "SERVER_PORT") == "8080");
  CHECK(value(plain, "SERVER_NAME") == "a");
  CHECK(value(plain, "HTTP_HOST") == "a");
}

TEST_CASE("ParseRecording: headers of the short form become parameters, those of one name joined") {
  const auto params = Read(R"({"version": 1, "request": "M-SEARCH /", "body": "1234", "headers": [
    ["host", "[::1]:8080"], ["Content-Type", "text/plain"], ["X-a_B", "1"], ["Cookie", "a=1"],
    ["x-A-b", "2"], ["COOKIE", "b=2"]]})")
                          .params;
  CHECK(WithoutUsual(params) == Params{{"QUERY_STRING", ""},
                                       {"REQUEST_METHOD", "M-SEARCH"},
                                       {"SCRIPT_NAME", "/"},
                                       {"REQUEST_URI", "/"},
                                       {"SERVER_NAME", "[::1]"},
                                       {"CONTENT_LENGTH", "4"},
                                       {"HTTP_HOST", "[::1]:8080"},
                                       {"CONTENT_TYPE", "text/plain"},
                                       {"HTTP_X_A_B", "1, 2"},
                                       {"HTTP_COOKIE", "a=1; b=2"}});
}

TEST_CASE(
    "ParseRecording: CONTENT_LENGTH is the body's, unless a header says another, or there is "
    "none") {
  const auto length = [](std::string_view member) -> std::string {
    const auto text = "{\"version\": 1, \"request\": \"POST /\"" + std::string(member) + "}";
    for (const auto& [name, value] : Read(text).params) {
      if (name == "CONTENT_LENGTH") {
        return value;
      }
    }
    return "none";
  };
  CHECK(length("") == "none");
  CHECK(length(R"(, "body": "")") == "0");
  CHECK(length(R"(, "body": "\u00e4")") == "2");
  CHECK(length(R"(, "body": "abc", "headers": {"content-length": "7"})") == "7");
}

TEST_CASE("ParseRecording: a body in base64") {
  const auto body = [](std::string_view base64) {
    return Read("{\"version\": 1, \"params\": [], \"body\": {\"base64\": \"" + std::string(base64) +
                "\"}}")
        .body;
  };
  CHECK(body("") == "");
  CHECK(body("AP8KgA==") == std::string("\0\xff\n\x80", 4));
  CHECK(body("Zm9vYmE=") == "fooba");
  CHECK(body("Zm9vYmFy") == "foobar");
  CHECK(body("+/+/") == "\xfb\xff\xbf");
}

TEST_CASE("ParseRecording: parameters and headers that are no text, in base64") {
  const auto recording = Read(R"({"version": 1,
    "params": [["A", {"base64": "/w=="}], [{"base64": "/w=="}, ""]],
    "response": {"status": 200, "headers": {"B": {"base64": "/w=="}}}})");
  CHECK(recording.params == Params{{"A", "\xff"}, {"\xff", ""}});
  CHECK(recording.response->headers.Find("B") == "\xff");
  CHECK(
      ToldOfMember("\"params\": [[\"A\", {\"base64\": \"AA==\"}]]") ==
      Lines{"f:1:28: error: The parameter \"A\" is malformed. A name is not empty and holds no =, "
            "and neither name nor value holds NUL."});
  CHECK(ToldOfMember("\"params\": [[\"A\", {\"base64\": \"=\"}]]").size() == 1);
  CHECK(ToldOfMember("\"params\": [[\"A\", {\"file\": \"x\"}]]").size() == 1);
}

TEST_CASE("ReadRecording: a body in a file beside the recording") {
  const weft::test::TemporaryFolder folder;
  const auto told = [&](const std::string& name, std::size_t limit = 4) {
    const auto file =
        folder.Write("a.recording.json",
                     R"({"version": 1, "request": "POST /", "body": {"file": ")" + name + "\"}}");
    return Told(ReadRecording(file, {.body_file_bytes = limit}));
  };
  const std::string bytes("a\0\xff\n", 4);
  const auto body = folder.Write("a.body", bytes).string();
  const auto place = (folder / "a.recording.json").string() + ":1:54: error: ";
  CHECK(told("a.body") == Lines());
  CHECK(ReadRecording(folder / "a.recording.json").recording->body == bytes);
  CHECK(told("a.body", 3) ==
        Lines{place + "The file \"" + body + "\" is larger than 3 bytes, which no body is."});
  const auto cannot_be_read = [&](std::string_view name) {
    return Lines{place + "The file \"" + (folder / name).string() +
                 "\" cannot be read. Put the body's file beside the recording, or write the body "
                 "here."};
  };
  CHECK(told("no") == cannot_be_read("no"));
  std::filesystem::create_directory(folder / "d");
  CHECK(told("d") == cannot_be_read("d"));
  for (const std::string name :
       {"", ".", "..", ".a", "-a", "d/a", "/a", "../a.body", "a b", "\u00e4"}) {
    CAPTURE(name);
    CHECK(told(name) ==
          Lines{place + "\"file\" is \"" + name +
                "\", but must be the name of a file in the recording's folder, without a path: "
                "letters, digits, dots, hyphens and underscores, such as \"upload.body\"."});
  }
  CHECK(ToldBesideRequest("\"body\": {\"base64\": \"\", \"file\": \"a\"}") ==
        Lines{"f:2:24: error: \"base64\" and \"file\" stand in one body. Delete one of the two."});
}

TEST_CASE("ParseRecording: what is no base64") {
  const std::string sentence =
      ": error: \"base64\" is no base64. It has A to Z, a to z, 0 to 9, + and / in groups of four, "
      "of "
      "which = fills up the last.";
  for (const std::string text : {"A", "AA", "AAA", "A===", "====", "AA=A", "=AAA", "AA==AAAA",
                                 "AA A", "AA-_", "AAA\u00e4", "AA\\u0000A", "AAAA\\n"}) {
    CAPTURE(text);
    CHECK(ToldOf("{\"version\": 1, \"params\": [], \"body\": {\"base64\": \"" + text + "\"}}") ==
          Lines{"f:1:49" + sentence});
  }
}

TEST_CASE(
    "ParseRecording: the response has headers as an object or as pairs, and need not have a body") {
  const auto response = [](std::string_view members) {
    return *Read("{\"version\": 1, \"params\": [], \"response\": {\"status\": 2e2" +
                 std::string(members) + "}}")
                .response;
  };
  CHECK(response("").status == 200);
  CHECK(response("").headers.empty());
  CHECK_FALSE(response("").body);
  CHECK(response(R"(, "body": "")").body == "");
  CHECK(response(R"(, "body": {"base64": "Zm9v"})").body == "foo");
  using Fields = std::vector<std::pair<std::string, std::string>>;
  const auto fields = [&](std::string_view members) {
    const auto headers = response(members).headers;
    return Fields(headers.begin(), headers.end());
  };
  CHECK(fields(R"(, "headers": {"B": "1", "A": ""})") == Fields{{"B", "1"}, {"A", ""}});
  CHECK(fields(R"(, "headers": [["B", "1"], ["A", "2"], ["B", "3"]])") ==
        Fields{{"B", "1"}, {"A", "2"}, {"B", "3"}});
}

TEST_CASE("ParseRecording: what is missing, and what excludes each other") {
  CHECK(ToldOf("[]") == Lines{"f:1:1: error: A recording must be an object, but is an array."});
  CHECK(
      ToldOf(" {}") ==
      Lines{
          "f:1:2: error: This recording has no \"version\". Write \"version\": 1.",
          "f:1:2: error: This recording has neither \"request\" nor \"params\". Write \"request\": "
          "\"GET /hello.ashx\", say."});
  const std::string both =
      ": error: \"request\" and \"params\" stand in one recording. Delete \"request\" to give "
      "every "
      "parameter yourself, or \"params\" to have them made.";
  CHECK(ToldBesideRequest("\"params\": []") == Lines{"f:2:1" + both});
  CHECK(ToldOfMember("\"params\": [],\n\n  \"request\": \"GET /\"") == Lines{"f:3:3" + both});
  CHECK(ToldOfMember("\"params\": [],\n\"headers\": {}") ==
        Lines{"f:2:1: error: \"headers\" goes with \"request\". Beside \"params\" a header is a "
              "parameter, such as [\"HTTP_ACCEPT\", \"text/plain\"]."});
  CHECK(ToldBesideRequest("\"response\": {}") ==
        Lines{"f:2:1: error: \"response\" has no \"status\". Write \"status\": 200, say."});
  CHECK(ToldBesideRequest("\"body\": {}") ==
        Lines{"f:2:9: error: \"body\" has no \"base64\". Write {\"base64\": \"...\"}, or a text."});
}

TEST_CASE("ParseRecording: numbers out of their range") {
  const auto version = [](const std::string& number) {
    return ToldOf("{\"request\": \"GET /\",\n\"version\": " + number + "}");
  };
  CHECK(version("1e0") == Lines());
  for (const auto* const number : {"2", "0", "-1", "1.5", "1e300"}) {
    CHECK(version(number) == Lines{"f:2:12: error: \"version\" is " + std::string(number) +
                                   ", but must be 1: there is no other yet."});
  }
  const auto status = [](const std::string& number) {
    return ToldBesideRequest("\"response\": {\"status\": " + number + "}");
  };
  CHECK(status("599") == Lines());
  for (const auto* const number : {"199", "600", "-200", "200.5", "1e300"}) {
    CHECK(status(number) == Lines{"f:2:24: error: \"status\" is " + std::string(number) +
                                  ", but must be a whole number from 200 to 599."});
  }
}

TEST_CASE("ParseRecording: values of a wrong kind") {
  CHECK(ToldOf(R"({"version": "1", "request": "GET /"})") ==
        Lines{"f:1:13: error: \"version\" must be a number, but is a string."});
  CHECK(ToldOfMember("\"request\": [\"GET\", \"/\"]") ==
        Lines{"f:1:27: error: \"request\" must be a string, but is an array."});
  CHECK(ToldOfMember("\"params\": {}") ==
        Lines{"f:1:26: error: \"params\" must be an array, but is an object."});
  CHECK(ToldBesideRequest("\"$schema\": null") ==
        Lines{"f:2:12: error: \"$schema\" must be a string, but is null."});
  CHECK(
      ToldBesideRequest("\"headers\": \"Accept: */*\"") ==
      Lines{"f:2:12: error: \"headers\" must be an object or an array of pairs, but is a string."});
  CHECK(ToldBesideRequest("\"headers\": {\"Accept\": [\"a\", \"b\"]}") ==
        Lines{"f:2:23: error: The value of \"Accept\" must be a string, but is an array."});
  CHECK(
      ToldBesideRequest("\"body\": 1") ==
      Lines{"f:2:9: error: \"body\" must be a string or {\"base64\": \"...\"}, but is a number."});
  CHECK(ToldBesideRequest("\"body\": {\"base64\": true}") ==
        Lines{"f:2:20: error: \"base64\" must be a string, but is true or false."});
  CHECK(ToldBesideRequest("\"response\": 200") ==
        Lines{"f:2:13: error: \"response\" must be an object, but is a number."});
  CHECK(ToldBesideRequest("\"response\": {\"status\": \"200\"}") ==
        Lines{"f:2:24: error: \"status\" must be a number, but is a string."});
}

TEST_CASE("ParseRecording: pairs that are none, and all of them are told") {
  CHECK(ToldOfMember(
            "\"params\": [[\"A\", \"1\"],\n[\"A\"], [\"A\", \"1\", \"2\"], [\"A\", 1], {\"A\": "
            "\"1\"}]") == [] {
    const std::string sentence =
        ": error: A parameter must be an array of two strings, such as [\"REQUEST_METHOD\", "
        "\"GET\"].";
    return Lines{"f:2:1" + sentence, "f:2:8" + sentence, "f:2:25" + sentence, "f:2:35" + sentence};
  }());
  CHECK(ToldBesideRequest("\"headers\": [\"Accept\"]") ==
        Lines{"f:2:13: error: A header must be an array of two strings, such as [\"Accept\", "
              "\"text/plain\"]."});
}

TEST_CASE("ParseRecording: names and values that no web server sends") {
  const auto sentence = [](std::string_view name) {
    return ": error: The parameter \"" + std::string(name) +
           "\" is malformed. A name is not empty and holds no =, and neither name nor value holds "
           "NUL.";
  };
  CHECK(ToldOfMember(
            "\"params\": [[\"\", \"1\"],\n[\"A=B\", \"1\"],\n[\"A\\u0000\", \"\"],\n[\"A\", "
            "\"\\u0000\"]]") == Lines{"f:1:28" + sentence(""), "f:2:2" + sentence("A=B"),
                                      "f:3:2" + sentence("A\\x00"), "f:4:2" + sentence("A")});
  const auto header = [](std::string_view name) {
    return ": error: The header \"" + std::string(name) +
           "\" is malformed. A name has letters, digits and hyphens, and a value no control "
           "characters.";
  };
  CHECK(ToldBesideRequest("\"headers\": {\"\": \"\",\n\"A B\": \"\",\n\"A\": \"a\\r\\nB: b\"}") ==
        Lines{"f:2:13" + header(""), "f:3:1" + header("A B"), "f:4:1" + header("A")});
}

TEST_CASE("ParseRecording: a request that is no method and path") {
  for (const std::string request : {"",
                                    "GET",
                                    "GET ",
                                    " /",
                                    "/",
                                    "get /",
                                    "GET  /",
                                    "GET a",
                                    "GET http:///",
                                    "GET http://h",
                                    "GET ftp://h/",
                                    "GET http://a b/",
                                    "GET http://u@h/",
                                    "GET http://h:/",
                                    "GET http://h:123456/",
                                    "GET http://[::1/",
                                    "GET / HTTP/1.1",
                                    "GET /#f",
                                    "GET /\\n",
                                    "GET /\\u007f",
                                    "OPTIONS *"}) {
    CAPTURE(request);
    CHECK(
        ToldOfMember("\"request\": \"" + request + "\"") ==
        Lines{"f:1:27: error: \"request\" must be a method in capitals, one blank, and a path with "
              "or without a query, such as \"GET /hello.ashx?x=1\"."});
  }
  for (const std::string request : {"GET /%", "GET /%4", "GET /%4g?x=1", "GET /%?41"}) {
    CAPTURE(request);
    CHECK(
        ToldOfMember("\"request\": \"" + request + "\"") ==
        Lines{"f:1:27: error: The path holds a broken percent-escape. Write % itself as \"%25\"."});
  }
  CHECK(ToldOfMember("\"request\": \"GET /a%00\"") ==
        Lines{"f:1:27: error: The path holds %00, which no web server passes on."});
  CHECK(ToldOfMember("\"request\": \"GET /?%\"") == Lines());
}

TEST_CASE("ParseRecording: unknown keys come with the nearest right name, or with all of them") {
  CHECK(ToldBesideRequest("\"Body\": \"\"") ==
        Lines{"f:2:1: error: Unknown key \"Body\" in a recording; did you mean \"body\"?"});
  CHECK(ToldBesideRequest("\"method\": \"GET\"") ==
        Lines{"f:2:1: error: Unknown key \"method\" in a recording, which knows \"$schema\", "
              "\"version\", \"request\", \"params\", \"headers\", \"body\" and \"response\"."});
  CHECK(
      ToldBesideRequest("\"response\": {\"status\": 200,\n\"header\": {},\n\"reason\": \"OK\"}") ==
      Lines{"f:3:1: error: Unknown key \"header\" in \"response\"; did you mean \"headers\"?",
            "f:4:1: error: Unknown key \"reason\" in \"response\", which knows \"status\", "
            "\"headers\" and \"body\"."});
  CHECK(ToldBesideRequest("\"body\": {\"Base64\": \"\"}") ==
        Lines{"f:2:10: error: Unknown key \"Base64\" in \"body\"; did you mean \"base64\"?"});
}

TEST_CASE("ParseRecording: keys of a later version are refused with what to do instead") {
  CHECK(
      ToldBesideRequest("\"events\": [],\n\"match\": [],\n\"redactions\": [],\n\"clock\": \"\"") ==
      Lines{
          "f:2:1: error: \"events\" is not known yet. Delete it: the client sends all at once, and "
          "stays to the end.",
          "f:3:1: error: \"match\" is not known yet. Delete it, and leave out of \"response\" what "
          "changes from run to run.",
          "f:4:1: error: \"redactions\" is not known yet. Delete it, and write values that "
          "everybody may see.",
          "f:5:1: error: \"clock\" is not known yet. Delete it: handlers see the time of the "
          "replay."});
  CHECK(ToldBesideRequest("\"log\": {}") ==
        Lines{"f:2:1: error: \"log\" is not known yet. This is a HAR file: have 'weft recording "
              "import' write its recordings."});
}

TEST_CASE(
    "ParseRecording: what is no JSON is told at its place, and so are keys that stand twice") {
  CHECK(ToldOf("{\"version\": 1,\n}") ==
        Lines{"f:2:1: error: JSON syntax error while parsing object key: unexpected '}'; expected "
              "string literal. Delete the comma before it."});
  CHECK(
      ToldBesideRequest("\"version\": 1") ==
      Lines{
          "f:2:1: error: The key \"version\" stands twice in this object, first at line 1, column "
          "2. Delete one of the two."});
}

TEST_CASE("ParseRecording: what is no JSON is told as a recording's fault, not a mapping file's") {
  CHECK(ToldOf("// nothing\n") ==
        Lines{"f:2:1: error: JSON syntax error while parsing value: unexpected end of input; "
              "expected '[', '{', or a literal. The file holds no value; an empty object is {}."});
  CHECK(ToldBesideRequest("\"body\": " + std::string(64, '[')) ==
        Lines{"f:2:72: error: This is nested deeper than 64 levels, which no file needs."});
}

TEST_CASE("ReadRecording: reads a file, and refuses one that is none, empty or too large") {
  const weft::test::TemporaryFolder folder;
  const std::string_view text = "{\"version\": 1, \"request\": \"GET /\"}";
  REQUIRE(text.size() == 34);
  const auto file = folder.Write("a.recording.json", text);
  const auto name = file.string();
  CHECK(Told(ReadRecording(file)) == Lines());
  CHECK(Told(ReadRecording(file, {.file_bytes = 34})) == Lines());
  CHECK(Told(ReadRecording(file, {.file_bytes = 33})) ==
        Lines{name + ": error: The file is larger than 33 bytes, which no recording is."});
  folder.Write("a.recording.json", "[\n");
  CHECK(Told(ReadRecording(file)) ==
        Lines{name + ":2:1: error: JSON syntax error while parsing value: unexpected end of input; "
                     "expected '[', '{', or a literal. A closing brace or bracket is missing."});
  folder.Write("a.recording.json", " \n");
  CHECK(Told(ReadRecording(file)) ==
        Lines{name + ": error: The file is empty. Write {\"version\": 1, \"request\": \"GET "
                     "/hello.ashx\"}, say."});
  CHECK(Told(ReadRecording(folder / "no")) ==
        Lines{(folder / "no").string() + ": error: The file cannot be read."});
  CHECK(Told(ReadRecording(folder.Path())) ==
        Lines{folder.Path().string() + ": error: The file cannot be read."});
}
