#include "mappings/entry_index.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using weft::mappings::Entry;
using weft::mappings::EntryIndex;

namespace {

struct Written {
  std::string verb;
  std::string path;
};

/// An index, and the entries that it finds.
class Indexed {
 public:
  Indexed(std::initializer_list<Written> written) : index_(Make(written)) {}

  EntryIndex* operator->() { return &index_; }

  /// "path text of the entry", then what else is known.
  std::string Search(std::string_view verb, std::string_view path, EntryIndex::Match match = {},
                     const std::vector<std::uint32_t>& skipped = {}) {
    weft::mappings::ResourceProbe probe(nullptr, path);
    index_.Search(verb, path, probe, match, skipped);
    CHECK((match.path_matched || (match.entry == nullptr && !match.specific)));
    return (match.entry != nullptr ? match.entry->path : "none") +
           (match.path_matched ? " path" : "") + (match.specific ? " specific" : "");
  }

 private:
  std::vector<const Entry*> Make(std::initializer_list<Written> written) {
    std::vector<const Entry*> entries;
    for (const auto& [verb, path] : written) {
      entries_.push_back(std::make_unique<Entry>(verb, path));
      entries.push_back(entries_.back().get());
    }
    return entries;
  }

  std::vector<std::unique_ptr<Entry>> entries_;
  EntryIndex index_;
};

std::size_t LongestPrefix(std::string pattern, std::string_view path, std::size_t min_end = 1,
                          std::size_t max_end = std::string_view::npos) {
  return Indexed({{"*", std::move(pattern)}})
      ->LongestSpecificPrefix(path, min_end, std::min(max_end, path.size()));
}

}  // namespace

TEST_CASE("EntryIndex: the first entry that matches verb and path is found, however it matches") {
  Indexed index{{"GET", "/d/a.x"}, {"PUT", "d/a.x"}, {"POST", "?.x"}, {"HEAD", "*.x"},
                {"GET,PUT", "*"},  {"*", "*.x"},     {"*", "a?x"}};
  CHECK(index.Search("GET", "/d/a.x") == "/d/a.x path specific");
  CHECK(index.Search("GET", "/a.x") == "* path specific");
  CHECK(index.Search("PUT", "/d/a.x") == "d/a.x path specific");
  CHECK(index.Search("PUT", "/c/d/a.x") == "d/a.x path specific");
  CHECK(index.Search("POST", "/d/a.x") == "?.x path specific");
  CHECK(index.Search("HEAD", "/d/a.x") == "*.x path specific");
  CHECK(index.Search("TRACE", "/d/a.x") == "*.x path specific");
  CHECK(index.Search("TRACE", "/d/a-x") == "a?x path specific");
  CHECK(index.Search("PUT", "/d/a.y") == "* path");
  CHECK(index.Search("TRACE", "/d/a.y") == "none path");
}

TEST_CASE("EntryIndex: a match is specific whatever stands before it, and whatever its verb") {
  CHECK(Indexed{{"*", "*"}, {"PUT", "*.x"}}.Search("GET", "/a.x") == "* path specific");
  CHECK(Indexed{{"*", "*"}, {"PUT", "a?x"}}.Search("GET", "/a.x") == "* path specific");
  CHECK(Indexed{{"PUT", "*.x"}}.Search("GET", "/a.x") == "none path specific");
  CHECK(Indexed{{"*", "*.y"}}.Search("GET", "/a.x") == "none");
  CHECK(Indexed{}.Search("GET", "/a.x") == "none");
}

TEST_CASE("EntryIndex: what entries before it say is kept") {
  const Entry before("*", "before");
  const EntryIndex::Match match{&before, true, false};
  CHECK(Indexed{{"*", "*.x"}}.Search("GET", "/a.x", match) == "before path specific");
  CHECK(Indexed{{"*", "a?x"}}.Search("GET", "/a.x", match) == "before path specific");
  CHECK(Indexed{{"*", "*"}}.Search("GET", "/a.x", match) == "before path");
  CHECK(Indexed{}.Search("GET", "/a.x", match) == "before path");
  CHECK(Indexed{}.Search("GET", "/a.x", {nullptr, true, true}) == "none path specific");
}

TEST_CASE("EntryIndex: entries are passed over as if they were not there") {
  Indexed index{{"GET", "/d/a.x"}, {"PUT", "*.x"}, {"PUT", "*.x"}, {"*", "a*x"}, {"*", "*"}};
  const auto search = [&index](std::string_view verb, const std::vector<std::uint32_t>& skipped) {
    return index.Search(verb, "/d/a.x", {}, skipped);
  };
  CHECK(search("GET", {}) == "/d/a.x path specific");
  CHECK(search("GET", {0}) == "a*x path specific");
  CHECK(search("PUT", {1}) == "*.x path specific");
  CHECK(search("PUT", {1, 2}) == "a*x path specific");
  CHECK(search("GET", {0, 3}) == "* path specific");
  CHECK(search("GET", {0, 1, 2, 3}) == "* path");
  CHECK(search("GET", {0, 1, 3, 4}) == "none path specific");
  CHECK(search("GET", {0, 1, 2, 3, 4}) == "none");
  // Where the entry is known, but not yet whether a match is specific.
  const Entry before("*", "*");
  const EntryIndex::Match match{&before, true, false};
  CHECK(index.Search("GET", "/d/a.x", match, {0, 1, 2, 3}) == "* path");
  CHECK(index.Search("GET", "/d/a.x", match, {0, 1, 3}) == "* path specific");
  CHECK(index.Search("GET", "/d/a.x", match, {0, 1, 2}) == "* path specific");

  const auto longest = [&index](const std::vector<std::uint32_t>& skipped) {
    return index->LongestSpecificPrefix("/d/a.x/c", 1, 8, skipped);
  };
  CHECK(longest({0, 3}) == 6);
  CHECK(longest({0, 1, 2}) == 6);
  CHECK(longest({0, 1, 2, 3}) == 0);
  CHECK(index->GlobWords() == 1);
  CHECK(index->GlobWords(std::vector<std::uint32_t>{0, 3}) == 0);

  std::string left;
  const auto visit = [&left](const Entry& entry) {
    left += entry.path + ' ';
    return entry.path != "a*x";
  };
  CHECK_FALSE(index->ForEachEntry(std::vector<std::uint32_t>{0, 2}, visit));
  CHECK(left == "*.x a*x ");
  CHECK(index->ForEachEntry(std::vector<std::uint32_t>{3}, visit));
  CHECK(left == "*.x a*x /d/a.x *.x *.x * ");
}

TEST_CASE("EntryIndex: an entry that is not there keeps the places of the others") {
  const Entry entry("*", "*.x");
  const EntryIndex index({nullptr, &entry, nullptr});
  weft::mappings::ResourceProbe probe(nullptr, "/a.x");
  EntryIndex::Match match;
  index.Search("GET", "/a.x", probe, match, std::vector<std::uint32_t>{0, 2});
  CHECK(match.entry == &entry);
  CHECK(index.GlobWords(std::vector<std::uint32_t>{0, 2}) == 0);
}

TEST_CASE("EntryIndex: the longest prefix ends at a segment") {
  CHECK(LongestPrefix("*.ashx", "/a.ashx/extra") == 7);
  CHECK(LongestPrefix("*.ashx", "/a.ashx/b.ashx/c") == 14);
  CHECK(LongestPrefix("*.ashx", "/a.ashx/") == 7);
  CHECK(LongestPrefix("*.ashx", "/a.ashxx/b") == 0);
  CHECK(LongestPrefix("status", "/x/status/of/it") == 9);
  CHECK(LongestPrefix("/status", "/x/status/of/it") == 0);
  CHECK(LongestPrefix("/x/status", "/x/status/of/it") == 9);
  CHECK(LongestPrefix("*.r?,*.report", "/a.rx/b.report/c") == 14);
  CHECK(LongestPrefix("*.r?,*.report", "/a.report/b.rx/c") == 14);
  CHECK(LongestPrefix("*", "/a/b") == 0);
  CHECK(LongestPrefix("**", "/a/b") == 4);
  CHECK(LongestPrefix(",", "/a/b/") == 5);
  CHECK(LongestPrefix(",", "/a/b") == 0);
}

TEST_CASE("EntryIndex: the longest prefix is sought within bounds") {
  constexpr std::string_view kPath = "/a.ashx/b.rx/c.ashx";
  const auto longest = [](std::size_t min_end, std::size_t max_end) {
    return LongestPrefix("*.ashx,*.r?", kPath, min_end, max_end);
  };
  CHECK(longest(1, kPath.size()) == 19);
  CHECK(longest(1, 18) == 12);
  CHECK(longest(1, 11) == 7);
  CHECK(longest(8, 11) == 0);
  CHECK(longest(1, 6) == 0);
}

TEST_CASE("EntryIndex: the longest prefix of any entry is found") {
  Indexed index{{"GET", "*.x"}, {"PUT", "b?y"}, {"*", "*"}, {"*", "/a.x/c"}, {"*", "*-q.y"}};
  const auto longest = [&index](std::string_view path) {
    return index->LongestSpecificPrefix(path, 1, path.size());
  };
  CHECK(longest("/a.x/b.y/c") == 8);
  CHECK(longest("/a.x/c/b") == 6);
  CHECK(longest("/b.y/b.x/c") == 8);
  CHECK(longest("/b.y/d-q.y/c") == 10);
  CHECK(longest("/b/c") == 0);
}

TEST_CASE("EntryIndex: patterns that must be tried are counted by the words of their automata") {
  CHECK(Indexed {
    { "*", "*,*.x,a,/b,~/c,**,*d.e" }
  } -> GlobWords() == 0);
  CHECK(Indexed {
    {"*", "a*,?b,*.x"}, { "*", "/a/**" }
  } -> GlobWords() == 3);
  CHECK(Indexed {
    { "*", std::string(62, 'a') + "*b" }
  } -> GlobWords() == 1);
  CHECK(Indexed {
    { "*", std::string(63, 'a') + "*b" }
  } -> GlobWords() == 2);
}

TEST_CASE("EntryIndex: hostile paths of a megabyte are read a bounded number of times") {
  std::string path;
  for (int i = 0; i < 1 << 18; ++i) {
    path += "/a.b";
  }
  CHECK(LongestPrefix("*.ashx,status,*a*a*a*b,~/**x,*.c?", path) == 0);
  // A search of each of 2^18 segments stops after the two segments that the tail has.
  CHECK(LongestPrefix("c/a.b/a.b", path) == 0);
}
