#include "mappings/entry_index.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace weft::mappings {
namespace {

std::vector<TailTree::Tail> TailsOf(const std::vector<const Entry*>& entries) {
  std::vector<TailTree::Tail> tails;
  for (std::size_t place = 0; place < entries.size(); ++place) {
    if (entries[place] == nullptr) {
      continue;
    }
    for (std::string& text : entries[place]->pattern.Tails()) {
      tails.push_back({std::move(text), static_cast<std::uint32_t>(place)});
    }
  }
  return tails;
}

std::size_t WordsOf(const std::vector<Glob>& globs) {
  std::size_t words = 0;
  for (const Glob& glob : globs) {
    words += glob.Words();
  }
  return words;
}

bool MatchesAny(const std::vector<Glob>& globs, std::string_view path) {
  return std::ranges::any_of(globs, [path](const Glob& glob) { return glob.Matches(path); });
}

}  // namespace

EntryIndex::EntryIndex(std::vector<const Entry*> entries)
    : entries_(std::move(entries)), tails_(TailsOf(entries_)) {
  for (std::size_t place = 0; place < entries_.size(); ++place) {
    if (entries_[place] == nullptr) {
      continue;
    }
    const PathPattern& pattern = entries_[place]->pattern;
    if (pattern.MatchesEverything()) {
      stars_.push_back(static_cast<std::uint32_t>(place));
    }
    if (!pattern.Globs().empty()) {
      globs_.push_back(static_cast<std::uint32_t>(place));
    }
    glob_words_ += WordsOf(pattern.Globs());
  }
}

std::size_t EntryIndex::GlobWords(Places skipped) const {
  std::size_t words = glob_words_;
  for (const std::uint32_t place : skipped) {
    words -= entries_[place] == nullptr ? 0 : WordsOf(entries_[place]->pattern.Globs());
  }
  return words;
}

void EntryIndex::Search(std::string_view verb, std::string_view path, ResourceProbe& probe,
                        Match& match, Places skipped) const {
  // Nothing at this place or behind it can be the entry.
  std::size_t end = match.entry != nullptr ? 0 : entries_.size();
  // Whether any of the places, all of entries that match the path, is not skipped; those behind `end` aside.
  const auto look_at = [&](Places places) {
    bool any = false;
    for (const std::uint32_t place : places) {
      if (Contains(skipped, place)) {
        continue;
      }
      any = true;
      if (place >= end) {
        break;
      }
      if (!probe.Satisfies(entries_[place]->resource_type)) {
        continue;
      }
      match.path_matched = true;
      if (entries_[place]->verbs.Matches(verb)) {
        match.entry = entries_[place];
        end = place;
        break;
      }
    }
    return any;
  };
  tails_.ForEachTailOf(path, [&](Places places) {
    match.specific = look_at(places) || match.specific;
    return end > 0 || !match.specific;
  });
  look_at(stars_);
  for (const std::uint32_t place : globs_) {
    if (match.specific && place >= end) {
      break;
    }
    if (Contains(skipped, place)) {
      continue;
    }
    if (MatchesAny(entries_[place]->pattern.Globs(), path)) {
      match.specific = true;
      look_at({&place, 1});
    }
  }
}

bool EntryIndex::HasTailOf(std::string_view path, Places skipped) const {
  bool has = false;
  tails_.ForEachTailOf(path, [&has, skipped](Places places) {
    has = std::ranges::any_of(places,
                              [skipped](std::uint32_t place) { return !Contains(skipped, place); });
    return !has;
  });
  return has;
}

std::size_t EntryIndex::LongestPrefixWithTail(std::string_view path, std::size_t min_end,
                                              std::size_t max_end, Places skipped) const {
  for (std::size_t end = max_end; end >= min_end; --end) {
    if (end < path.size()) {
      end = path.rfind('/', end);
      if (end == std::string_view::npos || end < min_end) {
        break;
      }
    }
    if (HasTailOf(path.substr(0, end), skipped)) {
      return end;
    }
  }
  return 0;
}

std::size_t EntryIndex::LongestSpecificPrefix(std::string_view path, std::size_t min_end,
                                              std::size_t max_end, Places skipped) const {
  std::size_t longest = tails_.Empty() ? 0 : LongestPrefixWithTail(path, min_end, max_end, skipped);
  for (const std::uint32_t place : globs_) {
    if (Contains(skipped, place)) {
      continue;
    }
    for (const Glob& glob : entries_[place]->pattern.Globs()) {
      const std::size_t min = std::max(min_end, longest + 1);
      if (min > max_end) {
        return longest;
      }
      const std::size_t end = glob.LongestPrefix(path, min, max_end);
      longest = end == Glob::kNone ? longest : end;
    }
  }
  return longest;
}

}  // namespace weft::mappings
