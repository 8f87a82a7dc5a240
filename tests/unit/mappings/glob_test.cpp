#include "mappings/glob.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/request_path.hpp"

using weft::mappings::Glob;

namespace {

bool Path(std::string_view pattern, std::string_view text) {
  return Glob(pattern, Glob::Kind::kPath).Matches(text);
}

bool Suffix(std::string_view pattern, std::string_view text) {
  return Glob(pattern, Glob::Kind::kPathSuffix).Matches(text);
}

bool Verb(std::string_view pattern, std::string_view text) {
  return Glob(pattern, Glob::Kind::kVerb).Matches(text);
}

// The definition, word for word, exponential as it is: what the automaton is compared with.
bool MatchesByDefinition(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) {
    return text.empty();
  }
  if (pattern.front() == '*') {
    const bool doubled = pattern.starts_with("**");
    const std::string_view rest = pattern.substr(doubled ? 2 : 1);
    for (std::size_t taken = 0;; ++taken) {
      if (MatchesByDefinition(rest, text.substr(taken))) {
        return true;
      }
      if (taken == text.size() || (!doubled && text[taken] == '/')) {
        return false;
      }
    }
  }
  if (text.empty() ||
      (pattern.front() == '?' ? text.front() == '/' : text.front() != pattern.front())) {
    return false;
  }
  return MatchesByDefinition(pattern.substr(1), text.substr(1));
}

bool SuffixMatchesByDefinition(std::string_view pattern, std::string_view text) {
  for (std::size_t begin = 0; begin <= text.size(); ++begin) {
    if ((begin == 0 || text[begin - 1] == '/') &&
        MatchesByDefinition(pattern, text.substr(begin))) {
      return true;
    }
  }
  return false;
}

std::string RandomText(std::uint32_t& seed, std::string_view alphabet, std::size_t max_length) {
  const auto next = [&seed] {
    seed = seed * 1664525U + 1013904223U;
    return seed >> 16U;
  };
  std::string text(next() % (max_length + 1), ' ');
  for (char& c : text) {
    c = alphabet[next() % alphabet.size()];
  }
  return text;
}

}  // namespace

TEST_CASE("Glob: a star is any run of characters within a segment") {
  CHECK(Path("/a*c", "/ac"));
  CHECK(Path("/a*c", "/abbbc"));
  CHECK_FALSE(Path("/a*c", "/a/c"));
  CHECK_FALSE(Path("/a*c", "/abd"));
  CHECK(Path("/*", "/"));
  CHECK(Path("/*/x", "//x"));
}

TEST_CASE("Glob: a double star crosses slashes") {
  CHECK(Path("/a/**", "/a/"));
  CHECK(Path("/a/**", "/a/b/c"));
  CHECK_FALSE(Path("/a/**", "/a"));
  CHECK(Path("/a/**/z.ashx", "/a/b/c/z.ashx"));
  CHECK_FALSE(Path("/a/**/z.ashx", "/a/z.ashx"));
  CHECK(Path("/***c", "/a/b/c"));
  CHECK(Path("/**b/*c", "/a/ab/abc"));
  CHECK_FALSE(Path("/**b/*c", "/a/ab/a/c"));
}

TEST_CASE("Glob: a question mark is one character other than a slash") {
  CHECK(Path("/a?c", "/abc"));
  CHECK_FALSE(Path("/a?c", "/ac"));
  CHECK_FALSE(Path("/a?c", "/a/c"));
  CHECK_FALSE(Path("/a?", "/a"));
}

TEST_CASE("Glob: a question mark is one UTF-8 code point") {
  CHECK(Path("/?", "/\u00e9"));
  CHECK_FALSE(Path("/??", "/\u00e9"));
  CHECK(Path("/??", "/\u00e9\u00e9"));
  CHECK(Path("/?x", "/\u20acx"));
  CHECK(Path("/?", "/\U0001F600"));
  CHECK(Path("/?*", "/\U0001F600x"));
  CHECK_FALSE(Path("/?", "/\x80"));  // a continuation byte that continues nothing
}

TEST_CASE("Glob: letter case is ignored in paths, in ASCII only") {
  CHECK(Path("/A*.Ashx", "/abc.aSHX"));
  CHECK_FALSE(Path("/\u00e9*", "/\u00c9x"));
}

TEST_CASE("Glob: a suffix begins at the start or after a slash") {
  CHECK(Suffix("sub/*.ashx", "sub/q.ashx"));
  CHECK(Suffix("sub/*.ashx", "/app/deep/sub/q.ashx"));
  CHECK_FALSE(Suffix("sub/*.ashx", "/app/mysub/q.ashx"));
  CHECK_FALSE(Suffix("sub/*.ashx", "/app/sub/x/q.ashx"));
  CHECK_FALSE(Suffix("a?", "/xaa"));
}

TEST_CASE("Glob: a verb is matched whole, and its letter case counts") {
  CHECK(Verb("P*", "POST"));
  CHECK_FALSE(Verb("P*", "post"));
  CHECK_FALSE(Verb("P*", "XPOST"));
  CHECK(Verb("?ET", "GET"));
  CHECK(Verb("*", "M/SEARCH"));
}

TEST_CASE("Glob: characters that mean something elsewhere are themselves") {
  CHECK(Path("/a.b+(c)[d]$^|\\*", "/a.b+(c)[d]$^|\\x"));
  CHECK_FALSE(Path("/a.b*", "/axb"));
}

TEST_CASE("Glob: patterns longer than a machine word match like short ones") {
  const std::string name(100, 'n');
  const std::string pattern = "/" + name + "*/?" + name + "/**x";
  CHECK(Path(pattern, "/" + name + "abc/q" + name + "/1/2/x"));
  CHECK_FALSE(Path(pattern, "/" + name + "a/bc/q" + name + "/1/2/x"));
  CHECK(Suffix(name + "?", "/a/" + name + "y"));
  CHECK_FALSE(Suffix(name + "?", "/a" + name + "y"));
  const std::string longest(Glob::kMaxPatternBytes, '?');
  CHECK(Path(longest, std::string(Glob::kMaxPatternBytes, 'a')));
  CHECK_FALSE(Path(longest, std::string(Glob::kMaxPatternBytes - 1, 'a')));
  for (const std::size_t tokens : {62U, 63U, 64U, 65U, 127U, 128U}) {
    const std::string text(tokens, 'a');
    CHECK(Path(text, text));
    CHECK(Path(text + "*", text + "b"));
    CHECK_FALSE(Path(text, text + "a"));
    CHECK_FALSE(Path(text + "a", text));
  }
}

TEST_CASE("Glob: agrees with the definition on random texts") {
  std::uint32_t seed = 7;
  for (int i = 0; i < 20000; ++i) {
    const std::string pattern = RandomText(seed, "ab/*?*", 7);
    const std::string text = RandomText(seed, "ab/a", 9);
    CAPTURE(pattern);
    CAPTURE(text);
    // Three stars in a row are a double one and a single one.
    REQUIRE(Path(pattern, text) == MatchesByDefinition(pattern, text));
    REQUIRE(Suffix(pattern, text) == SuffixMatchesByDefinition(pattern, text));
  }
}

TEST_CASE("Glob: the longest prefix ends where a segment ends") {
  const Glob glob("*.r?port", Glob::Kind::kPathSuffix);
  const std::string_view path = "/a.report/b.report/c";
  CHECK(glob.LongestPrefix(path, 1, path.size()) == 18);
  CHECK(glob.LongestPrefix(path, 1, 17) == 9);
  CHECK(glob.LongestPrefix(path, 10, 17) == Glob::kNone);
  CHECK(glob.LongestPrefix("/a.reports/x", 1, 12) == Glob::kNone);
}

TEST_CASE("Glob: agrees with the definition on every prefix of random texts") {
  std::uint32_t seed = 11;
  for (int i = 0; i < 5000; ++i) {
    const std::string pattern = RandomText(seed, "ab/*?", 5);
    const std::string text = RandomText(seed, "ab//", 12);
    std::size_t expected = Glob::kNone;
    for (std::size_t end = 0; end <= text.size(); ++end) {
      if ((end == text.size() || text[end] == '/') &&
          SuffixMatchesByDefinition(pattern, text.substr(0, end))) {
        expected = end;
      }
    }
    CAPTURE(pattern);
    CAPTURE(text);
    REQUIRE(Glob(pattern, Glob::Kind::kPathSuffix).LongestPrefix(text, 0, text.size()) == expected);
  }
}

TEST_CASE("Glob: a hostile text of a megabyte is read once") {
  const std::string text(1 << 20, 'a');
  CHECK_FALSE(Suffix("*a*a*a*a*a*a*a*a*a*b", text));
  CHECK_FALSE(Path("**a**a**a**a*a*a*a*b", text));
  std::string slashes;
  for (int i = 0; i < 1 << 19; ++i) {
    slashes += "/a";
  }
  CHECK_FALSE(Suffix("**/a/**/a/*a*a**/a/b", slashes));
  CHECK(Glob("a/?/*a/a*", Glob::Kind::kPathSuffix).LongestPrefix(slashes, 1, slashes.size()) ==
        slashes.size());
}

// The combinations in which `others` match what `glob` does, as far as it is asked.
Glob::Overlaps Overlaps(const Glob& glob, const std::vector<Glob>& others,
                        Glob::Texts texts = Glob::Texts::kAny, std::string_view start = {},
                        bool until_none = false) {
  std::vector<const Glob*> pointers;
  for (const Glob& other : others) {
    pointers.push_back(&other);
  }
  std::size_t steps = Glob::kMaxOverlapSteps;
  return glob.FindOverlaps(pointers, start, texts, until_none, steps);
}

TEST_CASE("Glob: the ways in which others match what one matches are found, each with a text") {
  static constexpr std::string_view kTexts[] = {
      "/",      "/a",   "/b",   "/a/",  "/ab",   "/a/b",  "/b/a",  "/aa",      "/bb",
      "/a/a/",  "/b/b", "/abb", "/bab", "/a/ab", "/ab/a", "/a.b",  "/.a",      "/..a",
      "/a/.b/", "/.",   "//",   "/..",  "/a/..", "/a//b", "/a\\b", "/\xc3\xa4"};
  std::uint32_t seed = 11;
  std::size_t covered = 0;
  for (int turn = 0; turn < 5'000; ++turn) {
    const auto kind = turn % 2 == 0 ? Glob::Kind::kPath : Glob::Kind::kPathSuffix;
    const Glob glob("/" + RandomText(seed, "ab/.*?", 4), Glob::Kind::kPath);
    std::vector<Glob> others;
    for (std::uint32_t i = seed % 4; i > 0; --i) {
      others.emplace_back(RandomText(seed, "ab/**?", 4), kind);
    }
    const auto matched = [&](std::string_view text) {
      std::uint64_t bits = 0;
      for (std::size_t i = 0; i < others.size(); ++i) {
        bits |= std::uint64_t{others[i].Matches(text)} << i;
      }
      return bits;
    };
    for (const auto texts : {Glob::Texts::kAny, Glob::Texts::kPaths}) {
      const auto overlaps = Overlaps(glob, others, texts);
      REQUIRE(overlaps.complete);
      std::set<std::uint64_t> found;
      for (const auto& [bits, text] : overlaps.found) {
        CAPTURE(text);
        CHECK(glob.Matches(text));
        CHECK(matched(text) == bits);
        CHECK(found.insert(bits).second);
        if (texts == Glob::Texts::kPaths) {
          const auto form = weft::mappings::NormalisePath(text);
          CHECK(form.fault == weft::mappings::PathFault::kNone);
          CHECK_FALSE(form.changed);
        }
      }
      for (const std::string_view text : kTexts) {
        const auto form = weft::mappings::NormalisePath(text);
        const bool is_path = form.fault == weft::mappings::PathFault::kNone && !form.changed;
        if (glob.Matches(text) && (is_path || texts == Glob::Texts::kAny)) {
          CAPTURE(text);
          REQUIRE(found.contains(matched(text)));
        }
      }
      const auto none = Overlaps(glob, others, texts, {}, true);
      const bool is_covered = none.found.empty() || none.found.back().matched != 0;
      CHECK(is_covered == !found.contains(0));
      covered += is_covered && !found.empty() ? 1 : 0;
    }
  }
  CHECK(covered > 500);
}

TEST_CASE("Glob: it may be asked of texts of one beginning alone") {
  const Glob below_a("/A/**", Glob::Kind::kPath);
  const Glob anything("**", Glob::Kind::kPath);
  CHECK(Overlaps(anything, {below_a}).found.size() == 2);
  const auto below = Overlaps(anything, {below_a}, Glob::Texts::kPaths, "/a/");
  REQUIRE(below.found.size() == 1);
  CHECK(below.found[0].matched == 1);
  CHECK(below.found[0].text == "/a/");
  CHECK(Overlaps(below_a, {}, Glob::Texts::kPaths, "/b/").found.empty());
}

TEST_CASE("Glob: a question that takes too many steps is left open, and one that is refused them") {
  const std::string many = "*a" + std::string(40, '?');
  const Glob glob(many, Glob::Kind::kPath);
  CHECK_FALSE(Overlaps(Glob("?" + many, Glob::Kind::kPath), {glob}).complete);
  std::size_t steps = 3;
  CHECK_FALSE(glob.FindOverlaps({}, {}, Glob::Texts::kAny, false, steps).complete);
  CHECK(steps <= 3);
}

TEST_CASE("Glob: what a beginning uses up of a pattern") {
  const auto used = [](std::string_view pattern, std::string_view start) {
    return Glob(pattern, Glob::Kind::kPath).TokensUsed(start);
  };
  CHECK(used("/a/b", "/A/") == 3);
  CHECK(used("/a/b", "/b/") == Glob::kNone);
  CHECK(used("/a/b", "/a/b/") == Glob::kNone);
  CHECK(used("/*/b", "/shop/") == 2);
  CHECK(used("/**", "/shop/") == 1);
  CHECK(used("**", "/shop/") == 0);
  CHECK(used("/?" + std::string(80, 'a'), "/\xc3\xa4" + std::string(70, 'a')) == 72);
}
