#include "mappings/level.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tests/unit/mappings/support.hpp"

using namespace std::chrono_literals;
using weft::mappings::AddDirective;
using weft::mappings::ClearDirective;
using weft::mappings::Entry;
using weft::mappings::EntryKey;
using weft::mappings::Level;
using weft::mappings::Problem;
using weft::mappings::ReadLevel;
using weft::mappings::RemoveDirective;
using weft::mappings::testing::ToldOf;
using Lines = std::vector<std::string>;

namespace {

Level Read(std::string_view text) {
  std::vector<Problem> problems;
  Level level = ReadLevel(text, "f", problems);
  CHECK(problems.empty());
  CHECK(level.complete);
  return level;
}

// What is told of a file whose only directive is this `add`, which begins in column 29.
Lines ToldOfAdd(std::string_view add) {
  return ToldOf("{ \"httpHandlers\": [{ \"add\": " + std::string(add) + " } ] }");
}

Lines ToldOfRuntime(std::string_view runtime) {
  return ToldOf("{\"httpRuntime\": " + std::string(runtime) + "}");
}

}  // namespace

TEST_CASE("ReadLevel: a file with everything in it") {
  const Level level = Read(R"(// a comment
{
  "$schema": "mapping.schema.json",
  "httpRuntime": { "executionTimeoutSeconds": 30, "maxRequestBytes": 4194304 },
  "httpHandlers": [
    { "remove": { "verb": "*", "path": "*.axd" } }, /* another */
    { "add": { "verb": "GET,HEAD", "path": "*.report,*.rpt",
               "type": "shop::ReportHandler, shop", "validate": false, "name": "reports" } },
    { "clear": {} }
  ]
})");
  CHECK(level.block.settings.runtime.execution_timeout.value == 30s);
  CHECK(level.block.settings.runtime.max_request_bytes.value == 4194304);
  REQUIRE(level.block.directives.size() == 3);
  const auto& remove = std::get<RemoveDirective>(level.block.directives[0]);
  CHECK(remove.key == EntryKey("*", "*.axd"));
  CHECK(remove.where.ToString() == "f:6:7");
  const Entry& entry = *std::get<AddDirective>(level.block.directives[1]).entry;
  CHECK(entry.verb == "GET,HEAD");
  CHECK(entry.path == "*.report,*.rpt");
  CHECK(entry.type_text == "shop::ReportHandler, shop");
  CHECK(entry.type.class_name == "shop::ReportHandler");
  CHECK(entry.type.module == "shop");
  CHECK_FALSE(entry.validate);
  CHECK(entry.name == "reports");
  CHECK(entry.where.ToString() == "f:7:7");
  CHECK(entry.type_where.ToString() == "f:8:24");
  CHECK(std::holds_alternative<ClearDirective>(level.block.directives[2]));
}

TEST_CASE("ReadLevel: everything may be absent, and validate is true by default") {
  CHECK(Read("{}").block.directives.empty());
  CHECK_FALSE(Read("{}").block.settings.runtime.execution_timeout.value);
  CHECK(Read("{\"httpHandlers\": [], \"httpRuntime\": {}}").block.directives.empty());
  const Level level =
      Read("{\"httpHandlers\": [{\"add\": {\"verb\": \"*\", \"path\": \"a\", \"type\": \"A\"}}]}");
  const Entry& entry = *std::get<AddDirective>(level.block.directives[0]).entry;
  CHECK(entry.validate);
  CHECK(entry.name.empty());
}

TEST_CASE("ReadLevel: keys of entries ignore letter case, and nothing else") {
  CHECK(EntryKey("GET", "*.A") == EntryKey("get", "*.a"));
  CHECK(EntryKey("GET,POST", "a") != EntryKey("GET, POST", "a"));
  CHECK(EntryKey("GET,POST", "a") != EntryKey("POST,GET", "a"));
  CHECK(EntryKey("GET", "sa") != EntryKey("GETS", "a"));
}

TEST_CASE("ReadLevel: wrong types of values") {
  CHECK(ToldOf("[]") == Lines{"f:1:1: error: A mapping file must be an object, but is an array."});
  CHECK(ToldOf("{\"$schema\": 1}") ==
        Lines{"f:1:13: error: \"$schema\" must be a string, but is a number."});
  CHECK(ToldOf("{\"httpHandlers\": {}}") ==
        Lines{"f:1:18: error: \"httpHandlers\" must be an array, but is an object."});
  CHECK(ToldOf("{\"httpHandlers\": [\n  null, \"add\"]}") ==
        Lines{"f:2:3: error: A directive must be an object, but is null.",
              "f:2:9: error: A directive must be an object, but is a string."});
  CHECK(ToldOf("{\"httpHandlers\": [{\"add\": []}, {\"clear\": true}]}") ==
        Lines{"f:1:27: error: \"add\" must be an object, but is an array.",
              "f:1:42: error: \"clear\" must be an object, but is true or false."});
  CHECK(ToldOfAdd(R"({ "verb": 1, "path": null, "type": {}, "validate": "yes", "name": 5 })") ==
        Lines{"f:1:39: error: \"verb\" must be a string, but is a number.",
              "f:1:50: error: \"path\" must be a string, but is null.",
              "f:1:64: error: \"type\" must be a string, but is an object.",
              "f:1:80: error: \"validate\" must be true or false, but is a string.",
              "f:1:95: error: \"name\" must be a string, but is a number."});
}

TEST_CASE("ReadLevel: unknown keys, with the nearest right one") {
  CHECK(ToldOf("{\n \"httpHandler\": [],\n \"handlers\": []}") ==
        Lines{"f:2:2: error: Unknown key \"httpHandler\" in a mapping file; did you mean "
              "\"httpHandlers\"?",
              "f:3:2: error: Unknown key \"handlers\" in a mapping file, which knows "
              "\"httpRuntime\", \"httpHandlers\", \"defaultDocuments\", \"redirectToFolder\", "
              "\"sections\", \"$schema\", \"application\" and \"locations\"."});
  CHECK(ToldOf("{\"httpHandlers\": [{\"ad\": {}}]}") ==
        Lines{"f:1:20: error: Unknown key \"ad\" in a directive; did you mean \"add\"?"});
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a", "type": "A", "Validate": true})") ==
        Lines{"f:1:69: error: Unknown key \"Validate\" in \"add\"; did you mean \"validate\"?"});
  CHECK(ToldOf(R"({"httpHandlers": [{"remove": {"verb": "*", "path": "a", "type": "A"}}]})") ==
        Lines{"f:1:57: error: Unknown key \"type\" in \"remove\", which knows \"verb\" and "
              "\"path\"."});
  CHECK(ToldOf(R"({"httpHandlers": [{"clear": {"all": 1}}]})") ==
        Lines{"f:1:30: error: Unknown key \"all\" in \"clear\", which takes none: write {}."});
}

TEST_CASE("ReadLevel: a location holds what a folder's file may, but for what is of folders") {
  const Level level = Read(R"({
    "application": true, "redirectToFolder": false, "defaultDocuments": ["a b.html", "index.ashx"],
    "locations": {
      "admin": { "httpHandlers": [ { "clear": {} } ] },
      "admin/new.ashx": { "httpRuntime": { "maxUrlBytes": 1 }, "defaultDocuments": [] }
    } })");
  CHECK(level.application);
  CHECK(level.application_where.ToString() == "f:2:5");
  CHECK(level.block.settings.redirect_to_folder->value == false);
  CHECK(level.block.settings.default_documents->value == Lines{"a b.html", "index.ashx"});
  REQUIRE(level.locations.size() == 2);
  CHECK(level.locations[0].segments == Lines{"admin"});
  CHECK(level.locations[0].block.directives.size() == 1);
  CHECK(level.locations[0].block.where.ToString() == "f:4:7");
  CHECK(level.locations[1].segments == Lines{"admin", "new.ashx"});
  CHECK(level.locations[1].block.settings.runtime.max_url_bytes.value == 1);
  CHECK(level.locations[1].block.settings.default_documents->value.empty());
  CHECK(level.locations[1].block.source->location == "admin/new.ashx");
  CHECK(ToldOf(R"({"locations": {"a": {"application": true, "locations": {}, "x": 1}}})") ==
        Lines{"f:1:22: error: \"application\" does not stand in a location. Put it into the "
              "mapping.json of that folder.",
              "f:1:43: error: \"locations\" does not stand in a location. Write the whole path "
              "into the outer key.",
              "f:1:60: error: Unknown key \"x\" in a location, which knows \"httpRuntime\", "
              "\"httpHandlers\", \"defaultDocuments\", \"redirectToFolder\" and \"sections\"."});
}

TEST_CASE("ReadLevel: the key of a location is a path below the folder") {
  for (const char* path : {"", "/a", "a/", "a//b", ".", "..", "a/../b", " ", "a/ /b", "./a"}) {
    CAPTURE(path);
    const Lines told = ToldOf("{\"locations\": {\"" + std::string(path) + "\": {}}}");
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("is no path below the file's folder") != std::string::npos);
    CHECK(told[0].starts_with("f:1:16: error: "));
  }
  for (const char* path : {"*.ashx", "a?b", "a:b", "a|b", "a<b", "a\\\\b", "a\\u0000b"}) {
    CAPTURE(path);
    const Lines told = ToldOf("{\"locations\": {\"" + std::string(path) + "\": {}}}");
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("It is a path, not a pattern.") != std::string::npos);
  }
  CHECK(ToldOf(R"({"locations": {"Admin": {}, "admin": {}}})") ==
        Lines{"f:1:29: error: The location \"admin\" stands at f:1:16 already: letter case does "
              "not count. Merge the two."});
  CHECK(ToldOf(R"({"locations": []})") ==
        Lines{"f:1:15: error: \"locations\" must be an object, but is an array."});
}

TEST_CASE("ReadLevel: resource types, locks and default documents are checked") {
  const Level level = Read(R"({"httpHandlers": [{"add": {"verb": "*", "path": "*", "type": "A",
                                         "resourceType": "directory", "lock": true}}]})");
  const Entry& entry = *std::get<AddDirective>(level.block.directives[0]).entry;
  CHECK(entry.resource_type == weft::mappings::ResourceType::kDirectory);
  CHECK(entry.locked);
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a", "type": "A", "resourceType": "File"})") ==
        Lines{"f:1:85: error: \"resourceType\" is \"File\", but must be one of \"unspecified\", "
              "\"file\", \"directory\" and \"either\"."});
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a", "type": "A", "lock": 1})") ==
        Lines{"f:1:77: error: \"lock\" must be true or false, but is a number."});
  for (const char* name : {"", "a/b", ".hidden", "..", "a\\\\b"}) {
    CAPTURE(name);
    const Lines told = ToldOf("{\"defaultDocuments\": [\"" + std::string(name) + "\"]}");
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("is no name of a default document") != std::string::npos);
  }
  std::string many = "{\"defaultDocuments\": [\"a\"";
  for (int i = 0; i < 16; ++i) {
    many += ",\"a\"";
  }
  CHECK(ToldOf(many + "]}").size() == 1);
}

TEST_CASE("ReadLevel: all wrong members of a list are told, not the first alone") {
  const std::string sentence =
      " is no name of a default document. Write the name of a file in the folder, such as "
      "\"index.html\".";
  CHECK(ToldOf(R"({"defaultDocuments": ["a/b", "index.html", 5, ""]})") ==
        Lines{"f:1:23: error: \"a/b\"" + sentence,
              "f:1:44: error: A default document must be a string, but is a number.",
              "f:1:47: error: \"\"" + sentence});
  CHECK(ToldOfAdd(R"({"verb": "GET;HEAD,,P(ST,PUT,,get", "path": "a", "type": "A"})") ==
        Lines{"f:1:38: error: \"GET;HEAD\" is no request method. Write methods such as GET, "
              "separated by commas.",
              "f:1:38: error: \"P(ST\" is no request method. Write methods such as GET, "
              "separated by commas.",
              "f:1:38: warning: \"get\" has small letters. Letter case counts in methods, and the "
              "usual ones are in capitals.",
              "f:1:38: error: The verb list \"GET;HEAD,,P(ST,PUT,,get\" has a comma with no "
              "method beside it. Delete the comma."});
}

TEST_CASE("ReadLevel: verb, path and type must be there and say something") {
  CHECK(ToldOfAdd("{}") ==
        Lines{"f:1:22: error: \"add\" has no \"verb\". Name the methods it is for, such as "
              "\"GET,HEAD\", or \"*\" for all.",
              "f:1:22: error: \"add\" has no \"path\". Name the paths it is for, such as "
              "\"*.report\".",
              "f:1:22: error: \"add\" has no \"type\". Name the class that serves them, as "
              "\"Class, module\"."});
  CHECK(ToldOfAdd(R"({"verb": "", "path": " ", "type": ""})") ==
        Lines{"f:1:38: error: \"verb\" is empty. Name the methods it is for, such as \"GET,HEAD\", "
              "or \"*\" for all.",
              "f:1:50: error: \"path\" is empty. Name the paths it is for, such as \"*.report\".",
              "f:1:63: error: \"type\" is empty. Name the class that serves them, as \"Class, "
              "module\"."});
  CHECK(ToldOf(R"({"httpHandlers": [{"remove": {"path": ""}}]})") ==
        Lines{"f:1:20: error: \"remove\" has no \"verb\". Repeat the text of the entry to remove.",
              "f:1:39: error: \"path\" is empty. Repeat the text of the entry to remove."});
}

TEST_CASE("ReadLevel: one directive to an object") {
  CHECK(ToldOf("{\"httpHandlers\": [\n{ \"clear\": {},\n  \"remove\": {\"verb\": \"*\", \"path\": "
               "\"a\"} },\n{} ]}") ==
        Lines{"f:3:3: error: \"remove\" stands in one object with \"clear\". Give every directive "
              "an object of its own, in the order they are to take effect.",
              "f:4:1: error: This directive is empty. Write one of \"add\", \"remove\" and "
              "\"clear\" into it, or delete it."});
}

TEST_CASE("ReadLevel: malformed types are told where the type stands") {
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a", "type": "A, ../evil"})") ==
        Lines{"f:1:64: error: The module \"../evil\" is a path. Give its name alone; modules are "
              "loaded from the modules folder only."});
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a", "type": "1A"})").size() == 1);
}

TEST_CASE("ReadLevel: malformed verbs and paths") {
  CHECK(ToldOfAdd(R"({"verb": "GET,,POST", "path": "a", "type": "A"})") ==
        Lines{"f:1:38: error: The verb list \"GET,,POST\" has a comma with no method beside it. "
              "Delete the comma."});
  CHECK(ToldOfAdd(R"({"verb": "GET;POST", "path": "a", "type": "A"})") ==
        Lines{"f:1:38: error: \"GET;POST\" is no request method. Write methods such as GET, "
              "separated by commas."});
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a\\b", "type": "A"})") ==
        Lines{"f:1:51: error: The path \"a\\b\" holds a backslash or a NUL, which no path has. "
              "Folders are separated by /."});
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a\u0000", "type": "A"})").size() == 1);
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a,)" + std::string(1025, 'x') + R"(", "type": "A"})") ==
        Lines{"f:1:51: error: The path has an alternative of more than 1024 bytes. Shorten it."});
}

TEST_CASE("ReadLevel: a method is a token of RFC 9110, and may hold wildcards") {
  const std::string_view allowed = "!#$%&'*+-.^_`|~?0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const std::string_view separators_and_small_letters = ", abcdefghijklmnopqrstuvwxyz";
  for (char c = 0x20; c < 0x7f; ++c) {
    if (separators_and_small_letters.find(c) != std::string_view::npos) {
      continue;
    }
    CAPTURE(c);
    const std::string escape = c == '"' || c == '\\' ? "\\" : "";
    const auto told = ToldOfAdd(R"({"verb": "A)" + escape + c + R"(Z", "path": "a", "type": "A"})");
    CHECK(told.empty() == (allowed.find(c) != std::string_view::npos));
  }
}

TEST_CASE("ReadLevel: what is allowed but hardly meant is a warning") {
  CHECK(ToldOfAdd(R"({"verb": "get", "path": "a", "type": "A"})") ==
        Lines{"f:1:38: warning: \"get\" has small letters. Letter case counts in methods, and the "
              "usual ones are in capitals."});
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "*.a, *.b", "type": "A"})") ==
        Lines{"f:1:51: warning: A blank follows a comma in the path \"*.a, *.b\". It is part of "
              "the pattern; delete it unless file names begin with one."});
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "/a/../b,/a//b", "type": "A"})").size() == 2);
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "*.a,", "type": "A"})") ==
        Lines{"f:1:51: warning: The path \"*.a,\" has a comma with no pattern beside it, which "
              "stands for all paths that end in /. Delete the comma, unless these are meant."});
  CHECK(ToldOfAdd(R"({"verb": "*", "path": ",", "type": "A"})").empty());
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "/a%20b", "type": "A"})") ==
        Lines{"f:1:51: warning: The pattern \"/a%20b\" has \"%20\" in it: paths are "
              "percent-decoded before they are compared. Write the character itself."});
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "/100%,%,%2,/%zz,%%4,%4g%", "type": "A"})").empty());
}

TEST_CASE("ReadLevel: names of entries") {
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a", "type": "A", "name": "Orders, daily"})").empty());
  std::string longest;
  for (int i = 0; i < 128; ++i) {
    longest += "\u00e9";
  }
  CHECK(
      ToldOfAdd(R"({"verb": "*", "path": "a", "type": "A", "name": ")" + longest + "\"}").empty());
  const Lines told = {
      "f:1:77: error: \"name\" must have 1 to 128 characters, none of them a control character."};
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a", "type": "A", "name": ""})") == told);
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a", "type": "A", "name": "a\nb"})") == told);
  CHECK(ToldOfAdd(R"({"verb": "*", "path": "a", "type": "A", "name": ")" + std::string(129, 'n') +
                  "\"}") == told);
}

TEST_CASE("ReadLevel: httpRuntime takes whole numbers within bounds") {
  CHECK(Read(R"({"httpRuntime": {"maxRequestBytes": 0}})")
            .block.settings.runtime.max_request_bytes.value == 0);
  CHECK(Read(R"({"httpRuntime": {"executionTimeoutSeconds": 3e1}})")
            .block.settings.runtime.execution_timeout.value == 30s);
  CHECK(Read(R"({"httpRuntime": {"executionTimeoutSeconds": 30.0}})")
            .block.settings.runtime.execution_timeout.value == 30s);
  CHECK(Read(R"({"httpRuntime": {"maxRequestBytes": 9007199254740991}})")
            .block.settings.runtime.max_request_bytes.value == 9007199254740991U);
  for (const std::string_view number : {"0", "-1", "1.5", "86401", "1e300", "99999999999999999999",
                                        "-0.5", "18446744073709551616"}) {
    CHECK(ToldOfRuntime("{\"executionTimeoutSeconds\": " + std::string(number) + "}") ==
          Lines{"f:1:45: error: \"executionTimeoutSeconds\" is " + std::string(number) +
                ", but must be a whole number of seconds from 1 to 86400."});
  }
  CHECK(ToldOfRuntime("{\"maxRequestBytes\": -1}") ==
        Lines{"f:1:37: error: \"maxRequestBytes\" is -1, but must be a whole number of bytes from "
              "0 to 9007199254740991."});
  CHECK(ToldOfRuntime("{\"maxRequestBytes\": 9007199254740992}").size() == 1);
}

TEST_CASE("ReadLevel: httpRuntime's own mistakes") {
  CHECK(ToldOfRuntime("5") ==
        Lines{"f:1:17: error: \"httpRuntime\" must be an object, but is a number."});
  CHECK(ToldOfRuntime("{\"executionTimeout\": 5}").size() == 1);
  CHECK(ToldOfRuntime("{\"maxRequestByte\": 5}") ==
        Lines{"f:1:18: error: Unknown key \"maxRequestByte\" in \"httpRuntime\"; did you mean "
              "\"maxRequestBytes\"?"});
  CHECK(ToldOfRuntime("{\"maxRequestBytes\": \"5\"}") ==
        Lines{"f:1:37: error: \"maxRequestBytes\" must be a number, but is a string."});
}

TEST_CASE("ReadLevel: every mistake of a file is told in one run") {
  const Lines told = ToldOf(R"({
  "htpRuntime": {},
  "httpRuntime": { "maxRequestBytes": -1, "x": 0 },
  "httpHandlers": [
    { "add": { "verb": "GET", "verb": "PUT", "path": "a" } },
    { "add": { "verb": "GET", "path": "a", "type": "A, b/c" } },
    { "remove": { "verb": "GET" } },
    5
  ],
  "lock": true
})");
  REQUIRE(told.size() == 9);
  CHECK(told[0].starts_with("f:5:31: error: The key \"verb\" stands twice"));
  CHECK(told[1].starts_with("f:2:3: error: Unknown key \"htpRuntime\""));
  CHECK(told[2].starts_with("f:10:3: error: Unknown key \"lock\""));
  CHECK(told[3].starts_with("f:3:43: error: Unknown key \"x\""));
  CHECK(told[4].starts_with("f:3:39: error: \"maxRequestBytes\" is -1"));
  CHECK(told[5].starts_with("f:5:7: error: \"add\" has no \"type\""));
  CHECK(told[6].starts_with("f:6:52: error: The module \"b/c\""));
  CHECK(told[7].starts_with("f:7:7: error: \"remove\" has no \"path\""));
  CHECK(told[8].starts_with("f:8:5: error: A directive must be an object"));
}

TEST_CASE("ReadLevel: foreign text never breaks a line of what is told") {
  for (const std::string& line :
       ToldOf("{\"a\\nb\\u001b[31m" + std::string(5000, 'z') + "\": 1}")) {
    CHECK(line.find('\n') == std::string::npos);
    CHECK(line.find('\x1b') == std::string::npos);
    CHECK(line.size() < 300);
  }
}
