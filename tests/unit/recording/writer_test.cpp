#include "host/recording/writer.hpp"

#include <doctest/doctest.h>

#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/recording/reader.hpp"
#include "host/recording/short_form.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace weft::host::recording;
using weft::HttpHeaders;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

Fields FieldsOf(const HttpHeaders& headers) { return {headers.begin(), headers.end()}; }

HttpHeaders HeadersOf(const Fields& fields) {
  HttpHeaders headers;
  for (const auto& [name, value] : fields) {
    headers.Append(name, value);
  }
  return headers;
}

Recording Request(std::string_view line, const Fields& headers = {}, std::string body = {},
                  bool has_body = false) {
  const auto bytes = body.size();
  return {MakeParams(*ParseRequestLine(line), HeadersOf(headers),
                     has_body || bytes != 0 ? std::optional(bytes) : std::nullopt),
          std::move(body), std::nullopt};
}

std::string TextOf(const Recording& recording) {
  const auto written = WriteRecording(recording, "a");
  CHECK(written.beside.empty());
  return written.text;
}

/// Writes it into a folder, reads it from there, and checks that nothing has become of it.
void CheckRoundTrip(const Recording& recording) {
  const weft::test::TemporaryFolder folder;
  const auto written = WriteRecording(recording, "a");
  for (const auto& [name, bytes] : written.beside) {
    folder.Write(name, bytes);
  }
  CAPTURE(written.text);
  const auto result = ReadRecording(folder.Write("a.recording.json", written.text));
  for (const auto& problem : result.problems) {
    FAIL_CHECK(problem.ToString());
  }
  REQUIRE(result.recording);
  CHECK(result.recording->params == recording.params);
  CHECK((result.recording->body == recording.body));
  REQUIRE(result.recording->response.has_value() == recording.response.has_value());
  if (recording.response) {
    CHECK(result.recording->response->status == recording.response->status);
    CHECK(FieldsOf(result.recording->response->headers) == FieldsOf(recording.response->headers));
    CHECK((result.recording->response->body == recording.response->body));
  }
  CHECK(WriteRecording(*result.recording, "a").text == written.text);
}

/// Random recordings, of texts that are mostly what is hard to write.
class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}

  std::size_t Below(std::size_t limit) { return random_() % limit; }
  bool Toss() { return Below(2) == 0; }

  std::string Bytes(std::size_t most) {
    std::string bytes;
    for (auto count = Below(most + 1); count > 0; --count) {
      bytes += static_cast<char>(Below(256));
    }
    return bytes;
  }

  std::string Text(std::size_t most) {
    static const std::vector<std::string> kPieces = {
        "a",  "Z",    " ",    "\"",           "\\",           "/",       "\t", "\u00e4", "\u20ac",
        "%",  "\xff", "\xc3", "\xf0\x9f\x98", "\xed\xa0\x80", "*/",      "//", "{",      "]",
        ", ", ":",    "0",    "\u2028",       "\ufeff",       "\xc0\x80"};
    std::string text;
    for (auto count = Below(most + 1); count > 0; --count) {
      text += kPieces[Below(kPieces.size())];
    }
    return text;
  }

  std::string Without(std::string text, std::string_view characters) {
    std::erase_if(text, [&](char c) { return characters.find(c) != std::string_view::npos; });
    return text;
  }

  Recording Any() {
    Recording recording;
    const std::string body = Below(4) == 0   ? std::string()
                             : Below(3) == 0 ? std::string(kMaxBodyInText + Below(3), 'x')
                             : Toss()        ? Text(20) + (Toss() ? "\r\n" : "")
                                             : Bytes(40);
    if (Toss()) {
      recording = Request(Toss() ? "POST /a%20b?x=%ff" : "GET https://[::1]:8443/\u00e4",
                          SomeHeaders(), body, Toss());
      // Almost what the short form makes.
      if (Below(4) == 0) {
        std::swap(recording.params[Below(recording.params.size())],
                  recording.params[Below(recording.params.size())]);
      }
      if (Below(4) == 0) {
        recording.params.push_back(recording.params[Below(recording.params.size())]);
      }
      if (Below(4) == 0) {
        recording.params[Below(recording.params.size())].second = Text(3);
      }
      if (Below(4) == 0) {
        recording.body = Text(4);
      }
    } else {
      for (auto count = Below(6); count > 0; --count) {
        recording.params.emplace_back("N" + Without(Text(4), "="), Without(Bytes(12), {"\0", 1}));
      }
      recording.body = body;
    }
    if (Toss()) {
      recording.response = {200 + static_cast<int>(Below(400)), HeadersOf(SomeHeaders()),
                            std::nullopt};
      if (Toss()) {
        recording.response->body = Toss() ? Text(30) : Bytes(30);
      }
    }
    return recording;
  }

 private:
  Fields SomeHeaders() {
    static const std::vector<std::string> kNames = {"Accept",     "accept", "Host",
                                                    "Set-Cookie", "Cookie", "Content-Length",
                                                    "X_a.B",      "X-1a",   "Content-Type"};
    Fields headers;
    for (auto count = Below(5); count > 0; --count) {
      headers.emplace_back(kNames[Below(kNames.size())], Text(4));
    }
    return headers;
  }

  std::mt19937 random_;
};

}  // namespace

TEST_CASE("WriteRecording: what was written is read as the same, byte for byte") {
  for (unsigned seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    CheckRoundTrip(Dice(seed).Any());
  }
}

TEST_CASE("WriteRecording: the short form, where it gives the same parameters") {
  CHECK(TextOf(Request("GET /hello.ashx?x=1")) ==
        "{\n  \"version\": 1,\n  \"request\": \"GET /hello.ashx?x=1\"\n}\n");
  auto recording = Request("POST https://shop.example.org/orders.ashx",
                           {{"Accept", "text/html"}, {"Content-Type", "text/plain"}}, "a\nb");
  recording.response = {201, HeadersOf({{"Set-Cookie", "a"}, {"Set-Cookie", "b"}}), ""};
  CHECK(TextOf(recording) == R"({
  "version": 1,
  "request": "POST https://shop.example.org/orders.ashx",
  "headers": {
    "Accept": "text/html",
    "Content-Type": "text/plain"
  },
  "body": "a\nb",
  "response": {
    "status": 201,
    "headers": [
      ["Set-Cookie", "a"],
      ["Set-Cookie", "b"]
    ],
    "body": ""
  }
}
)");
}

TEST_CASE("WriteRecording: the short form's parts are told only where they are not as usual") {
  const auto request_of = [](const Recording& recording) {
    return FindShortForm(recording).value_or(ShortForm{"none", {}, false});
  };
  CHECK(request_of(Request("GET /", {{"Host", "localhost"}})).request == "GET /");
  CHECK(request_of(Request("GET http://localhost/")).request == "GET /");
  CHECK(request_of(Request("GET /", {{"Host", "a:8080"}})).request == "none");
  CHECK(request_of(Request("GET http://a:8080/")).request == "GET http://a:8080/");
  CHECK(request_of(Request("GET /", {{"X-A", "1"}, {"X-A", "2"}})).headers.size() == 1);
  CHECK_FALSE(request_of(Request("POST /")).has_body);
  CHECK(request_of(Request("POST /", {}, "", true)).has_body);
  CHECK(request_of(Request("POST /", {{"Content-Length", "7"}}, "abc")).headers.size() == 1);
}

TEST_CASE("WriteRecording: the long form, in the order of the parameters") {
  CHECK(TextOf({{{"B", "1"}, {"A", ""}, {"B", "\xff"}}, {"\0\xff", 2}, std::nullopt}) == R"({
  "version": 1,
  "params": [
    ["B", "1"],
    ["A", ""],
    ["B", {"base64": "/w=="}]
  ],
  "body": {"base64": "AP8="}
}
)");
  CHECK(TextOf({}) == "{\n  \"version\": 1,\n  \"params\": []\n}\n");
}

TEST_CASE("WriteRecording: a body is a text where people can read it") {
  const auto body = [](const std::string& bytes) {
    const auto text = TextOf({{}, bytes, std::nullopt});
    const auto begin = text.find("\"body\": ") + 8;
    return text.substr(begin, text.size() - 3 - begin);
  };
  CHECK(body("a\r\n\t\u00e4") == "\"a\\r\\n\\t\u00e4\"");
  CHECK(body("a\x1b") == "{\"base64\": \"YRs=\"}");
  CHECK(body("a\x7f") == "{\"base64\": \"YX8=\"}");
  CHECK(body(std::string("\0", 1)) == "{\"base64\": \"AA==\"}");
  CHECK(body("\xc3") == "{\"base64\": \"ww==\"}");
}

TEST_CASE("WriteRecording: a long body stands in a file beside the recording") {
  const std::string most(kMaxBodyInText, 'a');
  CHECK(WriteRecording({{}, most, std::nullopt}, "x").beside.empty());
  const auto written =
      WriteRecording({{}, most + "b", ExpectedResponse{200, {}, most + "c"}}, "001-get-x");
  CHECK(written.text.find("{\"file\": \"001-get-x.request-body\"}") != std::string::npos);
  CHECK(written.text.find("{\"file\": \"001-get-x.response-body\"}") != std::string::npos);
  REQUIRE(written.beside.size() == 2);
  CHECK(written.beside[0].name == "001-get-x.request-body");
  CHECK((written.beside[0].bytes == most + "b"));
  CHECK((written.beside[1].bytes == most + "c"));
  CHECK_THROWS_AS(WriteRecording({{}, most + "b", std::nullopt}, "../x"), std::invalid_argument);
}

TEST_CASE("WriteRecording: what the reader would refuse is not written") {
  for (const auto& [name, value] :
       Fields{{"", "x"}, {"A=B", "x"}, {std::string("A\0", 2), "x"}, {"A", std::string("\0", 1)}}) {
    CHECK_THROWS_AS(WriteRecording({{{name, value}}, "", std::nullopt}, "a"),
                    std::invalid_argument);
  }
  for (const int status : {0, 199, 600}) {
    CHECK_THROWS_AS(WriteRecording({{}, "", ExpectedResponse{status, {}, {}}}, "a"),
                    std::invalid_argument);
  }
}
