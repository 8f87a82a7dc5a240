// MappingTable compared with its own comments taken word for word: every entry is tried on every
// prefix.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mappings/ascii.hpp"
#include "mappings/chain.hpp"
#include "mappings/explanation.hpp"
#include "mappings/level.hpp"
#include "mappings/machine_defaults.hpp"
#include "mappings/mapping_table.hpp"
#include "mappings/request_path.hpp"
#include "tests/unit/mappings/support.hpp"

using weft::mappings::CandidatePath;
using weft::mappings::Chain;
using weft::mappings::EntriesTried;
using weft::mappings::Entry;
using weft::mappings::Extend;
using weft::mappings::Level;
using weft::mappings::LowerCase;
using weft::mappings::MappingTable;
using weft::mappings::NormalisedPath;
using weft::mappings::NormalisePath;
using weft::mappings::PathFault;
using weft::mappings::Problem;
using weft::mappings::ReadLevel;
using weft::mappings::Resolution;
using weft::mappings::ResolutionCache;
using weft::mappings::TriedEntry;
using weft::mappings::Verdict;
using weft::mappings::testing::TemporaryTree;

namespace {

using Files = std::map<std::string, std::string>;

/// The folders that may have a file, parents before children.
constexpr std::string_view kFolders[] = {"", "a/", "b/", "a/b/", "b/b/", "a/b/a.x/"};
constexpr std::string_view kVerbs[] = {"GET", "HEAD", "POST", "PUT", "DELETE"};

class Random {
 public:
  explicit Random(std::uint32_t seed) : state_(seed) {}

  std::uint32_t Below(std::uint32_t bound) {
    state_ = state_ * 1664525U + 1013904223U;
    return (state_ >> 16U) % bound;
  }

  bool OnceIn(std::uint32_t times) { return Below(times) == 0; }

  template <std::size_t N>
  std::string OneOf(const std::string_view (&texts)[N]) {
    return std::string(texts[Below(N)]);
  }

 private:
  std::uint32_t state_;
};

std::string RandomPath(Random& random) {
  static constexpr std::string_view kSegments[] = {"a",  "b",   "A",     "a.x",  "b.x", "a.y",
                                                   "ab", "A.X", "a.x.y", "b.xy", ".x",  "ba.x"};
  static constexpr std::string_view kOdd[] = {"",   ".",        "..",          "a.",
                                              "xx", "\xc3\xa4", "a.123456789", "a.12345678"};
  std::string path;
  for (std::uint32_t left = random.Below(random.OnceIn(10) ? 40 : 6) + 1; left > 0; --left) {
    path += '/' + (random.OnceIn(12) ? random.OneOf(kOdd) : random.OneOf(kSegments));
  }
  return path + (random.OnceIn(6) ? "/" : "");
}

std::string RandomPattern(Random& random) {
  static constexpr std::string_view kAlternatives[] = {
      "*.x",     "*.y",         "*.xy",   "*.X",    "a",         "b",      "a.x",    "B.x",
      "a/b",     "b/a.x",       "/a",     "/a/b",   "/a/b/a",    "/b/a.x", "~/a.x",  "~/b",
      "",        "/",           "*a",     "*b.x",   "*/a",       "*.x.y",  "*.",     "**",
      "*.z",     "c",           "*b/a",   "/c/d",   "***b",      "**.xy",  "*",      "a/b/a.x/b",
      "a*",      "?",           "?.x",    "/a/*",   "/a/**",     "a/*.x",  "**/?.x", "/?/b",
      "*.?",     "*a*",         "b/?/*",  "/a/*b",  "/**/a.x",   "a.x/*",  "*.12*",  "/b/*/a?x",
      "/a.x/b.", "*.123456789", "*/?/b*", "/b/a/a", "*.12345678"};
  std::string pattern = random.OneOf(kAlternatives);
  while (random.OnceIn(5)) {
    pattern += ',' + random.OneOf(kAlternatives);
  }
  return pattern.empty() ? "," : pattern;
}

/// Writes the files of a random table. Each `add` has a number for a name.
class Writer {
 public:
  explicit Writer(Random& random) : random_(random) {}

  Files Write() {
    Files files;
    // Sometimes so many that folders share them, without those that they take away.
    files["machine.json"] = Text(!random_.OnceIn(8), random_.OnceIn(2) ? 8 : 40);
    for (const std::string_view folder : kFolders) {
      if (random_.OnceIn(2)) {
        files["default/" + std::string(folder) + "mapping.json"] = Text(random_.OnceIn(12), 8);
      }
    }
    return files;
  }

 private:
  std::string Text(bool cleared, std::uint32_t bound) {
    static constexpr std::string_view kVerbLists[] = {"*",    "*",      "GET", "GET,HEAD",
                                                      "POST", "P*,GET", "?ET", "PUT"};
    static constexpr std::string_view kRefusal = "weft::HttpMethodNotAllowedHandler";
    std::string text = "{\"httpHandlers\": [";
    text += cleared ? "{\"clear\": {}}" : "";
    for (std::uint32_t left = random_.Below(bound); left > 0; --left) {
      text += text.ends_with('[') ? "" : ",";
      if (!keys_.empty() && random_.OnceIn(6)) {
        text += "{\"remove\": {" + KnownKey() + "}}";
        continue;
      }
      keys_.push_back(!keys_.empty() && random_.OnceIn(6)
                          ? KnownKey()
                          : "\"verb\": \"" + random_.OneOf(kVerbLists) + "\", \"path\": \"" +
                                RandomPattern(random_) + '"');
      text += "{\"add\": {" + keys_.back() + ", \"name\": \"" + std::to_string(keys_.size()) +
              "\", \"type\": \"" + std::string(random_.OnceIn(8) ? kRefusal : "T") + "\"}}";
    }
    return text + "]}";
  }

  const std::string& KnownKey() {
    return keys_[random_.Below(static_cast<std::uint32_t>(keys_.size()))];
  }

  Random& random_;
  std::vector<std::string> keys_;
};

/// What a resolution says, in one line.
std::string Told(std::string_view what, std::string_view file_path, std::string_view path_info,
                 std::string_view allow) {
  std::string told(what);
  for (const std::string_view text : {file_path, path_info, allow}) {
    told += " | ";
    told += text;
  }
  return told;
}

/// The first entry that was not passed over.
const Entry* ChosenOf(const std::vector<TriedEntry>& tried) {
  const auto chosen = std::ranges::find(tried, Verdict::kChosen, &TriedEntry::verdict);
  return chosen == tried.end() ? nullptr : chosen->entry;
}

std::string Told(const Resolution& resolution) {
  return Told(resolution.entry != nullptr ? resolution.entry->name : resolution.cause,
              resolution.file_path, resolution.path_info, resolution.allow);
}

/// The definition.
class Reference {
 public:
  explicit Reference(const Files& files) {
    Chain above = Below({}, std::string(weft::mappings::MachineDefaults()));
    chains_["/"] = Below(above, files.at("machine.json"));
    for (const std::string_view folder : kFolders) {
      const auto file = files.find("default/" + std::string(folder) + "mapping.json");
      if (file != files.end()) {
        const std::string path = "/" + std::string(folder);
        chains_[path] = Below(ChainFor(path), file->second);
      }
    }
  }

  [[nodiscard]] std::string Resolve(std::string_view verb, std::string_view script_path,
                                    std::string_view path_info) const {
    std::string script;
    std::string info;
    if (!script_path.empty() && !Normalise(script_path, script)) {
      return Told("path_above_root", "", "", "");
    }
    if (!path_info.empty() && !Normalise(path_info, info)) {
      return Told("path_above_root", "", "", "");
    }
    if (!script.empty() && MatchesSpecifically(script)) {
      return Finish(verb, script, info);
    }
    const bool rooted = script.ends_with('/') && !info.empty();
    const std::string whole = script + info.substr(rooted ? 1 : 0);
    for (std::size_t end = whole.size(); end > 0; --end) {
      if ((end == whole.size() || whole[end] == '/') && MatchesSpecifically(whole.substr(0, end))) {
        return Finish(verb, whole.substr(0, end), whole.substr(end));
      }
    }
    if (!script.empty() && Matches(script)) {
      return Finish(verb, script, info);
    }
    return Finish(verb, whole, "");
  }

 private:
  Chain Below(const Chain& above, const std::string& text) {
    std::vector<Problem> problems;
    levels_.push_back(ReadLevel(text, "f", problems));
    REQUIRE(levels_.back().complete);  // there may be warnings
    return Extend(above, levels_.back().block.directives, {problems, false});
  }

  [[nodiscard]] const Chain& ChainFor(std::string_view path) const {
    for (std::size_t end = path.rfind('/'); end > 0; end = path.rfind('/', end - 1)) {
      const auto chain = chains_.find(LowerCase(path.substr(0, end + 1)));
      if (chain != chains_.end()) {
        return chain->second;
      }
    }
    return chains_.at("/");
  }

  static bool Normalise(std::string_view path, std::string& result) {
    const NormalisedPath normalised = NormalisePath(path);
    result = normalised.changed.value_or(std::string(path));
    return normalised.fault == PathFault::kNone;
  }

  [[nodiscard]] bool MatchesSpecifically(std::string_view path) const {
    return std::ranges::any_of(ChainFor(path), [path](const Entry* entry) {
      return entry->pattern.MatchesSpecifically(CandidatePath(path));
    });
  }

  [[nodiscard]] bool Matches(std::string_view path) const {
    return std::ranges::any_of(ChainFor(path), [path](const Entry* entry) {
      return entry->pattern.Matches(CandidatePath(path));
    });
  }

  [[nodiscard]] std::string Finish(std::string_view verb, std::string_view file_path,
                                   std::string_view path_info) const {
    for (const Entry* entry : ChainFor(file_path)) {
      if (entry->verbs.Matches(verb) && entry->pattern.Matches(CandidatePath(file_path))) {
        return Told(entry->name, file_path, path_info,
                    entry->refuses_method ? Allow(file_path) : "");
      }
    }
    return Matches(file_path) ? Told("method_not_mapped", file_path, path_info, Allow(file_path))
                              : Told("no_mapping", file_path, path_info, "");
  }

  [[nodiscard]] std::string Allow(std::string_view path) const {
    std::string allow;
    std::vector<std::string> seen;
    for (const Entry* entry : ChainFor(path)) {
      if (!entry->pattern.Matches(CandidatePath(path))) {
        continue;
      }
      if (entry->refuses_method && entry->verbs.MatchesEverything()) {
        break;
      }
      for (const std::string& name : entry->verbs.Names()) {
        if (std::ranges::find(seen, name) != seen.end()) {
          continue;
        }
        seen.push_back(name);
        if (!entry->refuses_method) {
          allow += (allow.empty() ? "" : ", ") + name;
        }
      }
    }
    return allow;
  }

  std::vector<Level> levels_;
  std::map<std::string, Chain> chains_;  // below the folders that have a file, and the root
};

}  // namespace

TEST_CASE("MappingTable: agrees with the definition on random tables and paths") {
  Random random(20260);
  std::map<std::string, int> seen;
  for (int turn = 0; turn < 1500; ++turn) {
    const Files files = Writer(random).Write();
    const TemporaryTree tree;
    for (const auto& [path, text] : files) {
      tree.Write(path, text);
    }
    const auto table = tree.Load().table;
    REQUIRE(table);
    const Reference reference(files);
    ResolutionCache cache(64);
    for (int i = 0; i < 40; ++i) {
      const std::string verb = random.OneOf(kVerbs);
      const std::string script = random.OnceIn(20) ? "" : RandomPath(random);
      const std::string info = script.empty() || random.OnceIn(4) ? RandomPath(random) : "";
      const Resolution resolution = table->Resolve("host", verb, script, info);
      ++seen[std::string(resolution.cause) + (resolution.path_info.empty() ? "" : ", split")];
      CAPTURE(turn);
      CAPTURE(verb);
      CAPTURE(script);
      CAPTURE(info);
      const std::string told = Told(resolution);
      REQUIRE(told == reference.Resolve(verb, script, info));
      // From the third time on it may come from the cache.
      for (int times = 0; times < 3; ++times) {
        const std::string again = Told(table->Resolve("host", verb, script, info, nullptr, &cache));
        REQUIRE(again == told);
      }
      const auto tried = EntriesTried(*table, resolution, verb, nullptr);
      REQUIRE(ChosenOf(tried) == resolution.entry);
    }
  }
  // That the tables and paths are such as to say something.
  for (const std::string_view outcome :
       {"mapped", "mapped, split", "method_not_mapped", "method_not_mapped, split", "no_mapping"}) {
    CAPTURE(outcome);
    CHECK(seen[std::string(outcome)] > 1000);
  }
}
