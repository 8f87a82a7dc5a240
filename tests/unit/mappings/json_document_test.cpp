#include "mappings/json_document.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/mappings/support.hpp"

using weft::mappings::JsonDocument;
using weft::mappings::JsonKind;
using weft::mappings::JsonValue;
using weft::mappings::Problem;
using weft::mappings::TextLocator;
using weft::mappings::testing::Told;
using namespace std::string_view_literals;

namespace {

// "line:column kind text" of every value, parents before children, keys as "line:column key".
std::vector<std::string> Positions(std::string_view text) {
  const TextLocator locator(text, "");
  std::vector<Problem> problems;
  const std::optional<JsonDocument> document = JsonDocument::Parse(text, locator, problems);
  CHECK(Told(problems).empty());
  REQUIRE(document);
  std::vector<std::string> lines;
  const auto at = [&locator](std::size_t offset) {
    const auto where = locator.At(offset);
    return std::to_string(where.line) + ":" + std::to_string(where.column) + " ";
  };
  std::vector<const JsonValue*> waiting = {&document->Root()};
  while (!waiting.empty()) {
    const JsonValue* value = waiting.back();
    waiting.pop_back();
    if (!value->key.empty()) {
      lines.push_back(at(value->key_offset) + "key " + value->key);
    }
    lines.push_back(at(value->offset) + std::string(KindName(value->kind)) +
                    (value->text.empty() ? "" : " " + value->text));
    const auto children = document->Children(*value);
    waiting.insert(waiting.end(), children.rbegin(), children.rend());
  }
  return lines;
}

std::vector<std::string> Faults(std::string_view text) {
  const TextLocator locator(text, "f");
  std::vector<Problem> problems;
  const std::optional<JsonDocument> document = JsonDocument::Parse(text, locator, problems);
  CHECK_FALSE(document);
  return Told(problems);
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("JsonDocument: every value and key knows where it stands") {
  CHECK(Positions(R"({ "a": [1,-2.5e3 , true],
  "b" : {"c":"x\"y" }, "d":null })") ==
        Lines{"1:1 an object", "1:3 key a", "1:8 an array", "1:9 a number 1",
              "1:11 a number -2.5e3", "1:20 true or false", "2:3 key b", "2:9 an object",
              "2:10 key c", "2:14 a string x\"y", "2:24 key d", "2:28 null"});
}

TEST_CASE("JsonDocument: comments count as blanks, wherever they stand") {
  CHECK(Positions("// one, {\n/* two: \"\n */ [ /**/ 1/*x*/,// ]\r\n2//y\n,/* , */3] // end") ==
        Lines{"3:5 an array", "3:12 a number 1", "4:1 a number 2", "5:9 a number 3"});
}

TEST_CASE("JsonDocument: columns count code points, and a byte order mark counts nothing") {
  CHECK(Positions("\xEF\xBB\xBF[\"\u00e9\u20ac\U0001F600\", 1]") ==
        Lines{"1:1 an array", "1:2 a string \u00e9\u20ac\U0001F600", "1:9 a number 1"});
}

TEST_CASE("JsonDocument: a key that stands twice is told with both places, and the first counts") {
  const std::string_view text = "{\"a\": 1,\n \"b\": 2, \"a\": [3],\n \"c\": {\"a\": 4}}";
  const TextLocator locator(text, "f");
  std::vector<Problem> problems;
  const std::optional<JsonDocument> document = JsonDocument::Parse(text, locator, problems);
  CHECK(
      Told(problems) ==
      Lines{"f:2:10: error: The key \"a\" stands twice in this object, first at line 1, column 2. "
            "Delete one of the two."});
  REQUIRE(document);
  const auto members = document->Children(document->Root());
  REQUIRE(members.size() == 3);
  CHECK(members[0]->text == "1");
  CHECK(members[1]->key == "b");
  CHECK(members[2]->key == "c");
}

TEST_CASE("JsonDocument: syntax errors are told where they are, with advice") {
  const std::string syntax_error = "error: JSON syntax error while parsing ";
  CHECK(Faults("{\"a\": 1,\n}") ==
        Lines{"f:2:1: " + syntax_error +
              "object key: unexpected '}'; expected string literal. Delete the comma before it."});
  CHECK(Faults("[1,]") == Lines{"f:1:4: " + syntax_error +
                                "value: unexpected ']'; expected '[', '{', or a literal. Delete "
                                "the comma before it."});
  CHECK(Faults("{\"a\": 1\n \"bcd\": 2}") ==
        Lines{"f:2:2: " + syntax_error +
              "object: unexpected string literal; expected '}'. A comma is missing before it."});
  CHECK(Faults("[{} {}]") ==
        Lines{"f:1:5: " + syntax_error +
              "array: unexpected '{'; expected ']'. A comma is missing before it."});
  CHECK(Faults("[1 true]") == Lines{"f:1:4: " + syntax_error +
                                    "array: unexpected true literal; expected ']'. A comma is "
                                    "missing before it."});
  CHECK(Faults("[1 false]") == Lines{"f:1:4: " + syntax_error +
                                     "array: unexpected false literal; expected ']'. A comma is "
                                     "missing before it."});
  CHECK(Faults("[1 -23.5]") == Lines{"f:1:4: " + syntax_error +
                                     "array: unexpected number literal; expected ']'. A comma is "
                                     "missing before it."});
  CHECK(Faults("{verb: 1}") ==
        Lines{"f:1:2: " + syntax_error +
              "object key: invalid literal. Keys and strings stand in double quotes."});
  CHECK(Faults("[1, 'a']") ==
        Lines{"f:1:5: " + syntax_error +
              "value: invalid literal. Keys and strings stand in double quotes."});
  CHECK(Faults("[ tru ]") ==
        Lines{"f:1:3: " + syntax_error +
              "value: invalid literal. Keys and strings stand in double quotes."});
  CHECK(Faults("{\"a\" 1}") == Lines{"f:1:6: " + syntax_error +
                                     "object separator: unexpected number literal; expected ':'."});
  CHECK(Faults("{} {}") ==
        Lines{"f:1:4: " + syntax_error +
              "value: unexpected '{'; expected end of input. A file holds one value; delete what "
              "stands behind it."});
  CHECK(Faults("[\"ab\ncd\"]").front().starts_with("f:1:5: error: "));
  CHECK(Faults("[1,\n \"abc]").front().starts_with("f:2:2: error: "));
  CHECK(Faults("[1, /* abc").front().starts_with("f:1:5: error: "));
  CHECK(Faults("[1, /x").front().starts_with("f:1:6: error: "));
  CHECK(Faults("[\"\\q\"]").front().starts_with("f:1:4: error: "));
  CHECK(Faults("[\"\xff\"]").front().starts_with("f:1:3: error: "));
  CHECK(Faults("[1e999]") == Lines{"f:1:2: error: This number is too large for a JSON number."});
  CHECK(Faults("[01]").front().starts_with("f:1:3: error: "));
}

TEST_CASE("JsonDocument: a text that ends too early") {
  CHECK(Faults("{\"a\": [1,\n2") ==
        Lines{"f:2:2: error: JSON syntax error while parsing array: unexpected end of input; "
              "expected ']'. A closing brace or bracket is missing."});
  CHECK(Faults("").front() ==
        "f:1:1: error: JSON syntax error while parsing value: unexpected end of input; expected "
        "'[', '{', or a literal. The file holds no value; an empty object is {}.");
  CHECK(Faults("// nothing\n").front().starts_with("f:2:1: error: "));
}

TEST_CASE("JsonDocument: a NUL is told, and never ends the text") {
  CHECK(Faults("{}\n\0{"sv) ==
        Lines{"f:2:1: error: The file holds a NUL byte, so it is no text. Save it as UTF-8."});
}

TEST_CASE("JsonDocument: nesting is bounded") {
  const std::string open(JsonDocument::kMaxDepth, '[');
  const std::string close(JsonDocument::kMaxDepth, ']');
  CHECK(Positions(open + close).size() == JsonDocument::kMaxDepth);
  CHECK(Faults(open + "[" + close + "]") ==
        Lines{"f:1:65: error: This is nested deeper than 64 levels, which no file needs."});
  CHECK(Faults(std::string(1 << 20, '[')).size() == 1);
  std::string objects;
  for (int i = 0; i < 1 << 16; ++i) {
    objects += "{\"a\":";
  }
  CHECK(Faults(objects).size() == 1);
}

TEST_CASE("JsonDocument: a megabyte of members on one line takes one pass") {
  std::string text = "{";
  for (int i = 0; i < 60000; ++i) {
    text += "\"k" + std::to_string(i) + "\":[0],";
  }
  text += "\"k59999\":0}";
  const TextLocator locator(text, "f");
  std::vector<Problem> problems;
  CHECK(JsonDocument::Parse(text, locator, problems));
  REQUIRE(problems.size() == 1);
  CHECK(problems.front().where.line == 1);
  CHECK(problems.front().where.column == static_cast<int>(text.size()) - 10);
}
