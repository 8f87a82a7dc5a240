#include "mappings/chain.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tests/unit/mappings/support.hpp"

using namespace std::chrono_literals;
using weft::mappings::AddDirective;
using weft::mappings::Chain;
using weft::mappings::ClearDirective;
using weft::mappings::Directive;
using weft::mappings::Entry;
using weft::mappings::EntryKey;
using weft::mappings::Extend;
using weft::mappings::FolderSettings;
using weft::mappings::Level;
using weft::mappings::Problem;
using weft::mappings::ReadLevel;
using weft::mappings::RemoveDirective;
using weft::mappings::testing::Told;
using Lines = std::vector<std::string>;

namespace {

// A level from a line such as "add x, remove b, clear, add y 2". What stands after an entry's path
// becomes its name, to tell two entries of one key apart.
Level LevelOf(std::string_view line) {
  std::string text = "{\"httpHandlers\": [";
  while (!line.empty()) {
    const std::string_view step = line.substr(0, line.find(", "));
    line.remove_prefix(std::min(line.size(), step.size() + 2));
    const std::string_view verb = step.substr(0, step.find(' '));
    const std::string rest(step.substr(std::min(step.size(), verb.size() + 1)));
    const std::string path = rest.substr(0, rest.find(' '));
    const std::string name = rest.substr(std::min(rest.size(), path.size() + 1));
    text += text.ends_with('[') ? "" : ",";
    if (verb == "clear") {
      text += "{\"clear\": {}}";
    } else if (verb == "remove") {
      text += "{\"remove\": {\"verb\": \"*\", \"path\": \"" + path + "\"}}";
    } else {
      text += "{\"add\": {\"verb\": \"*\", \"type\": \"T\", \"path\": \"" + path + "\"" +
              (verb == "lock" ? ", \"lock\": true" : "") +
              (name.empty() ? "" : ", \"name\": \"" + name + "\"") + "}}";
    }
  }
  std::vector<Problem> problems;
  Level level = ReadLevel(text + "]}", "f", problems);
  REQUIRE(problems.empty());
  return level;
}

// The chain below a level; `problems` may be null.
Chain Extended(const Chain& above, const Level& level, std::vector<Problem>* problems = nullptr) {
  std::vector<Problem> ignored;
  return Extend(above, level.block.directives, {problems != nullptr ? *problems : ignored, true});
}

std::string Order(const Chain& chain) {
  std::string order;
  for (const Entry* entry : chain) {
    order += order.empty() ? "" : ", ";
    order += entry->path + (entry->name.empty() ? "" : " " + entry->name);
  }
  return order;
}

// The order below a level, where a, b and c are inherited.
std::string Below(std::string_view line) {
  const Level parent = LevelOf("add a, add b, add c");
  const Level child = LevelOf(line);
  return Order(Extended(Extended(Chain(), parent), child));
}

std::size_t Warnings(std::string_view line) {
  const Level parent = LevelOf("add a, add b, add c");
  const Level child = LevelOf(line);
  std::vector<Problem> problems;
  (void)Extended(Extended(Chain(), parent), child, &problems);
  return problems.size();
}

}  // namespace

TEST_CASE("Chain: a child's entries stand before the inherited ones") {
  CHECK(Below("add x, add y") == "x, y, a, b, c");
}

TEST_CASE("Chain: a level without directives changes nothing") { CHECK(Below("") == "a, b, c"); }

TEST_CASE("Chain: a second add of a key replaces the first and takes the later position") {
  CHECK(Below("add x, add y, add x 2") == "y, x 2, a, b, c");
}

TEST_CASE("Chain: an add of an inherited key moves it into the child's block") {
  CHECK(Below("add x, add b 2, add y") == "x, b 2, y, a, c");
}

TEST_CASE("Chain: a remove takes an inherited entry away") { CHECK(Below("remove b") == "a, c"); }

TEST_CASE("Chain: a remove takes an entry of its own level away") {
  CHECK(Below("add x, remove x, add y") == "y, a, b, c");
}

TEST_CASE("Chain: a remove and an add of one key are an add") {
  CHECK(Below("remove b, add b 2") == "b 2, a, c");
  CHECK(Below("remove b, add b 2, add x") == "b 2, x, a, c");
}

TEST_CASE("Chain: a clear takes everything before it away") {
  CHECK(Below("clear") == "");
  CHECK(Below("clear, add x") == "x");
  CHECK(Below("add x, clear, add y") == "y");
  CHECK(Below("clear, add a 2, add x, clear, add b 2, add y") == "b 2, y");
}

TEST_CASE("Chain: a remove of what is not there changes nothing and is a warning") {
  CHECK(Below("remove z, add x") == "x, a, b, c");
  CHECK(Below("remove z, clear, add x") == "x");
  CHECK(Warnings("remove z, add x") == 1);
  CHECK(Warnings("remove a, remove a") == 1);
  CHECK(Warnings("clear, remove a") == 1);
  CHECK(Warnings("remove a, add a, remove a") == 0);
}

TEST_CASE("Chain: the warning says where, and of what") {
  const Level level = LevelOf("add x, remove *.z");
  std::vector<Problem> problems;
  (void)Extended(Chain(), level, &problems);
  CHECK(Told(problems) ==
        Lines{"f:1:69: warning: There is no entry with the verb \"*\" and the path \"*.z\" to "
              "remove. Both are compared as text, in which * and ? are no wildcards."});
}

TEST_CASE("Chain: keys ignore letter case, and wildcards in them are text") {
  CHECK(Below("remove B") == "a, c");
  CHECK(Below("add C 2") == "C 2, a, b");
  CHECK(Below("remove *") == "a, b, c");
  CHECK(Below("remove ?") == "a, b, c");
}

TEST_CASE("Chain: a grandchild's block stands before a child's") {
  const Level parent = LevelOf("add a, add b");
  const Level child = LevelOf("add x, add a 2");
  const Level grandchild = LevelOf("add y, remove b, add x 3");
  const Chain below_parent = Extended(Chain(), parent);
  const Chain below_child = Extended(below_parent, child);
  CHECK(Order(below_child) == "x, a 2, b");
  CHECK(Order(Extended(below_child, grandchild)) == "y, x 3, a 2");
  CHECK(Order(below_parent) == "a, b");
}

TEST_CASE("Chain: what is locked stays in its place, whatever a lower level says") {
  const Level parent = LevelOf("add a, lock b 1, add c");
  const auto told = [&parent](std::string_view line) {
    const Level child = LevelOf(line);
    std::vector<Problem> problems;
    const std::string order = Order(Extended(Extended(Chain(), parent), child, &problems));
    std::string text = order;
    for (const std::string& problem : Told(problems)) {
      CHECK(problem.find("error: This ") != std::string::npos);
      CHECK(problem.find("\"b\", which is locked at f:1:") != std::string::npos);
      text += "; " + problem.substr(0, problem.find(": error"));
    }
    return text;
  };
  CHECK(told("add x") == "x, a, b 1, c");
  CHECK(told("add x, remove a") == "x, b 1, c");
  CHECK(told("add b 2") == "a, b 1, c; f:1:20");
  CHECK(told("add x, remove b") == "x, a, b 1, c; f:1:69");
  CHECK(told("clear, add x") == "x, a, b 1, c; f:1:20");
  CHECK(told("remove b, add b") == "a, b 1, c; f:1:20; f:1:59");
}

TEST_CASE("Chain: the level of a lock itself may change what it locks") {
  CHECK(Below("lock x 1, add x 2") == "x 2, a, b, c");
  CHECK(Below("lock x, remove x") == "a, b, c");
  CHECK(Below("lock x, clear") == "");
}

TEST_CASE("FolderSettings: what a level sets overrides, the rest is inherited") {
  const auto below = [](const FolderSettings& above, std::string_view text) {
    std::vector<Problem> problems;
    const Level level = ReadLevel(text, "f", problems);
    REQUIRE(problems.empty());
    return Extend(above, level.block);
  };
  const FolderSettings top = below({}, R"({
    "httpRuntime": { "executionTimeoutSeconds": 110, "maxUrlBytes": 100 },
    "defaultDocuments": ["a", "b"], "redirectToFolder": true })");
  const FolderSettings child = below(top, R"({
    "httpRuntime": { "maxRequestBytes": 5, "maxUrlBytes": 7 } })");
  CHECK(child.runtime.execution_timeout.value == 110s);
  CHECK(child.runtime.max_request_bytes.value == 5);
  CHECK(child.runtime.max_url_bytes.value == 7);
  CHECK_FALSE(child.runtime.max_query_string_bytes.value);
  CHECK(child.default_documents.value == Lines{"a", "b"});
  CHECK(child.redirect_to_folder.value);
  // Each tells where it was set.
  CHECK(child.runtime.execution_timeout.where->ToString() == "f:2:22");
  CHECK(child.runtime.max_url_bytes.where->ToString() == "f:2:44");
  const FolderSettings grandchild = below(child, R"({
    "httpRuntime": { "maxRequestBytes": 0, "responseBufferBytes": 0, "maxQueryStringBytes": 9,
                     "stackBytes": 1048576, "slowLogThresholdMs": 250 },
    "defaultDocuments": [], "redirectToFolder": false })");
  CHECK(grandchild.runtime.max_request_bytes.value == 0);
  CHECK(grandchild.runtime.response_buffer_bytes.value == 0);
  CHECK(grandchild.runtime.stack_bytes.value == 1'048'576);
  CHECK_FALSE(child.runtime.stack_bytes.value);
  CHECK(grandchild.runtime.slow_log_threshold.value == std::chrono::milliseconds(250));
  CHECK(grandchild.runtime.slow_log_threshold.where->line == 3);
  CHECK_FALSE(child.runtime.slow_log_threshold.value);
  CHECK(grandchild.runtime.max_query_string_bytes.value == 9);
  CHECK(grandchild.default_documents.value.empty());
  CHECK_FALSE(grandchild.redirect_to_folder.value);
  CHECK(grandchild.levels.size() == 3);
}

TEST_CASE("Extend: a section replaces the inherited one of its name, and null takes it away") {
  std::vector<Problem> problems;
  const auto below = [&problems](const FolderSettings& above, std::string_view text) {
    const Level level = ReadLevel(text, "f", problems);
    CHECK(problems.empty());
    return Extend(above, level.block);
  };
  const FolderSettings none = below({}, "{}");
  CHECK(none.sections == nullptr);
  const FolderSettings top =
      below(none, R"({ "sections": { "a": { "x": 1, "y": [ 2.50, "\u00e9\"\n" ] }, // a comment
                               "b": true, "Name": "" } })");
  CHECK(top.sections->Find("a") == R"({"x":1,"y":[2.50,"é\"\n"]})");
  CHECK(top.sections->Find("b") == "true");
  CHECK(top.sections->Find("Name") == R"("")");
  CHECK_FALSE(top.sections->Find("name"));
  const FolderSettings same = below(top, R"({ "redirectToFolder": true, "sections": {} })");
  CHECK(same.sections == top.sections);
  const FolderSettings child = below(same, R"({ "sections": { "a": {}, "b": null, "c": 1e2 } })");
  CHECK(child.sections->Find("a") == "{}");
  CHECK_FALSE(child.sections->Find("b"));
  CHECK(child.sections->Find("c") == "1e2");
  CHECK(child.sections->Find("Name") == R"("")");
  Lines all;
  for (const auto& [name, section] : child.sections->All()) {
    all.push_back(std::string(name) + " " + section->where.ToString());
  }
  CHECK(all == Lines{"Name f:2:43", "a f:1:17", "c f:1:37"});
  CHECK(below(child, R"({ "sections": { "b": 1 } })").sections->Find("b") == "1");
}

TEST_CASE("Extend: folders that one block is for share its sections") {
  std::vector<Problem> problems;
  const Level level = ReadLevel(R"({ "sections": { "a": "text" } })", "f", problems);
  const FolderSettings one = Extend({}, level.block);
  const FolderSettings other = Extend(one, level.block);
  CHECK(one.sections->Find("a")->data() == other.sections->Find("a")->data());
}

namespace {

// What a list of directives means, said as plainly as can be: own entries and inherited ones, each a list of keys.
Lines NaiveBelow(const Lines& inherited, const std::vector<std::string>& steps) {
  Lines above = inherited;
  Lines own;
  for (const std::string& step : steps) {
    if (step == "clear") {
      above.clear();
      own.clear();
      continue;
    }
    const std::string path = step.substr(step.find(' ') + 1);
    std::erase(above, path);
    std::erase(own, path);
    if (step.starts_with("add ")) {
      own.push_back(path);
    }
  }
  own.insert(own.end(), above.begin(), above.end());
  return own;
}

}  // namespace

TEST_CASE("Chain: 100,000 random lists over three levels come out as the naive model has them") {
  std::mt19937 random(19071996);
  const auto pick = [&random](unsigned below) { return static_cast<unsigned>(random() % below); };
  std::size_t removed = 0;
  for (int turn = 0; turn < 100'000; ++turn) {
    std::vector<std::unique_ptr<Entry>> entries;
    Chain chain;
    Lines naive;
    for (int level = 0; level < 3; ++level) {
      std::vector<Directive> directives;
      std::vector<std::string> steps;
      for (unsigned i = pick(6); i > 0; --i) {
        const std::string path(1, static_cast<char>('a' + pick(5)));
        const unsigned kind = pick(20);
        if (kind == 0) {
          steps.emplace_back("clear");
          directives.emplace_back(ClearDirective{});
        } else if (kind < 7) {
          steps.push_back("remove " + path);
          directives.emplace_back(RemoveDirective{EntryKey("*", path), "*", path, {}});
        } else {
          steps.push_back("add " + path);
          directives.emplace_back(
              AddDirective{EntryKey("*", path), std::make_unique<Entry>("*", path)});
        }
      }
      std::vector<Problem> problems;
      chain = Extend(chain, directives, {problems, false});
      REQUIRE(problems.empty());
      naive = NaiveBelow(naive, steps);
      for (Directive& directive : directives) {
        if (auto* add = std::get_if<AddDirective>(&directive)) {
          entries.push_back(std::move(add->entry));
        }
      }
    }
    Lines found;
    for (const Entry* entry : chain) {
      found.push_back(entry->path);
    }
    removed += entries.size() - found.size();
    REQUIRE(found == naive);
  }
  CHECK(removed > 100'000);  // the lists are such as to take much away
}
